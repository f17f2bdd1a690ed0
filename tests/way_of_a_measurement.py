"""The way of one measurement through the monitor: which files its values enter, and in which types.

A batch with a blocked measurement goes from the probe's bytes through collector, store, judge,
detector and event to its page, the event's page and the API. While it does, every call and return
in `monitor` and `probes` is looked at. A file is counted when one of its functions receives or
returns, alone or in a collection, a value that

- is of this measurement: its id, its line or batch as bytes, an instance of one of our value types
  (dataclass, named tuple, struct) that has the id, the line or an observation of it within DEPTH
  steps and the id of no other measurement; or what a record of it consists of, as a fact of its
  verdict;
- or holds it among others, as a round, the state of a service and an event do. A file that has only
  such values handles what many measurements say together: it is told apart.

Values are compared one by one: a file that handles the same type for something else does not count.
Types are told apart likewise: by what their instances held.

    python -m tests.way_of_a_measurement
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from msgspec.structs import replace

from monitor.collector.acknowledge import Acknowledger
from monitor.collector.batch_writer import BatchWriter
from monitor.collector.message_queue import MessageQueue, Received
from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.metrics.counters import Counters
from monitor.store.database import Database, open_database
from monitor.store.reading.events import list_events
from monitor.store.records import Probe, Token
from probes.wire.codec import BatchHeader, encode, encode_batch
from probes.wire.measurement import LIVENESS_TARGETS, measurement_id
from probes.wire.observation import KNOWN
from tests.monitor.fleet import INTERVAL, PEOPLE, START, from_round, rounds
from tests.world.site import client, site_of
from tests.world.waiting import eventually

ROOT = Path(__file__).parents[1]
DEPTH = 6
MOST = 50
"""Values of a collection that are looked at, and of one that is handed over at each end EDGE."""
EDGE = 20
PARTS_DEPTH = 3
LOOKED_AT = 10
"""The round of the measurement, from which calls are looked at: the block is two rounds old."""
LAST = 13
GENERIC = {
    "monitor/detector/calculation.py": "calls a function beside the event loop",
    "monitor/store/statements.py": "cuts sequences into pieces",
    "monitor/store/tables.py": "converts values of columns",
    "monitor/text/language.py": "looks up any text",
    "monitor/web/answers.py": "makes answers of any value",
    "monitor/web/render.py": "fills any template",
    "monitor/web/response_cache.py": "keeps any answer",
}
"""Tools that know nothing of what they are given."""
COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
PLAIN = {int, float, bool, type(None)}
Collection = (dict, list, tuple, set, frozenset, collections.deque)


@functools.cache
def counted_file(name: str) -> str | None:
    """A file of `monitor` or `probes` that is no generic tool, relative to the root."""
    path = Path(name)
    if path.suffix != ".py" or not path.is_relative_to(ROOT):
        return None
    file = str(path.relative_to(ROOT))
    return file if file.startswith(("monitor/", "probes/")) and file not in GENERIC else None


@functools.cache
def is_value_type(kind: type) -> bool:
    """Whether a type is one of ours that only holds values."""
    return kind.__module__.startswith(("monitor.", "probes.")) and (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, msgspec.Struct)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def fields(value: Any) -> list[Any]:
    """What a value of a value type consists of."""
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
    if dataclasses.is_dataclass(value):
        return [getattr(value, each.name, None) for each in dataclasses.fields(value)]
    return list(value)


def members(collection: Any) -> list[Any]:
    """What a collection has, keys and values."""
    if isinstance(collection, dict):
        return [*list(collection)[:MOST], *list(collection.values())[:MOST]]
    return list(collection)[:MOST]


def name_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


@dataclass
class Way:
    """Where the values of a measurement were."""

    marks: set[str | bytes] = field(default_factory=set)
    """Its id, its line, its batch."""
    others: set[str] = field(default_factory=set)
    """Ids of all other measurements."""
    looking: bool = False
    own: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Types of values of the measurement that functions of a file received or returned, by file."""
    among: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Likewise, of values that hold it among others."""
    _parts: dict[int, object] = field(default_factory=dict)
    """What its records consist of, by identity: it is kept, so that no other takes its place."""
    _here: threading.local = field(default_factory=threading.local)

    @property
    def files(self) -> list[str]:
        """The files which the measurement's values enter."""
        return sorted(self.own)

    @property
    def summary_files(self) -> list[str]:
        """The files that have it only in what many measurements say together."""
        return sorted(self.among.keys() - self.own.keys())

    @property
    def types(self) -> list[str]:
        """The types that hold it."""
        return sorted(set().union(*self.own.values()))

    @property
    def summary_types(self) -> list[str]:
        """The types that hold it only among others."""
        return sorted(set().union(*self.among.values()) - set(self.types))

    def held(self, value: Any, depth: int = DEPTH) -> set[bool]:
        """Whether a value holds this measurement (True) and others (False)."""
        if isinstance(value, str | bytes):
            return {True} if value in self.marks else {False} if value in self.others else set()
        if id(value) in self._parts:
            return {True}
        held: set[bool] = set()
        kind = type(value)
        if depth and (is_value_type(kind) or isinstance(value, Collection)):
            for part in fields(value) if is_value_type(kind) else members(value):
                if type(part) not in PLAIN:
                    held |= self.held(part, depth - 1)
                    if len(held) == 2:
                        break
        return held

    def look(self, frame: FrameType, event: str, returned: Any) -> None:
        """A profiler: note what a function of ours is called with, and what it returns."""
        code = frame.f_code
        if not self.looking or event not in ("call", "return"):
            return
        file = counted_file(code.co_filename)
        if file is None or code.co_name in COMPREHENSIONS or hasattr(self._here, "busy"):
            return
        self._here.busy = True
        try:
            if event == "return":
                self._note(returned, file)
            else:
                count = code.co_argcount + code.co_kwonlyargcount
                count += bool(code.co_flags & 4) + bool(code.co_flags & 8)
                for name in code.co_varnames[:count]:
                    self._note(frame.f_locals.get(name), file)
        finally:
            del self._here.busy

    def _note(self, value: Any, file: str, depth: int = 2) -> None:
        if is_value_type(type(value)):
            held = self.held(value)
            if True in held:
                # What a record consists of, such as a verdict, holds no measurement itself.
                is_part = id(value) in self._parts and not isinstance(value, KNOWN)
                files = self.among if False in held else self.own
                files[file] |= set() if is_part else {name_of(value)}
                if any(isinstance(part, str) and part in self.marks for part in fields(value)):
                    self._note_parts(value, PARTS_DEPTH)
        elif isinstance(value, str | bytes):
            if value in self.marks:
                self.own[file] |= set()
        elif isinstance(value, Collection) and depth:
            values = members(value)
            for part in (*values[:EDGE], *values[EDGE:][-EDGE:]):
                self._note(part, file, depth - 1)

    def _note_parts(self, value: Any, depth: int) -> None:
        for part in fields(value):
            for inner in (part, *(members(part) if isinstance(part, Collection) else ())):
                if is_value_type(type(inner)) and id(inner) not in self._parts:
                    self._parts[id(inner)] = inner
                    if depth:
                        self._note_parts(inner, depth - 1)


