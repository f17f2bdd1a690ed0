# SPDX-License-Identifier: Apache-2.0
"""Verdicts as they are stored: all those on one service in one round are one compressed frame.

Most of a round's verdicts are equal, so each is kept once and every measurement refers to it by
number. A frame of a hundred measurements takes some 400 bytes, where a row for each took 700 bytes
a measurement.
"""

from __future__ import annotations

import functools
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing
from itertools import accumulate, chain, compress, pairwise
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Verdict
from monitor.store import statements
from monitor.store.tables import verdict
from probes.runtime.compression import zstd

LEVEL = 3
_FEW = 8
"""To look for one entry takes as long as to look at so many."""
_PART = 128
"""Of so many entries the first arrival is in a frame; those of the others are added up."""
_CODES = {array(code).itemsize: code for code in "BHIQ"}
"""Types of arrays by their bytes for a number."""
ROWS_AT_ONCE = 64
"""Frames that one query fetches."""
Entry = tuple[int, int, Verdict]
"""Arrival number of the measurement, number of its vantage, verdict."""
ServiceRound = tuple[str, int]


class _Numbers(msgspec.Struct, frozen=True, array_like=True):
    """Numbers side by side: one of thousands is found without reading the others."""

    width: int
    """Bytes of each, the lowest first."""
    body: bytes

    @classmethod
    def of(cls, values: Sequence[int]) -> _Numbers:
        """These numbers in as few bytes as the largest needs."""
        most = max(values, default=0)
        width = next(width for width in _CODES if most >> 8 * width == 0)
        return cls(width, _in_order(array(_CODES[width], values)).tobytes())

    def read(self) -> array[int]:
        """All of them."""
        return _in_order(array(_CODES[self.width], self.body))

    def places(self, wanted: Iterable[int]) -> list[int]:
        """Positions of some numbers, in order."""
        places: list[int] = []
        for number in wanted:
            if number >> 8 * self.width:
                continue
            found, at = number.to_bytes(self.width, "little"), -1
            while (at := self.body.find(found, at + 1)) >= 0:
                if at % self.width == 0:
                    places.append(at // self.width)
        return sorted(places)


def _in_order(numbers: array[int]) -> array[int]:
    """Numbers with the bytes of this machine, or of a frame, in the order of the other."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """`RoundVerdicts` as stored."""

    said: msgspec.Raw
    starts: list[int]
    """The arrival of each _PART-th entry."""
    steps: _Numbers
    """How much later the next one arrived, of each but the last."""
    vantages: _Numbers
    which: _Numbers


class RoundVerdicts:
    """The verdicts on a service in one round; the lists are parallel, in order of arrival. Each is
    read from the frame when it is first wanted: of a large fleet they have thousands of entries,
    and who looks for few needs one or two of them."""

    def __init__(self, packed: _Packed) -> None:
        self._packed = packed

    @functools.cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Distinct verdicts."""
        return _said.decode(self._packed.said)

    @functools.cached_property
    def arrivals(self) -> list[int]:
        """Numbers of arrivals."""
        return list(accumulate(chain(self._packed.starts[:1], self._steps)))

    @functools.cached_property
    def _steps(self) -> array[int]:
        return self._packed.steps.read()

    def arrivals_at(self, places: Iterable[int]) -> Iterator[int]:
        """The numbers of arrivals at a few positions."""
        for place in places:
            part = place // _PART
            yield self._packed.starts[part] + sum(self._steps[part * _PART : place])

    def verdicts_at(self, arrivals: Iterable[int]) -> Iterator[tuple[int, Verdict]]:
        """Those of a few numbers of arrivals that are here with their verdicts, in order."""
        starts = self._packed.starts
        read = -1
        for arrival in sorted(arrivals):
            if (part := bisect_right(starts, arrival) - 1) < 0:
                continue
            if part != read:
                read, first = part, part * _PART
                steps = self._steps[first : first + _PART - 1]
                near = list(accumulate(steps, initial=starts[part]))
            place = bisect_left(near, arrival)
            if place < len(near) and near[place] == arrival:
                yield arrival, self.verdicts[self.which[first + place]]

    @functools.cached_property
    def vantages(self) -> list[int]:
        """Numbers of vantages."""
        return self._packed.vantages.read().tolist()

    @property
    def packed_vantages(self) -> _Numbers:
        """The list of vantages as it is stored."""
        return self._packed.vantages

    @functools.cached_property
    def which(self) -> Sequence[int]:
        """Positions in `verdicts`; bytes where these are up to 256."""
        which = self._packed.which
        return which.body if which.width == 1 else which.read()

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.which)

    def counted(self, fits: Callable[[Verdict], bool]) -> Iterator[tuple[Verdict, int]]:
        """The verdicts that fit, with how many entries have each. Of the thirty functions of a
        service few are wanted, and each is found in the bytes in less time than all are counted."""
        which = self.which
        count = which.count if isinstance(which, bytes) else Counter(which).__getitem__
        for n, said in enumerate(self.verdicts):
            if fits(said):
                yield said, count(n)

    def places_of(
        self, fits: Callable[[Verdict], bool], vantages: Vantages | None = None
    ) -> Sequence[int]:
        """Positions of the entries whose verdicts fit, and whose vantages are among these (None:
        all). Of thousands few are wanted: they are looked for without making a number of each, and
        of few vantages only what was said of them is looked at."""
        count, which = self.count, self.which
        marks, few = (None, None) if vantages is None else vantages.marks(self)
        if few is not None:
            named = {which[place] for place in few}
            wanted = {n for n in named if fits(self.verdicts[n])}
            return [place for place in few if which[place] in wanted]
        wanted = {n for n, said in enumerate(self.verdicts) if fits(said)}
        if marks is None and len(wanted) == len(self.verdicts):
            return range(count)
        if isinstance(which, bytes):
            table = bytearray(256)
            for n in wanted:
                table[n] = 1
            marked = which.translate(table)
        else:
            marked = bytes(map(wanted.__contains__, which))
        if marks is not None:
            both = int.from_bytes(marked, "big") & int.from_bytes(marks, "big")
            marked = both.to_bytes(count, "big")
        few = _places(marked)
        return list(compress(range(count), marked)) if few is None else few

    def entries(self) -> Iterator[Entry]:
        """Each measurement with its verdict."""
        verdicts = self.verdicts
        said = (verdicts[n] for n in self.which)
        return zip(self.arrivals, self.vantages, said, strict=True)


