"""A store of thirty days as collector, detector and operator leave it, for looking at pages.

Seven vantages and a control measure five functions of three services every half hour, and more
often around what happens (STORIES): blocks of two minutes, two hours and two weeks, the last with
two pauses; two blocks that overlap; a service that is down everywhere; a wrong alarm that the
operator retracts; a vantage whose days arrive late; a block that lasts at the end. Of the two
networks in Russia one is blocked. An imported incident, three months older, has two pauses and is
still failing where its data end. The judge and the detector are the real ones: the clock goes with
the data, so that the journal says when each change was published.

    await fill(database, Month(end))
"""

from __future__ import annotations

import datetime as dt
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from monitor.detection.model import EventState, Stored, Tier
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.interop.importing import Importer
from monitor.store.database import Database, open_database
from monitor.store.notes import RETRACTION
from monitor.store.reading.events import list_events
from monitor.store.records import Admitted, Probe, Seen, Token
from monitor.store.simulated import mark_simulated
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role, Vantage, measurement_id
from tests.monitor.detection.scenes import A1, INNOCUOUS, alive, dns, endpoint, measured, tcp, tls
from tests.monitor.fleet import Person
from tests.monitor.interop.samples import DC, as_csv, cells, targets_by_name, web_cells

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
DAYS = 30
CLOSE = 20 * MINUTE
"""How long rounds stay close together after something began or ended."""
HOSTS = {
    "wechat/web": "web.wechat.com",
    "wechat/messaging": "szlong.weixin.qq.com",
    "telegram/web": "web.telegram.org",
    "telegram/site": "telegram.org",
    "signal/storage": "storage.signal.org",
}
"""What is measured; all other functions of the catalogue never are."""
PEOPLE = (
    *(Person(number, 64501) for number in (1, 2, 3)),
    *(Person(number, 64502) for number in (4, 5)),
    *(Person(number, 64503, "FR") for number in (6, 7)),
    Person(9, 64999, "DE", Role.CONTROL),
)
LATE = PEOPLE[4]
"""Its measurements of LATE_DAYS arrive two days later."""
LATE_DAYS = (23.0, 24.5)
KENYA = tuple(64510 + n for n in range(3))
KENYA_AGO = 100
"""Days before the month's end at which the imported incident begins."""
KENYA_HOURS = 24 * 16
KENYA_BLOCK = ((24 * 6, 24 * 9), (24 * 10, 24 * 12), (24 * 13, 24 * 16))
"""Hours in which its first network blocks: two pauses, and failing where the data end."""


@dataclass(frozen=True)
class Story:
    """Something that happens to functions in networks, at days after the month's start."""

    name: str
    targets: tuple[str, ...]
    asns: tuple[int, ...]
    begin: float
    """Days."""
    length: int
    """Milliseconds."""
    every: int = MINUTE
    """Between two rounds around its begin and its end."""
    failure: str = Failure.RESET
    everywhere: bool = False
    """The service is down: its controls fail as well."""
    pauses: tuple[tuple[float, int], ...] = ()
    """(days after the begin, length in milliseconds)."""

    def fails(self, who: Person, target: str, days: float) -> bool:
        """Whether it is felt."""
        if target not in self.targets or not (self.everywhere or who.asn in self.asns):
            return False
        since = days - self.begin
        inside = any(begin <= since < begin + length / DAY for begin, length in self.pauses)
        return 0 <= since < self.length / DAY and not inside

    def turns(self) -> Iterator[float]:
        """Days at which it begins or ends, also for a pause."""
        yield from (self.begin, self.begin + self.length / DAY)
        for begin, length in self.pauses:
            yield from (self.begin + begin, self.begin + begin + length / DAY)


def at(day: int, hour: int, minute: int = 0) -> float:
    """Days after the start."""
    return day + hour / 24 + minute / 1440


