"""Delivery over HTTP into a real store, with the credentials of a probe that enrolled."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from monitor.collector.intake import Intake
from monitor.collector.rates import RateLimits
from monitor.enrolment import Credentials, Enrolled
from monitor.metrics.counters import Counters
from monitor.store.database import Database
from monitor.store.records import Seen
from monitor.store.retests import OpenRetest
from monitor.web.api import delivery
from monitor.web.reception import OpenRetests, Reception
from monitor.web.site import SITE, Site
from probes.privacy.geo import update
from probes.runtime.clock import wall_clock
from probes.runtime.geo_table import FILE_NAME, GeoTable
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import (
    BatchHeader,
    Status,
    decode_ack,
    encode,
    encode_batch,
    encode_message,
)
from probes.wire.https_delivery import BATCHES, POLL, authorization, decode_answer
from probes.wire.retest import Retest, encode_retest
from tests.monitor.collector.bench import batch, measurement, now_ms
from tests.monitor.store.arrivals import arrivals
from tests.world.brokers import enrolled_probe
from tests.world.site import Client, client, opened, site_of
from tests.world.waiting import HANG_SECONDS, eventually

RETEST = encode_retest(Retest(targets=("wechat/web",), round=60_000, interval_ms=60_000))
DOCUMENT = b"signed catalogue"


@dataclass
class Desk:
    web: Client
    who: Enrolled
    database: Database
    intake: Intake
    place: tuple[str, int] = ("RU", 64501)

    async def post(self, path: str, body: bytes, secret: str = "") -> ClientResponse:
        value = authorization(self.who.user, secret or self.who.secret)
        return await self.web.post(path, data=body, headers={"Authorization": value})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(None, tmp_path) as bare:
        intake = Intake(bare.database, Counters(), asyncio.Event())
        reception = Reception(
            intake,
            Credentials(bare.database.registry),
            OpenRetests(bare.database, wall_clock),
            lambda: DOCUMENT,
            place_of=lambda probe: made.place,
        )
        async with (
            client(site_of(bare.database, reception=reception)) as web,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(intake.run())
            made = Desk(web, await enrolled_probe(bare.database), bare.database, intake)
            yield made
            intake.stop.set()


async def test_a_batch_is_stored_once_and_its_answer_is_the_acknowledgement(desk: Desk) -> None:
    payload = batch(desk.who.probe, (0, 1, 2), number=5)
    for _ in range(2):
        answer = await desk.post(BATCHES, payload)
        assert answer.status == 200
        ack = decode_ack(await answer.read())
        assert (ack.boot, ack.sequences, ack.quarantined) == ("b", (5,), 0)
        assert len(await arrivals(desk.database)) == 3


async def test_measurements_of_another_probe_are_not_accepted(desk: Desk) -> None:
    other = await enrolled_probe(desk.database)
    answer = await desk.post(BATCHES, batch(other.probe, (0,)))
    assert decode_ack(await answer.read()).quarantined == 1
    assert not await arrivals(desk.database)


@pytest.mark.parametrize("path", [BATCHES, POLL])
async def test_only_a_probe_with_its_secret_is_let_in(desk: Desk, path: str) -> None:
    answer = await desk.post(path, batch(desk.who.probe), secret="wrong")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Basic"
    assert (await desk.web.post(path, data=b"x")).status == 401
    bad = {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()}
    assert (await desk.web.post(path, data=b"x", headers=bad)).status == 401
    await desk.database.registry.revoke_probe(desk.who.probe, 1)
    assert (await desk.post(path, batch(desk.who.probe))).status == 401
    assert not await arrivals(desk.database)


async def test_who_proves_itself_at_whoami_tells_its_network(desk: Desk, tmp_path: Path) -> None:
    """The address is forgotten; nothing is noted of others."""
    (tmp_path / "t.tsv").write_text("127.0.0.0\t127.255.255.255\t64503\tFR\tloopback\n")
    update(tmp_path / "t.tsv", tmp_path)
    site = desk.web.app[SITE]
    with GeoTable(tmp_path / FILE_NAME) as table:
        object.__setattr__(site, "geo", table)
        for secret, noted in (("", ("", 0)), ("wrong", ("", 0)), (desk.who.secret, ("FR", 64503))):
            value = authorization(desk.who.user, secret)
            asked = await desk.web.get("/api/v1/whoami", headers={"Authorization": value})
            assert (await asked.json())["address"] == "127.0.0.1"
            probe = await desk.database.registry.probe(desk.who.probe)
            assert probe is not None
            assert (probe.connected_country, probe.connected_asn) == noted
    seen = Seen(probe=probe.id, at=1, country="RU", asn=64501)
    assert not probe.connects_elsewhere, "it has said nothing of its place yet"
    await desk.database.registry.record_seen([seen])
    probe = await desk.database.registry.probe(desk.who.probe)
    assert probe is not None
    assert probe.connects_elsewhere


async def test_what_is_too_long_is_not_read_to_its_end(desk: Desk) -> None:
    assert (await desk.post(BATCHES, bytes(MAX_PACKET_BYTES + 1))).status == 413
    assert (await desk.post(POLL, bytes(delivery.STATUS_BYTES + 1))).status == 413


async def test_bodies_that_never_end_take_the_place_of_the_same_probes_oldest(desk: Desk) -> None:
    """Nothing but their connections is held meanwhile, and few of these."""
    value = authorization(desk.who.user, desk.who.secret)
    whole = batch(desk.who.probe, (0,))
    head = (
        f"POST {BATCHES} HTTP/1.1\r\nHost: x\r\nAuthorization: {value}\r\n"
        f"Content-Length: {len(whole)}\r\n\r\n"
    ).encode()
    opened = []
    arriving = desk.web.app[delivery.BODIES]._arriving
    try:
        for _ in range(delivery.MOST_BODIES + 3):
            before = newest(arriving)
            opened.append(await asyncio.open_connection("127.0.0.1", desk.web.port))
            opened[-1][1].write(head + whole[:1])
            # Else another one's credentials may be checked first.
            await eventually(lambda before=before: newest(arriving) is not before, "it has a place")
        for reader, _ in opened[:3]:
            assert b" 408 " in await asyncio.wait_for(reader.readline(), HANG_SECONDS)
        reader, writer = opened[3]
        writer.write(whole[1:])
        assert b" 200 " in await asyncio.wait_for(reader.readline(), HANG_SECONDS)
        assert not any(one._buffer for one, _ in opened[4:])  # type: ignore[attr-defined]
    finally:
        for _, writer in opened:
            writer.close()
    assert (await desk.post(BATCHES, batch(desk.who.probe, (1,), number=2))).status == 200


def newest(arriving: Mapping[str, Sequence[asyncio.Timeout]]) -> asyncio.Timeout | None:
    return next((held[-1] for held in arriving.values()), None)


async def test_the_oldest_body_may_be_the_last_to_go() -> None:
    bodies, never, soon = delivery.Bodies(), asyncio.Event(), asyncio.Event()

    async def hold(until: asyncio.Event) -> None:
        async with bodies.place("probe"):
            await until.wait()

    oldest = asyncio.create_task(hold(never))
    await asyncio.sleep(0)
    others = [asyncio.create_task(hold(soon)) for _ in range(delivery.MOST_BODIES)]
    await asyncio.sleep(0)
    soon.set()
    await asyncio.gather(*others)
    with pytest.raises(TimeoutError):
        await oldest
    assert not bodies._arriving


async def test_who_is_ahead_of_this_clock_waits_for_nothing(desk: Desk) -> None:
    ahead = measurement(desk.who.probe, at=now_ms() + 3_600_000, clock_offset_ms=0)
    payload = encode_batch(BatchHeader(boot="b", sequence=1), [encode(ahead)])
    async with asyncio.timeout(delivery.ACK_SECONDS / 2):
        assert (await desk.post(BATCHES, payload)).status == 429


async def test_what_is_no_batch_is_quarantined(desk: Desk) -> None:
    answer = await desk.post(BATCHES, b"nonsense")
    assert (answer.status, answer.headers["Retry-After"]) == (429, delivery.RETRY_SECONDS)


async def test_a_batch_that_waits_too_long_is_to_be_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ACK_SECONDS", 0.3)
    writer = desk.intake._writer
    writer.rate_limits = RateLimits(rate=0.5, burst=1)  # 3 measurements: acknowledged after 4 s
    answer = await desk.post(BATCHES, batch(desk.who.probe, (0, 1, 2)))
    assert (answer.status, answer.headers["Retry-After"]) == (503, delivery.RETRY_SECONDS)

    async def is_stored() -> bool:
        return len(await arrivals(desk.database)) == 3

    await eventually(is_stored)


async def test_a_poll_takes_the_status_and_tells_what_is_wanted(desk: Desk) -> None:
    status = encode_message(Status(state="heartbeat", version="9", clock_ms=1))

    async def told(query: str) -> tuple[list[bytes], bool, bytes]:
        answer = await desk.post(POLL + query, status)
        assert answer.status == 200
        said = decode_answer(await answer.read())
        return [bytes(raw) for raw in said.retests], said.asked_lately, said.catalogue

    now = wall_clock()
    opened = OpenRetest(country="RU", asn=64501, ends=now + 60_000, body=RETEST)
    ended = OpenRetest(country="RU", asn=64502, ends=now - 60_000, body=RETEST)
    await desk.database.retests.add([opened, ended], now)
    assert await told("") == ([], False, b"")
    assert await told("?country=RU&asn=64501&catalogue=") == ([RETEST], True, DOCUMENT)
    assert await told("?country=RU&asn=64502") == ([], False, b""), "it is not there"
    digest = hashlib.sha256(DOCUMENT).hexdigest()
    assert await told(f"?country=FR&asn=64501&catalogue={digest}") == ([], False, b"")
    desk.place = ("RU", 64502)
    assert await told("?country=RU&asn=64502") == ([], True, b"")
    assert await told("?country=RU&asn=64501") == ([], False, b"")
    answer = await desk.post(f"{POLL}?country=nowhere", status)
    assert answer.status == 400

    async def is_kept() -> bool:
        probe = await desk.database.registry.probe(desk.who.probe)
        return probe is not None and probe.status == status

    await eventually(is_kept)


async def test_a_server_without_an_intake_says_so(empty: Site) -> None:
    async with client(empty) as web:
        assert (await web.post(BATCHES, data=b"")).status == 404
