# SPDX-License-Identifier: Apache-2.0
"""The world map as SVG paths: land, borders, and a shape for each country with data. The outlines
(`map/world.json`, made by `scripts/map`) are already projected. A country shows the worst state of
its cells in the overview's matrix; a blocked one is darker the larger the share of its watched
networks is, and one where few watch is hatched over.

Countries too small to be seen, and territories without an outline, get a dot.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from monitor.detection.model import Event, Tier
from monitor.store.reading.vantages import VantageRow
from monitor.text.event_sources import is_imported
from monitor.text.language import _, n_
from monitor.text.words import country as name_of
from monitor.text.words import plural, sentence

FILE = Path(__file__).parents[1] / "map" / "world.json"
SHADES = 4
"""Steps of the share of networks."""
FEW = 2
"""Fewer vantages online, or networks, than this are few."""
NAMED = 3
"""Services named for one state; the others are counted."""
_KINDS = ("inconclusive", "down", "ok", "vantage_offline", "insufficient")
"""Kinds other than blocked, the most important first."""


OTHERS = "others"
"""Kind of a country that volunteers of others alone measure, with nothing to tell of it now."""


class MapPlace(msgspec.Struct, frozen=True):
    """A country's mark and label."""

    country: str
    kind: str
    """Kind of mark."""
    label: str
    """One sentence, shown on hover and read aloud."""
    shade: int = SHADES
    """Of a blocked country: 1 to SHADES, by the share of its watched networks."""
    thin: bool = False
    """Few watch there."""
    imported: bool = False
    """Volunteers of others alone measure there."""


class MapShape(msgspec.Struct, frozen=True):
    """A country to draw: a path, a dot, or both."""

    place: MapPlace
    path: str
    dot: tuple[int, int] | None


class MapPicture(msgspec.Struct, frozen=True):
    """The map: size, background and marked countries."""

    width: int
    height: int
    land: str
    borders: str
    shapes: tuple[MapShape, ...]
    elsewhere: tuple[MapPlace, ...] = ()
    """Places without a shape, such as `ZZ`; only the table lists them."""


class _Atlas(msgspec.Struct, frozen=True):
    """The file: a topology whose arcs are steps `x, y, dx, dy, ...`; a negative number is an
    arc backwards."""

    width: int
    height: int
    arcs: list[list[int]]
    land: list[list[int]]
    borders: list[int]
    countries: dict[str, list[list[int]]]
    dots: dict[str, tuple[int, int]]
    small: frozenset[str]


@functools.cache
def _atlas() -> _Atlas:
    return msgspec.json.decode(FILE.read_bytes(), type=_Atlas)


@functools.cache
def _ground() -> tuple[str, str]:
    """Land and borders, the same on every page."""
    atlas = _atlas()
    land = "".join(_ring(numbers) for numbers in atlas.land)
    return land, "".join(_line(_points(number)) for number in atlas.borders)


@functools.cache
def _outline(country: str) -> str:
    return "".join(_ring(numbers) for numbers in _atlas().countries.get(country, ()))


def world(places: Iterable[MapPlace]) -> MapPicture:
    """Return the map with these places, small countries above large ones."""
    atlas = _atlas()
    land, borders = _ground()
    shapes, elsewhere = [], []
    for place in sorted(places, key=lambda each: (each.country in atlas.small, each.country)):
        dot = atlas.dots.get(place.country) if place.country in atlas.small else None
        path = _outline(place.country)
        if path or dot:
            shapes.append(MapShape(place, path, dot))
        else:
            elsewhere.append(place)
    return MapPicture(atlas.width, atlas.height, land, borders, tuple(shapes), tuple(elsewhere))


def _points(number: int) -> Sequence[tuple[int, int]]:
    """An arc as points."""
    steps = _atlas().arcs[number if number >= 0 else ~number]
    x = y = 0
    points = []
    for dx, dy in zip(steps[::2], steps[1::2], strict=True):
        x, y = x + dx, y + dy
        points.append((x, y))
    return points if number >= 0 else points[::-1]


def _ring(numbers: Sequence[int]) -> str:
    points: list[tuple[int, int]] = []
    for number in numbers:
        part = _points(number)
        points.extend(part[1:] if points else part)
    return f"{_line(points)}z" if len(points) > 3 else ""


def _line(points: Sequence[tuple[int, int]]) -> str:
    """Relative steps, as short as SVG allows; points on a straight line are left out."""
    if len(points) < 2:
        return ""
    (x, y), *rest = points
    steps: list[tuple[int, int]] = []
    for a, b in rest:
        step = (a - x, b - y)
        x, y = a, b
        if steps and _same_direction(steps[-1], step):
            steps[-1] = (steps[-1][0] + step[0], steps[-1][1] + step[1])
        elif step != (0, 0):
            steps.append(step)
    label = f"M{points[0][0]},{points[0][1]}l"
    numbers = [number for step in steps for number in step]
    # A minus sign separates by itself.
    return label + "".join(str(n) if i == 0 or n < 0 else f",{n}" for i, n in enumerate(numbers))


