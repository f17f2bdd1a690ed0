# SPDX-License-Identifier: Apache-2.0
"""`reachprobe`: one function per command. Bad input is one line on stderr and exit code 2.

Results are printed on stdout, everything else goes to the log on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import io
import logging
import math
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import probes
from probes import state_directory
from probes import status as probe_status
from probes.catalogue.load import CatalogueError, load
from probes.catalogue.selection import all_ids, require_known, select
from probes.cli import consent, options, status
from probes.cli.once import once, open_network, software
from probes.cli.stdout_report import StdoutReport, discard_stdout
from probes.delivery import enrolment
from probes.delivery.sqlite_file import DiskError
from probes.local_http import AddressError
from probes.log import Log, LogHandler, printable
from probes.net.resolvers import ResolverError
from probes.privacy import geo
from probes.privacy.location import locate, own_identifiers
from probes.reflector import tcp
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
from probes.runtime.broker_url import Broker, parse_broker
from probes.runtime.clock import wall_clock
from probes.runtime.geo_table import GeoError
from probes.runtime.options import OptionError
from probes.wire.enrolment_token import TokenError, parse_token
from probes.wire.target import Catalogue
from probes.words import language_of, say

if TYPE_CHECKING:
    from probes.config import AgentConfig

BAD_INPUT = 2
MIN_INTERVAL, MAX_INTERVAL = 30.0, 86_400.0
LEAN_INTERVAL, FULL_INTERVAL = 1800.0, 300.0
"""Seconds between rounds by default."""
LEAN_BUDGET = 1000.0
"""MB a month by default."""
_PUBLIC_ADDRESS_UNKNOWN = (
    "the addresses and names of this machine are removed; its public address is not known here: "
    "before you share this output, check that it does not occur"
)
_REFUSALS = (
    OptionError,
    CatalogueError,
    ResolverError,
    consent.ConsentError,
    enrolment.EnrolmentError,
    TokenError,
    state_directory.StateError,
    GeoError,
    tcp.ReflectorError,
    DiskError,
    AddressError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Every expected error is one line on stderr."""
    _open_missing_streams()
    try:
        try:
            return _call(arguments)
        finally:
            sys.stdout.flush()
    except _REFUSALS as error:
        reason = str(error)
    except BrokenPipeError:
        discard_stdout()
        return 0
    except OSError as error:
        reason = f"{error.filename or 'output'}: {error.strerror or error}"
        if error.filename is None:
            discard_stdout()
    except KeyboardInterrupt:
        return 130
    print(f"reachprobe: {printable(' '.join(reason.split()))}", file=sys.stderr)
    return BAD_INPUT


def _call(arguments: Sequence[str] | None) -> int:
    log = Log()
    parser = options.build(os.environ)
    chosen = parser.read(sys.argv[1:] if arguments is None else arguments)
    for line in parser.unknown_variables(os.environ):
        print(f"reachprobe: {line}", file=sys.stderr)
    logging.basicConfig(handlers=[LogHandler(log)], level=logging.WARNING, force=True)
    if isinstance(sys.stdout, io.TextIOWrapper):
        if chosen.command == "payload" or getattr(chosen, "json", False):
            sys.stdout.reconfigure(encoding="utf-8")  # JSON, whatever the terminal is
        else:
            sys.stdout.reconfigure(errors="replace")
    return _COMMANDS[chosen.command](chosen, log)


def _open_missing_streams() -> None:
    """Replace streams that were closed before the start. Otherwise their numbers would go to files
    that are opened later."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Open until the end.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _language() -> str:
    """The volunteer's language, from the locale; English where stdout cannot show that one."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    language = language_of(next(filter(None, names), ""))
    try:
        say(language, "offline").encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "en"
    return language


