# SPDX-License-Identifier: Apache-2.0
"""`reachprobe once`: one full round without a broker, as a table and words or as JSON Lines.

Network failures are results. It writes to the streams it is given and stores nothing.
"""

from __future__ import annotations

import platform
import random
import secrets
import ssl
from collections.abc import Sequence
from typing import TextIO

import msgspec

from probes import __version__
from probes.net import tls
from probes.net.guard import Guard
from probes.net.resolvers import ResolverRoute, resolver_class, system_routes
from probes.net.socket_network import SocketNetwork, has_address
from probes.privacy.scrub import scrub
from probes.privacy.withheld import without_quotations
from probes.rounds.liveness import certificates_valid, liveness_targets, reached_hosts
from probes.rounds.round import measure_round, round_bound_seconds
from probes.rounds.round_plan import RoundPlan, Setup
from probes.runtime.options import OptionError
from probes.runtime.progress import ProgressLine
from probes.summary import FunctionSummary, service_lines, summarise
from probes.wire.codec import encode
from probes.wire.measurement import (
    LIVENESS_TARGETS,
    Measurement,
    Software,
    Vantage,
    measurement_id,
)
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Observation,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Catalogue
from probes.words import say

_COLUMNS = ("target", "endpoint", "dns", "tcp", "tls/quic", "http/app", "ms")
_WIDTHS = (28, 40, 22, 22, 24, 12, 6)


class _OfflineError(Exception):
    """No liveness host accepted a connection: the rows of the targets would all say the same."""


async def once(
    catalogue: Catalogue,
    *,
    json_out: bool = False,
    vantage: Vantage | None = None,
    bind: str | None = None,
    resolver: str | None = None,
    allow_private: bool = False,
    own: Sequence[str] = (),
    language: str = "en",
    stdout: TextIO,
    stderr: TextIO,
) -> None:
    """Measure every target and liveness once, and print them; after the table, a line for each
    service in words. On a machine that is offline the table ends with liveness.

    `own` are this machine's addresses and names. They are removed from what is printed, because
    people share it, and so are quotations of pages. Raises probes.net.resolvers.ResolverError for a
    malformed `resolver` (`ADDRESS[:PORT]`).
    """
    network, system = open_network(bind, resolver, allow_private)
    vantage = vantage or Vantage()
    if system and vantage.resolver_class == "unknown":
        asked = resolver_class(system[0].address)
        vantage = msgspec.structs.replace(vantage, resolver_class=asked)
    setup = Setup(
        network=network,
        catalogue=catalogue,
        vantage=vantage,
        software=software(),
        probe=f"p-{secrets.token_hex(8)}",
        system=system,
    )
    _announce(catalogue, stderr)
    report = _Report(setup, own, json_out, stdout, ProgressLine(stderr))
    if not json_out:
        print(_line(_COLUMNS), file=stdout, flush=True)
    offline = False
    try:
        await measure_round(
            setup,
            RoundPlan(targets=catalogue.targets, round_ms=network.wall_ms(), interval_ms=0),
            emit=report.emit,
            rng=random.Random(),
        )
    except* _OfflineError:
        offline = True
    report.end(language, offline=offline)


def _announce(catalogue: Catalogue, stderr: TextIO) -> None:
    targets = catalogue.targets
    endpoints = sum(len(target.endpoints) for target in targets)
    bound = round_bound_seconds(catalogue)
    print(
        f"measuring {len(targets)} target{'s' * (len(targets) != 1)}, "
        f"{endpoints} endpoint{'s' * (endpoints != 1)}; ends within {bound:.0f} s",
        file=stderr,
        flush=True,
    )