def measured(number: int) -> Iterator[Stored]:
    """A round of the fleet, with ids that the collector accepts."""
    for sequence, stored in enumerate(rounds([number], from_round(8))):
        of = stored.measurement
        sequence += 100 * number
        id = measurement_id(of.probe, "epoch", sequence)
        yield replace(stored, measurement=replace(of, id=id, epoch="epoch", sequence=sequence))


class Monitor:
    """A collector and a detector over a store, by a clock that is set by hand."""

    def __init__(self, database: Database) -> None:
        self.database, self.now = database, START
        self.acknowledged = 0
        counters = Counters()
        acknowledger = Acknowledger(counters)
        acknowledger.add = self._acknowledge  # type: ignore[method-assign]
        self.queue, self.stop = MessageQueue(), asyncio.Event()
        self.writer = BatchWriter(
            self.queue, database, acknowledger, counters, self.stop, lambda: self.now
        )
        self.detector = Detector(database, Policy(), "one", lambda: self.now, rest_factor=0)

    def _acknowledge(self, *_: object, **__: object) -> None:
        self.acknowledged += 1

    async def pass_on(self, batches: Iterable[tuple[str, bytes]], at: int) -> None:
        """Store batches, by probe, and conclude what is over."""
        self.now = at
        before = self.acknowledged
        given = list(batches)
        for probe, payload in given:
            assert self.queue.put(Received(probe=probe, payload=payload, received=at))
        await eventually(lambda: self.acknowledged == before + len(given))
        self.now = at + INTERVAL
        while await self.detector.run_once():
            pass