class Vantages:
    """Vantages of which verdicts are wanted, by number. A fleet sends its batches in one order, so
    most services of a round have the same list of vantages: it is looked through once."""

    def __init__(self, numbers: Collection[int]) -> None:
        self._numbers = numbers
        self._marks: dict[_Numbers, tuple[bytes | None, list[int] | None]] = {}

    def marks(self, judged: RoundVerdicts) -> tuple[bytes | None, list[int] | None]:
        """Of each entry a byte: 1 where its vantage is wanted; or the positions of these, where
        they are few."""
        packed = judged.packed_vantages
        if (found := self._marks.get(packed)) is None:
            if len(self._numbers) <= _FEW:
                found = None, packed.places(self._numbers)
            else:
                marks = bytes(map(self._numbers.__contains__, packed.read()))
                found = marks, _places(marks)
            self._marks[packed] = found
        return found


def _places(marks: bytes) -> list[int] | None:
    """Positions of the marked entries; None where these are not few."""
    if _FEW * marks.count(1) > len(marks):
        return None
    places, place = [], marks.find(1)
    while place >= 0:
        places.append(place)
        place = marks.find(1, place + 1)
    return places


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)
_said = msgspec.msgpack.Decoder(tuple[Verdict, ...])
_before = msgspec.msgpack.Decoder(tuple[msgspec.Raw, list[int], list[int], list[int]])
"""Of frames as they were packed before: with lists of numbers of any length, of arrivals the first
and the differences."""
_BEFORE = b"\x94"
"""How they begin: four parts."""
_upsert = statements.upsert(verdict)


def pack(entries: Iterable[Entry]) -> bytes:
    """The frame of some verdicts."""
    said: dict[Verdict, int] = {}
    numbers: dict[int, int] = {}  # by identity, because most are the same object
    ordered = sorted(entries, key=itemgetter(0))
    for _, _, one in ordered:
        if id(one) not in numbers:
            numbers[id(one)] = said.setdefault(one, len(said))
    arrivals = [arrival for arrival, _, _ in ordered]
    packed = _packed(
        _encoder.encode(tuple(said)),
        arrivals,
        [vantage for _, vantage, _ in ordered],
        [numbers[id(one)] for _, _, one in ordered],
    )
    return zstd.compress(_encoder.encode(packed), LEVEL)


