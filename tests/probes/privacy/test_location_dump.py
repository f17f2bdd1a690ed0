"""A dump of networks within networks, as ranges of addresses."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import random

import pytest

from probes.privacy.geo import update
from probes.privacy.location_dump import origin, rows
from probes.runtime.geo_table import FILE_NAME, GeoError, GeoTable, Location, Origin

DUMP = """\
#
# Location Database Export
#
# Generated: Wed, 26 Mar 2025 04:43:02 GMT
# Vendor:    IPFire Project
# License:   CC BY-SA 4.0
#
# This database has been obtained from https://location.ipfire.org/
#
# Find the full license terms at https://creativecommons.org/licenses/by-sa/4.0/
#

aut-num:                 AS64501
name:                    Example: a network

net:                     10.0.0.0/8
country:                 RU
aut-num:                 64501

net:                     10.1.0.0/16
country:                 FR
is-anycast:              yes
aut-num:                 64503

net:                     10.1.2.0/24
country:                 DE

net:                     10.2.0.0/16
country:                 RU
aut-num:                 64501

net:                     2001:db8::/32
aut-num:                 64510
"""


def numbered(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line[:1] != "#"]


def test_a_table_is_made_of_it(tmp_path) -> None:
    (tmp_path / "dump").write_text(DUMP)
    made = update(tmp_path / "dump", tmp_path)
    assert (made.rows_v4, made.rows_v6) == (5, 1), "neighbours of one network are one row"
    with GeoTable(tmp_path / FILE_NAME) as table:
        for address, place in (
            ("10.0.255.255", Location("RU", 64501)),
            ("10.1.0.0", Location("FR", 64503)),
            ("10.1.2.9", Location("DE", 0)),
            ("10.1.3.0", Location("FR", 64503)),
            ("10.2.0.0", Location("RU", 64501)),
            ("10.255.255.255", Location("RU", 64501)),
            ("11.0.0.0", None),
            ("2001:db8:ffff::", Location("ZZ", 64510)),
        ):
            assert table.lookup(address) == place, address


def test_the_table_keeps_where_the_dump_is_from(tmp_path) -> None:
    plain, zipped = tmp_path / "dump", tmp_path / "dump.gz"
    plain.write_text(DUMP)
    zipped.write_bytes(gzip.compress(DUMP.encode()))
    for source in (plain, zipped):
        made = update(source, tmp_path)
        with GeoTable(tmp_path / FILE_NAME) as table:
            assert table.origin == made.origin == Origin(
                source="IPFire Project",
                url="https://location.ipfire.org/",
                made=dt.date(2025, 3, 26),
                licence="CC BY-SA 4.0",
                licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
            )  # fmt: skip


@pytest.mark.parametrize(
    ("comments", "stated"),
    [
        ([], Origin()),
        (["#", "# a table", "#Vendor: x"], Origin()),
        (["# Generated: some day"], Origin()),
        (["# Generated: Wed, 26 Mar 2025 04:43:02 GMT"], Origin(made=dt.date(2025, 3, 26))),
        (["# License:   CC0"], Origin(licence="CC0")),
    ],
    ids=["none", "others", "no date", "a date alone", "a licence alone"],
)
def test_what_the_comments_do_not_say_is_unknown(comments: list[str], stated: Origin) -> None:
    assert origin(comments) == stated


def test_each_address_has_the_smallest_network_that_holds_it() -> None:
    rng = random.Random(3)
    for _ in range(200):
        nets = {
            ipaddress.IPv4Network((rng.randrange(256) << 24 >> (32 - bits) << (32 - bits), bits))
            for bits in rng.choices(range(2, 9), k=rng.randrange(1, 12))
        }
        ordered = sorted(nets, key=lambda net: (int(net.network_address), net.prefixlen))
        asns = {net: str(number) for number, net in enumerate(ordered, 1)}
        text = "\n\n".join(f"net: {net}\naut-num: {asns[net]}" for net in ordered)
        made = [row.cells for row in rows(numbered(text))]
        for first in range(256):
            address = ipaddress.IPv4Address(first << 24)
            holding = [net for net in nets if address in net]
            expected = asns[max(holding, key=lambda net: net.prefixlen)] if holding else None
            found = [
                asn
                for begin, end, asn, _ in made
                if ipaddress.IPv4Address(begin) <= address <= ipaddress.IPv4Address(end)
            ]
            assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("net: 10.0.0.0/33\n", "dump:1: '10.0.0.0/33' is not a network"),
        ("net: 10.0.0.0/8\nnet: 11.0.0.0/8\n", "dump:2: two networks without"),
        ("net: 10.1.0.0/16\n\nnet: 10.0.0.0/8\n", "dump:3: the networks are not in order"),
        ("net: 10.1.0.0/16\nfree text\n", "dump:2: 'free text' is not a field"),
        ("net: 10.1.0.0/16\ncountry: FRA\n", "dump:2: 'FRA' is not a two-letter"),
    ],
)
def test_what_is_no_dump_is_refused_with_its_line(tmp_path, text: str, reason: str) -> None:
    (tmp_path / "dump").write_text(text)
    with pytest.raises(GeoError) as caught:
        update(tmp_path / "dump", tmp_path)
    assert reason in str(caught.value)
