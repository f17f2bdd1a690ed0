"""Groups, commits and what is acknowledged, with a store in memory; the broker and a real store
are in test_subscriber."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from monitor.collector import batch_writer
from monitor.collector.acknowledge import Acknowledger
from monitor.collector.batch_writer import BatchWriter
from monitor.collector.message_queue import MessageQueue, Received
from monitor.collector.rates import DailyQuota, RateLimits
from monitor.metrics.counters import Counters
from monitor.store.records import ProbeKey
from probes.delivery import signing_key
from probes.wire.codec import BatchHeader, Status, encode, encode_batch, encode_message
from tests.monitor.collector.bench import Memory, P, batch, measurement, now_ms
from tests.world.waiting import HANG_SECONDS, eventually

Q = "p-0000000000000002"


class Desk:
    """A writer at work."""

    def __init__(self, *probes: str) -> None:
        self.memory, self.counters = Memory(*probes), Counters()
        self.queue, self.stop = MessageQueue(), asyncio.Event()
        self.acked: list[tuple[str, str, int, float, int, str]] = []
        acknowledger = Acknowledger(self.counters)
        self.held: list[bool] = []
        acknowledger.add = self._add  # type: ignore[assignment]
        self.writer = BatchWriter(
            self.queue, self.memory, acknowledger, self.counters, self.stop, now_ms
        )

    def _add(self, *ack: Any, held: bool = False, **_: object) -> None:
        self.acked.append(ack)
        self.held.append(held)

    def arrive(self, payload: bytes, probe: str = P, *, status: bool = False) -> bool:
        return self.queue.put(
            Received(probe=probe, payload=payload, received=now_ms(), status=status)
        )

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.memory.quarantine]


@asynccontextmanager
async def desk(*probes: str) -> AsyncIterator[Desk]:
    made = Desk(*(probes or (P,)))
    async with asyncio.TaskGroup() as group:
        group.create_task(made.writer.run())
        yield made
        made.stop.set()
        made.queue.close()


async def test_many_batches_are_one_commit_and_each_is_acknowledged() -> None:
    async with desk(P, Q) as made:
        for number in range(10):
            made.arrive(batch(sequences=range(number * 10, number * 10 + 10), number=number))
        made.arrive(batch(Q, sequences=(1,), boot="q"), Q)
        await eventually(lambda: len(made.acked) == 11)
        assert made.memory.calls == [101]
        own = [ack[:3] for ack in made.acked if ack[0] == P]
        assert own == [(P, "b", n) for n in range(10)]
        assert made.acked[1][:3] == (Q, "q", 0), "probes are served in turn"
        assert made.counters.ingested == 101
        assert made.counters.lag.buckets()[-1][1] == 101
        assert {(one.probe, one.country, one.asn) for one in made.memory.said} == {
            (P, "RU", 64501),
            (Q, "RU", 64501),
        }


async def test_groups_have_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writer, "GROUP_MEASUREMENTS", 1000)
    async with desk() as made:
        for number in range(6):
            made.arrive(batch(sequences=range(number * 400, number * 400 + 400), number=number))
        await eventually(lambda: len(made.acked) == 6)
        assert made.memory.calls == [1200, 1200]


async def test_duplicates_and_conflicts_are_counted_and_acknowledged() -> None:
    async with desk() as made:
        other = encode(measurement(at=now_ms() - 5000))
        made.arrive(batch())
        await eventually(lambda: len(made.acked) == 1)
        line = next(iter(made.memory.rows.values()))
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=1), [line]))
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=2), [other]))
        await eventually(lambda: len(made.acked) == 3)
        assert (made.counters.ingested, made.counters.duplicate) == (1, 1)
        assert made.counters.quarantined["conflicting_id"] == 1


async def test_what_is_refused_is_quarantined_and_acknowledged_beside_its_neighbours() -> None:
    async with desk() as made:
        lines = [
            encode(measurement(sequence=0)),
            b"rubbish",
            encode(measurement(Q, sequence=1)),
            encode(measurement(sequence=2, id="0" * 32)),
        ]
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=0), lines))
        await eventually(lambda: len(made.acked) == 1)
        assert sorted(made.reasons) == ["foreign_probe", "malformed_line", "wrong_id"]
        assert made.acked[0][4:] == (3, "wrong_id"), "the probe is told"
        made.arrive(batch(sequences=(3,), number=1))
        await eventually(lambda: len(made.acked) == 2)
        assert made.acked[1][4:] == (0, "")
        assert {one.payload for one in made.memory.quarantine} == set(lines[1:])
        assert made.counters.ingested == 2
        assert made.counters.quarantined.total() == 3
        # Which numbers have arrived is recorded (`monitor.store.delivery`).
        numbers = {one.envelope.sequence for one in made.memory.quarantine if one.envelope}
        assert numbers == {1, 2}


async def test_a_later_version_is_not_acknowledged_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk() as made:
        for number in range(3):
            made.arrive(encode_batch(BatchHeader(v=2, boot="b", sequence=number), []))
        made.arrive(batch(number=9))
        await eventually(lambda: len(made.acked) == 1)
        assert made.acked[0][2] == 9
        assert made.counters.too_new == 3
        assert made.reasons == []
        assert len([r for r in caplog.records if "newer version" in r.getMessage()]) == 1


@pytest.mark.parametrize(
    ("offset", "kept"),
    [(None, False), (0, True), (-2_000, True), (3_600_000, False), (3_300_000, False)],
)
async def test_a_clock_that_is_behind_loses_no_measurement_of_a_clock_that_is_right(
    offset: int | None, kept: bool
) -> None:
    """`offset` is what the probe's hosts say of its clock, which is an hour ahead of ours."""
    ahead = measurement(at=now_ms() + 3_600_000, clock_offset_ms=offset)
    async with desk() as made:
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=1), [encode(ahead)]))
        made.arrive(batch(sequences=[7], number=9))
        await eventually(lambda: [ack[2] for ack in made.acked][-1:] == [9])
        assert made.reasons == []
        assert made.held == ([False] if kept else [True, False])
        assert made.counters.clock_wrong == 1, "one owner's probe does not make it this clock"
        assert not made.counters.clock_behind


