import asyncio
import contextlib
import io
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from probes.delivery.broker_client import UNANSWERED_ATTEMPTS, BrokerClient, DeliveryTimes
from probes.delivery.spool import Spool
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.broker_url import parse_broker
from probes.wire import codec
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.measurement import Measurement
from tests.probes.delivery.test_spool import PROBE, balanced, draft
from tests.world.collector import FakeCollector, collecting
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.older_broker import only_3_1_1
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("mosquitto")

QUICK = DeliveryTimes(
    ack=0.3, ack_most=0.6, linger=0.5, heartbeat=0.2, backoff=0.05, backoff_most=0.2
)


def heavy(round_ms: int, random_bytes: int) -> Measurement:
    """A measurement that zstd cannot make smaller."""
    evidence = tuple(secrets.token_hex(400) for _ in range(random_bytes // 400))
    base = draft(round_ms)
    observation = base.observations[0]
    return Measurement(
        **{
            name: getattr(base, name)
            for name in Measurement.__struct_fields__
            if name != "observations"
        },
        observations=tuple(
            type(observation)(endpoint=word, address="192.0.2.1", port=443)  # type: ignore[call-arg]
            for word in evidence
        ),
    )


class Rig:
    def __init__(self, directory: Path, url: str, times: DeliveryTimes) -> None:
        self.spool = Spool(directory, PROBE)
        self.log = io.StringIO()
        self.client = BrokerClient(
            self.spool,
            PROBE,
            [parse_broker(url)],
            user="",
            secret="",
            boot=secrets.token_hex(4),
            status=lambda state: codec.Status(state=state, version="1"),
            log=Log(self.log),
            now_ms=lambda: 5,
            rng=random.Random(1),
            times=times,
            on_connect=self.connected,
        )
        self.moved = False

    async def connected(self) -> bool:
        """With `moved`, the spool is rewritten whenever there is a new connection."""
        if self.moved:
            last: int | None = 0
            while last is not None:
                last = await self.spool.rewrite(lambda m: replace(m, catalogue="cleaned"), last)
        return self.moved

    async def logged(self, words: str) -> None:
        async with asyncio.timeout(300):
            while words not in self.log.getvalue():  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.02)

    async def drained(self, seconds: float = 300) -> None:
        async with asyncio.timeout(seconds):
            while (await self.spool.counts()).pending:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def rig(directory: Path, url: str, times: DeliveryTimes = QUICK) -> AsyncIterator[Rig]:
    made = Rig(directory, url, times)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.client.run())
        try:
            yield made
        finally:
            task.cancel()
    assert balanced(await made.spool.counts())
    await made.spool.close()


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
            r.client.round_opened(7000)
            taken = [await r.spool.put(draft(7000)) for _ in range(20)]
            await asyncio.sleep(0.1)
            assert collector.batches == []
            r.client.round_closed()
            await r.drained()
            assert {t.id for t in taken if t} == set(collector.ids)
            assert [len(b.lines) for b in collector.batches] == [20]
            assert r.client.stats.last_ack_ms == 5
            assert r.client.stats.transport == "mqtt+5"
            await collector.wait(lambda: "heartbeat" in [s.state for s in collector.states])
            r.client.finish(2)
            await collector.wait(lambda: collector.states[-1].state == "goodbye")


