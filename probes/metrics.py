# SPDX-License-Identifier: Apache-2.0
"""The probe's own `/metrics` and `/healthz`, for whoever runs it; off unless asked for.

Prometheus' text format by hand: a library would use more memory than the rest of the probe. Nothing
is counted here.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from probes import local_http
from probes.delivery.outbox import DeliveryStats
from probes.delivery.spool import SpoolCounts
from probes.local_http import PageReply, PageRequest
from probes.status import ProbeStatus


class ProbeMetric(msgspec.Struct, frozen=True):
    """Name, kind and meaning of one number."""

    name: str
    kind: str
    help: str


METRICS = (
    ProbeMetric("reachprobe_taken_total", "counter", "Measurements that were stored on disk."),
    ProbeMetric(
        "reachprobe_acked_total", "counter", "Measurements that the collector acknowledged."
    ),
    ProbeMetric("reachprobe_dropped_total", "counter", "Measurements that a full spool dropped."),
    ProbeMetric("reachprobe_quarantined_total", "counter", "Measurements that can never be sent."),
    ProbeMetric(
        "reachprobe_untaken_total", "counter", "Measurements that the disk failed to store."
    ),
    ProbeMetric("reachprobe_spool_rows", "gauge", "Measurements waiting for acknowledgement."),
    ProbeMetric("reachprobe_spool_bytes", "gauge", "Their size in bytes."),
    ProbeMetric(
        "reachprobe_spool_oldest_seconds", "gauge", "Age of the oldest of them, 0 for none."
    ),
    ProbeMetric("reachprobe_rounds_total", "counter", "Completed rounds."),
    ProbeMetric(
        "reachprobe_retests_total", "counter", "Targets measured again at the monitor's request."
    ),
    ProbeMetric("reachprobe_last_round_timestamp_seconds", "gauge", "Start of the last round."),
    ProbeMetric("reachprobe_connected", "gauge", "1 while a broker is connected."),
    ProbeMetric(
        "reachprobe_failing_ways", "gauge", "Ways to the monitor that do not work in this network."
    ),
    ProbeMetric("reachprobe_published_bytes_total", "counter", "Bytes of batches published."),
)


def values(
    counts: SpoolCounts,
    stats: DeliveryStats,
    status: ProbeStatus,
    *,
    oldest_seconds: int,
    rounds: int,
    retests: int,
) -> dict[str, float]:
    """Return the daemon's values by the names of METRICS."""
    return {
        "reachprobe_taken_total": counts.taken,
        "reachprobe_acked_total": counts.acked,
        "reachprobe_dropped_total": counts.dropped + counts.refused,
        "reachprobe_quarantined_total": counts.quarantined,
        "reachprobe_untaken_total": status.untaken,
        "reachprobe_spool_rows": counts.pending,
        "reachprobe_spool_bytes": counts.pending_bytes,
        "reachprobe_spool_oldest_seconds": oldest_seconds,
        "reachprobe_rounds_total": rounds,
        "reachprobe_retests_total": retests,
        "reachprobe_last_round_timestamp_seconds": status.last_round_ms / 1000,
        "reachprobe_connected": 1 if stats.transport else 0,
        "reachprobe_failing_ways": len(stats.failing_ways),
        "reachprobe_published_bytes_total": stats.published_bytes,
    }


def render(values: Mapping[str, float]) -> str:
    """Return values in Prometheus' text format 0.0.4, without metrics that have none."""
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in values:
            lines += [
                f"# HELP {metric.name} {metric.help}",
                f"# TYPE {metric.name} {metric.kind}",
                f"{metric.name} {values[metric.name]:.17g}",
            ]
    return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def serving(
    address: tuple[str, int], values: Callable[[], Mapping[str, float]], problem: Callable[[], str]
) -> AsyncIterator[int]:
    """Serve at host and port while inside; yields the port. `problem` returns '' when the probe
    works. Raises AddressError.
    """

    def answer(request: PageRequest) -> PageReply:
        if request.path == "/metrics":
            return PageReply("200 OK", render(values()), "text/plain; version=0.0.4")
        if request.path == "/healthz":
            found = problem()
            if found:
                return PageReply("503 Service Unavailable", f"{found}\n")
            return PageReply("200 OK", "ok\n")
        return PageReply("404 Not Found", "only /metrics and /healthz\n")

    async with local_http.serving(address, answer) as port:
        yield port
