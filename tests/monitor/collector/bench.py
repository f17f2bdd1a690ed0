"""Measurements, batches and small stores for tests of the collector."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from monitor.metrics.counters import Counters
from monitor.store.records import (
    Added,
    AdmittedBatch,
    Probe,
    ProbeKey,
    Quarantined,
    Seen,
    StoreUnavailableError,
)
from probes.wire.codec import BatchHeader, decode_batch, encode, encode_batch
from probes.wire.measurement import Measurement, Vantage, measurement_id

EPOCH = "spool"
P = "p-0000000000000001"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def measurement(probe: str = P, sequence: int = 0, **fields: Any) -> Measurement:
    at = fields.pop("at", None) or now_ms() - 1000
    values: dict[str, Any] = {
        "v": 1,
        "id": measurement_id(probe, EPOCH, sequence),
        "probe": probe,
        "target": "wechat/messaging",
        "round": at - at % 1000,
        "started": at,
        "took_us": 1000,
        "epoch": EPOCH,
        "sequence": sequence,
        "vantage": Vantage(country="RU", asn=64501),
    }
    return Measurement(**(values | fields))


def batch(
    probe: str = P, sequences: Sequence[int] = (0,), *, number: int = 0, boot: str = "b"
) -> bytes:
    lines = [encode(measurement(probe, sequence)) for sequence in sequences]
    return encode_batch(BatchHeader(boot=boot, sequence=number), lines)


class Memory:
    """The two stores that a collector needs, in memory; `away` makes them unavailable."""

    def __init__(self, *probes: str) -> None:
        self.known = {
            name: Probe(id=name, owner="ada", role="vantage", enrolled=1) for name in probes
        }
        self.signed: dict[str, Sequence[ProbeKey]] = {}
        """Keys of probes that sign."""
        self.rows: dict[str, bytes] = {}
        self.quarantine: list[Quarantined] = []
        self.calls: list[int] = []
        self.said: list[Seen] = []
        self.asked = 0
        self.away = ""
        self.refused = 0
        """How often it was asked while it was away."""
        self.slow = 0.0

    @property
    def facts(self) -> Any:
        return self

    @property
    def registry(self) -> Any:
        return self

    async def add_batches(
        self, batches: Sequence[AdmittedBatch], quarantined: Sequence[Quarantined]
    ) -> Added:
        await asyncio.sleep(self.slow)
        self._answer()
        self.calls.append(sum(len(each.entries) for each in batches))
        new = duplicate = conflicting = 0
        for batch in batches:
            lines = decode_batch(batch.payload).lines
            assert len(lines) == batch.lines
            for place, one in batch.entries:
                known = self.rows.setdefault(one.id, lines[place])
                if known is lines[place]:
                    new += 1
                elif known == lines[place]:
                    duplicate += 1
                else:
                    conflicting += 1
        self.quarantine += quarantined
        return Added(new, duplicate, conflicting)

    async def probes(self) -> tuple[Probe, ...]:
        return ()

    async def probe(self, id: str) -> Probe | None:
        self._answer()
        self.asked += 1
        return self.known.get(id)

    async def keys(self, id: str) -> Sequence[ProbeKey]:
        return self.signed.get(id, ())

    async def record_seen(self, seen: Sequence[Seen]) -> None:
        self._answer()
        self.said += seen

    def _answer(self) -> None:
        if self.away:
            self.refused += 1
            raise StoreUnavailableError(self.away)


__all__ = ["Counters", "Memory", "batch", "measurement", "now_ms"]
