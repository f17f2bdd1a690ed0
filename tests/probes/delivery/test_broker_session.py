"""One connection: what is sent and received while it lasts."""

import asyncio
import contextlib
from pathlib import Path

from probes.delivery.outbox import UNANSWERED_ATTEMPTS, DeliveryTimes
from probes.runtime import mqtt
from probes.runtime.broker_url import parse_broker
from probes.wire import codec, topics
from tests.probes.delivery.test_broker_client import QUICK, rig
from tests.probes.delivery.test_broker_client import pytestmark as pytestmark
from tests.probes.delivery.test_spool import PROBE, draft
from tests.world.collector import collecting
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.waiting import eventually


async def test_a_round_is_one_batch_and_is_sent_after_the_acknowledgement(
    tmp_path: Path,
) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with contextlib.AsyncExitStack() as stack:
            collector = await stack.enter_async_context(collecting(server.port))
            await collector.subscribed.wait()
            patient = DeliveryTimes(linger=300.0, heartbeat=QUICK.heartbeat)
            r = await stack.enter_async_context(rig(tmp_path, server.url, patient))
            await collector.wait(lambda: [s.state for s in collector.states][:1] == ["hello"])
            r.outbox.round_opened(7000)
            taken = [await r.spool.put(draft(7000)) for _ in range(20)]
            await asyncio.sleep(0.1)
            assert collector.batches == []
            r.outbox.rounds_closed()
            await r.drained()
            assert {t.id for t in taken if t} == set(collector.ids)
            assert [len(b.lines) for b in collector.batches] == [20]
            assert r.outbox.stats.last_ack_ms == 5
            assert r.outbox.stats.transport == "mqtt+5"
            await collector.wait(lambda: "heartbeat" in [s.state for s in collector.states])
            r.client.finish(2)
            await collector.wait(lambda: collector.states[-1].state == "goodbye")


async def test_an_open_round_waits_only_so_long(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            r.outbox.round_opened(7000)
            await r.spool.put(draft(7000))
            await r.drained()


async def test_without_acknowledgement_it_is_sent_again_and_kept(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            for index in range(3):
                await r.spool.put(draft(index))
            r.outbox.rounds_closed()
            await collector.wait(lambda: len(collector.batches) >= 7)
            assert (await r.spool.counts()).pending == 3
            assert {b.header.sequence for b in collector.batches} == {0, 1, 2}
            collector.acking = True
            await r.drained()
            assert r.outbox.stats.resent > 0


async def test_without_acknowledgements_one_batch_at_a_time_is_sent_again(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            for index in range(4):
                await r.spool.put(draft(index))
            r.outbox.rounds_closed()
            await collector.wait(lambda: len(collector.batches) >= 4 * UNANSWERED_ATTEMPTS)
            await asyncio.sleep(2 * QUICK.ack_most)  # until the last batches sent together are due
            before, begun = len(collector.batches), asyncio.get_running_loop().time()
            resent = r.outbox.stats.resent

            def later() -> list[int]:
                return [batch.header.sequence for batch in collector.batches[before:]]

            # Each in turn, because a collector may fail over one of them.
            await collector.wait(lambda: set(later()) == {0, 1, 2, 3})
            took = asyncio.get_running_loop().time() - begun
            assert r.outbox.stats.resent - resent <= took / QUICK.ack_most + 1
            collector.acking = True
            await r.drained()


async def test_a_foreign_boot_or_damaged_acknowledgement_changes_nothing(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            await r.spool.put(draft())
            r.outbox.rounds_closed()
            await collector.wait(lambda: collector.batches)
            async with mqtt.connect(
                parse_broker(server.url),
                client_id="x",
            ) as other:  # fmt: skip
                topic = f"reachwatch/v1/ack/{PROBE}"
                ack = codec.Ack(boot="other", sequences=(0,))
                await other.publish(topic, codec.encode_message(ack))
                ack = codec.Ack(boot=collector.batches[0].header.boot, sequences=(9,))
                await other.publish(topic, codec.encode_message(ack))
                await other.publish(topic, b"\xff{")
            await r.logged("invalid message")
            assert (await r.spool.counts()).pending == 1


async def test_the_place_in_the_interval_comes_with_the_acknowledgement(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            for place, expected in ((None, None), (250, 250), (None, 250)):
                collector.place, collector.vantages = place, None if place is None else 4
                await r.spool.put(draft())
                r.outbox.rounds_closed()
                await r.drained()
                assert r.outbox.stats.place == expected
                assert r.outbox.stats.vantages == (None if expected is None else 4)


async def test_a_batch_that_is_acknowledged_twice_counts_once(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            collector.acking = False
            await collector.wait(lambda: collector.states)
            await r.spool.put(draft())
            r.outbox.rounds_closed()
            await collector.wait(lambda: len(collector.batches) > 1)
            async with mqtt.connect(
                parse_broker(server.url),
                client_id="x",
            ) as other:  # fmt: skip
                ack = codec.Ack(boot=collector.batches[0].header.boot, sequences=(0, 0))
                await other.publish(f"reachwatch/v1/ack/{PROBE}", codec.encode_message(ack))
                await r.drained()
            collector.acking = True
            await r.spool.put(draft(7))
            r.outbox.rounds_closed()
            await r.drained()


async def test_what_was_on_its_way_is_made_anew_when_the_spool_was_changed(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "b")
    server.start()
    try:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            collector.acking = False
            await r.spool.put(draft(7000))
            await collector.wait(lambda: len(collector.batches) >= 1)
            await asyncio.to_thread(server.kill)
            r.moved = True
            await asyncio.to_thread(server.start)
            before = len(collector.batches)
            await collector.wait(lambda: len(collector.batches) > before)
            collector.acking = True
            await r.drained()
            sent = [codec.decode(line) for batch in collector.batches for line in batch.lines]
    finally:
        server.stop()
    assert sent[0].catalogue != "cleaned"
    assert {m.catalogue for m in sent[before:]} == {"cleaned"}
    assert {m.id for m in sent} == {sent[0].id}


async def test_the_events_of_its_country_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    """After the first heartbeat: a line that fails often does not fetch them again and again."""
    with running_mosquitto(tmp_path / "b") as server:
        async with mqtt.connect(parse_broker(server.url), client_id="monitor") as monitor:
            for service, country in (("wechat", "RU"), ("signal", "RU"), ("wechat", "FR")):
                body = f"{service} {country}".encode()
                await monitor.publish(topics.events(service, country), body, retain=True)
            async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
                await collector.wait(lambda: [s.state for s in collector.states].count("heartbeat"))
                r.location = ("RU", 64501)
                await collector.wait(lambda: len(collector.states) > 3)
                assert r.events == [], "not wanted"
                r.wants_events = True
                await eventually(lambda: sorted(r.events) == [b"signal RU", b"wechat RU"])
                await monitor.publish(topics.events("wechat", "RU"), b"again", retain=True)
                await eventually(lambda: b"again" in r.events)
                assert len(r.events) == 3


async def test_a_probe_without_a_place_asks_for_no_events(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with mqtt.connect(parse_broker(server.url), client_id="monitor") as monitor:
            await monitor.publish(topics.events("wechat", "ZZ"), b"x", retain=True)
            async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
                r.wants_events = True
                await collector.wait(
                    lambda: [s.state for s in collector.states].count("heartbeat") > 2
                )
                assert r.events == []
