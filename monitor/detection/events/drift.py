# SPDX-License-Identifier: Apache-2.0
"""Whether a failure moves from country to country. A service that closes an old port, or changes
its servers in another way, does so network by network for days, and each network fails alike from
then on. A block has a border.

Outages compare what began within a day (`monitor.detection.events.outages`), and close a gate. This
compares what began within two weeks, and only says so: two governments may block the same service
in the same way. Where the name fails at our own host as well, the failure is no part of it, and nor
is a network of owners who are too few or too new to be believed. Other signs that the cause is on
the way do not matter: a domain that lapses, a name server or a shield of the service that is wrong
for a region shows them too, in one country after the other.

Imported runs have no control beside them, so there it decides as well: while the failure moves, no
network is likely to be blocked, and what was likely is taken back when a large share of all
networks has followed without a break.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from monitor.detection.events import contrasts, cusum, gates, split, standing
from monitor.detection.events.outages import watched
from monitor.detection.events.state import (
    Member,
    PathSign,
    Series,
    ServiceState,
    Suspicion,
    TargetNetwork,
    VantageOutcome,
)
from monitor.detection.policy import Policy

DRIFT_SECONDS = 14 * 86_400
"""Within which a change of the service's own reaches one country after the other."""
LEAST_OWNERS = 2
STEP_SECONDS = 84 * 3600
"""Imported: longest time from one network to the next of the same change."""
LEAST_PER_MILLE = 50
"""Imported: share of the networks of other countries; where hundreds are measured, some fail by
themselves, and some states block the same."""


def countries_alike(
    state: ServiceState,
    network: TargetNetwork,
    layer: str,
    saw: Collection[str],
    round: int,
    policy: Policy,
) -> int:
    """In how many other countries a network fails as this one does: the same target at the same
    layer with the same technique, beginning within two weeks of the failures of these
    vantages."""
    held = [split.suspicion_of(network.layers[layer], probe) for probe in saw]
    onset = sorted(_onset(suspicion) for suspicion in held)[len(held) // 2]
    techniques = {cusum.technique_of(suspicion) for suspicion in held}
    return len(
        {
            other.country
            for other in watched(state, network.target, network.source)
            if other.country != network.country
            and _fails_alike(other, layer, techniques, onset, round, policy)
        }
    )


def _fails_alike(
    other: TargetNetwork,
    layer: str,
    techniques: Collection[str],
    onset: int,
    round: int,
    policy: Policy,
) -> bool:
    """Whether owners who can be believed fail so in a network, and more than reach the target."""
    series = other.layers.get(layer)
    if series is None:
        return False
    failing, reaching, known = set[str](), set[str](), set[str]()
    for probe, member in other.members.items():
        if not _is_heard(other, member, round, policy):
            continue
        since = _failing_since(series, probe, member, techniques)
        if since and abs(since - onset) <= policy.ms(DRIFT_SECONDS):
            failing.add(member.owner)
            known |= {member.owner} if standing.is_known(member, round, policy) else set()
        elif member.outcome is VantageOutcome.GOOD:
            reaching.add(member.owner)
    return (
        len(failing) >= LEAST_OWNERS
        and len(failing) > len(reaching)
        and standing.together(len(known), len(failing - known)) >= standing.TRUSTED
    )


def _is_heard(network: TargetNetwork, member: Member, round: int, policy: Policy) -> bool:
    """Whether a vantage counts: it was heard within a day, for many are off at night."""
    day = policy.ms(policy.confirmation.expected_voters_seconds)
    return round - member.round <= day and gates.eligible(network, member, round, policy)


def _failing_since(series: Series, probe: str, member: Member, techniques: Collection[str]) -> int:
    """Since when a vantage fails in one of these ways; 0 when it does not. One that saw the block
    does so until the block ends, whatever passes by chance. Where a gate lets no failure count,
    nobody has seen one, and its latest failures tell."""
    track = series.tracks.get(probe)
    if track is None:
        return 0
    held = track.suspicion
    alike = (
        held is not None
        and cusum.technique_of(held) in techniques
        and not contrasts.at_own_host(held.contrasts)
    )
    if held is not None and held.alarmed:
        return _onset(held) if alike else 0
    told = member.cause is PathSign.ON_THE_WAY and not alike
    return member.failing if track.last_bad >= member.failing and not told else 0


def _onset(held: Suspicion) -> int:
    return held.onsets[cusum.leading_member(held)] or held.alarmed


class Followers(NamedTuple):
    """Networks of other countries in which imported runs fail as they do in one."""

    began: Sequence[tuple[int, str]]
    """(since which round, country), the oldest first."""
    compared: int
    """All networks of other countries in which the same test runs."""
    onset: int
    """Since when it fails in the one."""
    least: int
    """Countries from which on it is no chance, nor a second government."""

    @property
    def moves(self) -> bool:
        """Whether the failure moves from country to country."""
        return self._are_many(self.began, LEAST_PER_MILLE)

    def has_moved(self, policy: Policy) -> bool:
        """Whether it has come to a large share of all networks, one after the other."""
        near = self._without_a_break(policy)
        return self._are_many(near, policy.gates.elsewhere_per_mille)

    def _are_many(self, began: Sequence[tuple[int, str]], per_mille: int) -> bool:
        countries = len({country for _, country in began})
        return countries >= self.least and len(began) * 1000 > per_mille * self.compared

    def _without_a_break(self, policy: Policy) -> Sequence[tuple[int, str]]:
        step, kept = policy.ms(STEP_SECONDS), list[tuple[int, str]]()
        before = [each for each in self.began if each[0] <= self.onset]
        after = [each for each in self.began if each[0] > self.onset]
        for way in (reversed(before), after):
            last = self.onset
            for since, country in way:
                if abs(since - last) > step:
                    break
                kept.append((since, country))
                last = since
        return kept
