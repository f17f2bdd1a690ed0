# SPDX-License-Identifier: Apache-2.0
"""What other networks say of an imported one, in place of a control: whether the service is down,
whether it is reached elsewhere, and whether it has moved.

Failures do not count when the target fails in several networks of other countries. A network that
has reached the target since the onset shows that the service works.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from monitor.detection.events.imported import memory, moving
from monitor.detection.events.imported.course import course, failing_tests
from monitor.detection.events.imported.suspicions import alarmed, densest, suspected
from monitor.detection.events.state import ImportedRuns, ServiceState, TargetNetwork
from monitor.detection.model import ClosedGate
from monitor.detection.policy import EvidencePolicy, Policy


def inhibitions(
    state: ServiceState, touched: Collection[str], round: int, policy: Policy
) -> dict[str, ClosedGate]:
    """`service_down` for the touched imported networks whose failures are no sign of a block there:
    for all tests together, or for each test that fails here. A moved service fails for old versions
    of a test alone, wherever they still run.

    The target began to fail in several networks of other countries at about the same time, and in
    too large a share of them; however long that lasts, it does not become several blocks. What
    began at another time is another matter, and what works there speaks for a block; but if country
    follows country within days, it is the service, for those that follow. Or no network reaches the
    target at all, and several fail in other countries. Or the tests that fail have not worked here
    since one of these was so."""
    closed: dict[str, ClosedGate] = {}
    peers: dict[tuple[str, str], _Peers] = {}
    for key in touched:
        network = state.networks[key]
        if network.runs is None:
            continue
        failing = [name for name, (_, bad, _) in network.runs.methods.items() if bad == round]
        if not failing:
            continue
        if not alarmed(network) and all(memory.vetoed(network.runs, name) for name in failing):
            closed[key] = ClosedGate.SERVICE_DOWN
            continue
        same = (network.source, network.target)
        if (others := peers.get(same)) is None:
            others = peers[same] = _Peers.of(state, *same)
        if (
            _fails_there(network, others, None, round, policy)
            or all(_fails_there(network, others, name, round, policy) for name in failing)
            or any(
                moving.followers(state, network, held, round, policy).has_moved(policy)
                for held in suspected(network)
            )
        ):
            closed[key] = ClosedGate.SERVICE_DOWN
    return closed


class _Peers(NamedTuple):
    """The networks in which imported runs try one target."""

    networks: Sequence[TargetNetwork]
    failing: Sequence[TargetNetwork]
    """Those of them in which any test fails: few, most of the time."""

    @classmethod
    def of(cls, state: ServiceState, source: str, target: str) -> _Peers:
        """The networks of a source and target."""
        there = [n for n in state.networks.values() if n.target == target and n.source == source]
        return cls(there, [n for n in there if n.runs is not None and _fails(n.runs)])

    def works(self, network: TargetNetwork, method: str | None, since: int) -> Iterator[str]:
        """The country of each other network in which a test, or all together, has worked since a
        round, and works."""
        for other in self.networks:
            theirs = course(other, method) if other is not network else None
            if theirs is not None and not theirs.failing and theirs.worked >= since:
                yield other.country


def _fails(runs: ImportedRuns) -> bool:
    return any(bad > good for good, bad, _ in runs.methods.values())


def _fails_there(
    network: TargetNetwork,
    others: _Peers,
    method: str | None,
    round: int,
    policy: Policy,
) -> bool:
    """Whether a failing test, or all tests together, fail elsewhere as they do in a network."""
    mine = course(network, method)
    if mine is None or not mine.failing:
        return False
    gates, imported = policy.gates, policy.imported
    recent = min(mine.failing, round - policy.ms(gates.outage_seconds))
    before = mine.failing - policy.ms(imported.imported_spread_seconds)
    together: list[str] = []  # the country of each network that began to fail with this one
    earlier: list[str] = []  # … in the days before
    worked = older = 0
    for other in others.failing:
        theirs = course(other, method) if other.country != network.country else None
        if theirs is None or not theirs.failing:
            continue
        if mine.began_with(theirs, policy.ms(imported.imported_changes_seconds)):
            together.append(other.country)
        elif before <= theirs.failing < mine.failing:
            earlier.append(other.country)
        else:
            # What reached the target after this network failed has seen it work, whatever came.
            worked += theirs.worked >= mine.failing
            older += 1

    def many(failing: Collection[str]) -> bool:
        """Whether they are too large a share. Counted is only until they are not."""
        most = (len(failing) * 1000 - 1) // gates.elsewhere_per_mille - len(failing)
        enough = most - worked
        there = others.works(network, method, recent)
        abroad = (country for country in there if country != network.country)
        return sum(1 for _ in islice(abroad, max(0, enough + 1))) <= enough

    if len(together) >= gates.elsewhere_min_networks and many(together):
        return True
    if alarmed(network):
        return False
    spread = together + earlier
    if len(set(spread)) >= imported.imported_spread_countries and many(spread):
        return True
    nobody = len(spread) + older >= gates.elsewhere_min_networks
    return nobody and next(others.works(network, method, recent), None) is None


def compared(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether networks of other countries measure the target with a test that fails here, so that
    they could show whether the service works."""
    failing = failing_tests(network.runs)
    oldest = round - policy.ms(policy.baseline.baseline_seconds)
    return any(
        max(other.runs.methods[name][:2]) >= oldest
        for other in state.networks.values()
        if (other.source, other.target) == (network.source, network.target)
        and other.country != network.country
        and other.runs is not None
        for name in failing & set(other.runs.methods)
    )


