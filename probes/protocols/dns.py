# SPDX-License-Identifier: Apache-2.0
"""`dns`: only resolves the host."""

from __future__ import annotations

from probes.endpoint.endpoint_run import Visit


async def measure(visit: Visit) -> None:
    """Resolve; ask further resolvers when the yardstick does not confirm the own answer."""
    await visit.resolve()
    await visit.second_opinion(reached=bool(visit.own))
