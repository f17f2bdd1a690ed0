# SPDX-License-Identifier: Apache-2.0
"""How the parts of the monitor are put together. Nothing but the command line imports this.

probes -> broker -> collector -> store -> detector -> store -> pages, API, metrics, MQTT.

`up` runs all of it in one process; `collect`, `detect` and `serve` run the same parts as
processes of their own over one database URL and one broker URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import datetime as dt
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.metrics_core import Metric

from monitor import http_server, logs, network_table, page_server
from monitor.available_store import StoppedError, open_available
from monitor.broker import access, mosquitto
from monitor.broker.embedded import EmbeddedBroker, EmbeddedBrokerError
from monitor.broker.relay import relay
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.policy import Policy
from monitor.detector.webhooks import WebhookSender, load_webhooks
from monitor.enrolment import Credentials
from monitor.interop.fingerprints.directory import load as load_fingerprints
from monitor.listener import Network
from monitor.local.probe import LocalMonitor, local_probe
from monitor.local.source_follower import follow_source
from monitor.metrics import process
from monitor.metrics.counters import Counters
from monitor.metrics.lags import Histogram, Lags
from monitor.page_server import CACHE_SECONDS, READ_SECONDS, PageSettings, notice, site_over
from monitor.paths import (
    ARCHIVE,
    DEFAULT_DATA,
    PUBLIC_URL,
    data_directory,
    database_url,
    ensure_secret,
    read_secret,
)
from monitor.store.database import Database, StoreRefusedError
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import ALL, Shard
from monitor.store.simulated import mark_simulated
from monitor.web import mqtt_stream
from monitor.web.app import make_app
from monitor.web.day_files import DayFiles
from monitor.web.network_conditions import present_conditions
from monitor.web.page_processes import PageProcesses
from monitor.web.reception import OpenRetests, Reception
from monitor.web.render import compile_templates
from monitor.web.site import Site
from probes.catalogue.load import CatalogueError, load
from probes.runtime import private_authority
from probes.runtime.broker_url import Broker, parse_broker
from probes.runtime.clock import wall_clock
from probes.runtime.options import OptionError, authority
from probes.wire.target import Catalogue

if TYPE_CHECKING:
    from monitor.detector.loop import Detector

MONITOR_USER = "monitor"
INTERVAL_SECONDS = 1800
_REFUSALS = (
    OptionError,
    EmbeddedBrokerError,
    CatalogueError,
    StoreRefusedError,
    StoreUnavailableError,
)
DEFAULT_MQTT_PORT = 1883
PAGE_PROCESSES = 2
"""Most processes that make pages where nobody says how many: each takes memory."""


async def run(given: argparse.Namespace) -> int:
    """Run one of the servers until SIGTERM or SIGINT; its exit status."""
    logs.configure()
    if warning := private_authority.flaw():
        print(f"reachwatch: {warning}", file=sys.stderr)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        match given.command:
            case "up" if given.demo and given.follow is not None:
                raise OptionError("--follow: a demonstration takes no real measurements")
            case "up" if given.demo:
                # Here, because only the demonstration needs what it loads.
                from monitor.demo.demonstration import demonstrate

                await demonstrate(given, stop, everything)
            case "up":
                await up(given, stop)
            case "collect":
                await collect(given, stop)
            case "detect":
                await detect(given, stop)
            case "serve":
                await serve(given, stop)
    except StoppedError:
        pass
    except _REFUSALS as error:
        raise OptionError(str(error)) from None
    except ExceptionGroup as group:
        # A refusal inside a task group arrives wrapped; the user gets one line.
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
    from monitor.collector.intake import Intake
    from monitor.collector.subscriber import run_collector

    catalogue = load(given.catalogue)
    counters = Counters()
    app = process.make_app(lambda: process.collector_families(counters), lambda: counters.unready)
    metrics = ("--metrics", given.metrics)
    async with await _opened(given, stop, *metrics) as database, _serving(*metrics, app):
        await run_collector(
            given.broker,
            given.mqtt_user,
            _broker_secret(given),
            Intake(database, counters, stop, known_targets=_target_ids(catalogue)),
            shared=True,
        )


def _target_ids(catalogue: Catalogue) -> frozenset[str]:
    return frozenset(target.id for target in catalogue.targets)


async def detect(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Stored measurements into events; the process that holds the lease leads."""
    policy = Policy(pace=given.pace or 1)
    fingerprints = load_fingerprints(given.fingerprints)
    _catalogue_key(given)  # a file that cannot be read is refused before anything starts
    metrics = ("--metrics", given.metrics)
    async with await _opened(given, stop, *metrics) as database:
        publishers, lag = _Publishers(given, database, policy), Histogram()
        shard = given.shard or ALL
        detector = publishers.detector(fingerprints, lag.observe, shard)
        broker = (given.broker, given.mqtt_user, _broker_secret(given))

        def families() -> Iterable[Metric]:
            requested = None if publishers.retests is None else publishers.retests.requested
            name = f"{shard.index}/{shard.count}"
            return process.detector_families(
                detector.leads, name, lag, requested, detector.backlog, publishers.webhooks()
            )

        app = process.make_app(families, lambda: (), lambda: detector.backlog.lines())
        async with _serving(*metrics, app), asyncio.TaskGroup() as group:
            site = Site(
                database=database,
                policy=policy,
                catalogue=load(None),
                clock=wall_clock,
                unready=lambda: (),
                lags=Lags(),
                public_url=(given.public_url or PUBLIC_URL).rstrip("/"),
                interval_seconds=INTERVAL_SECONDS,
            )
            running = publishers.start(group, broker, site)
            await detector.run(stop)
            for task in running:
                task.cancel()


