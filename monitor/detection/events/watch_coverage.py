# SPDX-License-Identifier: Apache-2.0
"""Which networks are measured, and what is missing where the detector cannot accuse anybody.

"No events" means nothing where nothing could have been seen.
"""

from __future__ import annotations

import msgspec

from monitor.detection.events import gates
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import ServiceState, TargetNetwork
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
            _missing(network, state.round, policy),
        )
        for network in state.networks.values()
    )


def _missing(network: TargetNetwork, round: int, policy: Policy) -> str:
    if not gates.is_located(network):
        return "country or network not known"
    return strategy_of(network.source).missing(network, round, policy)
