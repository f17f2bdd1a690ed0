"""The compact table that probes and the monitor read; test_geo makes tables of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.privacy.geo import update
from probes.runtime.geo_table import FILE_NAME, GeoError, GeoTable, Location


def test_a_table_gives_the_place_of_an_address_and_of_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "table.csv"
    source.write_text("198.51.100.0,198.51.100.255,64501,RU\n2001:db8::,2001:db8::f,64502,FR\n")
    update(source, tmp_path)
    with GeoTable(tmp_path / FILE_NAME) as table:
        assert table.lookup("198.51.100.7") == Location("RU", 64501)
        assert table.lookup("2001:db8::7") == Location("FR", 64502)
        assert table.lookup("198.51.101.0") is None
        assert table.lookup("no address") is None


@pytest.mark.parametrize("content", [b"", b"RWGEO1", b"x" * 100])
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(GeoError, match=r"geo\.table: [^\n]+$"):
        GeoTable(path)
