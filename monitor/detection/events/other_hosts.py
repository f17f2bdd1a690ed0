# SPDX-License-Identifier: Apache-2.0
"""Whether innocuous hosts fail beside a target: then its failures may be a fault on the way.

A peering fault, a broken upstream and a scrubber or firewall that resets connections concern
whatever lies behind them; a block concerns what somebody chose. So a confirmation needs liveness
hosts that the agreeing vantages reach in the rounds in which they do not reach the target. They
complete the layers of name, connection and handshake, so they are unaffected at the layer of the
block, too. Other services do not count: a state that blocks five at once must not look like a
fault, and each service is judged without reading the others.

In an outage that liveness sees half, now this host fails and now that: many failures of any hosts
count as well. Beside the first few failures of a vantage a host fails by chance, so until then it
must show in the failures of all that agree. A host that a vantage usually does not reach (it is
blocked there, or has retired) says nothing, and nor do different hosts at a vantage whose line is
so poor that it usually misses one or another. One vantage alone prevents no confirmation where two
others agree and can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.events.state import Member, Series, Suspicion, TargetNetwork
from monitor.detection.model import Fact, State
from monitor.detection.policy import OtherHostsPolicy

TOO_FEW = ""
"""Stands for a host that fails: the vantage reached too few others to tell."""
SEVERAL = "*"
"""Stands for different hosts that fail, now this one and now that."""
_MEMORY = 32
"""Rounds over which it is learnt which hosts usually fail."""
_FORGOTTEN = 4
"""Per mille that fade each round: a single failure is forgotten after eight rounds."""
_ENOUGH = 4
"""Failures of a vantage from which its own share tells whether hosts fail there."""


def learnt(
    usual: dict[str, int], fact: Fact, frozen: bool, policy: OtherHostsPolicy
) -> dict[str, int]:
    """About how many per mille of the rounds in which a vantage reached the target it did not reach
    a host, by host, after this fact. What different hosts do is not learnt while baselines are
    `frozen`: they may fail for the same reason as the target."""
    if fact.verdict.state is not State.OK:
        return usual
    failed = fact.others_failed
    if any(usual.get(host, 0) <= policy.others_usual_per_mille for host in failed):
        failed = (*failed, SEVERAL)
    kept = {}
    for host in dict.fromkeys((*usual, *failed)):
        rate = usual.get(host, 0)
        if host != SEVERAL or not frozen:
            rate = max(0, rate - rate // _MEMORY - _FORGOTTEN)
            rate += 1000 // _MEMORY if host in failed else 0
        if rate:
            kept[host] = rate
    return kept


def unusual(member: Member, fact: Fact, policy: OtherHostsPolicy) -> tuple[str, ...]:
    """The hosts that fail beside this failure and do not usually."""
    too_few = (TOO_FEW,) if fact.others_passed < policy.others_min else ()
    if not fact.others_failed:
        return too_few
    return too_few + tuple(
        host
        for host in fact.others_failed
        if member.usual.get(host, 0) <= policy.others_usual_per_mille
    )


def fail_as_well(
    network: TargetNetwork, series: Series, agreeing: Sequence[str], policy: OtherHostsPolicy
) -> bool:
    """Whether the same host, or different ones time and again, fail beside the target at half or
    more of the owners that agree and can tell; and while some of their vantages have failed only a
    few times, in the failures of all of them together."""
    witnesses = [
        (network.members[probe], held)
        for probe in agreeing
        if (held := series.tracks[probe].suspicion) is not None
    ]
    few = any(held.hits < _ENOUGH for _, held in witnesses)
    hosts = {host for _, held in witnesses for host in held.others}
    for host in (*hosts, SEVERAL) if hosts else ():
        together, owners, saw = 0, set[str](), set[str]()
        for member, held in witnesses:
            if host == SEVERAL and member.usual.get(host, 0) > policy.others_usual_per_mille:
                continue
            more = _more_than_counts(host, held, policy)
            together += more * min(held.hits, _ENOUGH)
            owners.add(member.owner)
            if more >= 0:
                saw.add(member.owner)
        if saw and 2 * len(saw) >= len(owners) and (together >= 0 or not few):
            return True
    return False


def _more_than_counts(host: str, held: Suspicion, policy: OtherHostsPolicy) -> int:
    """By how many per mille a host failed beside more of a vantage's failures than counts."""
    if host == SEVERAL:
        return 1000 * sum(held.others.values()) // max(1, held.hits) - 2 * policy.others_per_mille
    return 1000 * held.others.get(host, 0) // max(1, held.hits) - policy.others_per_mille
