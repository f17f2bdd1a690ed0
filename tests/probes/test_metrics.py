import asyncio
import contextlib

import pytest
from prometheus_client.parser import text_string_to_metric_families

from probes.delivery.outbox import DeliveryStats
from probes.delivery.spool import SpoolCounts
from probes.local_http import AddressError
from probes.metrics import METRICS, render, serving, values
from probes.status import ProbeStatus


async def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


def test_every_number_is_read_back() -> None:
    samples = {metric.name: float(index) for index, metric in enumerate(METRICS)}
    text = render({**samples, "unknown": 1.0})
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == samples


async def test_metrics_health_and_everything_else() -> None:
    problem = ""
    async with serving(
        ("127.0.0.1", 0), lambda: {"reachprobe_taken_total": 3}, lambda: problem
    ) as port:
        status, body = await ask(port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status == b"HTTP/1.1 200 OK"
        assert b"\nreachprobe_taken_total 3\n" in body
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[1] == b"ok\n"
        problem = "no round for a long time"
        status, body = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (status[9:12], body) == (b"503", b"no round for a long time\n")
        assert (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n"))[1] == b""
        assert (await ask(port, b"GET / HTTP/1.1\r\n\r\n"))[0][9:12] == b"404"
        assert (await ask(port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0][9:12] == b"405"
        assert (await ask(port, b"nonsense\r\n\r\n"))[0][9:12] == b"405"
        with contextlib.suppress(OSError):
            assert await ask(port, b"x" * 20_000) == (b"", b"")


async def test_an_address_that_is_taken() -> None:
    async with serving(("127.0.0.1", 0), dict, str) as port:
        with pytest.raises(AddressError, match="in use"):
            async with serving(("127.0.0.1", port), dict, str):
                pass


def test_every_metric_has_its_number() -> None:
    status = ProbeStatus(
        probe="p", version="1", catalogue="c", targets=1, country="FR", asn=1, updated_ms=1,
        started_ms=1, interval_ms=1, last_round_ms=9_000, untaken=2,
    )  # fmt: skip
    found = values(
        SpoolCounts(taken=5, pending=3), DeliveryStats(transport="mqtt+5"), status,
        oldest_seconds=4, rounds=6, retests=7,
    )  # fmt: skip
    assert list(found) == [metric.name for metric in METRICS]
    assert found["reachprobe_last_round_timestamp_seconds"] == 9
    picked = ("taken_total", "spool_rows", "untaken_total", "retests_total", "connected")
    assert [found[f"reachprobe_{name}"] for name in picked] == [5, 3, 2, 7, 1]
