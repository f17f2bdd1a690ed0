# SPDX-License-Identifier: Apache-2.0
"""Whether a failure follows a release of the probe: a fault of the program looks like a block to
all who run it, wherever they are, and to nobody else.
"""

from __future__ import annotations

from collections.abc import Collection

from monitor.detection.events.gates import fresh
from monitor.detection.events.series import is_alarmed
from monitor.detection.events.state import ServiceState, TargetNetwork, VantageOutcome
from monitor.detection.policy import Policy


def follows_release(
    state: ServiceState,
    network: TargetNetwork,
    agreeing: Collection[str],
    round: int,
    policy: Policy,
) -> bool:
    """Whether nobody anywhere reaches the target with the releases of these vantages of a network,
    while at least as many of the country reach it with others."""
    failing = {network.members[probe].release for probe in agreeing}
    if not failing or "" in failing:
        return False
    passing = 0
    for other in state.networks.values():
        if (other.target, other.source) != (network.target, network.source):
            continue
        for probe, member in other.members.items():
            if member.outcome is not VantageOutcome.GOOD or not fresh(member, round, policy):
                continue
            # Who reaches it by chance while it mostly fails speaks for no release.
            if not any(is_alarmed(layer, probe) for layer in other.layers.values()):
                if member.release in failing:
                    return False
                passing += other.country == network.country
    return passing >= len(agreeing)
