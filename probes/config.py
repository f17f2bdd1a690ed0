# SPDX-License-Identifier: Apache-2.0
"""What the volunteer asked of the daemon, as values; `probes.cli.options` reads it from flags."""

from __future__ import annotations

from pathlib import Path

import msgspec

from probes.runtime import mqtt


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the volunteer asked for, as the agent needs it."""

    directory: Path
    interval_ms: int
    budget_bytes: float = 0.0
    spool_bytes: int = 50_000_000
    country: str = ""
    asn: int | None = None
    bind: str = ""
    metrics: tuple[str, int] | None = None
    """Host and port."""
    consent: str = ""
    collector: str = ""
    """Base URL of the collector; empty for a probe that nobody enrolled."""
    user: str = ""
    secret: str = ""
    brokers: tuple[mqtt.Broker, ...] = ()
