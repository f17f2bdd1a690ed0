# SPDX-License-Identifier: Apache-2.0
"""`reachprobe once`: one full round without a broker, for a person or as JSON Lines.

Network failure is output; only what the caller asked for can be wrong, and that is a
`SelectionError` with one line of text. It writes to the streams it is given and keeps nothing.
"""

from __future__ import annotations

import ipaddress
import platform
import random
import secrets
import ssl
from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from probes import __version__
from probes.net import tls
from probes.net.network import Guard, SocketNetwork
from probes.net.resolvers import ResolverRoute, resolver_class, system_routes
from probes.privacy.scrub import scrub
from probes.rounds.round import Setup, measure_round, round_bound_seconds
from probes.wire.codec import encode
from probes.wire.measurement import Measurement, Software, Vantage, measurement_id
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
from probes.wire.target import Catalogue, Target

_COLUMNS = ("target", "endpoint", "dns", "tcp", "tls/quic", "http/app", "ms")
_WIDTHS = (28, 40, 22, 22, 24, 12, 6)


class SelectionError(ValueError):
    """An option of `once` that cannot be followed. The text names it and the reason."""


async def once(
    catalogue: Catalogue,
    *,
    services: Sequence[str] = (),
    targets: Sequence[str] = (),
    json_out: bool = False,
    vantage: Vantage | None = None,
    bind: str | None = None,
    resolver: str | None = None,
    allow_private: bool = False,
    own: Sequence[str] = (),
    stdout: TextIO,
    stderr: TextIO,
) -> None:
    """Measure the chosen targets (all when none is named) and liveness once, and print them.

    `own` are this machine's addresses and names, struck out of what is printed: people share it.

    Raises SelectionError for an unknown service or target and for a `bind` that is no address,
    probes.net.resolvers.ResolverError for a malformed `resolver` (`ADDRESS[:PORT]`).
    """
    chosen = select(catalogue, services, targets)
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
    endpoints = sum(len(target.endpoints) for target in chosen)
    bound = round_bound_seconds(catalogue, chosen)
    print(
        f"measuring {len(chosen)} targets, {endpoints} endpoints; ends within {bound:.0f} s",
        file=stderr,
        flush=True,
    )
    epoch, sequence = secrets.token_hex(8), 0

    def stamp(measurement: Measurement) -> Measurement:
        nonlocal sequence
        sequence += 1
        return msgspec.structs.replace(
            measurement,
            id=measurement_id(measurement.probe, epoch, sequence),
            epoch=epoch,
            sequence=sequence,
        )

    def emit(measured: Measurement) -> None:
        measurement = scrub(measured, own)
        if json_out:
            print(encode(measurement).decode(), file=stdout, flush=True)
        else:
            for row in rows(measurement):
                print(_line(row), file=stdout, flush=True)

    if not json_out:
        print(_line(_COLUMNS), file=stdout, flush=True)
    await measure_round(
        setup,
        chosen,
        round_ms=network.wall_ms(),
        interval_ms=0,
        emit=emit,
        rng=random.Random(),
        stamp=stamp,
    )


def select(
    catalogue: Catalogue, services: Iterable[str] = (), targets: Iterable[str] = ()
) -> tuple[Target, ...]:
    """Return the targets of the named services and the named targets, all when none is named.

    Raises SelectionError for a name that the catalogue does not have.
    """
    wanted, named = frozenset(services), frozenset(targets)
    known = {service.id for service in catalogue.services}
    if unknown := sorted(wanted - known):
        raise SelectionError(f"--service {unknown[0]}: not in this catalogue")
    if unknown := sorted(named - {target.id for target in catalogue.targets}):
        raise SelectionError(f"--target {unknown[0]}: not in this catalogue")
    if not wanted and not named:
        return catalogue.targets
    return tuple(
        target
        for service in catalogue.services
        for target in service.targets
        if service.id in wanted or target.id in named
    )


def open_network(
    bind: str | None, resolver: str | None, allow_private: bool
) -> tuple[SocketNetwork, tuple[ResolverRoute, ...]]:
    """Return the Network and the machine's nameservers, which the guard allows on port 53.

    Raises SelectionError for a `bind` that is no address, ResolverError for a bad `resolver`.
    """
    if bind is not None:
        try:
            ipaddress.ip_address(bind)
        except ValueError:
            raise SelectionError(f"--bind {bind}: not an IP address") from None
    system = system_routes(resolver)
    nameservers = frozenset(route.address for route in system)
    return SocketNetwork(bind, Guard(allow_private, nameservers)), system


def software() -> Software:
    """Return what measures: versions that a verdict may depend on."""
    return Software(
        version=__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        tls_profile=f"default.{tls.PROFILE_VERSION}",
    )


def rows(measurement: Measurement) -> list[tuple[str, ...]]:
    """Return one row of the table for each endpoint: what the app's own way to it met."""
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
    """For each step `ok`, the failure, or how many of how many addresses were good."""
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
        return "ok"  # many names have no IPv6 address: one family is an answer
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
    """One line of the table; a cell that is too long pushes the others, nothing is hidden."""
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