def _once(chosen: Namespace, log: Log) -> int:
    catalogue = select(
        load(chosen.catalogue),
        services=chosen.service,
        targets=chosen.target,
        only=chosen.only,
        excluded=chosen.except_,
    )
    if (chosen.state / enrolment.FILE).exists():
        _say_waiting("asking the monitor for this machine's public address")
    outside = enrolment.seen_from_outside(chosen.state)
    vantage = locate(
        country=chosen.country,
        asn=chosen.asn,
        role=chosen.role,
        outside=outside,
        directory=chosen.state,
    )
    if chosen.json and not outside:
        print(_PUBLIC_ADDRESS_UNKNOWN, file=sys.stderr)
    work = once(
        catalogue,
        json_out=chosen.json,
        vantage=vantage,
        bind=chosen.bind or None,
        resolver=chosen.resolver or None,
        allow_private=chosen.allow_private,
        own=own_identifiers(chosen.bind, outside),
        language=_language(),
        stdout=sys.stdout,
        stderr=sys.stderr,
    )
    lost: BaseException | None = None
    try:
        asyncio.run(work)
    except* OSError as group:
        lost = group
    # What went wrong with stdout, out of the groups of tasks that it ended.
    while isinstance(lost, BaseExceptionGroup):
        lost = lost.exceptions[0]
    if lost is not None:
        raise lost
    return 0


def _join(chosen: Namespace, log: Log) -> int:
    token = parse_token(chosen.token)
    state_directory.prepare(chosen.state)
    if (old := enrolment.load(chosen.state)) is not None:
        raise enrolment.EnrolmentError(
            f"{chosen.state}: already enrolled as {old.probe}; run `reachprobe leave` first"
        )
    _show_risks(chosen)
    enrolment.require_room(chosen.state)
    _say_waiting("asking the monitor for credentials")
    enrolled = enrolment.enrol(token, f"reachprobe/{probes.__version__}")
    for url in enrolled.broker:
        _broker("the collector's answer: broker", url)
    enrolment.save(chosen.state, enrolled)
    agreeing = f" --accept-risks {consent.digest()}"
    with contextlib.suppress(consent.ConsentError):
        consent.require(chosen.state)
        agreeing = ""
    print(
        f"enrolled as {enrolled.probe} ({enrolled.role}); "
        f"next: reachprobe run --country CC --asn N{agreeing} (where this machine is)"
    )
    return 0


def _say_waiting(words: str) -> None:
    """Tell somebody who watches what a command waits for: a network that is silent takes long."""
    if sys.stderr.isatty():
        print(f"{words} ...", file=sys.stderr, flush=True)