class _Publishers:
    """The detector over a store, and what it publishes over MQTT."""

    def __init__(self, given: argparse.Namespace, database: Database, policy: Policy) -> None:
        # Here and where a detector or collector is made, because loading the MQTT client takes a
        # fifth of the time in which `serve` starts, which needs none.
        from monitor.detector.event_publisher import EventPublisher
        from monitor.detector.retest_publisher import RetestPublisher

        self._database, self._policy = database, policy
        self._owns: Callable[[str], bool] = ALL.has
        self._leads_part: Callable[[], bool] = lambda: False
        self._events = EventPublisher(
            database,
            policy,
            wall_clock,
            leads=lambda: self._leads_part(),
            has=lambda service: self._owns(service),
        )
        self.retests = (
            None if given.no_retests else RetestPublisher(database.retests, policy, wall_clock)
        )
        self._signed_catalogue: Path | None = given.signed_catalogue
        self._hooks = () if given.webhooks is None else load_webhooks(given.webhooks)
        self._leads: Callable[[], bool] = lambda: False
        self._sender: WebhookSender | None = None

    def webhooks(self) -> Sequence[tuple[str, float]]:
        """How long each host of a webhook has not accepted a change."""
        return () if self._sender is None else self._sender.waiting()

    def start(
        self,
        group: asyncio.TaskGroup,
        broker: tuple[str, str, str],
        site: Site,
    ) -> list[asyncio.Task[None]]:
        """Publish in tasks of a group, until they are cancelled. `broker` is its URL, user and
        secret; webhooks link to the site and have its catalogue's names."""
        from monitor.detector.network_publisher import NetworkPublisher

        url, user, secret = broker
        catalogue, public_url = site.catalogue, site.public_url
        names = {service.id: service.name for service in catalogue.services}
        networks = NetworkPublisher(
            partial(present_conditions, site), self._policy, lambda: self._leads()
        )
        running = [
            group.create_task(self._events.run(url, user, secret)),
            group.create_task(networks.run(url, user, secret)),
        ]
        if self.retests is not None:
            running.append(group.create_task(self.retests.run(url, user, secret)))
        if self._signed_catalogue is not None:
            from monitor.signed_catalogue import keep_published

            keeping = keep_published(self._signed_catalogue, url, user, secret)
            running.append(group.create_task(keeping))
        if self._hooks:
            self._sender = WebhookSender(
                self._database, self._hooks, names, public_url, wall_clock, self._leads
            )
            running.append(group.create_task(self._sender.run()))
        return running

    def detector(
        self,
        fingerprints: Fingerprints,
        observe_lag: Callable[[float], None] | None = None,
        shard: Shard = ALL,
    ) -> Detector:
        """The detector whose conclusions these publish."""
        from monitor.detector.loop import Detector

        made = Detector(
            self._database,
            self._policy,
            f"{os.getpid()}-{secrets.token_hex(4)}",
            wall_clock,
            on_change=self._events.on_change,
            observe_lag=observe_lag,
            on_retest=None if self.retests is None else self.retests.on_retest,
            fingerprints=fingerprints,
            shard=shard,
        )
        # Of several parts one sends: the journal is common to all.
        self._leads = lambda: made.leads and shard.index == 1
        self._leads_part, self._owns = lambda: made.leads, shard.has
        return made


