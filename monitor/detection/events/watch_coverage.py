# SPDX-License-Identifier: Apache-2.0
"""Which networks are measured, and what is missing where the detector cannot accuse anybody.

"No events" means nothing where nothing could have been seen.
"""

from __future__ import annotations

import msgspec

from monitor.detection.events import baseline, gates
from monitor.detection.events.state import ServiceState, TargetNetwork
from monitor.detection.imported import memory
from monitor.detection.model import OWN_SOURCE
from monitor.detection.policy import Policy


class NetworkCoverage(msgspec.Struct, frozen=True, order=True):
    """One target in one network."""

    target: str
    country: str
    asn: int
    source: str
    missing: str = ""
    """Why no failure there can open an event; empty when one can."""


def network_coverage(state: ServiceState, policy: Policy) -> list[NetworkCoverage]:
    """Every network in a state, in a fixed order."""
    return sorted(
        NetworkCoverage(
            network.target,
            network.country,
            network.asn,
            network.source,
            _missing_of_own(network, state.round, policy)
            if network.source == OWN_SOURCE
            else _missing_of_import(network, policy),
        )
        for network in state.networks.values()
    )


def _missing_of_own(network: TargetNetwork, round: int, policy: Policy) -> str:
    if not gates.is_located(network):
        return "country or network not known"
    voting = {
        member.owner
        for member in network.members.values()
        if gates.eligible(network, member, round, policy)
    }
    if not voting:
        return "all vantages too young"
    return "" if len(voting) >= policy.confirm_min_owners else "vantages of one owner only"


def _missing_of_import(network: TargetNetwork, policy: Policy) -> str:
    if not gates.is_located(network):
        return "country or network not known"
    runs = [track.baseline for each in network.layers.values() for track in each.tracks.values()]
    total = sum(known.total + known.recent_total for known in runs)
    worked = total - sum(known.failed + known.recent_failed for known in runs)
    if network.runs is None or not network.runs.methods:
        return "no run that shows anything"
    if worked < policy.imported_history:
        return f"{worked} of {policy.imported_history} runs that worked"
    if any(baseline.chronic(known, policy) for known in runs):
        return "fails too often"
    if all(memory.vetoed(network.runs, method) for method in network.runs.methods):
        return "not reached since the service failed everywhere"
    return ""
