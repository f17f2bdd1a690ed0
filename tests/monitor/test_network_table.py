"""Which table of networks a monitor uses, how old it is, and what it tells of an address."""

from __future__ import annotations

import argparse
import datetime as dt
import logging
from pathlib import Path

import pytest

from monitor import network_table
from monitor.network_table import how_to_make, is_old, opened, path_of, place_of
from probes.privacy.geo import update
from probes.runtime.geo_table import FILE_NAME, GeoTable, Origin
from probes.runtime.options import OptionError

MADE = dt.date(2025, 3, 26)
DUMP = """\
# Generated: Wed, 26 Mar 2025 04:43:02 GMT

net: 10.0.0.0/16
country: FR
aut-num: 64501

net: 10.1.0.0/16
country: EU
aut-num: 64502

net: 10.2.0.0/16
country: NL

net: 10.3.0.0/16
aut-num: 64503
"""


def table_in(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "dump").write_text(DUMP)
    update(directory / "dump", directory)
    return directory / FILE_NAME


def given(data: Path | None, geo: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(data=data, geo=geo, database=None)


def test_an_operators_own_table_comes_before_the_shipped_one(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / FILE_NAME
    assert path_of(given(tmp_path), shipped) is None
    shipped.write_bytes(b"")
    assert path_of(given(tmp_path), shipped) == shipped
    own.write_bytes(b"")
    assert path_of(given(tmp_path), shipped) == own
    assert path_of(given(tmp_path, "x"), shipped) == Path("x"), "even where it does not exist"


@pytest.mark.parametrize(
    ("today", "warns"), [(MADE + dt.timedelta(365), 0), (MADE + dt.timedelta(366), 1)]
)
def test_the_log_says_once_that_a_table_is_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, today: dt.date, warns: int
) -> None:
    path = table_in(tmp_path)
    table = opened(given(tmp_path), today)
    assert table is not None
    table.close()
    assert len(caplog.messages) == warns
    for line in caplog.messages:
        assert line.startswith(f"{path}: this table of networks is of 2025-03-26, more than a year")
    assert is_old(table.origin, today) == bool(warns)
    assert not is_old(Origin(), today), "of unknown age"


def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--geo: .*none: No such file"):
        opened(given(tmp_path, str(tmp_path / "none")), MADE)


def test_without_a_table_the_log_says_how_to_make_one_where_a_database_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_table, "SHIPPED", tmp_path / "made" / FILE_NAME)
    fetched, packaged = tmp_path / "fetched.db", tmp_path / "packaged.db"
    assert how_to_make(tmp_path, (fetched, packaged)) == ""
    packaged.write_bytes(b"")
    advice = how_to_make(tmp_path, (fetched, packaged))
    assert f"location --database {packaged} dump >networks.txt && " in advice
    assert advice.endswith(f" -m probes geo update --from networks.txt --state {tmp_path}")
    fetched.write_bytes(b"")
    assert f"--database {fetched} " in how_to_make(tmp_path, (fetched, packaged))
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(network_table, "how_to_make", lambda directory: f"in {directory}")
    assert opened(given(tmp_path), MADE) is None
    assert opened(argparse.Namespace(data=None, geo=None, database="url"), MADE) is None
    assert caplog.messages == [f"in {tmp_path}", f"in {tmp_path}/made"]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.1.1", ("FR", 64501)),
        ("10.1.1.1", ("", 0)),
        ("10.2.1.1", ("", 0)),
        ("10.3.1.1", ("", 0)),
        ("10.4.1.1", ("", 0)),
        ("", ("", 0)),
    ],
    ids=["both", "no country of its own", "no network", "no country", "not there", "no address"],
)
def test_a_place_is_country_and_network(
    tmp_path: Path, address: str, place: tuple[str, int]
) -> None:
    with GeoTable(table_in(tmp_path)) as table:
        assert place_of(table, address) == place
    assert place_of(None, address) == ("", 0)
