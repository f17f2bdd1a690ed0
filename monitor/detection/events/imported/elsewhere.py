# SPDX-License-Identifier: Apache-2.0
"""What other networks say of an imported one, in place of a control: whether the service is down,
whether it is reached elsewhere, and whether it has moved.

Failures do not count when the target fails in several networks of other countries. A network that
has reached the target since the onset shows that the service works.
"""

from __future__ import annotations

from collections.abc import Collection

from monitor.detection.events.imported import memory
from monitor.detection.events.imported.suspicions import alarmed, densest
from monitor.detection.events.state import ServiceState, TargetNetwork
from monitor.detection.model import ClosedGate
from monitor.detection.policy import EvidencePolicy, GatesPolicy, Policy


def inhibitions(
    state: ServiceState, touched: Collection[str], round: int, policy: Policy
) -> dict[str, ClosedGate]:
    """`service_down` for the touched imported networks whose target fails in several networks of
    other countries, and in too large a share of them: for all tests together, or for each test that
    fails here. A moved service fails for old versions of a test alone, wherever they still run.
    And for those where the tests that fail have not worked since that was so. A block that is older
    than any outage is not unsaid by another one that begins in other countries."""
    closed: dict[str, ClosedGate] = {}
    for key in touched:
        network = state.networks[key]
        if network.runs is None:
            continue
        if _long_blocked(network, round, policy):
            continue
        failing = [name for name, (_, bad, _) in network.runs.methods.items() if bad == round]
        if not failing:
            continue
        if not alarmed(network) and all(memory.vetoed(network.runs, name) for name in failing):
            closed[key] = ClosedGate.SERVICE_DOWN
            continue
        others = [
            other
            for other in state.networks.values()
            if (other.source, other.target) == (network.source, network.target)
            and other.country != network.country
            and not _long_blocked(other, round, policy)
        ]
        if _fail_there([_latest(other, round, policy) for other in others], policy.gates) or all(
            _fail_there([_latest(other, round, policy, name) for other in others], policy.gates)
            for name in failing
        ):
            closed[key] = ClosedGate.SERVICE_DOWN
    return closed


def _fail_there(outcomes: Collection[bool | None], policy: GatesPolicy) -> bool:
    failed = sum(works is False for works in outcomes)
    known = sum(works is not None for works in outcomes)
    return failed >= policy.elsewhere_min_networks and (
        failed * 1000 > policy.elsewhere_per_mille * known
    )


def _latest(
    network: TargetNetwork, round: int, policy: Policy, method: str | None = None
) -> bool | None:
    """Whether the latest run worked, of one test or of all; None when it is too old. A failure that
    a gate did not let count stays until that test works again."""
    runs = network.runs
    if runs is None:
        return None
    if method is None:
        good = max((good for good, _, _ in runs.methods.values()), default=0)
        bad = max((bad for _, bad, _ in runs.methods.values()), default=0)
    else:
        good, bad, vetoed = runs.methods.get(method, (0, 0, 0))
        if vetoed > good and round - vetoed <= policy.ms(policy.baseline.baseline_seconds):
            return False
    if round - max(good, bad) > policy.ms(policy.gates.outage_seconds):
        return None
    return good >= bad


def _long_blocked(network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether a block here is older than any outage: its failures say nothing of the service."""
    outage = policy.ms(policy.gates.outage_seconds)
    return any(round - held.alarmed > outage for _, held in alarmed(network))


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
