"""What a collector and a detector say of themselves, over HTTP, as a scraper reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import aiohttp
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitor.http_server import serving
from monitor.metrics import families, process
from monitor.metrics.counters import Counters
from monitor.metrics.lags import Backlog, Histogram
from tests.monitor.metrics.defined import OF_PROCESSES, SERVED


def test_names_follow_the_conventions_and_are_not_those_of_the_web_server() -> None:
    names = {metric.name for metric in OF_PROCESSES}
    assert len(names) == len(OF_PROCESSES)
    assert not names & {metric.name for metric in SERVED}
    for metric in OF_PROCESSES:
        assert re.fullmatch(r"reachwatch_(collector|detector)_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        assert (metric.kind == "counter") == metric.name.endswith("_total")


def samples(found: Iterable[Metric]) -> dict[tuple[str, str], float]:
    """(name, label values) -> value, without histograms."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for each in found
        for sample in each.samples
        if "_seconds" not in sample.name
    }


async def scraped(
    found: Sequence[Metric], unready: Sequence[str] = ()
) -> tuple[dict[tuple[str, str], float], int, str]:
    app = process.make_app(lambda: found, lambda: unready)
    async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{port}"
        async with session.get(f"{base}/healthz") as answer:
            assert await answer.text() == "ok\n"
        async with session.get(f"{base}/readyz") as answer:
            ready, reason = answer.status, await answer.text()
        async with session.get(f"{base}/metrics") as answer:
            return samples(text_string_to_metric_families(await answer.text())), ready, reason


async def test_a_collector() -> None:
    counters = Counters()
    counters.ingested, counters.duplicate, counters.acknowledged = 7, 2, 3
    counters.dropped, counters.over_quota, counters.too_new = 1, 4, 5
    counters.clock_behind, counters.clock_wrong = 10, 11
    counters.unverified["unsigned"] = 12
    counters.quarantined["too_old"] = 6
    counters.waiting = lambda: (8, 900)
    counters.broker = "refused"
    counters.lag.observe(0.3)
    found = list(process.collector_families(counters))
    assert sum(each.name == families.INGEST_LAG.name for each in found) == 1
    got, ready, reason = await scraped(found, counters.unready)
    assert (ready, reason) == (503, "broker: refused\n")
    name = "reachwatch_collector_"
    assert got == {
        (f"{name}measurements_total", "new"): 7,
        (f"{name}measurements_total", "duplicate"): 2,
        (f"{name}measurements_total", "conflicting"): 0,
        (f"{name}acknowledged_batches_total", ""): 3,
        (f"{name}unacknowledged_batches_total", "dropped"): 1,
        (f"{name}unacknowledged_batches_total", "over_quota"): 4,
        (f"{name}unacknowledged_batches_total", "too_new"): 5,
        (f"{name}unacknowledged_batches_total", "clock_behind"): 10,
        (f"{name}unacknowledged_batches_total", "clock_wrong"): 11,
        (f"{name}unacknowledged_batches_total", "unsigned"): 12,
        **{
            (f"{name}unacknowledged_batches_total", fault): 0
            for fault in ("unknown_key", "revoked_key", "wrong_signature")
        },
        (f"{name}quarantined_total", "too_old"): 6,
        (f"{name}queue_messages", ""): 8,
        (f"{name}queue_bytes", ""): 900,
        (f"{name}connected", "broker"): 0,
        (f"{name}connected", "store"): 1,
    }


async def test_a_detector_with_and_without_retests() -> None:
    hooks = [("newsroom.example", 90.0)]
    backlog = Backlog(70, 12.5, 2)
    found = list(process.detector_families(True, "2/3", Histogram(), 5, backlog, hooks))
    (seconds,) = (each for each in found if each.name == families.BACKLOG_SECONDS.name)
    assert [sample.value for sample in seconds.samples] == [12.5]
    (waiting,) = (each for each in found if each.name == families.WEBHOOK_WAITING.name)
    assert [(s.labels, s.value) for s in waiting.samples] == [({"host": "newsroom.example"}, 90)]
    got, ready, _ = await scraped(found)
    assert ready == 200
    name = "reachwatch_detector_"
    assert got == {(f"{name}leader", "2/3"): 1, (f"{name}retests_asked_total", ""): 5} | {
        (f"{name}backlog_measurements", ""): 70,
        (f"{name}damaged_batches_total", ""): 2,
    }
    got = samples(process.detector_families(False, "1/1", Histogram(), None, Backlog(0, 0.0, 0)))
    assert got == {
        (f"{name}leader", "1/1"): 0,
        (f"{name}backlog_measurements", ""): 0,
        (f"{name}damaged_batches_total", ""): 0,
    }


async def test_healthz_says_how_far_a_backlog_is() -> None:
    behind = Backlog(70, 12.5, 0)
    app = process.make_app(tuple, tuple, lambda: behind.lines())
    async with (
        serving(app, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        assert (answer.status, await answer.text()) == (
            200,
            "ok\ndetector: 70 measurements are yet to be judged, the oldest of 12 s ago\n",
        )
