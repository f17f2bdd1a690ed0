import asyncio
import contextlib
import io
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from probes.delivery.batch_signer import BatchSigner
from probes.delivery.broker_client import Access, BrokerClient
from probes.delivery.broker_session import UNKNOWN_LOCATION, DaemonSide
from probes.delivery.outbox import DeliveryTimes, Outbox
from probes.delivery.received_quota import BURST_BYTES
from probes.delivery.spool import Spool
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.broker_url import parse_broker
from probes.wire import codec, topics
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
        self.location, self.events, self.wants_events = UNKNOWN_LOCATION, list[bytes](), False
        common: Any = {"now_ms": lambda: 5, "rng": random.Random(1), "log": Log(self.log)}
        signer = BatchSigner(directory, Log(io.StringIO()))
        self.outbox = Outbox(self.spool, secrets.token_hex(4), times=times, signer=signer, **common)
        self.client = BrokerClient(
            Access(probe=PROBE, brokers=(parse_broker(url),)),
            self.outbox,
            DaemonSide(
                status=lambda state: codec.Status(state=state, version="1"),
                on_connect=self.connected,
                location=lambda: self.location,
                on_event=self.events.append,
                wants_events=lambda: self.wants_events,
            ),
            **common,
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


async def test_a_broker_that_is_killed_repeatedly_loses_nothing(tmp_path: Path) -> None:
    server = Mosquitto(tmp_path / "b")
    server.start()
    rng = random.Random(3)
    ids = set()
    try:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            collector.delay = 0.02
            for index in range(40):
                r.outbox.round_opened(index)
                for _ in range(3):
                    taken = await r.spool.put(draft(index))
                    assert taken is not None
                    ids.add(taken.id)
                r.outbox.rounds_closed()
                await asyncio.sleep(rng.uniform(0, 0.06))
                if index % 8 == 5:
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
            await r.drained()
            assert set(collector.ids) == ids
    finally:
        server.stop()


async def test_a_broker_that_sends_too_much_is_left_alone(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as server:
        async with (
            rig(tmp_path, server.url) as r,
            mqtt.connect(parse_broker(server.url), client_id="x") as flooder,
        ):
            await r.logged("connected")
            for _ in range(20):
                await flooder.publish(topics.ack(PROBE), bytes(200_000))
                if r.outbox.stats.flooded_ms:
                    break
            await r.logged("broker sent too much")
            assert r.outbox.stats.flooded_ms == 5
            assert r.outbox.stats.traffic.total() < 2 * BURST_BYTES
            before = r.log.getvalue().count("connected")
            await asyncio.sleep(20 * QUICK.backoff)
            assert r.log.getvalue().count("connected") == before
            assert r.outbox.stats.transport == ""


async def test_too_large_is_split_and_the_impossible_is_set_apart(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b", "max_packet_size 150000") as server:
        async with collecting(server.port) as collector, rig(tmp_path, server.url) as r:
            await collector.wait(lambda: collector.states)
            small = [await r.spool.put(heavy(1, 40_000)) for _ in range(8)]
            assert await r.spool.put(heavy(1, 400_000))
            after = await r.spool.put(draft(1))
            r.outbox.rounds_closed()
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
            r.outbox.rounds_closed()
            await r.drained()
            assert max(collector.sizes) <= MAX_PACKET_BYTES
            assert r.outbox.stats.transport == "mqtt+3.1.1"


async def test_a_broker_that_cuts_without_naming_its_limit(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b", "max_packet_size 40000") as server:
        async with (
            collecting(server.port) as collector,
            rig(tmp_path, server.url + "?version=3.1.1") as r,
        ):
            await collector.wait(lambda: collector.states)
            taken = [await r.spool.put(heavy(1, 20_000)) for _ in range(8)]
            r.outbox.rounds_closed()
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
            r.outbox.rounds_closed()
            await r.drained()
            assert r.outbox.stats.transport == "mqtt+3.1.1"
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