class _Report:
    """Prints the measurements of one round as they come, and what they mean at its end."""

    def __init__(
        self,
        setup: Setup,
        own: Sequence[str],
        json_out: bool,
        stdout: TextIO,
        progress: ProgressLine,
    ) -> None:
        self._setup, self._own = setup, own
        self._json_out, self._stdout, self._progress = json_out, stdout, progress
        self._epoch, self._sequence = secrets.token_hex(8), 0
        self._hosts = len(liveness_targets(setup.catalogue.liveness, setup.vantage.country))
        self._online = False
        self._certificates: list[bool] = []
        self._summaries: list[FunctionSummary] = []

    def emit(self, measured: Measurement) -> None:
        """Print one measurement. Raises _OfflineError after the last of liveness."""
        self._sequence += 1
        measurement = msgspec.structs.replace(
            without_quotations(scrub(measured, self._own)),
            id=measurement_id(self._setup.probe, self._epoch, self._sequence),
            epoch=self._epoch,
            sequence=self._sequence,
        )
        self._progress.clear()
        if self._json_out:
            print(encode(measurement).decode(), file=self._stdout, flush=True)
        else:
            for row in table_rows(measurement):
                print(_line(row), file=self._stdout, flush=True)
        total = self._hosts + len(self._setup.catalogue.targets)
        self._progress.show(f"{self._sequence} of {total} measured")
        if measured.target in LIVENESS_TARGETS:
            self._online = self._online or bool(reached_hosts(measured))
            self._certificates.extend(certificates_valid(measured))
            if self._sequence == self._hosts and not self._online and not self._json_out:
                raise _OfflineError
        elif (summary := summarise(measured)) is not None:
            self._summaries.append(summary)

    def end(self, language: str, *, offline: bool) -> None:
        """Print a line for each service in words, or that the machine is offline."""
        self._progress.clear()
        if self._json_out:
            return
        if offline:
            lines = [say(language, "offline")]
        else:
            lines = service_lines(self._setup.catalogue, self._summaries, language)
        if self._certificates and not any(self._certificates):
            lines.append(say(language, "no_certificates"))
        if self._stdout.isatty():
            print(file=self._stdout)
        print(*lines, sep="\n", file=self._stdout, flush=True)


def open_network(
    bind: str | None, resolver: str | None, allow_private: bool
) -> tuple[SocketNetwork, tuple[ResolverRoute, ...]]:
    """Return the Network and the machine's nameservers, which the guard allows on port 53.

    Raises ResolverError for a malformed `resolver`, and OptionError for a `bind` address that this
    machine does not have.
    """
    if bind and not has_address(bind):
        raise OptionError(f"--bind: {bind}: this machine does not have this address")
    system = system_routes(resolver)
    nameservers = frozenset(route.address for route in system)
    return SocketNetwork(bind, Guard(allow_private, nameservers)), system


def software() -> Software:
    """Return the versions of software that a verdict may depend on."""
    return Software(
        version=__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        tls_profile=f"default.{tls.PROFILE_VERSION}",
    )


def table_rows(measurement: Measurement) -> list[tuple[str, ...]]:
    """Return one row of the table for each endpoint, from observations of purpose `subject`."""
    return [
        (
            measurement.target,
            endpoint.id,
            *_outcomes(
                [
                    seen
                    for seen in measurement.observations
                    if getattr(seen, "endpoint", None) == endpoint.id
                    and getattr(seen, "purpose", None) is Purpose.SUBJECT
                ]
            ),
        )
        for endpoint in measurement.endpoints
    ]


def _outcomes(subject: Sequence[AnyObservation]) -> tuple[str, ...]:
    """For each step `ok`, the failure, or the number of addresses that succeeded."""
    cells = [_cell([o for o in subject if isinstance(o, kinds)]) for kinds in _KINDS]
    took_us = sum(
        min((o.took_us for o in subject if isinstance(o, kinds) and o.failure is None), default=0)
        for kinds in _KINDS
    )
    return (*cells, f"{took_us / 1000:.0f}" if took_us else "-")


_KINDS: tuple[tuple[type[Observation], ...], ...] = (
    (DNSLookup,),
    (TCPConnect,),
    (TLSHandshake, QUICHandshake),
    (HTTPExchange, AppExchange),
)


def _cell(seen: Sequence[Observation]) -> str:
    if isinstance(seen[0] if seen else None, DNSLookup) and any(
        isinstance(o, DNSLookup) and o.answers for o in seen
    ):
        return "ok"  # many names have no IPv6 address: one family is enough
    good = [o for o in seen if o.failure is None]
    if not seen:
        return "-"
    if not good:
        return str(seen[0].failure)
    if isinstance(good[0], HTTPExchange):
        return str(good[0].status)
    if isinstance(good[0], AppExchange):
        good = [o for o in good if isinstance(o, AppExchange) and o.spoke]
        if not good:
            return "foreign"
    return "ok" if len(good) == len(seen) else f"ok {len(good)}/{len(seen)}"


def _line(cells: Sequence[str]) -> str:
    """One line of the table; a long cell shifts the others, nothing is cut."""
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