def _packed(
    said: bytes, arrivals: Sequence[int], vantages: Sequence[int], which: Sequence[int]
) -> _Packed:
    return _Packed(
        said=msgspec.Raw(said),
        starts=list(arrivals[::_PART]),
        steps=_Numbers.of([after - before for before, after in pairwise(arrivals)]),
        vantages=_Numbers.of(vantages),
        which=_Numbers.of(which),
    )


def unpack(frame: bytes) -> RoundVerdicts:
    """The verdicts in a frame."""
    body = zstd.decompress(frame)
    if body.startswith(_BEFORE):
        said, steps, vantages, which = _before.decode(body)
        return RoundVerdicts(_packed(said, list(accumulate(steps)), vantages, which))
    return RoundVerdicts(_decoder.decode(body))


async def write(
    connection: AsyncConnection, rounds: Iterable[tuple[ServiceRound, Iterable[Entry]]]
) -> None:
    """Write the verdicts of some (service, round); a frame that is there is replaced."""
    rows = [
        {"service": service, "round": round, "body": pack(entries)}
        for (service, round), entries in rounds
    ]
    if rows:
        await connection.execute(_upsert, rows)


async def read(
    connection: AsyncConnection, keys: Collection[ServiceRound]
) -> AsyncIterator[tuple[str, int, RoundVerdicts]]:
    """The verdicts of these (service, round); those that there are."""
    for some in statements.chunks(sorted(keys), ROWS_AT_ONCE):
        for service, round, body in (await connection.execute(_READ, {"keys": list(some)})).all():
            yield service, round, unpack(body)


_READ = sa.select(verdict.c.service, verdict.c.round, verdict.c.body).where(
    sa.tuple_(verdict.c.service, verdict.c.round).in_(sa.bindparam("keys", expanding=True))
)


async def read_newest(
    connection: AsyncConnection,
    service: str | None,
    since: int,
    until: int,
    first: int = ROWS_AT_ONCE,
) -> AsyncGenerator[tuple[str, int, RoundVerdicts], None]:
    """The verdicts on a service (None: all) in rounds from `since` until before `until`, newest
    round first. Stopping early costs nothing; the caller closes the generator then
    (`contextlib.aclosing`). `first`: so many frames are fetched before the others."""
    async with aclosing(newest_frames(connection, service, since, until, first)) as frames:
        async for name, round, frame in frames:
            yield name, round, unpack(frame)


async def newest_frames(
    connection: AsyncConnection,
    service: str | None,
    since: int,
    until: int,
    first: int = ROWS_AT_ONCE,
) -> AsyncGenerator[tuple[str, int, bytes], None]:
    """The same as stored frames, for `unpack`."""
    given: dict[str, Any] = {"since": since, "until": until, "limit": first}
    if service is not None:
        given["of"] = service
    while True:
        rows = (await connection.execute(_newest_query(frozenset(given)), given)).all()
        for name, round, body in rows:
            yield name, round, body
        if len(rows) < given["limit"]:
            return
        given |= {"round": rows[-1].round, "service": rows[-1].service, "limit": ROWS_AT_ONCE}


@functools.cache
def _newest_query(given: Collection[str]) -> sa.Select[Any]:
    """That of `newest_frames` for the values that are given by name: lists ask it for each hour."""
    v = verdict.c
    query = sa.select(v.service, v.round, v.body).where(
        v.round >= sa.bindparam("since", type_=v.round.type)
    )
    if "of" in given:
        query = query.where(v.service == sa.bindparam("of", type_=v.service.type))
    if "round" in given:
        last = sa.bindparam("round", type_=v.round.type)
        name = sa.bindparam("service", type_=v.service.type)
        query = query.where(v.round <= last, sa.tuple_(v.round, v.service) < sa.tuple_(last, name))
    else:
        query = query.where(v.round < sa.bindparam("until", type_=v.round.type))
    limit = sa.bindparam("limit", type_=sa.Integer)
    return query.order_by(v.round.desc(), v.service.desc()).limit(limit)


async def verdicts_on(
    connection: AsyncConnection, measurements: Sequence[tuple[str, int, int]]
) -> dict[int, Verdict]:
    """Verdict by arrival number of some measurements (service, round, arrival); what was not
    judged is missing."""
    wanted: dict[ServiceRound, list[int]] = {}
    for name, at, arrival in measurements:
        wanted.setdefault((name, at), []).append(arrival)
    found: dict[int, Verdict] = {}
    async for name, at, judged in read(connection, wanted):
        found |= judged.verdicts_at(wanted[name, at])
    return found
