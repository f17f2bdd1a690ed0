# SPDX-License-Identifier: Apache-2.0
"""`reachprobe`: one function per command. Bad input is one line on stderr and exit code 2.

Results are printed on stdout, everything else goes to the log on stderr.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence

from probes import state_directory
from probes import status as probe_status
from probes.catalogue.load import CatalogueError, load
from probes.catalogue.selection import select
from probes.cli import consent, enrolling, excerpts, options, status
from probes.cli.once import once
from probes.cli.run import run
from probes.cli.stdout_report import discard_stdout
from probes.cli.terminal import open_missing_streams, say_waiting, show, volunteers_language
from probes.delivery import enrolment
from probes.delivery.monitor_request import EnrolmentError
from probes.delivery.signing_key import SigningKeyError
from probes.delivery.sqlite_file import DiskError
from probes.local_http import AddressError
from probes.log import Log, LogHandler, printable
from probes.net.resolvers import ResolverError
from probes.privacy.location import locate, own_identifiers
from probes.reflector import tcp
from probes.runtime.clock import wall_clock
from probes.runtime.geo_table import GeoError
from probes.runtime.options import OptionError
from probes.wire.enrolment_token import TokenError
from probes.words import say

BAD_INPUT = 2
_PUBLIC_ADDRESS_UNKNOWN = (
    "the addresses and names of this machine are removed; its public address is not known here: "
    "before you share this output, check that it does not occur"
)
_REFUSALS = (
    OptionError,
    CatalogueError,
    ResolverError,
    consent.ConsentError,
    EnrolmentError,
    SigningKeyError,
    TokenError,
    state_directory.StateError,
    GeoError,
    tcp.ReflectorError,
    DiskError,
    AddressError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Every expected error is one line on stderr."""
    open_missing_streams()
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


def _once(chosen: Namespace, log: Log) -> int:
    catalogue = select(
        load(chosen.catalogue),
        services=chosen.service,
        targets=chosen.target,
        only=chosen.only,
        excluded=chosen.except_,
    )
    if (chosen.state / enrolment.FILE).exists():
        say_waiting("waits_for_address")
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
        language=volunteers_language(),
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
    return _set_paused(chosen, True, "pause_begins")


def _resume(chosen: Namespace, log: Log) -> int:
    if chosen.state.is_dir() and not state_directory.is_locked(chosen.state):
        return _set_paused(chosen, False, "pause_ends_stopped")
    return _set_paused(chosen, False, "pause_ends")


def _set_paused(chosen: Namespace, wanted: bool, done: str) -> int:
    if not chosen.state.is_dir():
        raise state_directory.StateError(
            f"{chosen.state}: no probe has run here: start it, or name its directory by --state"
        )
    state_directory.set_paused(chosen.state, wanted)
    print(say(volunteers_language(), done))
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
    language = volunteers_language()
    if chosen.accept_risks:
        state_directory.prepare(chosen.state)
        consent.agree(chosen.state, chosen.accept_risks, dt.datetime.now(dt.UTC))
        print(say(language, "agreement_recorded"))
        return 0
    show(consent.text(language), sys.stdout)
    how = say(language, "agree_how")
    print(f"{how} reachprobe consent --accept-risks {consent.digest()}")
    print(f"hash: {consent.digest()}")
    return 0


def _geo_update(chosen: Namespace, log: Log) -> int:
    from probes.privacy import geo  # the daemon has no use for it

    made = geo.update(chosen.from_, chosen.state)
    origin = made.origin
    of = ", ".join(filter(None, (origin.source, str(origin.made or ""), origin.licence)))
    rows = f"{made.rows_v4} rows for IPv4, {made.rows_v6} for IPv6"
    print(f"table {made.version}: {rows}; of {of or 'unknown origin'}")
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
    "join": enrolling.join,
    "run": run,
    "status": _status,
    "show": _show,
    "payload": _payload,
    "consent": _consent,
    "excerpts": excerpts.show_or_choose,
    "geo update": _geo_update,
    "key": enrolling.key,
    "leave": enrolling.leave,
    "pause": _pause,
    "resume": _resume,
    "reflector": _reflector,
}