def _show_risks(chosen: Namespace) -> None:
    """Show the risks before the token is spent, unless they were agreed to, and ask for agreement
    on a terminal. Elsewhere `run` demands it. Raises ConsentError when it is refused."""
    if chosen.accept_risks:
        consent.agree(chosen.state, chosen.accept_risks, _now())
        return
    with contextlib.suppress(consent.ConsentError):
        consent.require(chosen.state)
        return
    print(consent.text(), file=sys.stderr)
    if not sys.stdin.isatty():
        print(
            f"To agree: reachprobe consent --accept-risks {consent.digest()}",
            file=sys.stderr,
            flush=True,
        )
        return
    print("Do you agree? Type yes, or anything else to stop: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise consent.ConsentError("not enrolled, and the token is not used: you did not agree")
    consent.agree(chosen.state, consent.digest(), _now())


def _broker(source: str, url: str) -> Broker:
    try:
        return parse_broker(url)
    except ValueError as error:
        raise OptionError(f"{source}: {error}") from None


def _run(chosen: Namespace, log: Log) -> int:
    from probes.config import AgentConfig  # as in `_broker`

    if chosen.interval and chosen.interval < MIN_INTERVAL and not chosen.allow_private:
        raise OptionError(
            f"--interval: must be at least {MIN_INTERVAL:g} seconds "
            "(less only in a laboratory, with --allow-private)"
        )
    if chosen.interval and chosen.interval > MAX_INTERVAL:
        raise OptionError(f"--interval: must be at most {MAX_INTERVAL:g} seconds, a day")
    network, system = open_network(
        chosen.bind or None, chosen.resolver or None, chosen.allow_private
    )
    state_directory.prepare(chosen.state)
    enrolled = enrolment.load(chosen.state)
    remote = _remote_catalogue(chosen, enrolled)
    catalogue, taken = _first_catalogue(chosen, remote, log)
    # A control is what others are compared with.
    full = chosen.full or (enrolled is not None and enrolled.role == "control")
    interval = chosen.interval or (FULL_INTERVAL if full else LEAN_INTERVAL)
    budget = chosen.budget
    if budget is None:
        budget = 0.0 if full or chosen.interval else LEAN_BUDGET
    urls = chosen.broker or (enrolled.broker if enrolled else ())
    if not urls:
        raise enrolment.EnrolmentError(
            "not enrolled: run `reachprobe join TOKEN` first (or pass --broker)"
        )
    brokers = tuple(_broker("--broker" if chosen.broker else "broker", url) for url in urls)
    agreed = _agreed(chosen, log)
    with state_directory.locked(chosen.state):
        if remote is None and chosen.catalogue is None:
            log("catalogues of the monitor are not accepted", reason="no key is pinned")
        setup = Setup(
            network=network,
            catalogue=catalogue,
            vantage=locate(country=chosen.country, asn=chosen.asn),
            software=software(),
            probe=enrolled.probe if enrolled else enrolment.own_identity(chosen.state),
            system=system,
        )
        config = AgentConfig(
            directory=chosen.state,
            interval_ms=scheduler.interval_of(interval),
            shared=not (full or chosen.interval),
            full=full,
            budget_bytes=budget * 1e6,
            spool_bytes=int(chosen.spool_limit * 1e6),
            country=chosen.country,
            asn=chosen.asn,
            bind=chosen.bind,
            metrics=chosen.metrics,
            local_page=chosen.local_page,
            metered=chosen.metered,
            consent=agreed,
            collector=enrolled.url if enrolled else "",
            user=enrolled.user if enrolled else "",
            secret=enrolled.secret if enrolled else "",
            brokers=brokers,
        )
        bound = round_bound_seconds(
            catalogue, limit_seconds=scheduler.limit_seconds(config.interval_ms), lean=not full
        )
        log(
            "start",
            probe=setup.probe,
            targets=len(catalogue.targets),
            round_ends_within_seconds=round(bound),
        )
        return _run_daemon(lambda: _run_agent(config, setup, log, remote, taken))


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
                consent.agree(chosen.state, chosen.accept_risks, _now())
            except state_directory.StateError as error:
                # Consent was given for this run: a full disk must not prevent the start.
                log("consent not recorded", reason=str(error))
        return str(chosen.accept_risks)
    if chosen.accept_risks:
        consent.agree(chosen.state, chosen.accept_risks, _now())
    return consent.require(chosen.state)


async def _run_agent(
    config: AgentConfig,
    setup: Setup,
    log: Log,
    remote: RemoteCatalogue | None,
    taken: TakenCatalogue | None,
) -> None:
    from probes.daemon.agent import Agent  # as in `_broker`

    report = StdoutReport(log)
    report.report_latest(config.directory)
    agent = Agent(config, setup, log=log, report=report, remote=remote, taken=taken)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()


def keep_memory_low() -> None:
    """Exempt modules and catalogue from garbage collection, and collect often. Python's own
    thresholds leave half a megabyte of garbage; these cost no measurable time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(500, 2, 2)


def _run_daemon(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run to the end without waiting for threads: a name lookup of the MQTT client cannot be
    interrupted, and everything that matters is on disk."""
    executor = ThreadPoolExecutor(4, thread_name_prefix="daemon")

    async def begin() -> None:
        asyncio.get_running_loop().set_default_executor(executor)
        keep_memory_low()
        await work()
        waiting = threading.Thread(target=executor.shutdown, daemon=True)
        waiting.start()
        await asyncio.sleep(0)
        waiting.join(0.3)
        if waiting.is_alive():
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            os._exit(0)

    asyncio.run(begin())
    return 0


def _status(chosen: Namespace, log: Log) -> int:
    now_ms = wall_clock()
    if chosen.check:
        found = status.find_problem(chosen.state, now_ms)
        if found:
            print(f"reachprobe: {found}", file=sys.stderr)
        return 1 if found else 0
    found = status.show_status(chosen.state, now_ms, as_json=chosen.json, out=sys.stdout)
    return 1 if found == probe_status.REVOKED else 0


def _pause(chosen: Namespace, log: Log) -> int:
    return _set_paused(chosen, True, "paused; `reachprobe resume` goes on")


def _resume(chosen: Namespace, log: Log) -> int:
    if chosen.state.is_dir() and not state_directory.is_locked(chosen.state):
        return _set_paused(chosen, False, "no longer paused; start it with `reachprobe run`")
    return _set_paused(chosen, False, "measuring goes on")


def _set_paused(chosen: Namespace, wanted: bool, done: str) -> int:
    if not chosen.state.is_dir():
        raise state_directory.StateError(
            f"{chosen.state}: no probe has run here: start it, or name its directory by --state"
        )
    state_directory.set_paused(chosen.state, wanted)
    print(done)
    return 0


def _show(chosen: Namespace, log: Log) -> int:
    if not status.show_last(chosen.state, chosen.last, as_json=chosen.json, out=sys.stdout):
        _say_empty(chosen)
    return 0


def _payload(chosen: Namespace, log: Log) -> int:
    if not status.show_payload(chosen.state, out=sys.stdout):
        _say_empty(chosen)
    return 0


def _say_empty(chosen: Namespace) -> None:
    print(f"reachprobe: {chosen.state}: no measurement is kept there", file=sys.stderr)


def _consent(chosen: Namespace, log: Log) -> int:
    if chosen.accept_risks:
        state_directory.prepare(chosen.state)
        consent.agree(chosen.state, chosen.accept_risks, _now())
        print("consent recorded")
        return 0
    print(consent.text())
    print(f"To agree: reachprobe consent --accept-risks {consent.digest()}")
    print(f"hash: {consent.digest()}")
    return 0


def _geo_update(chosen: Namespace, log: Log) -> int:
    made = geo.update(chosen.from_, chosen.state)
    print(f"table {made.version}: {made.rows_v4} rows for IPv4, {made.rows_v6} for IPv6")
    return 0


def _leave(chosen: Namespace, log: Log) -> int:
    if not chosen.state.is_dir():
        print(f"{chosen.state}: nothing is enrolled here")
        return 0
    with state_directory.locked(chosen.state):
        enrolled = None if chosen.force else enrolment.load(chosen.state)
        enrolled_here = (chosen.state / enrolment.FILE).exists()
        try:
            if enrolled is not None:
                _say_waiting("asking the monitor to revoke the credentials")
                enrolment.leave(enrolled)
        except enrolment.EnrolmentError as error:
            # Without the credentials they could never be revoked.
            state_directory.wipe(chosen.state, keep=enrolment.FILE)
            print(
                f"reachprobe: not revoked yet ({error}): the credentials are kept in "
                f"{chosen.state}, everything else is removed; run `reachprobe leave` again later",
                file=sys.stderr,
            )
            return 1
        state_directory.wipe(chosen.state)
    if not enrolled_here:
        print(f"{chosen.state}: nothing is enrolled here")
    elif enrolled is None:
        print("files removed; the credentials are not revoked: tell your operator")
    else:
        print("credentials revoked, files removed")
    return 0


def _reflector(chosen: Namespace, log: Log) -> int:
    if (chosen.certificate is None) != (chosen.key is None):
        raise OptionError("--certificate and --key: give both or neither")
    if chosen.certificate is None or chosen.key is None:
        certificate, key = tcp.make_certificate(chosen.state)
    else:
        certificate, key = chosen.certificate, chosen.key
    context = tcp.server_context(certificate, key)
    host, port = chosen.listen

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await tcp.serve(
            host,
            port,
            context=context,
            quic_pair=(certificate, key) if tcp.offers_quic() else None,
            stop=stop,
            ready=lambda bound: log("reflector started", port=bound, certificate=str(certificate)),
        )

    asyncio.run(work())
    return 0


_COMMANDS: Mapping[str, Callable[[Namespace, Log], int]] = {
    "once": _once,
    "join": _join,
    "run": _run,
    "status": _status,
    "show": _show,
    "payload": _payload,
    "consent": _consent,
    "geo update": _geo_update,
    "leave": _leave,
    "pause": _pause,
    "resume": _resume,
    "reflector": _reflector,
}
