# SPDX-License-Identifier: Apache-2.0
"""How much the word of an owner weighs where strangers could speak for others: in gates, in the
quorum, in the confidence of an event, at its end, and in who is asked. One table for all of them.

| what is known of an owner | weight |
|---|---|
| enrolled within the last four weeks, or often fails what it reaches at other times (a sixth) | 1 |
| known for longer, or the operator vouches for them | 2 |
| another owner in the same network says the same at the same time | three times as much |

Weeks cannot be had sooner, and a companion in the same network costs one more owner in one place:
whoever claims to be in three countries alone is contradicted by nobody, and confirmed by nobody.
Weights are compared with each other, never with a fixed number: where all are strangers, as at a
monitor that begins, all count alike.

Where owners with standing measure, these decide. Strangers help them, and neither open, confirm or
end anything without one of them, nor do they take anything away that several of them agree on.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from monitor.detection.events.state import Member, TargetNetwork
from monitor.detection.policy import Policy

NEW, KNOWN = 1, 2
CORROBORATED = 3
"""By how much more the word of an owner weighs that another one in the network confirms."""
TRUSTED = 3
"""Weight of owners, without corroboration, who are enough for a page together: two who are known
for long, or one of them and a new one. Two new ones are too few: a stranger enrols twice within a
minute."""
ENOUGH = 2
"""Owners with standing who decide by themselves, whatever strangers say."""
UNRELIABLE_PER_MILLE = 160
LEAST_SAMPLES = 20
"""Measurements from which a vantage can be called unreliable."""


def is_known(member: Member, round: int, policy: Policy) -> bool:
    """Whether the monitor has known a vantage for long."""
    return round - member.enrolled >= policy.ms(policy.quorum.known_seconds)


def together(known: int, others: int) -> int:
    """The weight of so many owners."""
    return KNOWN * known + NEW * others


def may_page(known: int, new: int) -> bool:
    """Whether so many owners are enough for a page; strangers alone never are."""
    return known > 0 and together(known, new) >= TRUSTED


def of_deniers(known: int, new: int) -> int:
    """The weight of so many new owners who say that all is well, against so many known ones who
    see a block."""
    return 0 if known >= ENOUGH else NEW * new


def with_standing(
    network: TargetNetwork, probes: Iterable[str], round: int, policy: Policy
) -> Set[str]:
    """Those of some vantages whose owners have standing. An owner has it in a network by any
    vantage there."""
    asked = set(probes)
    strangers = {p for p in asked if not _has_standing(network, p, round, policy)}
    if not strangers:
        return asked
    wanted = {network.members[probe].owner for probe in strangers}
    owners = {
        member.owner
        for probe, member in network.members.items()
        if member.owner in wanted and _has_standing(network, probe, round, policy)
    }
    return {p for p in asked if p not in strangers or network.members[p].owner in owners}


def _has_standing(network: TargetNetwork, probe: str, round: int, policy: Policy) -> bool:
    return of_vantage(network, probe, False, round, policy) >= KNOWN


def of_vantage(
    network: TargetNetwork, probe: str, is_corroborated: bool, round: int, policy: Policy
) -> int:
    """What a vantage's word weighs. `is_corroborated`: another owner of its network says the
    same."""
    known = is_known(network.members[probe], round, policy)
    weight = KNOWN if known and not _is_unreliable(network, probe) else NEW
    return weight * CORROBORATED if is_corroborated else weight


def _is_unreliable(network: TargetNetwork, probe: str) -> bool:
    """Whether a vantage has often failed while no block was suspected."""
    counts = [
        (track.baseline.failed, track.baseline.total)
        for series in network.layers.values()
        if (track := series.tracks.get(probe)) is not None
    ]
    return any(
        total >= LEAST_SAMPLES and 1000 * failed > UNRELIABLE_PER_MILLE * total
        for failed, total in counts
    )
