"""A published chain beside the store's."""

from __future__ import annotations

import msgspec

from monitor.interop.published_chain import PublishedChain, differences, published
from monitor.store.arrival_chain import chain_days
from tests.monitor.store.test_arrival_chain import part

DAYS = chain_days([part(20_000, 20_000), part(20_001, 20_001), part(20_003, 20_003)])


def test_a_day_is_named_by_its_date() -> None:
    form = msgspec.json.decode(msgspec.json.encode(published(DAYS)))
    assert form["days"][0] == {"day": "2024-10-04", "batches": 1, "hash": DAYS[0].hash.hex()}


def test_the_first_day_that_differs_and_those_after_it_are_named() -> None:
    kept = published(DAYS)
    assert differences(DAYS, kept) == []
    altered = chain_days([part(20_000, 20_000), part(20_001, 20_001, fill=1), *DAYS[2].parts])
    (line,) = differences(altered, kept)
    assert line.startswith("2024-10-05: its hash is not the published one")
    assert differences(DAYS[:1], kept) == ["2024-10-05: was published, and is not in the store"]
    more = chain_days([*(p for day in DAYS for p in day.parts), part(20_004, 20_004)])
    assert differences(more, kept) == []


def test_the_newest_published_day_may_have_gone_on() -> None:
    later = chain_days([part(20_000, 20_000), part(20_001, 20_001, batches=5)])
    assert differences(later, PublishedChain(days=published(DAYS).days[:2])) == []