async def test_several_owners_together_say_that_this_clock_is_behind() -> None:
    """As long as fewer say that it is right."""
    probes = [f"p-{number:016x}" for number in range(6)]
    async with desk(*probes) as made:
        for id, probe in made.memory.known.items():
            made.memory.known[id] = msgspec.structs.replace(probe, owner=f"owner of {id}")
        sent = 0

        async def say(probe: str, ahead: int) -> None:
            nonlocal sent
            sent += 1
            told = measurement(probe, sent, at=now_ms() + ahead, clock_offset_ms=0)
            made.arrive(encode_batch(BatchHeader(boot="b", sequence=sent), [encode(told)]), probe)
            await eventually(
                lambda: (
                    made.counters.ingested + made.counters.clock_behind + made.counters.clock_wrong
                    == sent
                )
            )

        for number, (ahead, behind) in enumerate(
            [(3_600_000, 0), (3_600_000, 1), (3_600_000, 2), (0, 2), (0, 2), (0, 2)]
        ):
            await say(probes[number], ahead)
            assert made.counters.clock_behind == behind
        await say(probes[0], 3_600_000)
        assert made.counters.clock_behind == 2


async def test_dates_alone_hold_nothing() -> None:
    """Whose hosts are said to be far ahead, and whose own times are right, is heard."""
    async with desk() as made:
        told = measurement(clock_offset_ms=-(2**31))
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=1), [encode(told)]))
        await eventually(lambda: len(made.acked) == 1)
        assert made.counters.ingested == 1


@pytest.mark.parametrize(
    ("ahead", "says", "held"),
    [
        (24 * 3_600_000, True, True),
        (24 * 3_600_000, False, True),
        (6 * 60_000, True, True),
        (4 * 60_000, True, False),
        (-2 * 3_600_000, True, False),
        (-100 * 86_400_000, True, True),
        (-100 * 86_400_000, False, False),
    ],
    ids=["day", "day-silent", "minutes", "little", "slow", "days-slow", "old"],
)
async def test_a_probe_keeps_what_its_wrong_clock_measured(
    ahead: int, says: bool, held: bool
) -> None:
    async with desk() as made:
        status = Status(state="heartbeat", clock_ms=now_ms() + ahead if says else 0)
        made.arrive(encode_message(status), status=True)
        await eventually(lambda: bool(made.memory.said))
        lines = [
            encode(measurement(sequence=0)),  # it was set while the round lasted
            encode(measurement(sequence=1, at=now_ms() + ahead)),
        ]
        made.arrive(encode_batch(BatchHeader(boot="b", sequence=4), lines))
        await eventually(lambda: len(made.acked) == 1)
        assert made.held == [held]
        assert made.counters.clock_wrong == held
        assert len(made.memory.rows) + len(made.memory.quarantine) == (0 if held else 2)
        if says:
            assert abs(made.writer._clock_offsets[P] - ahead) < 5_000