async def serve(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Pages, API, metrics, enrolment and delivery over HTTPS, over the store."""
    from monitor.collector.intake import Intake

    catalogue, catalogue_key = load(given.catalogue), _catalogue_key(given)
    public_url, joined = _public_url(given), _joined(given.broker or ())
    settings = PageSettings(
        database=database_url(given),
        catalogue=given.catalogue,
        pace=given.pace or 1,
        public_url=public_url,
        interval_seconds=given.interval or INTERVAL_SECONDS,
    )
    processes = _page_processes(given, settings)
    async with await _opened(given, stop, "--http", given.http) as database:
        intake = Intake(database, Counters(), stop, known_targets=_target_ids(catalogue))
        credentials = Credentials(database.registry)
        site = dataclasses.replace(
            await site_over(settings, database),
            brokers=tuple(given.broker or ()),
            geo=network_table.opened(given, dt.datetime.now(dt.UTC).date()),
            day_files=_day_files(given, database),
            catalogue_key=catalogue_key,
            excerpts=given.excerpts,
            ways=(*(given.way or ()), *(mqtt_stream.way_of(public_url) if joined else ())),
            processes=processes,
            reception=Reception(
                intake,
                credentials,
                OpenRetests(database, wall_clock),
                catalogue=_catalogue_document(given),
                stream=None if joined is None else lambda address: relay(joined),
                place_of=credentials.place_of,
            ),
        )
        async with (
            contextlib.nullcontext() if processes is None else processes.running(),
            website(site, given.http, given.proxy),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(intake.run())
            if given.mosquitto_passwords is not None:
                reload = mosquitto.reload_by_pid_file(given.mosquitto_pid or Path("/dev/null"))
                passwords = mosquitto.Passwords(
                    given.mosquitto_passwords, database.registry, reload
                )
                group.create_task(mosquitto.keep_passwords(passwords, stop))
            await stop.wait()


def _page_processes(given: argparse.Namespace, settings: PageSettings) -> PageProcesses | None:
    """The processes that make pages; None where the web server's own makes them."""
    count: int = given.processes or min(os.cpu_count() or 1, PAGE_PROCESSES)
    if count == 1:
        return None
    serve_pages = partial(page_server.serve, settings, sys.getswitchinterval())
    return PageProcesses(count, serve_pages, [page_server.__name__])


def _public_url(given: argparse.Namespace) -> str:
    """Where the web server is reached, without the final slash."""
    return (given.public_url or f"http://{authority(*given.http)}").rstrip("/")


def _joined(brokers: Sequence[str]) -> Broker | None:
    """The broker to which the web server joins clients; None without one that speaks plain MQTT."""
    known = map(parse_broker, brokers)
    return next((broker for broker in known if broker.scheme in ("mqtt", "mqtts")), None)


def _day_files(given: argparse.Namespace, database: Database) -> DayFiles | None:
    """Files by day, in the data directory; None for a server that has none."""
    data: Path | None = given.data or (None if given.database else DEFAULT_DATA)
    if data is None:
        return None
    return DayFiles(database, data / "downloads", data / ARCHIVE, wall_clock)


def _catalogue_document(given: argparse.Namespace) -> Callable[[], bytes]:
    """Reads the file of `--signed-catalogue`, which may be replaced by a newer one."""
    path: Path | None = given.signed_catalogue
    if path is None:
        return bytes
    from monitor.signed_catalogue import CatalogueFile

    return CatalogueFile(path)


def _catalogue_key(given: argparse.Namespace) -> str:
    """The public key of `--signed-catalogue`, hex; empty without one. Raises OptionError."""
    if given.signed_catalogue is None:
        return ""
    from monitor.signed_catalogue import read_document

    return read_document(given.signed_catalogue)[1].header.key


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
    demo: bool = False,
    enrolled_before_ms: int = 0,
) -> AsyncIterator[LocalMonitor]:
    """Run broker, collector, detector, publishers and web server in this process, the same parts
    that a fleet uses, until the block ends.

    They stop after the block, so that probes in it can still deliver while they end. While the
    store is away, this waits for it, and raises StoppedError if `stop` is set meanwhile.
    """
    from monitor.collector.intake import Intake
    from monitor.collector.subscriber import run_collector

    fingerprints = load_fingerprints(given.fingerprints)
    geo = network_table.opened(given, dt.datetime.now(dt.UTC).date())
    catalogue_key, public_url = _catalogue_key(given), _public_url(given)
    serving = partial(_serving, "--http", given.http)
    database = await open_available(url, stop, serving, READ_SECONDS)
    lags = Lags()
    counters = Counters(lags.ingest)
    ending = asyncio.Event()
    try:
        if demo:
            await mark_simulated(database)
        credentials = Credentials(database.registry)
        broker = await _broker(given.mqtt, credentials, monitor_secret)
        async with broker:
            publishers = _Publishers(given, database, policy)
            retests = publishers.retests
            intake = Intake(database, counters, ending, known_targets=_target_ids(catalogue))
            detector = publishers.detector(fingerprints, lags.detection.observe)
            site = Site(
                database=database,
                policy=policy,
                catalogue=catalogue,
                clock=wall_clock,
                unready=lambda: counters.unready,
                lags=lags,
                public_url=public_url,
                brokers=(broker.url,),
                demo=await notice(database),
                interval_seconds=interval_seconds,
                enrolled_before_ms=enrolled_before_ms,
                geo=geo,
                cache_seconds=CACHE_SECONDS / policy.pace,
                retests_requested=None if retests is None else retests.counts,
                backlog=lambda: detector.backlog,
                webhooks=publishers.webhooks,
                day_files=_day_files(given, database),
                catalogue_key=catalogue_key,
                excerpts=given.excerpts,
                ways=(*(given.way or ()), *mqtt_stream.way_of(public_url)),
                reception=Reception(
                    intake,
                    credentials,
                    OpenRetests(database, wall_clock),
                    _catalogue_document(given),
                    broker.side,
                    credentials.place_of,
                ),
            )
            own = (broker.url, MONITOR_USER, monitor_secret)
            # Both addresses are bound before anything starts that would have to be undone.
            async with (
                website(site, given.http, given.proxy),
                asyncio.TaskGroup() as group,
            ):
                group.create_task(run_collector(*own, intake, shared=False))
                group.create_task(detector.run(ending))
                background = publishers.start(group, own, site)
                yield LocalMonitor(database.registry, site.public_url, broker.url)
                ending.set()
                for task in background:
                    task.cancel()
    finally:
        await database.close()


