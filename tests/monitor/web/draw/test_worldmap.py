"""The map: every country can be shown, nothing crosses it, it says the worst of each place."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from monitor.store.reading.vantages import VantageRow
from monitor.text.words import COUNTRIES
from monitor.web.draw import worldmap
from monitor.web.draw.matrix import country_matrix
from monitor.web.draw.worldmap import MapPlace
from tests.world import site as world
from tests.world.scenery import CATALOGUE

EVENTS = {event.id: event for event in world.events()}


def vantage(country: str, asn: int = 1) -> VantageRow:
    return VantageRow(
        id="p", owner="o", role="vantage", country=country, asn=asn, enrolled=0, revoked=None,
        last_seen=1,
    )  # fmt: skip


def cell(kind: str, word: str, rank: int) -> dict[str, object]:
    return {"kind": kind, "word": word, "rank": rank, "event": None, "scope": ""}


def points(path: str) -> list[tuple[int, int]]:
    """Where a path goes, absolute, as a browser reads it."""
    found = []
    for part in re.findall(r"M[^M]*", path):
        numbers = [int(n) for n in re.findall(r"-?\d+", part)]
        x = y = 0
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            found.append((x, y))
    return found


def test_every_country_is_on_the_map_as_an_outline_or_a_dot() -> None:
    made = worldmap.world(MapPlace(code, "ok", code) for code in [*COUNTRIES, "ZZ"])
    assert {place.country for place in made.elsewhere} == {"AQ", "BV", "ZZ"}
    for shape in made.shapes:
        assert shape.path or shape.dot
        for x, y in [*points(shape.path), *([shape.dot] if shape.dot else [])]:
            assert 0 <= x <= made.width
            assert 0 <= y <= made.height
    dots = {shape.place.country for shape in made.shapes if shape.dot}
    assert {"SG", "BH", "MV", "GF", "LU", "HK"} <= dots
    assert not {"RU", "FR", "AU", "US", "BR"} & dots
    # A dot is never hidden beneath an outline.
    first = next(i for i, shape in enumerate(made.shapes) if shape.dot)
    assert all(shape.dot for shape in made.shapes[first:])


def test_places_are_where_they_are() -> None:
    made = worldmap.world(MapPlace(code, "ok", code) for code in ("RU", "FR", "AU", "SG", "CL"))
    at = {shape.place.country: points(shape.path) or [shape.dot] for shape in made.shapes}
    middle = {
        code: (sum(p[0] for p in ps) / len(ps), sum(p[1] for p in ps) / len(ps))
        for code, ps in at.items()
        if all(ps)
    }
    assert middle["CL"][0] < middle["FR"][0] < middle["RU"][0] < middle["AU"][0]
    assert middle["RU"][1] < middle["FR"][1] < middle["SG"][1] < middle["AU"][1] < middle["CL"][1]


def test_no_line_crosses_the_map() -> None:
    made = worldmap.world(MapPlace(code, "ok", code) for code in COUNTRIES)
    for path in (made.land, made.borders, *(shape.path for shape in made.shapes)):
        for part in re.findall(r"M[^M]*", path):
            numbers = [int(n) for n in re.findall(r"-?\d+", part)][2:]
            assert all(abs(n) < made.width / 8 for n in numbers)
    assert re.fullmatch(r"[Mlz\d,-]*", made.land)


def test_the_map_file_is_small_and_names_its_source() -> None:
    assert worldmap.FILE.stat().st_size < 90_000
    label = worldmap.FILE.with_name("LICENSES").read_text()
    assert "Natural Earth" in label
    assert "public domain" in label


def test_a_country_is_as_bad_as_its_worst_service() -> None:
    blocked = cell("blocked", "blocked (confirmed)", 0)
    fine = cell("ok", "reachable", 5)
    silent = cell("insufficient", "no data", 5)
    rows = [
        ("a", "Alpha", [fine, blocked]),
        ("b", "Beta", [silent, fine]),
        ("c", "Gamma", [fine, None]),
    ]
    made = worldmap.places(["FR", "RU"], rows, [])
    assert [(place.country, place.kind) for place in made] == [("RU", "blocked"), ("FR", "ok")]
    few = "0 vantages online in 0 networks"
    assert made[0].label == (
        f"Russia: Alpha blocked (confirmed); Beta reachable; 1 of 1 watched network; {few}"
    )
    assert made[1].label == f"France: Alpha, Gamma reachable; Beta no data; {few}"
    many = [(n, f"Service{n}", [fine]) for n in "12345"]
    (place,) = worldmap.places(["RU"], many, [])
    assert place.label == f"Russia: Service1, Service2, Service3 and 2 more reachable; {few}"


def test_vantages_without_data_are_never_read_as_fine() -> None:
    here = [(vantage("DE"), "silent"), (vantage("DE"), "online"), (vantage("RU"), "online")]
    made = worldmap.places(["RU"], [("a", "A", [cell("ok", "reachable", 5)])], here)
    assert [(place.country, place.kind) for place in made] == [("RU", "ok"), ("DE", "insufficient")]
    assert made[1].label == "Germany: no data; 1 of 2 vantages online"


@pytest.mark.parametrize(
    ("id", "kind"),
    [(world.CONFIRMED, "blocked"), (world.LIKELY, "likely"), (world.SINGLE, "single")],
)
def test_an_open_event_stays_when_its_country_falls_silent(id: str, kind: str) -> None:
    event = EVENTS[id]
    here = [(vantage(event.country), "silent")]
    table = country_matrix(CATALOGUE.services, {}, [event], {})
    (place,) = worldmap.places(*table, here, [event])
    assert (place.country, place.kind) == (event.country, kind)
    assert "no data now" in place.label
    assert country_matrix(CATALOGUE.services, {}, [EVENTS[world.INHIBITED]], {}) == ([], [])


def test_a_country_is_as_dark_as_the_share_of_its_watched_networks() -> None:
    blocked = cell("blocked", "blocked (confirmed)", 0)
    event = replace(EVENTS[world.CONFIRMED], networks_measured=8, asns=(64501,))
    watchers = [(vantage("RU", asn=64501), "online"), (vantage("RU", asn=64502), "online")]
    rows = [("a", "Alpha", [blocked])]
    (one,) = worldmap.places(["RU"], rows, watchers, [event])
    assert (one.shade, one.thin) == (1, False)
    assert one.label.endswith("; 1 of 8 watched networks")
    (most,) = worldmap.places(["RU"], rows, watchers, [replace(event, asns=tuple(range(1, 8)))])
    assert most.shade == worldmap.SHADES
    (thin,) = worldmap.places(["RU"], rows, watchers[:1], [event])
    assert thin.thin
    assert thin.label.endswith("1 vantage online in 1 network")


def test_a_country_that_others_alone_watch_is_drawn_as_such() -> None:
    event = replace(EVENTS[world.LIKELY], source="ooni")
    rows = [("a", "Alpha", [cell("likely", "likely blocked", 1)])]
    (place,) = worldmap.places(["RU"], rows, [], [event])
    assert place.imported
    assert place.label.endswith("measured by volunteers of OONI alone")
    (ours,) = worldmap.places(["RU"], rows, [], [event, EVENTS[world.LIKELY]])
    (there,) = worldmap.places(["RU"], rows, [(vantage("RU"), "silent")], [event])
    assert not ours.imported
    assert not there.imported


def test_a_country_in_which_others_alone_see_only_what_works_is_drawn_as_such() -> None:
    rows = [("a", "Alpha", [cell("ok", "reachable", 5)])]
    (place,) = worldmap.places(["RU"], rows, [], [], {"RU"})
    assert (place.kind, place.imported, place.thin) == ("ok", True, True)
    (there,) = worldmap.places(["RU"], rows, [(vantage("RU"), "online")], [], {"RU"})
    elsewhere, _blank = worldmap.places(["RU"], rows, [], [], {"FR"})
    assert not there.imported
    assert not elsewhere.imported


def test_a_country_of_which_others_alone_have_measurements_is_not_a_blank() -> None:
    rows = [("a", "Alpha", [cell("ok", "reachable", 5)])]
    silent = [(vantage("DE"), "silent")]
    made = worldmap.places(["RU"], rows, silent, [], {"RU", "FR", "DE"})
    assert [(place.country, place.kind) for place in made] == [
        ("RU", "ok"),
        ("DE", "insufficient"),
        ("FR", "others"),
    ]
    assert made[-1].label == "France: measured by volunteers of OONI alone; no event is open"