STORIES = (
    Story("outage", ("signal/storage",), (), at(1, 12), 40 * MINUTE, everywhere=True),
    Story(
        "two weeks",
        ("telegram/web",),
        (64501,),
        at(2, 9),
        14 * DAY,
        pauses=((3.0, 3 * HOUR), (8.0, 4 * MINUTE)),
    ),
    Story("retracted", ("wechat/messaging",), (64503,), at(17, 10), 30 * MINUTE),
    Story("two minutes", ("wechat/web",), (64501,), at(19, 2, 5), 2 * MINUTE, every=20 * SECOND),
    Story("two hours", ("wechat/web", "wechat/messaging"), (64501,), at(21, 14), 2 * HOUR),
    Story("overlap", ("signal/storage",), (64501,), at(21, 15), 40 * MINUTE),
    Story("now", ("wechat/web",), (64501,), at(28, 22, 10), 3 * DAY),
)


@dataclass(frozen=True)
class Month:
    """What was measured until `end` (Unix ms, rounded down to the hour)."""

    end: int
    quiet: int = 30 * MINUTE
    """Between two rounds while nothing happens."""

    @property
    def start(self) -> int:
        """Midnight, UTC, thirty days before the last one."""
        return self.end - self.end % DAY - (DAYS - 1) * DAY

    def moment(self, days: float) -> int:
        """Unix milliseconds."""
        return self.start + round(days * DAY)

    def story(self, name: str) -> tuple[int, int]:
        """When it begins and when it ends."""
        story = next(story for story in STORIES if story.name == name)
        return self.moment(story.begin), self.moment(story.begin) + story.length

    @cached_property
    def rounds(self) -> Sequence[tuple[int, int]]:
        """(begin, length) of every round."""
        dense: dict[int, int] = {}
        for story in STORIES:
            for turn in map(self.moment, story.turns()):
                first = turn - turn % (30 * MINUTE)
                for begin in range(first, turn + CLOSE, story.every):
                    dense[begin] = min(story.every, dense.get(begin, DAY))
        begins = sorted({*range(self.start, self.end, self.quiet), *dense})
        begins = [begin for begin in begins if begin < self.end]
        ends = [*begins[1:], begins[-1] + self.quiet]
        return [
            (begin, min(self.quiet, end - begin)) for begin, end in zip(begins, ends, strict=True)
        ]

    def measured(self, begin: int, length: int) -> Iterator[Admitted]:
        """What everybody measured in a round."""
        days = (begin - self.start) / DAY
        for who in PEOPLE:
            network = Vantage(country=who.country, asn=who.asn, role=who.role)
            own = {"probe": who.probe, "round": begin, "vantage": network, "interval_ms": length}
            made = list(alive(**own))  # type: ignore[arg-type]
            made += [_function(who, target, days, own) for target in HOSTS]
            late = who is LATE and LATE_DAYS[0] <= days < LATE_DAYS[1]
            for index, measurement in enumerate(made):
                started = begin + 100 * who.number + index
                name = f"{index} {begin}"
                measurement = replace(
                    measurement, id=measurement_id(who.probe, name, 0), started=started
                )
                stored = Stored(
                    measurement=measurement,
                    owner=f"owner-{who.number}",
                    role=who.role,
                    enrolled=self.start - 90 * DAY,
                )
                yield Admitted(
                    stored=stored,
                    line=encode(measurement),
                    received=started + (2 * DAY if late else 2 * SECOND),
                )


def _function(who: Person, target: str, days: float, own: dict[str, object]) -> Measurement:
    ref = endpoint("tls", HOSTS[target])
    story = next((story for story in STORIES if story.fails(who, target, days)), None)
    connected = (dns(A1, at=ref), tcp(A1, at=ref))
    if story is not None and story.everywhere:
        seen = (dns(A1, at=ref), tcp(A1, Failure.REFUSED, at=ref))
    else:
        failure = None if story is None else story.failure
        seen = (*connected, tls(A1, at=ref, **INNOCUOUS), tls(A1, failure, at=ref))  # type: ignore[assignment]
    return measured(*seen, target=target, endpoints=(ref,), **own)  # type: ignore[arg-type]