async def test_an_open_round_waits_only_so_long(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            r.client.round_opened(7000)
            await r.spool.put(draft(7000))
            await r.drained()


async def test_without_acknowledgement_it_is_sent_again_and_kept(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            for index in range(3):
                await r.spool.put(draft(index))
            r.client.round_closed()
            await collector.wait(lambda: len(collector.batches) >= 7)
            assert (await r.spool.counts()).pending == 3
            assert {b.header.sequence for b in collector.batches} == {0, 1, 2}
            collector.acking = True
            await r.drained()
            assert r.client.stats.resent > 0


async def test_without_acknowledgements_one_batch_at_a_time_is_sent_again(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            for index in range(4):
                await r.spool.put(draft(index))
            r.client.round_closed()
            await collector.wait(lambda: len(collector.batches) >= 4 * UNANSWERED_ATTEMPTS)
            await asyncio.sleep(2 * QUICK.ack_most)  # until the last batches sent together are due
            before, begun = len(collector.batches), asyncio.get_running_loop().time()

            def later() -> list[int]:
                return [batch.header.sequence for batch in collector.batches[before:]]

            # Each in turn, because a collector may fail over one of them.
            await collector.wait(lambda: set(later()) == {0, 1, 2, 3})
            took = asyncio.get_running_loop().time() - begun
            assert len(later()) <= took / QUICK.ack_most + 2
            collector.acking = True
            await r.drained()


async def test_a_foreign_boot_or_damaged_acknowledgement_changes_nothing(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            collector.acking = False
            await r.spool.put(draft())
            r.client.round_closed()
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
                r.client.round_closed()
                await r.drained()
                assert r.client.place == expected
                assert r.client.vantages == (None if expected is None else 4)


async def test_what_the_monitor_did_not_accept_is_remembered(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            for unaccepted in ((1, "unknown_country"), (0, "")):
                collector.unaccepted = unaccepted
                await r.spool.put(draft())
                r.client.round_closed()
                await r.drained()
                stats = r.client.stats
                assert (stats.unaccepted, stats.unaccepted_reason) == (1, "unknown_country")
                assert stats.unaccepted_ms


async def test_a_batch_that_is_acknowledged_twice_counts_once(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            collector.acking = False
            await collector.wait(lambda: collector.states)
            await r.spool.put(draft())
            r.client.round_closed()
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
            r.client.round_closed()
            await r.drained()


async def test_a_broker_that_is_killed_repeatedly_loses_nothing(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "b")
    server.start()
    rng = random.Random(3)
    ids = set()
    try:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            collector.delay = 0.02
            for index in range(40):
                r.client.round_opened(index)
                for _ in range(3):
                    taken = await r.spool.put(draft(index))
                    assert taken is not None
                    ids.add(taken.id)
                r.client.round_closed()
                await asyncio.sleep(rng.uniform(0, 0.06))
                if index % 8 == 5:
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            await r.drained()
            assert set(collector.ids) == ids
    finally:
        server.stop()


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


async def test_too_large_is_split_and_the_impossible_is_set_apart(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b", "max_packet_size 150000") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            small = [await r.spool.put(heavy(1, 40_000)) for _ in range(8)]
            assert await r.spool.put(heavy(1, 400_000))
            after = await r.spool.put(draft(1))
            r.client.round_closed()
            await r.drained()
            counts = await r.spool.counts()
            assert counts.quarantined == 1
            assert {t.id for t in [*small, after] if t} == set(collector.ids)
            assert max(collector.sizes) < 150_000
            assert len(collector.batches) > 2
            assert "too large" in r.log.getvalue()


async def test_our_own_limit_holds_where_the_broker_names_none(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            collecting(server.port) as collector,
            rig(tmp_path, server.url + "?version=3.1.1") as r,
        ):
            await collector.wait(lambda: collector.states)
            for _ in range(8):
                await r.spool.put(heavy(1, 90_000))
            r.client.round_closed()
            await r.drained()
            assert max(collector.sizes) <= MAX_PACKET_BYTES
            assert r.client.stats.transport == "mqtt+3.1.1"


async def test_a_broker_that_cuts_without_naming_its_limit(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b", "max_packet_size 40000") as server:
        async with (
            collecting(server.port) as collector,
            rig(tmp_path, server.url + "?version=3.1.1") as r,
        ):
            await collector.wait(lambda: collector.states)
            taken = [await r.spool.put(heavy(1, 20_000)) for _ in range(8)]
            r.client.round_closed()
            await r.drained()
            assert {t.id for t in taken if t} == set(collector.ids)
            assert (await r.spool.counts()).quarantined == 0
            assert "batches made smaller" in r.log.getvalue()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_broker_of_3_1_1_only_is_found_by_trying(
    silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 3.0 if silent else HANG_SECONDS
    defaults = mqtt.connect.__wrapped__.__kwdefaults__ | {"connack_seconds": seconds}
    monkeypatch.setattr(mqtt.connect.__wrapped__, "__kwdefaults__", defaults)
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            only_3_1_1(server.port, silent=silent) as port,
            collecting(server.port) as collector,
            rig(tmp_path, f"mqtt://127.0.0.1:{port}") as r,
        ):
            await collector.wait(lambda: collector.states)
            await r.spool.put(draft())
            r.client.round_closed()
            await r.drained()
            assert r.client.stats.transport == "mqtt+3.1.1"
            assert "unreachable" not in r.log.getvalue()


async def test_an_unreachable_broker_is_one_log_line_and_finish_still_works(tmp_path: Path) -> None:
    async with rig(tmp_path, f"mqtt://127.0.0.1:{free_port()}") as r:
        await r.spool.put(draft())
        await r.logged("refused")
        await asyncio.sleep(0.5)  # several attempts more
        assert r.log.getvalue().count("\n") == 1
        assert "refused" in r.log.getvalue()
        r.client.finish(1)


async def test_a_probe_that_disappears_is_reported_lost(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with collecting(server.port) as collector:
            made = Rig(tmp_path, server.url, QUICK)
            other = FakeCollector()
            assert other.ids == {}
            async with asyncio.TaskGroup() as group:
                task = group.create_task(made.client.run())
                await collector.wait(lambda: collector.states)
                # Another connection of the same name pushes it out without DISCONNECT.
                async with mqtt.connect(
                    parse_broker(server.url),
                    client_id=PROBE,
                ):  # fmt: skip
                    await collector.wait(lambda: "lost" in [s.state for s in collector.states])
                task.cancel()
            await made.spool.close()
