# SPDX-License-Identifier: Apache-2.0
"""THE SHELL. Read it from top to bottom and you know the product:

probes -> broker -> collector -> store -> detector -> store -> pages, API, metrics, MQTT.

`up` runs all of it in one process; `collect`, `detect` and `serve` run the same parts as
processes of their own over one database URL and one broker URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from aiohttp import web

from monitor import logs
from monitor.broker import mosquitto
from monitor.broker.embedded import BrokerError, EmbeddedBroker
from monitor.collector.counters import Counters
from monitor.collector.subscriber import run_collector
from monitor.commands.explain import explain
from monitor.detection.policy import Policy
from monitor.detector.event_publisher import EventAnnouncer
from monitor.detector.loop import run_detector
from monitor.detector.retest_publisher import RetestAsker
from monitor.enrolment import Credentials
from monitor.interop.fingerprints.directory import load as load_fingerprints
from monitor.metrics.lags import Lags
from monitor.paths import database_url, kept_secret, read_secret
from monitor.store.database import Database, StoreRefusedError, open_database, wall_clock
from monitor.store.records import StoreUnavailableError
from monitor.web.app import make_app
from monitor.web.explanation_cache import ExplanationCache
from monitor.web.site import Site
from probes.catalogue.load import CatalogueError, load
from probes.runtime.options import OptionError
from probes.wire.target import Catalogue

log = logging.getLogger("reachwatch")
MONITOR_USER = "monitor"
INTERVAL_SECONDS = 300
_REFUSALS = (
    OptionError,
    BrokerError,
    CatalogueError,
    StoreRefusedError,
    StoreUnavailableError,
)
DEFAULT_MQTT_PORT = 1883


async def run(given: argparse.Namespace) -> int:
    """Run one of the servers until SIGTERM or SIGINT; its exit status."""
    logs.configure()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        match given.command:
            case "up" if given.demo:
                from monitor.demo.demonstration import demonstrate

                await demonstrate(given, stop)
            case "up":
                await up(given, stop)
            case "collect":
                await collect(given, stop)
            case "detect":
                await detect(given, stop)
            case "serve":
                await serve(given, stop)
    except _REFUSALS as error:
        raise OptionError(str(error)) from None
    except ExceptionGroup as group:
        # What refuses inside a task group comes out wrapped; the person asked one thing.
        refusals, others = group.split(_REFUSALS)
        if refusals is None or others is not None:
            raise
        raise OptionError(str(_first(refusals))) from None
    return 0


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def collect(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Measurements from the broker into the store, acknowledged once committed."""
    async with _open(given) as database:
        secret = _broker_secret(given)
        counters = Counters()
        await run_collector(
            given.broker, given.mqtt_user, secret, database, counters, stop, shared=True
        )