async def enrol(database: Database) -> None:
    """Each of the fleet's probes, by its owner's token."""
    for who in PEOPLE:
        owner = f"owner-{who.number}"
        token = Token(
            id=owner,
            secret_sha256="",
            role=who.role,
            owner=owner,
            uses_left=1,
            expires=START,
            created=0,
        )
        probe = Probe(id=who.probe, owner=owner, role=who.role, enrolled=0)
        await database.registry.add_token(token)
        assert await database.registry.enrol(owner, "", probe, owner, START - INTERVAL)


async def _pass(way: Way, database: Database) -> None:
    await enrol(database)
    monitor = Monitor(database)
    writing = asyncio.create_task(monitor.writer.run())
    for number in range(LAST):
        by_probe: dict[str, list[bytes]] = defaultdict(list)
        way.looking = number >= LOOKED_AT
        for stored in measured(number):
            of, line = stored.measurement, encode(stored.measurement)
            by_probe[of.probe].append(line)
            way.others.add(of.id)
            is_the_one = of.probe == PEOPLE[0].probe and of.target not in LIVENESS_TARGETS
            if is_the_one and number == LOOKED_AT:
                way.marks |= {of.id, bytes.fromhex(of.id), line}
                id = of.id
        batches = {
            probe: encode_batch(BatchHeader(boot="b" * 16, sequence=number), lines)
            for probe, lines in by_probe.items()
        }
        if number == LOOKED_AT:
            way.marks.add(batches[PEOPLE[0].probe])
        await monitor.pass_on(batches.items(), START + number * INTERVAL + 40_000)
    way.looking = False
    async with database.reading() as connection:
        (event,) = await list_events(connection)
    assert id in event.witnesses
    way.looking = True
    async with client(site_of(database, clock=lambda: monitor.now)) as web:
        for page in (f"/m/{id}", f"/e/{event.id}", f"/api/v1/measurements/{id}", "/api/v1/events"):
            answer = await web.get(page)
            assert answer.status == 200, page
            assert id in await answer.text()
    way.looking = False
    monitor.stop.set()
    monitor.queue.close()
    await writing


def way_of_a_measurement() -> Way:
    """Let one pass, in a new store."""
    way = Way()

    async def run(folder: str) -> None:
        database = await open_database(f"sqlite+aiosqlite:///{folder}/store.sqlite")
        try:
            await _pass(way, database)
        finally:
            await database.close()

    before = sys.getprofile()
    threading.setprofile(way.look)
    sys.setprofile(way.look)
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(folder))
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]
    return way


if __name__ == "__main__":
    taken = way_of_a_measurement()
    print(*taken.files, "", *taken.types, "", "among others:", sep="\n")
    print(*taken.summary_files, "", *taken.summary_types, "", sep="\n")
    print(f"{len(taken.files)} files its values enter, {len(taken.types)} types")
    print(f"among others: {len(taken.summary_files)} files, {len(taken.summary_types)} types more")
