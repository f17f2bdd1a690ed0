"""Where probes connect from, beside where they claim to be."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.store.records import Probe
from monitor.web.connections import MOST_REMEMBERED, TOGETHER_MS, Connections

HERE, TUNNEL = ("RU", 64501), ("US", 64510)
P = "p-0000000000000001"


class Registry:
    """One probe."""

    def __init__(self) -> None:
        self.kept = Probe(
            id=P, owner="a", role="vantage", enrolled=1, country=HERE[0], asn=HERE[1], last_seen=1
        )

    async def probe(self, id: str) -> Probe | None:
        return self.kept if id.startswith("p-") else None

    async def note_connection(self, id: str, country: str, asn: int) -> None:
        self.kept = replace(self.kept, connected_country=country, connected_asn=asn)


@pytest.mark.parametrize(
    ("connects", "elsewhere"),
    [
        ([(0, HERE)], False),
        ([(0, TUNNEL)], True),
        ([(0, ("", 0))], False),
        ([(0, HERE), (1, TUNNEL)], False),
        ([(0, TUNNEL), (1, HERE)], False),
        ([(0, HERE), (TOGETHER_MS, TUNNEL)], True),
        ([(0, TUNNEL), (TOGETHER_MS, HERE)], False),
    ],
    ids=["as claimed", "elsewhere", "unknown", "a tunnel too", "a tunnel first", "moved", "back"],
)
async def test_one_address_that_agrees_is_enough(
    connects: list[tuple[int, tuple[str, int]]], elsewhere: bool
) -> None:
    registry: Any = Registry()
    now = [0]
    connections = Connections(registry, lambda: now[0])
    for now[0], place in connects:
        await connections.note(P, place)
    assert registry.kept.connects_elsewhere is elsewhere
    await connections.note("nobody", TUNNEL)


async def test_what_is_remembered_has_a_limit() -> None:
    registry: Any = Registry()
    connections = Connections(registry, lambda: 0)
    for number in range(MOST_REMEMBERED + 10):
        await connections.note(f"p-{number}", HERE)
    assert len(connections._agreed) == MOST_REMEMBERED