def incident(end: int) -> Iterator[dict[str, str]]:
    """Rows of OONI's observations: about one run an hour and network."""
    begin = dt.datetime.fromtimestamp((end - KENYA_AGO * DAY) / 1000, dt.UTC)
    begin = begin.replace(hour=0, minute=0, second=0)
    for hour in range(KENYA_HOURS):
        for place, asn in enumerate(KENYA):
            if (hour * 7 + place * 3) % 5 == 0:
                continue  # nobody is awake
            when = begin + dt.timedelta(hours=hour, minutes=17 * place)
            blocked = not place and any(first <= hour < last for first, last in KENYA_BLOCK)
            own = {
                "report_id": f"{when:%Y%m%dT%H%M%SZ}_telegram_KE_{asn}_n1_x",
                "measurement_uid": f"{when:%Y%m%d%H%M%S}_{asn}",
                "measurement_start_time": f"{when:%Y-%m-%d %H:%M:%S}+00:00",
                "probe_asn": str(asn),
                "resolver_asn": str(asn),
            }
            for number, address in enumerate(DC):
                dead = blocked and number > 0
                yield cells(
                    ip=address,
                    port="443.0",
                    tcp_success="0.0" if dead else "1.0",
                    tcp_failure=Failure.TIMEOUT if dead else "",
                    **own,
                )
            if blocked:
                yield web_cells("192.168.7.222", Failure.TIMEOUT, **own)
            else:
                yield web_cells(**own)


async def fill(url: str, month: Month, tell: Callable[[str], None] = lambda line: None) -> None:
    """Write the month into an empty store."""
    now = month.start
    async with await open_database(url, now=lambda: now) as database:
        detector = Detector(
            database, Policy(), "month", lambda: now, poll_seconds=0.01, rest_factor=0
        )

        async def settle() -> None:
            while await detector.run_once():
                pass

        await mark_simulated(database)
        now = month.end - (KENYA_AGO - 30) * DAY
        await _import(database, month.end)
        await settle()
        await _enrol(database, month)
        waiting: list[Admitted] = []
        added: list[Admitted] = []
        retracted = False
        for begin, length in month.rounds:
            for admitted in month.measured(begin, length):
                (waiting if admitted.received > begin + DAY else added).append(admitted)
            due = [admitted for admitted in waiting if admitted.received <= begin]
            waiting = [admitted for admitted in waiting if admitted.received > begin]
            added += due
            quiet = length == month.quiet
            if quiet and (begin + length) % (6 * HOUR):
                continue
            await database.facts.add(added, ())
            added = []
            now = begin + length + 31 * SECOND
            await settle()
            _, wrong = month.story("retracted")
            if not retracted and begin >= wrong - 5 * MINUTE:
                retracted = await _retract(database)
            tell(f"{(now - month.start) / DAY:.1f} of {DAYS} days")
        await database.facts.add(added, ())
        now = month.end + 31 * SECOND
        await settle()
        await database.registry.record_seen(
            [
                Seen(probe=who.probe, at=month.end, country=who.country, asn=who.asn)
                for who in PEOPLE
            ]
        )


async def _import(database: Database, end: int) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        Path(file.name).write_bytes(as_csv(incident(end)))
        importer = Importer(database, targets_by_name(), io.StringIO())
        await importer.file(file.name)


async def _enrol(database: Database, month: Month) -> None:
    for who in PEOPLE:
        token = Token(
            id=f"t{who.number}",
            secret_sha256="0" * 64,
            role=str(who.role),
            owner=f"owner-{who.number}",
            uses_left=1,
            expires=month.end,
            created=month.start - 90 * DAY,
        )
        await database.registry.add_token(token)
        probe = Probe(id=who.probe, owner="", role="", enrolled=month.start - 90 * DAY)
        await database.registry.enrol(
            token.id, token.secret_sha256, probe, "hash", month.start - 90 * DAY
        )


async def _retract(database: Database) -> bool:
    """Retract the alarm in France; False while there is none."""
    async with database.reading() as connection:
        events = await list_events(connection)
    for event in events:
        if (
            event.country == "FR"
            and event.state is EventState.OPEN
            and event.tier is not Tier.UNCONFIRMED
        ):
            text = "A filter in the offices of both vantages; their homes are not affected."
            await database.notes.add(event.id, RETRACTION, text, "", token="operator")
            return True
    return False
