# SPDX-License-Identifier: Apache-2.0
"""What `reachwatch collect` and `detect` say of themselves at `--metrics`: `/metrics`, `/healthz`
and `/readyz`.

These are numbers of one process, which begin at 0 with it. What is stored, judged and found is on
the `/metrics` of the web servers, once for the whole monitor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from monitor.metrics.counters import Counters
from monitor.metrics.exposition import (
    FamilyCollector,
    backlog_families,
    family,
    histogram,
    webhook_family,
)
from monitor.metrics.families import (
    DETECTION_LAG,
    INGEST_LAG,
    MetricFamily,
)
from monitor.metrics.lags import Backlog, Histogram
from probes.wire.batch_signature import SignatureFault

COLLECTED = MetricFamily(
    "reachwatch_collector_measurements_total",
    "counter",
    "Measurements that this collector has stored, by whether they were new.",
    ("result",),
)
ACKNOWLEDGED = MetricFamily(
    "reachwatch_collector_acknowledged_batches_total",
    "counter",
    "Batches whose acknowledgement this collector has published.",
)
UNACKNOWLEDGED = MetricFamily(
    "reachwatch_collector_unacknowledged_batches_total",
    "counter",
    "Batches that this collector left to their probes: no room or over the rate (dropped), over "
    "the quota of the day (over_quota), of a newer version (too_new), or from the future by the "
    "clock of this machine alone, as several owners say (clock_behind), of a probe whose clock is "
    "wrong, or is ahead as no other owner says (clock_wrong), or "
    "not verified as that of a probe with a key: not signed (unsigned), with a key that is not its "
    "own (unknown_key) or is revoked (revoked_key), or of other lines (wrong_signature).",
    ("reason",),
)
QUARANTINED = MetricFamily(
    "reachwatch_collector_quarantined_total",
    "counter",
    "Lines and batches that this collector has not admitted.",
    ("reason",),
)
QUEUE_MESSAGES = MetricFamily(
    "reachwatch_collector_queue_messages", "gauge", "Messages that wait to be stored."
)
QUEUE_BYTES = MetricFamily("reachwatch_collector_queue_bytes", "gauge", "Bytes of these messages.")
CONNECTED = MetricFamily(
    "reachwatch_collector_connected",
    "gauge",
    "1 while this collector can use the broker, and the store.",
    ("to",),
)
LEADER = MetricFamily(
    "reachwatch_detector_leader",
    "gauge",
    "1 while this detector leads its shard, 0 while it stands by.",
    ("shard",),
)
RETESTS = MetricFamily(
    "reachwatch_detector_retests_asked_total",
    "counter",
    "Targets that this detector asked networks to measure again.",
)


def collector_families(counters: Counters) -> Iterable[Metric]:
    """The metrics of a collector."""
    yield family(
        COLLECTED,
        (
            (("new",), counters.ingested),
            (("duplicate",), counters.duplicate),
            (("conflicting",), counters.conflicting),
        ),
    )
    yield family(ACKNOWLEDGED, [((), counters.acknowledged)])
    yield family(
        UNACKNOWLEDGED,
        (
            (("dropped",), counters.dropped),
            (("over_quota",), counters.over_quota),
            (("too_new",), counters.too_new),
            (("clock_behind",), counters.clock_behind),
            (("clock_wrong",), counters.clock_wrong),
            *(((fault,), counters.unverified[fault]) for fault in SignatureFault),
        ),
    )
    yield family(QUARANTINED, (((name,), n) for name, n in sorted(counters.quarantined.items())))
    messages, size = counters.waiting()
    yield family(QUEUE_MESSAGES, [((), messages)])
    yield family(QUEUE_BYTES, [((), size)])
    yield family(
        CONNECTED,
        ((("broker",), float(not counters.broker)), (("store",), float(not counters.store))),
    )
    yield histogram(INGEST_LAG, counters.lag)


def detector_families(
    leads: bool,
    shard: str,
    lag: Histogram,
    retests: int | None,
    backlog: Backlog,
    webhooks: Iterable[tuple[str, float]] = (),
) -> Iterable[Metric]:
    """The metrics of a detector; `retests` is None when it asks for none. `webhooks` as in
    `Snapshot`."""
    yield from backlog_families(backlog)
    yield webhook_family(webhooks)
    yield family(LEADER, [((shard,), float(leads))])
    yield family(RETESTS, [] if retests is None else [((), retests)])
    yield histogram(DETECTION_LAG, lag)


def make_app(
    build: Callable[[], Iterable[Metric]],
    unready: Callable[[], Sequence[str]],
    progress: Callable[[], Sequence[str]] = tuple,
) -> web.Application:
    """The application of a process: `build` makes its metrics, `unready` says why it does not
    work at the moment, `progress` what it is doing (lines of `/healthz` after the first)."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder("")
        registry = CollectorRegistry()
        registry.register(FamilyCollector(list(build())))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n" for line in ("ok", *progress())))

    async def readyz(request: web.Request) -> web.Response:
        reasons = unready()
        text = "".join(f"{reason}\n" for reason in reasons) or "ready\n"
        return web.Response(text=text, status=503 if reasons else 200)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app
