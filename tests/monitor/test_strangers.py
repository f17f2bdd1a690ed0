"""What strangers can do with tokens of their own, over a real broker: probes that are enrolled, a
collector, a store and a detector. Only the clock is the test's.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.world.alarms import pages
from monitor.commands.replay import fold_store, lines
from monitor.detection.model import Event, EventState, Stored, Tier
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.enrolment import Enrolled, enrol, new_token
from monitor.metrics.exposition import Snapshot, expose
from monitor.metrics.lags import Lags
from monitor.store.reading.events import list_events
from probes.wire.codec import BatchHeader, encode, encode_batch
from probes.wire.enrolment_token import parse_token
from probes.wire.measurement import LIVENESS_TARGETS, Role, measurement_id
from tests.monitor.collector.live import Voice, collecting, stored, voice
from tests.monitor.fleet import INTERVAL, START, Person, events_bytes, one
from tests.world.brokers import House, house
from tests.world.waiting import eventually

pytestmark = pytest.mark.slow

POLICY = Policy()
HOUR = 3_600_000
ENROLLED = START - 7 * HOUR
"""Long enough before for a vote."""
HONEST = (
    *(Person(n, 64501) for n in (1, 2, 3)),
    *(Person(n, 64503, "FR") for n in (4, 5, 6)),
    Person(9, 64999, "DE", Role.CONTROL),
)
MOSQUITTO = pytest.mark.needs("mosquitto")


@dataclass
class Town:
    """A monitor at work, and probes that speak to it."""

    made: House
    now: int = START
    voices: dict[str, Voice] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    total: int = 0

    async def deliver(self, some: Iterable[Stored], at: int) -> None:
        """Measurements that arrive at a time, a batch of each probe."""
        self.now = at
        batches: dict[str, list[bytes]] = {}
        for each in some:
            probe = each.measurement.probe
            number = self.sent[probe] = self.sent.get(probe, 0) + 1
            named = replace(
                each.measurement,
                epoch="spool",
                sequence=number,
                id=measurement_id(probe, "spool", number),
            )
            batches.setdefault(probe, []).append(encode(named))
            self.total += 1
        for probe, batch in batches.items():
            header = BatchHeader(boot="b", sequence=self.sent[probe])
            await self.voices[probe].send(encode_batch(header, batch))
        for probe in batches:
            assert await self.voices[probe].acked() == [self.sent[probe]]
        assert await stored(self.made) == self.total, "nothing is in quarantine"

    async def live(
        self, rounds: Iterable[int], people: Sequence[Person], failing: Sequence[Person] = ()
    ) -> None:
        """Rounds as they come, each delivered when it is over."""
        for number in rounds:
            done = START + (number + 1) * INTERVAL
            said = [each for who in people for each in one(who, number, who in failing)]
            await self.deliver(said, done)
        await self.settle()

    async def settle(self) -> None:
        """Let the detector do all that it can."""
        detector = Detector(
            database=self.made.database,
            policy=POLICY,
            holder="test",
            clock=lambda: self.now + INTERVAL + 30_000,
        )
        while await detector.run_once():
            pass

    async def event(self, country: str, asn: int) -> Event | None:
        async with self.made.database.reading() as connection:
            found = await list_events(connection)
        mine = [each for each in found if each.country == country and asn in each.asns]
        assert len(mine) <= 1
        return mine[0] if mine else None


@contextlib.asynccontextmanager
async def town(
    kind: str,
    directory: Path,
    owners: dict[Person, str],
    people: Sequence[Person],
    seen: dict[Person, tuple[str, int]] | None = None,
) -> AsyncIterator[Town]:
    """`owners`: of those who are not owners of their own. `seen`: from where somebody enrolled."""
    seen = seen or {}
    async with house(kind, directory) as made, contextlib.AsyncExitStack() as stack:
        here = Town(made)
        enrolled = [
            await _enrolled(made, who, owners.get(who, who.probe), seen.get(who, ("", 0)))
            for who in people
        ]
        await made.enrol()  # mosquitto reads its passwords again
        await stack.enter_async_context(collecting(made, clock=lambda: here.now))
        for each in enrolled:
            here.voices[each.probe] = await stack.enter_async_context(voice(made, each))
        yield here


async def _enrolled(
    made: House, who: Person, owner: str, seen: tuple[str, int] = ("", 0)
) -> Enrolled:
    token, text = new_token("http://x", who.role.value, owner, 1, ENROLLED + HOUR, ENROLLED)
    await made.database.registry.add_token(token)
    parsed = parse_token(text)
    found = await enrol(
        made.database.registry, parsed.id, parsed.secret, ENROLLED, probe=who.probe, seen=seen
    )
    assert isinstance(found, Enrolled)
    return found


def without_liveness(some: Iterable[Stored]) -> list[Stored]:
    return [each for each in some if each.measurement.target not in LIVENESS_TARGETS]


async def same_by_replay(here: Town) -> None:
    until = START + 10_000 * INTERVAL
    again = (await fold_store(here.made.database, until, POLICY)).events
    assert lines(again) == await events_bytes(here.made.database)


# What is concluded does not depend on the broker: the quick run takes one for each test.
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("embedded", marks=pytest.mark.rest),
        pytest.param("mosquitto-5", marks=MOSQUITTO),
    ],
)
async def test_two_probes_of_one_owner_silence_nobody(kind: str, tmp_path: Path) -> None:
    """In two countries, failing without liveness: they closed the gate for every network, kept a
    block from being found, and took a confirmed one out of `/metrics`."""
    liars = (Person(11, 64601, "DE"), Person(12, 64701, "JP"))
    everybody = (*HONEST, *liars)
    async with town(kind, tmp_path, dict.fromkeys(liars, "liar"), everybody) as here:
        await here.live(range(3), everybody)
        for number in range(3, 16):
            blocked = HONEST[:3] if number >= 4 else ()
            said = [each for who in HONEST for each in one(who, number, who in blocked)]
            said += without_liveness(e for who in liars for e in one(who, number, True))
            await here.deliver(said, START + (number + 1) * INTERVAL)
        await here.settle()
        event = await here.event("RU", 64501)
        assert event is not None
        assert (event.tier, event.state, event.inhibited_by) == (Tier.CONFIRMED, "open", None)
        assert event.onset == START + 4 * INTERVAL
        page, _ = expose(Snapshot(open_events=[event]), Lags(), "")
        assert f'event_id="{event.id}"' in page.decode()
        await same_by_replay(here)


@pytest.mark.parametrize(
    "kind",
    ["embedded", pytest.param("mosquitto-5", marks=[MOSQUITTO, pytest.mark.rest])],
)
async def test_two_sleepers_confirm_nothing_with_rounds_of_the_past(
    kind: str, tmp_path: Path
) -> None:
    """Two owners with votes, in a network of their own, send twelve failing rounds at once."""
    liars = (Person(11, 64502), Person(12, 64502))
    everybody = (*HONEST, *liars)
    async with town(kind, tmp_path, {}, everybody) as here:
        await here.live(range(3), everybody)
        await here.live(range(3, 16), HONEST)
        past = [each for n in range(3, 16) for who in liars for each in one(who, n, True)]
        await here.deliver(past, START + 16 * INTERVAL + 1000)
        await here.settle()
        event = await here.event("RU", 64502)
        assert event is not None
        assert event.tier is Tier.LIKELY
        await same_by_replay(here)
        # The same again as long as an honest network must wait: so this test can fail.
        await here.live(range(16, 24), everybody, liars)
        event = await here.event("RU", 64502)
        assert event is not None
        assert event.tier is Tier.CONFIRMED
        assert event.confirmed is not None
        assert event.confirmed >= START + 19 * INTERVAL


async def test_two_sleepers_of_five_confirm_nothing_however_long(tmp_path: Path) -> None:
    liars = (Person(11, 64501), Person(12, 64501))
    everybody = (*HONEST, *liars)
    async with town("embedded", tmp_path, {}, everybody) as here:
        await here.live(range(3), everybody)
        await here.live(range(3, 40), everybody, liars)
        event = await here.event("RU", 64501)
        assert event is None or event.tier is not Tier.CONFIRMED
        await same_by_replay(here)


async def test_one_stranger_does_not_end_a_block_while_the_others_are_silent(
    tmp_path: Path,
) -> None:
    """It took part in the confirmation, waits until the others are off, and says that all works.
    Until two others see it end, the event is open."""
    stranger = Person(11, 64501)
    everybody = (*HONEST, stranger)
    network, elsewhere = (*HONEST[:3], stranger), HONEST[3:]
    async with town("embedded", tmp_path, {}, everybody) as here:
        await here.live(range(3), everybody)
        await here.live(range(3, 12), everybody, network)
        event = await here.event("RU", 64501)
        assert event is not None
        assert event.tier is Tier.CONFIRMED
        await here.live(range(12, 24), (stranger, *elsewhere))
        event = await here.event("RU", 64501)
        assert event is not None
        assert event.state is EventState.OPEN
        await here.live(range(24, 30), everybody)
        event = await here.event("RU", 64501)
        assert event is not None
        assert event.state is EventState.CLOSED
        await same_by_replay(here)


NEW = (Person(21, 64701, "KZ"), Person(22, 64701, "KZ"))


async def test_three_owners_in_three_claimed_countries_hide_no_block(tmp_path: Path) -> None:
    """They begin to fail live with the block, and fail in every round."""
    places = (("JP", 65001), ("BR", 65002), ("IN", 65003))
    liars = [Person(20 + n, asn, country) for n, (country, asn) in enumerate(places)]
    people = [*HONEST, *liars]
    async with town("embedded", tmp_path, {}, people) as here:
        await here.live(range(8), people)
        await here.live(range(8, 20), people, [*HONEST[:3], *liars])
        found = await here.event("RU", 64501)
        assert found is not None
        assert found.tier is Tier.CONFIRMED
        await same_by_replay(here)


@pytest.mark.parametrize("vouched", [False, True], ids=["new", "vouched for"])
async def test_two_tokens_in_an_empty_network_page_nobody_unless_the_operator_knows_them(
    tmp_path: Path, vouched: bool
) -> None:
    async with town("embedded", tmp_path, {}, (*HONEST, *NEW)) as here:
        if vouched:
            for who in NEW:
                assert await here.made.database.registry.vouch(who.probe) == 1
        await here.live(range(3), (*HONEST, *NEW))
        await here.live(range(3, 30), (*HONEST, *NEW), failing=NEW)
        event = await here.event("KZ", 64701)
        assert event is not None
        assert event.tier is Tier.CONFIRMED, "nothing else speaks against them"
        assert ("new_vantages" in event.against) is not vouched
        assert pages(event, POLICY) is False or vouched


async def test_tokens_without_a_name_are_one_owner(tmp_path: Path) -> None:
    liars = tuple(Person(n, 64502) for n in (11, 12, 13))
    everybody = (*HONEST, *liars)
    async with town("embedded", tmp_path, dict.fromkeys(liars, ""), everybody) as here:
        await here.live(range(3), everybody)
        await here.live(range(3, 20), everybody, liars)
        event = await here.event("RU", 64502)
        assert event is not None
        assert event.tier is Tier.LIKELY
        assert "one_owner" in event.against


async def test_who_enrolled_elsewhere_has_no_vote_until_an_operator_agrees(tmp_path: Path) -> None:
    """They claim a network that they are not in."""
    liars = (Person(11, 64502), Person(12, 64502))
    everybody = (*HONEST, *liars)
    seen = {liars[0]: ("NL", 64999), liars[1]: ("RU", 64509), HONEST[0]: ("RU", 64501)}
    async with town("embedded", tmp_path, {}, everybody, seen) as here:
        await here.live(range(3), everybody)
        await here.live(range(3, 16), everybody, (*liars, *HONEST[:3]))
        assert await here.event("RU", 64502) is None
        honest = await here.event("RU", 64501)
        assert honest is not None
        assert honest.tier is Tier.CONFIRMED
        await same_by_replay(here)
        for liar in liars:
            assert await here.made.database.registry.trust_place(liar.probe)
        numbers = iter(range(18, 10_000))

        async def believed() -> bool:
            number = next(numbers)
            await here.live([number], everybody)
            at = START + number * INTERVAL
            found = await here.made.database.facts.facts(at, at, "wechat")
            return {each.enrolled for each in found} == {ENROLLED}

        # The collector asks the registry every few seconds.
        await eventually(believed)
