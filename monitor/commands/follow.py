# SPDX-License-Identifier: Apache-2.0
"""`reachwatch follow ooni`: the public bucket into the store, until it is stopped.

Exit status 2 for what waiting will not mend, with one line: a bad URL, a changed layout, a store
that cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

from monitor import logs
from monitor.follow import bucket, layout
from monitor.follow.bucket import Bucket, SourceError
from monitor.follow.follower import Follower
from monitor.follow.layout import LayoutError
from monitor.follow.pace import RateLimit
from monitor.follow.report import Report
from monitor.interop.ooni.target_index import TargetIndex
from monitor.paths import database_url
from monitor.store.database import StoreRefusedError, open_database
from monitor.store.records import StoreUnavailableError
from probes.catalogue.load import CatalogueError, load
from probes.runtime.clock import wall_clock

_REFUSALS = (
    CatalogueError,
    LayoutError,
    SourceError,
    StoreRefusedError,
    StoreUnavailableError,
)


async def run(given: argparse.Namespace) -> int:
    """Run the command with parsed options; return the exit status."""
    logs.configure()
    loop = asyncio.get_running_loop()
    report = Report(sys.stderr, time.monotonic)
    refusal: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_follow(given, report))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, following.cancel)
    except* _REFUSALS as refusals:
        refusal = _first(refusals)
    report.clear()
    if refusal is not None:
        print(f"reachwatch: {refusal}", file=sys.stderr)
    return 0 if refusal is None else 2


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def _follow(given: argparse.Namespace, report: Report) -> None:
    targets_by_name = TargetIndex(load(given.catalogue))
    since = max(wall_clock() - given.since * 1000, layout.FIRST_HOUR)
    rate = RateLimit(given.rate * 1e6, time.monotonic)
    url = given.source or layout.URL
    async with await open_database(database_url(given)) as database, bucket.session(url) as session:
        follower = Follower(
            database=database,
            bucket=Bucket(session, url, rate, report.wait),
            targets_by_name=targets_by_name,
            selection=layout.FileSelection(given.tests or layout.TESTS, given.countries or ()),
            since=since,
            report=report,
            now=wall_clock,
        )
        await follower.run(once=given.once)
        report.line(f"everything that is there has been read: {follower.runs:,} runs")
