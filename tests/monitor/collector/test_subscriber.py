"""The collector over real brokers and a real store."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.collector.intake import Intake
from monitor.collector.rates import RateLimits
from monitor.collector.subscriber import run_collector
from monitor.metrics.counters import Counters
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.broker_client import Access, BrokerClient
from probes.delivery.broker_session import DaemonSide
from probes.delivery.outbox import Outbox
from probes.delivery.spool import Spool
from probes.log import Log
from probes.runtime.broker_url import parse_broker
from probes.wire import topics
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import (
    Ack,
    BatchHeader,
    Status,
    decode_status,
    encode_batch,
    encode_message,
)
from tests.monitor.collector.bench import batch, measurement, now_ms
from tests.monitor.collector.live import Voice, collecting, stored, voice
from tests.monitor.collector.test_unpack import BOMB, DEEP, NUL
from tests.world.brokers import House, house
from tests.world.mosquitto import Mosquitto
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(params=["embedded-5", "embedded-3.1.1", "mosquitto-5", "mosquitto-3.1.1"])
async def made(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    async with house(request.param, tmp_path) as running:
        yield running


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[House]:
    async with house("embedded", tmp_path) as running:
        yield running


async def test_stored_once_and_acknowledged_after(made: House) -> None:
    async with collecting(made) as counters, voice(made, made.one) as probe:
        for number in range(5):
            payload = batch(probe.id, range(number * 3, number * 3 + 3), number=number)
            await probe.send(payload)
        assert await probe.acked(5) == [0, 1, 2, 3, 4]
        assert await stored(made) == 15
        await probe.send(payload)
        assert await probe.acked() == [4]
        assert await stored(made) == 15
        assert (counters.ingested, counters.duplicate, counters.acknowledged) == (15, 3, 6)
        record = await made.database.registry.probe(probe.id)
        assert record is not None
        assert (record.country, record.asn) == ("RU", 64501)
        assert record.last_seen is not None


async def test_a_real_probe_delivers_through_it(made: House, tmp_path: Path) -> None:
    """The probe's own spool and client against ours, by its enrolled credentials."""
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool", made.one.probe)
    access = Access(
        probe=made.one.probe,
        brokers=(parse_broker(f"mqtt://127.0.0.1:{made.probes_port}"),),
        user=made.one.user,
        secret=made.one.secret,
    )
    common = {"now_ms": now_ms, "rng": random.Random(1), "log": Log(io.StringIO())}
    client = BrokerClient(
        access,
        Outbox(spool, "boot", signer=BatchSigner(tmp_path, Log(io.StringIO())), **common),
        DaemonSide(status=lambda state: Status(state=state, version="1")),
        **common,
    )
    taken = [await spool.put(measurement(made.one.probe)) for _ in range(7)]

    async def sent() -> bool:
        return not (await spool.counts()).pending

    async def left() -> bool:
        record = await made.database.registry.probe(made.one.probe)
        assert record is not None
        return bool(record.status) and decode_status(record.status).state == "goodbye"

    async with collecting(made) as counters:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.run())
            await eventually(sent, "everything is sent")
            client.finish(1)
        await eventually(left)
    await spool.close()
    assert counters.quarantined.total() == 0
    assert await stored(made) == len(taken) == 7


async def test_status_and_will_reach_the_registry(made: House) -> None:
    lost = encode_message(Status(state="lost"))
    will = aiomqtt.Will(topics.status(made.one.user), lost, qos=1)

    async def says(wanted: bytes) -> None:
        async def said() -> bool:
            record = await made.database.registry.probe(made.one.user)
            assert record is not None
            return record.status == wanted

        await eventually(said)

    async with collecting(made):
        client = made.client(made.one, will=will)
        await client.__aenter__()
        hello = encode_message(Status(state="hello", version="1", spool_rows=4))
        await client.publish(topics.status(made.one.user), hello, qos=1)
        await says(hello)
        client._client._sock_close()
        await says(lost)


