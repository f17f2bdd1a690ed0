from __future__ import annotations

from monitor.text import words
from probes.wire.countries import COUNTRIES, ISO_3166


def test_they_are_those_that_pages_can_name() -> None:
    assert len(ISO_3166) == 249
    assert set(words.COUNTRIES) == COUNTRIES - {"ZZ"}