async def test_store_away_no_acknowledgement_one_line_and_recovery(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    async with desk() as made:
        made.queue._max_messages = 5
        made.counters.broker = ""
        made.memory.away = "database is locked"
        taken = [made.arrive(batch(sequences=(n,), number=n)) for n in range(3)]
        await eventually(lambda: bool(made.counters.store))
        taken += [made.arrive(batch(sequences=(n,), number=n)) for n in range(3, 20)]
        await eventually(lambda: made.memory.refused > 2)
        assert made.acked == []
        assert made.counters.unready == ("store: database is locked",)
        assert not all(taken), "memory is bounded"
        made.memory.away = ""
        await eventually(lambda: len(made.acked) == sum(taken))
        assert made.counters.unready == ()
    lines = [r.getMessage() for r in caplog.records if r.name == "reachwatch.collector"]
    assert len(lines) == 2
    assert "database is locked" in lines[0]
    assert "available again" in lines[1]


async def test_stopping_without_a_store_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_writer, "FINISH_SECONDS", 0.2)
    async with asyncio.timeout(HANG_SECONDS), desk() as made:
        made.memory.away = "gone"
        made.arrive(batch())
        await eventually(lambda: bool(made.counters.store))
    assert made.acked == []
    assert made.memory.rows == {}


async def test_statuses_reach_the_registry_and_bad_ones_the_quarantine() -> None:
    async with desk() as made:
        hello = encode_message(Status(state="hello", version="1"))
        made.arrive(hello, status=True)
        made.arrive(b"{", status=True)
        made.arrive(encode_message(Status(state="hello")) + b" " * 5000, status=True)
        await eventually(lambda: len(made.memory.quarantine) == 2 and bool(made.memory.said))
        assert [(one.probe, one.status) for one in made.memory.said] == [(P, hello)]
        assert made.reasons == ["malformed_status"] * 2
        assert made.acked == []


async def test_unknown_and_revoked_probes_are_quarantined() -> None:
    async with desk(P) as made:
        made.arrive(batch(Q), Q)
        await eventually(lambda: len(made.acked) == 1)
        assert made.reasons == ["unknown_probe"]


async def test_a_flood_is_delayed_then_refused_and_others_are_not_concerned() -> None:
    async with desk(P, Q) as made:
        made.writer.rate_limits, began = RateLimits(rate=1, burst=100), time.monotonic()
        for number in range(10):
            made.arrive(batch(sequences=range(number * 50, number * 50 + 50), number=number))
        made.arrive(batch(Q, boot="q"), Q)
        await eventually(lambda: len(made.acked) - 1 + made.counters.dropped == 10)
        passed = time.monotonic() - began
        delays = [delay for probe, _, _, delay, *_ in made.acked if probe == P]
        assert delays[:2] == [0.0, 0.0]
        assert 100 - passed <= delays[3] <= 100
        assert len(delays) in (4, 5)
        assert made.counters.dropped == 10 - len(delays)
        assert made.acked[1][:4] == (Q, "q", 0, 0.0)


async def test_what_goes_over_the_quota_of_a_day_stays_with_its_probe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Refused once visibly, and never acknowledged: it is not lost."""
    async with desk(P, Q) as made:
        made.writer.quota = DailyQuota(most=5000)
        for number in range(40):
            made.arrive(batch(sequences=(number,), number=number))
            if number < 3:
                made.arrive(batch(Q, sequences=(number,), number=number, boot="q"), Q)
        await eventually(lambda: len(made.acked) - 3 + made.counters.over_quota == 40)
        await eventually(lambda: "over_quota" in made.reasons)
        assert 5 < made.counters.over_quota < 40
        assert made.reasons == ["over_quota"]
        assert caplog.text.count("in a day") == 1
        assert sum(ack[0] == Q for ack in made.acked) == 3


async def test_a_batch_that_cannot_be_verified_is_left_to_its_probe() -> None:
    """Who has stolen a probe's secret neither stores anything in its name nor makes it delete what
    it holds: an acknowledgement of the forged batch would name a true one."""
    key, other = signing_key.make(), signing_key.make()
    lines = [encode(measurement())]
    plain = BatchHeader(boot="b", sequence=1)
    true = key.signed(plain, lines)
    forged = [
        encode_batch(plain, lines),
        encode_batch(other.signed(plain, lines), lines),
        encode_batch(true, [encode(measurement(sequence=1))]),
        encode_batch(true, [*lines, b"?"]),
        encode_batch(true, lines)[:-9],
    ]
    async with desk(P, Q) as made:
        held = ProbeKey(probe=P, id=key.id, public_key=key.public, since=1)
        made.memory.signed[P] = [held]
        for payload in forged:
            made.arrive(payload)
        await eventually(lambda: made.counters.unverified.total() == 4)
        made.arrive(batch(Q), Q)
        made.arrive(encode_batch(true, lines))
        await eventually(lambda: len(made.memory.rows) == 2)
        await eventually(lambda: len(made.acked) == 6)
        assert made.held == [True] * 4 + [False] * 2
        assert made.counters.unverified == {
            "unsigned": 1,
            "unknown_key": 1,
            "wrong_signature": 2,
        }
        assert made.reasons == ["malformed_batch"], "of which no header can be read"
