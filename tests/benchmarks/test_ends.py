"""When a block that was lifted is over for the table of ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.world.ends import over

ASN, UNTIL = 64501, 1000


def form(id: str, *, ongoing: bool, confirmed: bool = True, asn: int = ASN) -> Any:
    return SimpleNamespace(id=id, ongoing=ongoing, confirmed=confirmed, asns=(asn,))


OPEN, CLOSED = form("a", ongoing=True), form("a", ongoing=False)
TICKET = form("b", ongoing=False, confirmed=False)


@pytest.mark.parametrize(
    ("forms", "is_over"),
    [
        ([], False),
        ([(900, OPEN)], False),
        ([(900, OPEN), (1100, CLOSED)], True),
        ([(900, OPEN), (950, CLOSED)], False),
        ([(900, OPEN), (1100, TICKET)], False),
        ([(900, OPEN), (1100, TICKET), (1200, CLOSED)], True),
        ([(900, OPEN), (1100, CLOSED), (1200, form("c", ongoing=True, asn=64601))], True),
    ],
    ids=["nothing", "open", "closed", "before", "another's end", "then its own", "elsewhere"],
)
def test_the_end_of_another_event_is_not_the_end_of_the_block(
    forms: list[tuple[int, Any]], is_over: bool
) -> None:
    assert over(forms, ASN, UNTIL) is is_over