async def detect(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Stored measurements into events; the one that holds the lease leads."""
    policy = Policy(pace=given.pace or 1)
    fingerprints = load_fingerprints(given.fingerprints)
    async with _open(given) as database:
        announcer = EventAnnouncer(database, policy, wall_clock)
        asker = _asker(given, policy)
        own = (given.broker, given.mqtt_user, _broker_secret(given))
        async with asyncio.TaskGroup() as group:
            sending = [group.create_task(announcer.run(*own))]
            if asker is not None:
                sending.append(group.create_task(asker.run(*own)))
            await run_detector(
                database,
                policy,
                stop,
                holder=_holder(),
                clock=wall_clock,
                on_change=announcer.changed,
                on_suspicion=None if asker is None else asker.wanted,
                fingerprints=fingerprints,
            )
            for task in sending:
                task.cancel()


async def serve(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Pages, API, metrics and enrolment over the store."""
    policy = Policy(pace=given.pace or 1)
    catalogue = load(given.catalogue)
    fingerprints = load_fingerprints(given.fingerprints)
    async with _open(given) as database:
        stories = ExplanationCache(partial(explain, database, fingerprints=fingerprints))
        site = Site(
            database=database,
            policy=policy,
            catalogue=catalogue,
            clock=wall_clock,
            unready=lambda: (),
            lags=Lags(),
            public_url=(given.public_url or _url(given.http)).rstrip("/"),
            brokers=tuple(given.broker or ()),
            interval_seconds=given.interval or INTERVAL_SECONDS,
            explanations=stories,
        )
        async with serving(site, given.http), asyncio.TaskGroup() as group:
            telling = group.create_task(stories.run())
            if given.mosquitto_passwords is not None:
                reload = mosquitto.reload_by_pid_file(given.mosquitto_pid or Path("/dev/null"))
                passwords = mosquitto.Passwords(
                    given.mosquitto_passwords, database.registry, reload
                )
                group.create_task(mosquitto.keep_passwords(passwords, stop))
            await stop.wait()
            telling.cancel()


class Running:
    """What `up` has running, for whoever adds probes to it."""

    def __init__(self, database: Database, site: Site, broker: EmbeddedBroker) -> None:
        self.database, self.site, self.broker = database, site, broker


@contextlib.asynccontextmanager
async def everything(
    given: argparse.Namespace,
    stop: asyncio.Event,
    *,
    url: str,
    policy: Policy,
    catalogue: Catalogue,
    interval_seconds: int,
    monitor_secret: str,
    demo: str = "",
    enrolled_before_ms: int = 0,
) -> AsyncIterator[Running]:
    """Broker, collector, detector, announcer and web server in this process, all of them the
    very parts that a fleet uses."""
    fingerprints = load_fingerprints(given.fingerprints)
    database = await open_database(url)
    lags = Lags()
    counters = Counters(lags.ingest)
    try:
        broker = await _broker(given.mqtt, Credentials(database.registry), monitor_secret)
        async with broker:
            stories = ExplanationCache(partial(explain, database, fingerprints=fingerprints))
            asker = _asker(given, policy)
            site = Site(
                database=database,
                policy=policy,
                catalogue=catalogue,
                clock=wall_clock,
                unready=lambda: counters.unready,
                lags=lags,
                public_url=(given.public_url or _url(given.http)).rstrip("/"),
                brokers=(broker.url,),
                demo=demo,
                interval_seconds=interval_seconds,
                enrolled_before_ms=enrolled_before_ms,
                explanations=stories,
                retests_requested=None if asker is None else asker.counts,
            )
            own = (broker.url, MONITOR_USER, monitor_secret)
            announcer = EventAnnouncer(database, policy, wall_clock)
            # Both addresses are ours before anything else starts that would have to be undone.
            async with serving(site, given.http), asyncio.TaskGroup() as group:
                group.create_task(run_collector(*own, database, counters, stop, shared=False))
                group.create_task(
                    run_detector(
                        database,
                        policy,
                        stop,
                        holder=_holder(),
                        clock=wall_clock,
                        on_change=announcer.changed,
                        observe_lag=lags.detection.observe,
                        on_suspicion=None if asker is None else asker.wanted,
                        fingerprints=fingerprints,
                    )
                )
                besides = [
                    group.create_task(announcer.run(*own)),
                    group.create_task(stories.run()),
                ]
                if asker is not None:
                    besides.append(group.create_task(asker.run(*own)))
                yield Running(database, site, broker)
                stop.set()
                for task in besides:
                    task.cancel()
    finally:
        await database.close()


async def up(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Everything in one process, and a local probe as a child."""
    from monitor.local.probe import local_probe

    catalogue = load(given.catalogue)
    url = database_url(given)
    interval = given.interval or INTERVAL_SECONDS
    secret = kept_secret(_data(given) / "monitor.secret")
    async with everything(
        given,
        stop,
        url=url,
        policy=Policy(pace=given.pace or 1),
        catalogue=catalogue,
        interval_seconds=interval,
        monitor_secret=secret,
    ) as running:
        print(f"Reachwatch is on {running.site.public_url}", file=sys.stderr, flush=True)
        if given.no_local_probe:
            await stop.wait()
        else:
            await local_probe(given, running, _data(given), interval, stop)


@contextlib.asynccontextmanager
async def serving(site: Site, address: tuple[str, int]) -> AsyncIterator[None]:
    """The web server. Access is not logged: it would hold volunteers' addresses."""
    runner = web.AppRunner(make_app(site), access_log=None)
    await runner.setup()
    host, port = address
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise OptionError(f"--http: {host}:{port}: {error.strerror or error}") from None
    try:
        yield
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _open(given: argparse.Namespace) -> AsyncIterator[Database]:
    database = await open_database(database_url(given))
    try:
        yield database
    finally:
        await database.close()


async def _broker(
    wanted: tuple[str, int] | None, credentials: Credentials, secret: str
) -> EmbeddedBroker:
    """The embedded broker where it was asked for; else on its usual port, if that is free."""
    if wanted is not None:
        return EmbeddedBroker(*wanted, credentials, MONITOR_USER, secret)
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", DEFAULT_MQTT_PORT))
            port = DEFAULT_MQTT_PORT
        except OSError:
            port = 0
    return EmbeddedBroker("127.0.0.1", port, credentials, MONITOR_USER, secret)


def _asker(given: argparse.Namespace, policy: Policy) -> RetestAsker | None:
    return None if given.no_retests else RetestAsker(policy, wall_clock)


def _broker_secret(given: argparse.Namespace) -> str:
    path: Path | None = given.mqtt_secret_file
    return read_secret(path) if path is not None else ""


def _data(given: argparse.Namespace) -> Path:
    from monitor.paths import data_directory

    return data_directory(given)


def _holder() -> str:
    """A name of this process for the detector's lease."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
