from __future__ import annotations

from monitor.collector.countries import COUNTRIES, ISO_3166
from monitor.text import words


def test_they_are_those_that_pages_can_name() -> None:
    assert len(ISO_3166) == 249
    assert set(words.COUNTRIES) == COUNTRIES - {"ZZ"}
