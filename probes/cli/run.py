# SPDX-License-Identifier: Apache-2.0
"""`reachprobe run`: from the volunteer's options to a daemon that runs."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import signal
from argparse import Namespace

import msgspec

from probes import state_directory
from probes.catalogue.load import CatalogueError, load
from probes.catalogue.selection import all_ids, require_known, select
from probes.cli import consent
from probes.cli.daemon_process import run_daemon
from probes.cli.once import open_network, software
from probes.cli.stdout_report import StdoutReport
from probes.cli.terminal import volunteers_language
from probes.config import AgentConfig
from probes.delivery import enrolment
from probes.delivery.monitor_request import EnrolmentError
from probes.delivery.monitor_ways import web_server
from probes.delivery.ways import in_order
from probes.log import Log
from probes.privacy.location import locate
from probes.remote_catalogue import (
    NO_KEY,
    RefusedCatalogueError,
    RemoteCatalogue,
    TakenCatalogue,
)
from probes.rounds import scheduler
from probes.rounds.profile import Profile
from probes.rounds.round import round_bound_seconds
from probes.rounds.round_plan import Setup
from probes.rounds.traffic_budget import least_budget
from probes.runtime import geo_table
from probes.runtime.broker_url import Broker
from probes.runtime.options import OptionError
from probes.wire.measurement import Role
from probes.wire.target import Catalogue
from probes.words import say

MIN_INTERVAL, MAX_INTERVAL = 30.0, 86_400.0
LEAN_INTERVAL, FULL_INTERVAL = 1800.0, 300.0
"""Seconds between rounds by default."""
LEAN_BUDGET = 1000.0
"""MB a month by default."""


class Rhythm(msgspec.Struct, frozen=True):
    """How often, and how much, a probe measures."""

    full: bool
    """Everything in every round."""
    interval: float
    """Seconds."""
    shared: bool
    """Shorter where few vantages take turns."""
    budget: float
    """MB a month, 0 for no limit."""


def run(chosen: Namespace, log: Log) -> int:
    """Run the daemon until it is stopped."""
    _require_interval(chosen)
    network, system = open_network(
        chosen.bind or None, chosen.resolver or None, chosen.allow_private
    )
    state_directory.prepare(chosen.state)
    enrolled = enrolment.load(chosen.state)
    remote = _remote_catalogue(chosen, enrolled)
    catalogue, taken = _first_catalogue(chosen, remote, log)
    rhythm = _rhythm(chosen, enrolled)
    brokers = _brokers(chosen, enrolled)
    agreed = _agreed(chosen, log)
    with state_directory.locked(chosen.state):
        if remote is None and chosen.catalogue is None:
            log("catalogues of the monitor are not accepted", reason="no key is pinned")
        setup = Setup(
            network=network,
            catalogue=catalogue,
            vantage=locate(country=chosen.country, asn=chosen.asn, role=_role(enrolled)),
            software=software(),
            probe=enrolled.probe if enrolled else enrolment.own_identity(chosen.state),
            system=system,
            mark=enrolled.mark if enrolled else "",
        )
        config = _config(chosen, rhythm, enrolled, brokers, agreed)
        bound = round_bound_seconds(
            catalogue,
            limit_seconds=scheduler.limit_seconds(config.interval_ms),
            lean=not rhythm.full,
        )
        log(
            "start",
            probe=setup.probe,
            targets=len(catalogue.targets),
            round_ends_within_seconds=round(bound),
        )
        _warn_of_unknown_place(chosen, enrolled, log)
        return run_daemon(lambda: _run_agent(config, setup, log, remote, taken))


def _warn_of_unknown_place(
    chosen: Namespace, enrolled: enrolment.Enrolment | None, log: Log
) -> None:
    """Say at once that this probe will have no vote, and where the monitor saw it."""
    role = enrolled.role if enrolled else "vantage"
    table = (chosen.state / geo_table.FILE_NAME).exists()
    if role == "control" or table or (chosen.country and chosen.asn):
        return
    words = say(volunteers_language(), "is_nowhere")
    if enrolled is not None and enrolled.country:
        log(words, monitor_sees=f"{enrolled.country} AS{enrolled.asn}")
    else:
        log(words)


def _require_interval(chosen: Namespace) -> None:
    """Raises OptionError when the interval is too short or too long."""
    if chosen.interval and chosen.interval < MIN_INTERVAL and not chosen.allow_private:
        raise OptionError(
            f"--interval: must be at least {MIN_INTERVAL:g} seconds "
            "(less only in a laboratory, with --allow-private)"
        )
    if chosen.interval and chosen.interval > MAX_INTERVAL:
        raise OptionError(f"--interval: must be at most {MAX_INTERVAL:g} seconds, a day")


def _role(enrolled: enrolment.Enrolment | None) -> Role:
    """What the token of the enrolment was for."""
    is_control = enrolled is not None and enrolled.role == Role.CONTROL
    return Role.CONTROL if is_control else Role.VANTAGE


def _rhythm(chosen: Namespace, enrolled: enrolment.Enrolment | None) -> Rhythm:
    # A control is what others are compared with.
    full = chosen.full or _role(enrolled) is Role.CONTROL
    interval = chosen.interval or (FULL_INTERVAL if full else LEAN_INTERVAL)
    budget = chosen.budget
    if budget is None:
        budget = 0.0 if full or chosen.interval else LEAN_BUDGET
    return Rhythm(full, interval, not (full or chosen.interval), budget)


def _brokers(chosen: Namespace, enrolled: enrolment.Enrolment | None) -> tuple[Broker, ...]:
    """The ways by which measurements are delivered. Raises EnrolmentError when there is none."""
    urls = chosen.broker or (enrolment.urls_of(enrolled) if enrolled else ())
    if not urls:
        raise EnrolmentError("not enrolled: run `reachprobe join TOKEN` first (or pass --broker)")
    try:
        return in_order(urls, chosen.proxy)
    except ValueError as error:
        raise OptionError(f"{'--broker' if chosen.broker else 'broker'}: {error}") from None


def _config(
    chosen: Namespace,
    rhythm: Rhythm,
    enrolled: enrolment.Enrolment | None,
    brokers: tuple[Broker, ...],
    agreed: str,
) -> AgentConfig:
    return AgentConfig(
        directory=chosen.state,
        interval_ms=scheduler.interval_of(rhythm.interval),
        shared=rhythm.shared,
        full=rhythm.full,
        budget_bytes=rhythm.budget * 1e6,
        spool_bytes=int(chosen.spool_limit * 1e6),
        country=chosen.country,
        asn=chosen.asn,
        bind=chosen.bind,
        metrics=chosen.metrics,
        local_page=chosen.local_page,
        metered=chosen.metered,
        consent=agreed,
        excerpts_asked=enrolled is not None and enrolled.excerpts,
        collector=web_server(chosen.state, enrolled.url) if enrolled else "",
        user=enrolled.user if enrolled else "",
        secret=enrolled.secret if enrolled else "",
        brokers=brokers,
        proxy=chosen.proxy,
        ways_replaceable=not chosen.broker,
    )


def _require_budget(chosen: Namespace, catalogue: Catalogue) -> None:
    """Raises OptionError when the budget is too small for a catalogue."""
    least = math.ceil(least_budget(Profile(catalogue, "", chosen.full)) / 1e6)
    if chosen.budget and chosen.budget < least:
        raise OptionError(
            f"--budget: must be at least {least} (MB a month): enough for one round a day of these "
            f"{len(catalogue.targets)} targets and the connection; choose fewer by --only, --except"
        )


def _remote_catalogue(
    chosen: Namespace, enrolled: enrolment.Enrolment | None
) -> RemoteCatalogue | None:
    """What decides on the monitor's catalogues; None where none is accepted."""
    key = chosen.catalogue_key or (enrolled.catalogue_key if enrolled else "")
    if chosen.catalogue is not None or key in ("", NO_KEY):
        return None

    def choose(found: Catalogue) -> Catalogue:
        # It need not have everything that the volunteer names of an earlier one.
        ids = all_ids(found)
        only = [each for each in chosen.only if each in ids]
        if chosen.only and not only:
            raise CatalogueError("it contains nothing that --only names")
        part = select(found, only=only, excluded=ids & set(chosen.except_))
        try:
            _require_budget(chosen, part)
        except OptionError as error:
            raise CatalogueError(str(error)) from None
        return part

    return RemoteCatalogue(chosen.state, key, choose, laboratory=chosen.allow_private)


