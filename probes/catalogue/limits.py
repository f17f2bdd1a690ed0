# SPDX-License-Identifier: Apache-2.0
"""What a catalogue from the monitor may make a probe do. Pure.

Whoever holds the signing key chooses what volunteers' machines connect to. The guard
(`probes.net.guard`) refuses private destinations whoever asks, and the traffic budget bounds what
is sent; here are the limits against scanning ports, flooding a host, and requests that do something
at a web server. They are those of the catalogue that the volunteer installed: another port needs
another release.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from probes.catalogue.syntax import quoted, split_address
from probes.wire.target import Catalogue

MAX_SERVICES = 200
MAX_TARGETS = 500
"""As many as a collector accepts of a probe in a day."""
MAX_ENDPOINTS = 2000
MAX_HOST_ENDPOINTS = 16
"""Endpoints of one host or address, in the whole catalogue."""
MAX_LIVENESS, MAX_RESOLVERS, MAX_SILENT = 32, 16, 8
MAX_PATH = 128
RESOLVER_PORTS = frozenset({53, 443, 853})
REFLECTOR_PORTS = frozenset({443, 8443})


def beyond_limits(catalogue: Catalogue, shipped: Catalogue) -> list[str]:
    """Return a line for each limit that a catalogue from the monitor exceeds; `shipped` is the one
    that came with the probe."""
    endpoints = [each for target in catalogue.targets for each in target.endpoints]
    lines = [
        f"{count} {what}, at most {most}"
        for what, count, most in (
            ("services", len(catalogue.services), MAX_SERVICES),
            ("targets", len(catalogue.targets), MAX_TARGETS),
            ("endpoints", len(endpoints), MAX_ENDPOINTS),
            ("liveness hosts", len(catalogue.liveness), MAX_LIVENESS),
            ("resolvers", len(catalogue.resolvers), MAX_RESOLVERS),
            ("silent addresses", len(catalogue.silent), MAX_SILENT),
        )
        if count > most
    ]
    hosts = Counter(each.host or each.address for each in endpoints)
    lines += [
        f"{host}: {count} endpoints, at most {MAX_HOST_ENDPOINTS}"
        for host, count in hosts.items()
        if count > MAX_HOST_ENDPOINTS
    ]
    ports = {each.port for target in shipped.targets for each in target.endpoints}
    ports |= {each.port for each in shipped.liveness}
    for place, port, path in (
        *((each.id, each.port, each.path) for each in endpoints),
        *((each.host, each.port, each.path) for each in catalogue.liveness),
    ):
        if port not in ports:
            lines.append(
                f"{place}: port {port} is not one of the catalogue that came with the probe"
            )
        if "?" in path or len(path) > MAX_PATH:
            lines.append(f"{place}: path {quoted(path)} is long, or has a query")
    lines += [
        f"{address}: port {port} is none of a resolver"
        for address, port in _resolver_places(catalogue)
        if port not in RESOLVER_PORTS
    ]
    if catalogue.sni.address:
        address, port = split_address(catalogue.sni.address, 443)
        if port not in REFLECTOR_PORTS:
            lines.append(f"{address}: port {port} is none of a reflector")
    lines += [
        f"{address}: not a global address"
        for address in _addresses(catalogue)
        if not _is_global(address)
    ]
    return lines


def _resolver_places(catalogue: Catalogue) -> Iterator[tuple[str, int]]:
    for each in catalogue.resolvers:
        if each.udp:
            yield split_address(each.udp, 53)
        if each.dot:
            yield split_address(each.dot, 853)
        if each.doh:
            url = urlsplit(each.doh)
            yield each.doh_address or url.hostname or "", url.port or 443
    for silent in catalogue.silent:
        yield split_address(silent.address, 53)


def _addresses(catalogue: Catalogue) -> Iterator[str]:
    for target in catalogue.targets:
        yield from (each.address for each in target.endpoints if each.address)
    yield from (each.host for each in catalogue.liveness)
    yield from (address for address, _ in _resolver_places(catalogue))
    if catalogue.sni.address:
        yield split_address(catalogue.sni.address, 443)[0]


def _is_global(host: str) -> bool:
    """False for an address that is not global; True for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    return address.is_global and not address.is_multicast