def reached_since(state: ServiceState, network: TargetNetwork, since: int, policy: Policy) -> bool:
    """Whether another network of the same source has reached the target since a round, with a test
    that fails here. One that began to fail at about the same time shows nothing by that: it may be
    the first to recover from an outage."""
    mine = network.runs.methods if network.runs is not None else {}
    failing = {name for name, (_, bad, _) in mine.items() if bad >= since}
    return any(
        good >= since and (name in failing or not failing)
        for other in state.networks.values()
        if other.source == network.source
        and other.target == network.target
        and (other.asn, other.country) != (network.asn, network.country)
        and other.runs is not None
        and not _failed_since(
            other, since - policy.ms(policy.gates.outage_seconds), policy.evidence
        )
        for name, (good, _, _) in other.runs.methods.items()
    )


def fails_here_alone(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy
) -> bool:
    """Whether nearly every run fails here, and the target is usually reached elsewhere: a block
    that is older than what is known of the network, or that has crept into its history."""
    runs = network.runs
    always = runs is not None and memory.fails_nearly_always(runs, policy.imported)
    return always and usually_reached(state, network, round, policy)


def usually_reached(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy
) -> bool:
    """Whether nearly all other networks reach the target with a test that fails here: what is usual
    is known from them where a network's own history does not tell."""
    tests = network.runs.methods if network.runs is not None else {}
    failing = [name for name, (_, bad, _) in tests.items() if bad == round]
    oldest = round - policy.ms(policy.baseline.baseline_seconds)
    works, fails = set(), 0
    for other in state.networks.values():
        if (other.source, other.target) != (network.source, network.target) or other is network:
            continue
        courses = [known for name in failing if (known := course(other, name)) is not None]
        if any(known.worked >= oldest and not known.failing for known in courses):
            works.add((other.country, other.asn))
        elif courses:
            fails += 1
    countries = {country for country, _ in works if country != network.country}
    return (
        len(works) >= policy.imported.imported_peers
        and len(countries) >= policy.gates.elsewhere_min_networks
        and fails * 1000 <= policy.gates.elsewhere_per_mille * (fails + len(works))
    )


def reached_since_onset(state: ServiceState, network: TargetNetwork, policy: Policy) -> bool:
    """Whether another network has reached the target since the onset of an alarmed network."""
    onsets = [held.onsets[densest(held)] for _, held in alarmed(network)]
    return reached_since(state, network, min(onsets, default=0), policy)


def _failed_since(network: TargetNetwork, since: int, policy: EvidencePolicy) -> bool:
    """Whether the network has begun to fail since a round."""
    return any(
        (held.alarmed or max(held.sums) >= policy.threshold_micronats)
        and held.onsets[densest(held)] >= since
        for series in network.layers.values()
        for track in series.tracks.values()
        if (held := track.suspicion) is not None
    )


def moved(state: ServiceState, network: TargetNetwork, since: int) -> bool:
    """Whether only tests that do not fail here have reached the target since a round, wherever they
    ran: the service has moved, and the tests that fail look for it where it was."""
    tests = network.runs.methods if network.runs is not None else {}
    failing = {name for name, (_, bad, _) in tests.items() if bad >= since}
    working = {
        name
        for other in state.networks.values()
        if (other.source, other.target) == (network.source, network.target)
        and other.runs is not None
        for name, (good, _, _) in other.runs.methods.items()
        if good >= since
    }
    return bool(working) and not working & failing


def recovery(state: ServiceState, network: TargetNetwork, since: int) -> int:
    """The first round at which another network that failed since a round reached the target again;
    0 if none did."""
    return min(
        (
            again
            for other in state.networks.values()
            if (other.source, other.target) == (network.source, network.target)
            and other is not network
            and other.runs is not None
            for _, last, again in other.runs.spans
            if last >= since and again
        ),
        default=0,
    )


def several_targets(state: ServiceState, network: TargetNetwork) -> bool:
    """Whether other targets of the service are alarmed in this network too: a moved endpoint
    affects one function everywhere, a block affects the service."""
    return any(
        other.target != network.target and alarmed(other)
        for other in state.networks.values()
        if (other.source, other.country, other.asn)
        == (network.source, network.country, network.asn)
    )