def _first_catalogue(
    chosen: Namespace, remote: RemoteCatalogue | None, log: Log
) -> tuple[Catalogue, TakenCatalogue | None]:
    """What is measured from the start, and the monitor's catalogue if it is from there. Raises
    CatalogueError and OptionError."""
    shipped, taken = load(chosen.catalogue), None
    try:
        taken = None if remote is None else remote.load_kept()
    except RefusedCatalogueError as error:
        log("the kept catalogue of the monitor is not used", reason=str(error))
    if taken is not None:
        require_known((*chosen.only, *chosen.except_), all_ids(shipped) | taken.ids)
        return taken.catalogue, taken
    catalogue = select(shipped, only=chosen.only, excluded=chosen.except_)
    _require_budget(chosen, catalogue)
    return catalogue, None


def _agreed(chosen: Namespace, log: Log) -> str:
    """Return the hash that was agreed to. Raises ConsentError."""
    if chosen.accept_risks == consent.digest():
        try:
            found = consent.recorded(chosen.state)
        except consent.ConsentError:
            found = None
        if found is None or found.hash != chosen.accept_risks:
            try:
                consent.agree(chosen.state, chosen.accept_risks, dt.datetime.now(dt.UTC))
            except state_directory.StateError as error:
                # Consent was given for this run: a full disk must not prevent the start.
                log("consent not recorded", reason=str(error))
        return str(chosen.accept_risks)
    if chosen.accept_risks:
        consent.agree(chosen.state, chosen.accept_risks, dt.datetime.now(dt.UTC))
    return consent.require(chosen.state)


async def _run_agent(
    config: AgentConfig,
    setup: Setup,
    log: Log,
    remote: RemoteCatalogue | None,
    taken: TakenCatalogue | None,
) -> None:
    from probes.daemon.agent import Agent  # the other commands start sooner without it

    report = StdoutReport(log)
    report.report_latest(config.directory)
    agent = Agent(config, setup, log=log, report=report, remote=remote, taken=taken)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()
