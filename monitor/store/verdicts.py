# SPDX-License-Identifier: Apache-2.0
"""Verdicts as they are stored: all those on one service in one round are one compressed frame.

Most of a round's verdicts are equal, so each is kept once and every measurement refers to it by
number. A frame of a hundred measurements takes some 400 bytes, where a row for each took 700 bytes
a measurement.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
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
from itertools import accumulate, compress, pairwise
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
_ARRAY_16 = 0xDC
"""First byte of a MessagePack array of up to 65,535 items, after those of up to 15."""
_FEW = 8
"""To look for one entry takes as long as to look at so many."""
_PART = 128
"""Entries that are added up at once, and looked through one by one where the sum has reached what
is looked for."""
ROWS_AT_ONCE = 64
"""Frames that one query fetches."""
Entry = tuple[int, int, Verdict]
"""Arrival number of the measurement, number of its vantage, verdict."""
ServiceRound = tuple[str, int]


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """`RoundVerdicts` as stored."""

    said: msgspec.Raw
    arrivals: msgspec.Raw
    """Differences, which are small."""
    vantages: msgspec.Raw
    which: msgspec.Raw


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
        return list(accumulate(self._steps))

    @functools.cached_property
    def _steps(self) -> list[int]:
        """The first number of an arrival, then the differences."""
        return _numbers.decode(self._packed.arrivals)

    def arrivals_at(self, places: Iterable[int]) -> Iterator[int]:
        """The numbers of arrivals at a few positions, which are in order: differences are added
        much faster than a number of each entry is made."""
        arrival = last = 0
        for place in places:
            arrival += sum(self._steps[last : place + 1])
            last = place + 1
            yield arrival

    def verdicts_at(self, arrivals: Iterable[int]) -> Iterator[tuple[int, Verdict]]:
        """Those of a few numbers of arrivals that are here with their verdicts, in order."""
        steps = self._steps
        reached = first = 0
        for arrival in sorted(arrivals):
            while reached + (more := sum(steps[first : first + _PART])) < arrival and more:
                reached += more
                first += _PART
            near = list(accumulate(steps[first : first + _PART], initial=reached))
            place = bisect_left(near, arrival, 1)
            if place < len(near) and near[place] == arrival:
                yield arrival, self.verdicts[self.which[first + place - 1]]

    @functools.cached_property
    def vantages(self) -> list[int]:
        """Numbers of vantages."""
        return _numbers.decode(self._packed.vantages)

    @property
    def packed_vantages(self) -> bytes:
        """The list of vantages as it is stored."""
        return bytes(self._packed.vantages)

    @functools.cached_property
    def which(self) -> Sequence[int]:
        """Positions in `verdicts`."""
        count, numbers = self._numbered
        return numbers if len(numbers) == count else _numbers.decode(self._packed.which)

    @functools.cached_property
    def _numbered(self) -> tuple[int, bytes]:
        """How many entries there are, and the numbers of `which` as MessagePack has them, one byte
        each up to 127."""
        packed = bytes(self._packed.which)
        if packed[0] < _ARRAY_16:
            return packed[0] & 0x0F, packed[1:]
        end = 3 if packed[0] == _ARRAY_16 else 5
        return int.from_bytes(packed[1:end], "big"), packed[end:]

    @property
    def count(self) -> int:
        """How many entries there are."""
        return self._numbered[0]

    def places_of(
        self, fits: Callable[[Verdict], bool], vantages: Vantages | None = None
    ) -> Sequence[int]:
        """Positions of the entries whose verdicts fit, and whose vantages are among these (None:
        all). Of thousands few are wanted: they are looked for without making a number of each, and
        of few vantages only what was said of them is looked at."""
        count, numbers = self._numbered
        which = numbers if len(numbers) == count else self.which
        marks, few = (None, None) if vantages is None else vantages.marks(self)
        if few is not None:
            named = {which[place] for place in few}
            wanted = {n for n in named if fits(self.verdicts[n])}
            return [place for place in few if which[place] in wanted]
        wanted = {n for n, said in enumerate(self.verdicts) if fits(said)}
        if marks is None and len(wanted) == len(self.verdicts):
            return range(count)
        if which is numbers:
            table = bytearray(256)
            for n in wanted:
                table[n] = 1
            marked = numbers.translate(table)
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
        self._marks: dict[bytes, tuple[bytes, list[int] | None]] = {}

    def marks(self, judged: RoundVerdicts) -> tuple[bytes, list[int] | None]:
        """Of each entry a byte: 1 where its vantage is wanted; and the positions of these, where
        they are few."""
        packed = judged.packed_vantages
        if (found := self._marks.get(packed)) is None:
            marks = bytes(map(self._numbers.__contains__, judged.vantages))
            found = self._marks[packed] = marks, _places(marks)
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
_numbers = msgspec.msgpack.Decoder(list[int])
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
    packed = (
        tuple(said),
        arrivals[:1] + [after - before for before, after in pairwise(arrivals)],
        [vantage for _, vantage, _ in ordered],
        [numbers[id(one)] for _, _, one in ordered],
    )
    return zstd.compress(_encoder.encode(packed), LEVEL)


def unpack(frame: bytes) -> RoundVerdicts:
    """The verdicts in a frame."""
    return RoundVerdicts(_decoder.decode(zstd.decompress(frame)))


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
    connection: AsyncConnection, service: str | None, since: int, until: int
) -> AsyncGenerator[tuple[str, int, RoundVerdicts], None]:
    """The verdicts on a service (None: all) in rounds from `since` until before `until`, newest
    round first. Stopping early costs nothing; the caller closes the generator then
    (`contextlib.aclosing`)."""
    async with aclosing(newest_frames(connection, service, since, until)) as frames:
        async for name, round, frame in frames:
            yield name, round, unpack(frame)


async def newest_frames(
    connection: AsyncConnection, service: str | None, since: int, until: int
) -> AsyncGenerator[tuple[str, int, bytes], None]:
    """The same as stored frames, for `unpack`."""
    given: dict[str, Any] = {"since": since, "until": until}
    if service is not None:
        given["of"] = service
    while True:
        rows = (await connection.execute(_newest_query(frozenset(given)), given)).all()
        for name, round, body in rows:
            yield name, round, body
        if len(rows) < ROWS_AT_ONCE:
            return
        given |= {"round": rows[-1].round, "service": rows[-1].service}


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
    return query.order_by(v.round.desc(), v.service.desc()).limit(ROWS_AT_ONCE)


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