def _same_direction(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Both steps have the same direction."""
    cross = one[0] * other[1] - one[1] * other[0]
    return cross == 0 and one[0] * other[0] + one[1] * other[1] > 0


def places(
    countries: Sequence[str],
    rows: Sequence[tuple[str, str, Sequence[Mapping[str, Any] | None]]],
    vantages: Sequence[tuple[VantageRow, str]],
    opened: Sequence[Event] = (),
    others: Collection[str] = (),
) -> list[MapPlace]:
    """One place a country, the worst first, from the matrix of the overview (services down,
    countries across) and from those who stand there; `opened` tells in how many networks. `others`:
    countries in which volunteers of others measure."""
    made: list[tuple[int, MapPlace]] = []
    for index, country in enumerate(countries):
        cells = [(name, cell) for _id, name, row in rows if (cell := row[index]) is not None]
        if cells:
            made.append(_place(country, cells))
    standing: dict[str, list[tuple[VantageRow, str]]] = {}
    for probe, status in vantages:
        standing.setdefault(probe.country, []).append((probe, status))
    for country in sorted(standing.keys() - set(countries)):
        here = standing[country]
        online = sum(status == "online" for _probe, status in here)
        label = n_(
            "%(place)s: no data; %(online)s of %(n)s vantage online",
            "%(place)s: no data; %(online)s of %(n)s vantages online",
            len(here),
            place=sentence(name_of(country)),
            online=online,
        )
        made.append((9, MapPlace(country, "insufficient", label)))
    known = {place.country for _rank_of, place in made}
    for country in sorted(set(others) - known):
        label = _(
            "%(place)s: measured by volunteers of OONI alone; no event is open",
            place=sentence(name_of(country)),
        )
        made.append((10, MapPlace(country, OTHERS, label)))
    placed = [
        place for _rank_of, place in sorted(made, key=lambda each: (each[0], each[1].country))
    ]
    return [
        place
        if place.kind == OTHERS
        else _with_share(place, standing.get(place.country, ()), opened, place.country in others)
        for place in placed
    ]


def _with_share(
    place: MapPlace,
    vantages: Sequence[tuple[VantageRow, str]],
    opened: Sequence[Event],
    others: bool,
) -> MapPlace:
    """The place with its shade, and in its label how many networks that is of; `vantages` are
    those that stand there, `others`: volunteers of others measure there."""
    here = [probe for probe, status in vantages if status == "online"]
    watched = len({probe.asn for probe in here})
    thin = place.kind not in ("insufficient", "vantage_offline") and min(len(here), watched) < FEW
    label, shade = place.label, SHADES
    if place.kind == "blocked":
        blocked, of = max(
            (
                (len(event.asns), max(event.networks_measured, len(event.asns)))
                for event in opened
                if event.country == place.country and event.tier is Tier.CONFIRMED and event.stands
            ),
            key=lambda each: each[0] / each[1],
            default=(1, 1),
        )
        shade = max(1, -(-SHADES * blocked // of))
        label += "; " + n_(
            "%(blocked)s of %(n)s watched network",
            "%(blocked)s of %(n)s watched networks",
            of,
            blocked=blocked,
        )
    mine = [event for event in opened if event.country == place.country]
    imported = not vantages and (others or bool(mine)) and all(map(is_imported, mine))
    if imported:
        label += "; " + _("measured by volunteers of OONI alone")
    elif thin:
        label += "; " + n_(
            "%(vantages)s online in %(n)s network",
            "%(vantages)s online in %(n)s networks",
            watched,
            vantages=plural(len(here), "vantage"),
        )
    return MapPlace(place.country, place.kind, label, shade, thin, imported)


def _place(country: str, cells: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[int, MapPlace]:
    worst = min(cells, key=lambda each: (each[1]["rank"], _rank(each[1]["kind"])))[1]
    by_word: dict[str, list[str]] = {}
    for name, cell in sorted(cells, key=lambda each: (each[1]["rank"], each[0].lower())):
        named = _("%(name)s (%(scope)s)", name=name, scope=cell["scope"]) if cell["scope"] else name
        by_word.setdefault(cell["word"], []).append(named)
    parts = []
    for word, names in by_word.items():
        listed = ", ".join(names[:NAMED])
        if len(names) > NAMED:
            listed = _("%(names)s and %(n)s more", names=listed, n=len(names) - NAMED)
        parts.append(_("%(services)s %(state)s", services=listed, state=word))
    return worst["rank"], MapPlace(
        country, worst["kind"], f"{sentence(name_of(country))}: {'; '.join(parts)}"
    )


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else 0