async def test_no_acknowledgement_before_the_commit(embedded: House) -> None:
    """The store is slow: nothing is said meanwhile."""

    class Slow:
        registry = embedded.database.registry
        adding = asyncio.Event()
        release = asyncio.Event()

        @property
        def facts(self) -> Slow:
            return self

        async def add_batches(self, *parts: object) -> object:
            self.adding.set()
            await self.release.wait()
            return await embedded.database.facts.add_batches(*parts)  # type: ignore[arg-type]

    slow = Slow()
    async with (
        collecting(embedded, store=slow),  # type: ignore[arg-type]
        voice(embedded, embedded.one) as probe,
    ):
        await probe.send(batch(probe.id))
        await slow.adding.wait()
        later = encode_message(Ack(boot="b", sequences=(99,)))
        async with embedded.client(identifier="another") as monitor:
            await monitor.publish(topics.ack(probe.id), later, qos=1)
        assert await probe.acked() == [99]
        slow.release.set()


async def test_a_crash_between_commit_and_acknowledgement_is_harmless(embedded: House) -> None:
    class Crash(BaseException):
        """Not an error of the store: the process is gone."""

    class Dying:
        registry = embedded.database.registry

        @property
        def facts(self) -> Dying:
            return self

        async def add_batches(self, *parts: object) -> object:
            await embedded.database.facts.add_batches(*parts)  # type: ignore[arg-type]
            raise Crash

    async with voice(embedded, embedded.one) as probe:
        payload = batch(probe.id, range(7))
        await _killed_while_storing(embedded, Dying(), probe, payload)
        assert await stored(embedded) == 7
        async with collecting(embedded) as counters:
            await probe.send(payload)
            assert await probe.acked() == [0]
        assert counters.duplicate == 7
        assert await stored(embedded) == 7


async def _killed_while_storing(made: House, store: object, probe: Voice, payload: bytes) -> None:
    with pytest.raises(BaseExceptionGroup):  # noqa: PT012 - it dies somewhere inside
        async with collecting(made, store=store):  # type: ignore[arg-type]
            await probe.send(payload)
            await asyncio.Event().wait()


async def test_any_bytes_are_quarantined_and_the_next_is_stored_at_once(embedded: House) -> None:
    numbers = iter(range(1, 10_000))
    async with collecting(embedded) as counters, voice(embedded, embedded.one) as probe:

        async def poison(payload: bytes) -> None:
            before = counters.quarantined.total()
            await probe.send(payload)
            number = next(numbers)
            await probe.send(batch(probe.id, (number,), number=number))
            seen: list[int] = []
            while number not in seen:
                seen += await probe.acked()
            assert counters.quarantined.total() > before

        for payload in (
            b"",
            b"\x00" * MAX_PACKET_BYTES,
            BOMB,
            DEEP,
            NUL,
            batch(probe.id)[:-4],
            encode_batch(BatchHeader(boot="x", sequence=1), [b'"\\ud800"', b"NaN", b"1e999"]),
        ):
            await poison(payload)
        first = next(numbers)
        for number, payload in enumerate(samples := _samples(), first):
            await probe.send(payload)
            await probe.send(batch(probe.id, (number,), number=number))
        good = set(range(first, first + len(samples)))
        seen: set[int] = set()
        while not good <= seen:
            seen |= set(await probe.acked())
        assert await stored(embedded) == max(good)


def _samples() -> list[bytes]:
    """Some bytes that hypothesis thinks are hard (its own loop cannot run inside ours)."""
    found: list[bytes] = []

    @settings(
        max_examples=40,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=2000))
    def collect(payload: bytes) -> None:
        found.append(payload)

    collect()
    return found


