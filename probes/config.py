# SPDX-License-Identifier: Apache-2.0
"""The configuration of the daemon, as values; `probes.cli.run` makes it from the options."""

from __future__ import annotations

from pathlib import Path

import msgspec

from probes.runtime.broker_url import Broker
from probes.runtime.proxy import Proxy


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The volunteer's choices and this probe's credentials."""

    directory: Path
    interval_ms: int
    shared: bool = False
    """Shorten the interval where few vantages take turns."""
    full: bool = False
    """Every target in every round, at every address; the lean profile otherwise."""
    budget_bytes: float = 0.0
    """Most traffic in a month, 0 for no limit."""
    spool_bytes: int = 50_000_000
    country: str = ""
    asn: int | None = None
    bind: str = ""
    metrics: tuple[str, int] | None = None
    """Host and port."""
    local_page: tuple[str, int] | None = None
    """Host and port of the page for the volunteer; None for no page."""
    metered: str = "thin"
    """What to do on a metered connection: one of `probes.metered.MODES`."""
    consent: str = ""
    excerpts_asked: bool = False
    """The operator asks for the beginnings of unexpected pages."""
    collector: str = ""
    """Base URL of the collector; empty for a probe that is not enrolled."""
    user: str = ""
    secret: str = ""
    brokers: tuple[Broker, ...] = ()
    """The ways to the monitor, the best first."""
    proxy: Proxy | None = None
    """Dials for this machine where the monitor is not reached without."""
    ways_replaceable: bool = False
    """Signed catalogues may name other ways to the monitor."""
