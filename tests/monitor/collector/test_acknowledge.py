from __future__ import annotations

import asyncio

from monitor.collector.acknowledge import MAX_SEQUENCES, Acknowledger
from monitor.collector.interval_slots import Slot
from monitor.metrics.counters import Counters
from probes.runtime.mqtt import BrokerError
from probes.wire import topics
from probes.wire.codec import Ack, decode_ack
from tests.monitor.collector.bench import P
from tests.world.waiting import eventually


class Wire:
    """A connection that keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Ack]] = []
        self.dead = False

    async def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        if self.dead:
            raise BrokerError("gone")
        self.sent.append((topic, decode_ack(payload)))


async def test_due_now_in_groups_and_later_when_due() -> None:
    counters, wire = Counters(), Wire()
    acknowledger = Acknowledger(counters)
    acknowledger.connection = wire
    for sequence in range(3):
        acknowledger.add(P, "b", sequence, 0)
    acknowledger.add(P, "other", 7, 0)
    acknowledger.add(P, "b", 9, 1.5)
    async with asyncio.TaskGroup() as group:
        group.create_task(acknowledger.run())
        await eventually(lambda: len(wire.sent) == 2)
        assert sorted(wire.sent, key=lambda s: s[1].boot) == [
            (topics.ack(P), Ack(boot="b", sequences=(0, 1, 2))),
            (topics.ack(P), Ack(boot="other", sequences=(7,))),
        ]
        await eventually(lambda: len(wire.sent) == 3)
        acknowledger.add(P, "b", 10, 60)
        acknowledger.close()
    assert counters.acknowledged == 5, "what is due in a minute stays unsaid"


async def test_a_vantage_learns_its_turn() -> None:
    wire, acknowledger = Wire(), Acknowledger(Counters())
    acknowledger.connection, acknowledger.slots = wire, {P: Slot(250, 4)}
    acknowledger.add(P, "b", 1, 0)
    acknowledger.add(f"p-{'f' * 16}", "b", 1, 0)
    acknowledger.close()
    await acknowledger.run()
    assert {(ack.place, ack.vantages) for _, ack in wire.sent} == {(250, 4), (None, None)}


async def test_what_was_not_accepted_is_told_with_the_newest_reason() -> None:
    wire, acknowledger = Wire(), Acknowledger(Counters())
    acknowledger.connection = wire
    acknowledger.add(P, "b", 1, 0, 2, "wrong_round")
    acknowledger.add(P, "b", 2, 0, 1, "clock_ahead")
    acknowledger.add(P, "b", 3, 0)
    acknowledger.add(P, "other", 1, 0)
    acknowledger.close()
    await acknowledger.run()
    assert {(ack.boot, ack.quarantined, ack.reason) for _, ack in wire.sent} == {
        ("b", 3, "clock_ahead"),
        ("other", 0, ""),
    }


async def test_no_connection_and_a_dead_one_let_go() -> None:
    counters, wire = Counters(), Wire()
    acknowledger = Acknowledger(counters)
    acknowledger.add(P, "b", 1, 0)
    async with asyncio.TaskGroup() as group:
        group.create_task(acknowledger.run())
        await asyncio.sleep(0.02)
        acknowledger.connection, wire.dead = wire, True
        acknowledger.add(P, "b", 2, 0)
        await asyncio.sleep(0.02)
        wire.dead = False
        acknowledger.add(P, "b", 3, 0)
        await eventually(lambda: bool(wire.sent))
        acknowledger.close()
    assert wire.sent == [(topics.ack(P), Ack(boot="b", sequences=(3,)))]
    assert counters.acknowledged == 1


async def test_one_message_names_a_bounded_number() -> None:
    wire = Wire()
    acknowledger = Acknowledger(Counters())
    acknowledger.connection = wire
    for sequence in range(MAX_SEQUENCES + 1):
        acknowledger.add(P, "b", sequence, 0)
    acknowledger.close()
    await acknowledger.run()
    assert [len(ack.sequences) for _, ack in wire.sent] == [MAX_SEQUENCES, 1]


async def test_a_delayed_batch_is_known_until_it_is_said() -> None:
    acknowledger = Acknowledger(Counters())
    acknowledger.connection = Wire()
    acknowledger.add(P, "b", 1, 0.05)
    assert acknowledger.pending(P, "b", 1)
    assert not acknowledger.pending(P, "b", 2)
    async with asyncio.TaskGroup() as group:
        group.create_task(acknowledger.run())
        await eventually(lambda: not acknowledger.pending(P, "b", 1))
        acknowledger.close()


async def test_what_is_not_stored_is_named_with_its_reason_and_not_acknowledged() -> None:
    wire, acknowledger = Wire(), Acknowledger(Counters())
    acknowledger.connection = wire
    acknowledger.clock_offsets = {P: -7_200_000}
    acknowledger.add(P, "b", 1, 0)
    acknowledger.add(P, "b", 2, 0, reason="clock_ahead", held=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(acknowledger.run())
        await eventually(lambda: len(wire.sent) == 1)
        acknowledger.close()
    assert wire.sent[0][1] == Ack(
        boot="b", sequences=(1,), held=(2,), reason="clock_ahead", clock_offset_ms=-7_200_000
    )
