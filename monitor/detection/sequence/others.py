# SPDX-License-Identifier: Apache-2.0
"""Whether innocuous hosts fail beside a target: then its failures may be a fault on the way.

A peering fault, a broken upstream and a scrubber or firewall that resets connections concern
whatever lies behind them; a block concerns what somebody chose. So a confirmation needs liveness
hosts that the agreeing vantages reach in the rounds in which they do not reach the target. They
complete the layers of name, connection and handshake, so they are unaffected at the layer of the
block, too. Other services do not count: a state that blocks five at once must not look like a
fault, and each service is judged without reading the others.

In an outage that liveness sees half, now this host fails and now that: many failures of any hosts
count as well. A host that a vantage usually does not reach (it is blocked there, or has retired)
says nothing. One vantage alone prevents no confirmation where two others agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.detection.model import Fact, State
from monitor.detection.policy import Policy
from monitor.detection.sequence.state import Member, Series, TargetNetwork

TOO_FEW = ""
"""Stands for a host that fails: the vantage reached too few others to tell."""
SEVERAL = "*"
"""Stands for different hosts that fail, now this one and now that."""
_MEMORY = 32
"""Rounds over which it is learnt which hosts usually fail."""
_FORGOTTEN = 4
"""Per mille that fade each round: a single failure is forgotten after eight rounds."""


def learnt(usual: dict[str, int], fact: Fact) -> dict[str, int]:
    """About how many per mille of the rounds in which a vantage reached the target it did not reach
    a host, by host, after this fact."""
    if fact.verdict.state is not State.OK:
        return usual
    kept = {
        host: faded
        for host, rate in usual.items()
        if (faded := rate - rate // _MEMORY - _FORGOTTEN) > 0
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
    """Whether the same host, or different ones time and again, fail beside the target at half or
    more of the owners that agree."""
    saw: dict[str, set[str]] = {}
    owners = set()
    for probe in agreeing:
        held, owner = series.tracks[probe].suspicion, network.members[probe].owner
        owners.add(owner)
        if held is not None and held.others:
            for host in _often(held.others, held.hits, policy):
                saw.setdefault(host, set()).add(owner)
    return any(2 * len(those) >= len(owners) for those in saw.values())


def _often(others: Mapping[str, int], failures: int, policy: Policy) -> Sequence[str]:
    least = policy.others_per_mille * failures
    often = [host for host, failed in others.items() if failed * 1000 >= least]
    return [*often, SEVERAL] if sum(others.values()) * 1000 >= 2 * least else often
