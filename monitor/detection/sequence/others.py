# SPDX-License-Identifier: Apache-2.0
"""Whether innocuous hosts fail beside a target: then its failures may be a fault on the way.

A peering fault, a broken upstream and a scrubber or firewall that resets connections concern
whatever lies behind them; a block concerns what somebody chose. So a confirmation needs liveness
hosts that the agreeing vantages reach in the rounds in which they do not reach the target. They
complete the layers of name, connection and handshake, so they are unaffected at the layer of the
block, too. Other services do not count: a state that blocks five at once must not look like a
fault, and each service is judged without reading the others.

In an outage that liveness sees half, now this host fails and now that: many failures of any hosts
count as well. Every vantage misses hosts at times for reasons of its own, so only what is more than
usual there counts, and it must show in the failures of all agreeing vantages together: beside the
first few failures of one of them, a host fails by chance. A host that a vantage usually does not
reach (it is blocked there, or has retired) says nothing. One vantage alone prevents no confirmation
where two others agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.model import Fact, State
from monitor.detection.policy import Policy
from monitor.detection.sequence.state import Member, Series, Suspicion, TargetNetwork

TOO_FEW = ""
"""Stands for a host that fails: the vantage reached too few others to tell."""
SEVERAL = "*"
"""Stands for different hosts that fail, now this one and now that."""
_MEMORY = 32
"""Rounds over which it is learnt which hosts usually fail."""
_LOOKS = 4
"""Most failures that a vantage counts for: a long history does not outweigh the others."""


def learnt(usual: dict[str, int], fact: Fact) -> dict[str, int]:
    """About how many per mille of the rounds in which a vantage reached the target it did not reach
    a host, by host, after this fact."""
    if fact.verdict.state is not State.OK:
        return usual
    kept = {
        host: faded for host, rate in usual.items() if (faded := rate - -(-rate // _MEMORY)) > 0
    }
    for host in fact.others_failed:
        kept[host] = kept.get(host, 0) + 1000 // _MEMORY
    return kept


def unusual(member: Member, fact: Fact, policy: Policy) -> tuple[str, ...]:
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
    network: TargetNetwork, series: Series, agreeing: Sequence[str], policy: Policy
) -> bool:
    """Whether the same host, or different ones time and again, fail beside the target: at half or
    more of the owners that agree, and in the failures of all their vantages together."""
    members = {probe: network.members[probe] for probe in agreeing}
    owners = {member.owner for member in members.values()}
    seen = [
        (member, held)
        for probe, member in members.items()
        if (held := series.tracks[probe].suspicion) is not None
    ]
    hosts = {host for _, held in seen for host in held.others}
    for host in (*hosts, SEVERAL) if hosts else ():
        total, saw = 0, set[str]()
        for member, held in seen:
            excess = _excess(host, member, held, policy)
            total += excess * min(held.hits, _LOOKS)
            if excess >= 0:
                saw.add(member.owner)
        if total >= 0 and 2 * len(saw) >= len(owners):
            return True
    return False


def _excess(host: str, member: Member, held: Suspicion, policy: Policy) -> int:
    """By how many per mille of a vantage's failures a host failed beside more of them than it
    usually does and than counts."""
    if host != SEVERAL:
        failed, usual = held.others.get(host, 0), member.usual.get(host, 0)
        return 1000 * failed // max(1, held.hits) - usual - policy.others_per_mille
    failed = sum(held.others.values())
    usual = sum(rate for rate in member.usual.values() if rate <= policy.others_usual_per_mille)
    return 1000 * failed // max(1, held.hits) - usual - 2 * policy.others_per_mille
