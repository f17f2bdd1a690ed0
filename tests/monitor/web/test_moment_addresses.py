"""Addresses that a page of the past cites and links."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from monitor.web.moment_addresses import accessed, at_moment
from monitor.web.site import Site
from tests.world.scenery import HOUR, NOW

THEN = NOW - NOW % HOUR - 24 * HOUR
"""14 January 2027, 10:00 UTC."""
PAST = cast(Site, SimpleNamespace(clock=lambda: THEN, as_of=THEN, present_clock=lambda: NOW))
PRESENT = cast(Site, SimpleNamespace(clock=lambda: NOW, as_of=None, present_clock=None))
AS_OF = "as_of=2027-01-14T10:00:00Z"
END = "until=2027-01-14T10:00:00.001Z"


@pytest.mark.parametrize(
    ("address", "then"),
    [
        ("/", f"/?{AS_OF}"),
        ("/c/RU?range=7d&as_of=24h", f"/c/RU?range=7d&{AS_OF}"),
        ("/api/v1/events?country=RU", f"/api/v1/events?country=RU&{AS_OF}"),
        ("https://reach.example/api/v1/services", f"https://reach.example/api/v1/services?{AS_OF}"),
        ("/picture.svg?asn=64501", f"/picture.svg?asn=64501&{AS_OF}"),
        ("/api/v1/measurements?asn=64501&as_of=24h", f"/api/v1/measurements?asn=64501&{END}"),
        ("/api/v1/timeline?service=wechat", f"/api/v1/timeline?service=wechat&{END}"),
        (
            "/api/v1/measurements?until=2026-01-01",
            "/api/v1/measurements?until=2026-01-01T00:00:00Z",
        ),
        ("/api/v1/measurements?until=1h", f"/api/v1/measurements?{END}"),
        ("/api/v1/measurements/0a", "/api/v1/measurements/0a"),
        ("/api/v1/vantages", "/api/v1/vantages"),
        ("", ""),
    ],
)
def test_an_address_leads_to_what_was_known_then(address: str, then: str) -> None:
    assert at_moment(PAST, address) == then
    assert at_moment(PRESENT, address) == address


def test_a_page_is_read_at_present_whatever_moment_it_is_of() -> None:
    assert accessed(PAST) == accessed(PRESENT) == NOW