async def test_a_long_drain_is_slowed_and_resends_cost_nothing(
    embedded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acknowledgement comes later than the probe's patience: it sends again, in vain."""
    monkeypatch.setattr(
        "monitor.collector.batch_writer.RateLimits", lambda: RateLimits(rate=6, burst=50)
    )
    async with collecting(embedded) as counters, voice(embedded, embedded.one) as probe:
        payloads = [
            batch(probe.id, range(n * 50, n * 50 + 50), number=n, boot="d") for n in range(2)
        ]
        for payload in payloads:
            await probe.send(payload)
        await eventually(lambda: counters.ingested == 100)
        # Once the next one is stored, the acknowledgements of these are due.
        await probe.send(batch(probe.id, (100,), number=2, boot="d"))
        await eventually(lambda: counters.ingested == 101)
        await asyncio.gather(*(probe.send(payloads[1]) for _ in range(5)))
        assert await probe.acked(3) == [0, 1, 2]
        assert counters.duplicate == 0
        assert await stored(embedded) == 101


async def test_a_later_version_waits_for_a_later_collector(embedded: House) -> None:
    async with collecting(embedded) as counters, voice(embedded, embedded.one) as probe:
        await probe.send(encode_batch(BatchHeader(v=9, boot="b", sequence=1), [b"?"]))
        await probe.send(batch(probe.id, number=2))
        assert await probe.acked() == [2]
        assert counters.too_new == 1
        assert counters.quarantined.total() == 0


async def test_two_collectors_share_the_load(tmp_path: Path) -> None:
    async with (
        house("mosquitto-5", tmp_path) as made,
        collecting(made) as one,
        collecting(made) as two,
        voice(made, made.one) as probe,
    ):
        for number in range(30):
            await probe.send(batch(probe.id, (number,), number=number))
        assert await probe.acked(30) == list(range(30))
        assert await stored(made) == 30
        assert one.ingested + two.ingested == 30
        assert min(one.ingested, two.ingested) > 5


async def test_two_collectors_that_do_not_share_store_once(embedded: House) -> None:
    plain = f"{embedded.monitor_url}?version=3.1.1"
    async with (
        collecting(embedded, url=plain) as one,
        collecting(embedded, url=plain) as two,
        voice(embedded, embedded.one) as probe,
    ):
        for number in range(10):
            await probe.send(batch(probe.id, (number,), number=number))
        await probe.acked(20)
        assert await stored(embedded) == 10
        assert (one.ingested + two.ingested, one.duplicate + two.duplicate) == (10, 10)


async def test_retained_poison_is_ignored_and_cleared(tmp_path: Path) -> None:
    async with house("mosquitto-3.1.1", tmp_path) as made:
        async with made.client(made.one) as client:
            for topic in (topics.status(made.one.user), topics.measurements(made.one.user)):
                await client.publish(topic, b"poison", qos=1, retain=True)
        async with collecting(made) as counters, voice(made, made.one) as probe:
            await probe.send(batch(probe.id))
            await probe.acked()
            assert counters.quarantined.total() == 0
        async with made.client() as monitor:
            await monitor.subscribe(f"{topics.PREFIX}/status/+", qos=1)
            async with made.client(made.one) as client:
                await client.publish(topics.status(made.one.user), b"later", qos=1)
            message = await anext(aiter(monitor.messages))
            assert message.payload == b"later"


async def test_it_comes_back_when_the_broker_does(embedded: House, tmp_path: Path) -> None:
    """Killed and started again on the same port, twice; one line is said each time."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    probe = embedded.one
    try:
        async with collecting(embedded, url=broker.url) as counters:
            for turn in range(2):
                broker.kill()
                await eventually(lambda: bool(counters.unready))
                assert counters.unready[0].startswith("broker: ")
                broker.start()
                await eventually(lambda: not counters.unready)
                async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                    await client.subscribe(topics.ack(probe.probe), qos=1)
                    payload = batch(probe.probe, (turn,), number=turn)
                    await client.publish(topics.measurements(probe.probe), payload, qos=1)
                    assert await Voice(client, probe).acked() == [turn]
    finally:
        broker.stop()
    assert await stored(embedded) == 2


async def test_stopping_finishes_what_has_arrived(embedded: House) -> None:
    async with voice(embedded, embedded.one) as probe:
        async with collecting(embedded) as counters:
            for number in range(20):
                await probe.send(batch(probe.id, (number,), number=number))
            await eventually(lambda: counters.ingested)
        kept = await stored(embedded)
        assert len(await probe.acked(kept)) == kept > 0


async def test_a_bad_url_is_said_at_once(embedded: House) -> None:
    with pytest.raises(ValueError, match="must begin with mqtt"):
        await run_collector(
            "nonsense",
            "",
            "",
            Intake(embedded.database, Counters(), asyncio.Event()),
            shared=False,
        )