async def up(given: argparse.Namespace, stop: asyncio.Event) -> None:
    """Everything in one process, and a local probe as a child."""
    catalogue = load(given.catalogue)
    url = database_url(given)
    data = data_directory(given)
    interval = given.interval or INTERVAL_SECONDS
    async with everything(
        given,
        stop,
        url=url,
        policy=Policy(pace=given.pace or 1),
        catalogue=catalogue,
        interval_seconds=interval,
        monitor_secret=ensure_secret(data / "monitor.secret"),
    ) as monitor:
        print(f"Reachwatch is running at {monitor.public_url}", file=sys.stderr, flush=True)
        async with asyncio.TaskGroup() as group:
            if given.follow is not None:
                group.create_task(follow_source(given, data, stop))
            if not given.no_local_probe:
                probe = local_probe(monitor, data, given.interval, given.catalogue, stop)
                group.create_task(probe)
            await stop.wait()


@contextlib.asynccontextmanager
async def website(
    site: Site, address: tuple[str, int], proxies: Sequence[Network] = ()
) -> AsyncIterator[None]:
    """Serve pages, API and metrics, with the work behind their answers, until the block ends."""
    async with site.background.running(), _serving("--http", address, make_app(site), proxies):
        site.background.start(partial(asyncio.to_thread, compile_templates))
        site.background.start(site.present.keep)
        yield


@contextlib.asynccontextmanager
async def _serving(
    option: str,
    address: tuple[str, int] | None,
    app: web.Application,
    proxies: Sequence[Network] = (),
) -> AsyncIterator[None]:
    """Serve an application at the address of an option; nothing without one."""
    if address is None:
        yield
        return
    host, port = address
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(http_server.serving(app, host, port, proxies))
        except OSError as error:
            raise OptionError(f"{option}: {host}:{port}: {error.strerror or error}") from None
        yield


async def _opened(
    given: argparse.Namespace, stop: asyncio.Event, option: str, address: tuple[str, int] | None
) -> Database:
    """The store of a part that serves at the address of an option."""
    serving = partial(_serving, option, address)
    return await open_available(database_url(given), stop, serving, READ_SECONDS)


async def _broker(
    wanted: tuple[str, int] | None, credentials: Credentials, secret: str
) -> EmbeddedBroker:
    """The embedded broker at the given address; without one, on the usual port if it is free."""
    near_it = access.near(credentials.place_of)
    made = partial(EmbeddedBroker, awaits_collector=True, may_receive=near_it)
    if wanted is not None:
        return made(*wanted, credentials, MONITOR_USER, secret)
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", DEFAULT_MQTT_PORT))
            port = DEFAULT_MQTT_PORT
        except OSError:
            port = 0
    return made("127.0.0.1", port, credentials, MONITOR_USER, secret)


def _broker_secret(given: argparse.Namespace) -> str:
    path: Path | None = given.mqtt_secret_file
    return read_secret(path) if path is not None else ""
