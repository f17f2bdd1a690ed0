"""Runs of hours of 2026-01-01, and a follower of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import aiohttp

from monitor.follow.bucket import Bucket, session
from monitor.follow.follower import Follower
from monitor.follow.layout import HOUR_MS, FileSelection
from monitor.follow.pace import RateLimit
from monitor.follow.report import Report
from monitor.store.database import Database
from tests.monitor.interop.samples import DC, connect, document, targets_by_name

NEW_YEAR = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def run(number: int, *, country: str = "KE", hour: int = 0) -> dict[str, Any]:
    """A run of the test for Telegram; its one target is telegram/dc."""
    made = document(tcp_connect=[connect(address, 443) for address in DC])
    return made | {
        "report_id": f"r{number}",
        "probe_cc": country,
        "measurement_start_time": f"2026-01-01 {hour:02}:{number % 60:02}:03",
    }


def runs(numbers: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    return [run(number, **more) for number in numbers]


async def followed(
    database: Database,
    url: str,
    *,
    selection: FileSelection | None = None,
    since: int = NEW_YEAR,
    now: int = NEW_YEAR + 12 * HOUR_MS,
) -> Follower:
    """A follower that has read everything that is there."""
    async with session(url) as client:
        follower = follower_of(client, database, url, selection, since, now)
        await follower.run(once=True)
    return follower


def follower_of(
    client: aiohttp.ClientSession,
    database: Database,
    url: str,
    selection: FileSelection | None = None,
    since: int = NEW_YEAR,
    now: int = NEW_YEAR + 12 * HOUR_MS,
) -> Follower:
    report = Report(io.StringIO(), lambda: 0.0)
    return Follower(
        database=database,
        bucket=Bucket(client, url, RateLimit(1e9, lambda: 0.0), report.wait),
        targets_by_name=targets_by_name(),
        selection=selection or FileSelection(),
        since=since,
        report=report,
        now=lambda: now,
    )


async def stored_runs(database: Database) -> list[str]:
    """Report of each stored run, once for each time that it is stored."""
    facts = await database.facts.facts(0, 2**60, "telegram")
    reports = [each.measurement.observations[-1].raw for each in facts]  # type: ignore[union-attr]
    return sorted(raw.split(b'"report_id":"')[1].split(b'"')[0].decode() for raw in reports)
