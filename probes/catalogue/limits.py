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
from probes.wire.target import Catalogue, Endpoint

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
    return [
        *_excess(catalogue),
        *_foreign_requests(catalogue, shipped),
        *_foreign_servers(catalogue),
        *(
            f"{address}: not a global address"
            for address in _addresses(catalogue)
            if not _is_global(address)
        ),
    ]


def _excess(catalogue: Catalogue) -> Iterator[str]:
    """Too many of anything."""
    endpoints = _endpoints(catalogue)
    for what, count, most in (
        ("services", len(catalogue.services), MAX_SERVICES),
        ("targets", len(catalogue.targets), MAX_TARGETS),
        ("endpoints", len(endpoints), MAX_ENDPOINTS),
        ("liveness hosts", len(catalogue.liveness), MAX_LIVENESS),
        ("resolvers", len(catalogue.resolvers), MAX_RESOLVERS),
        ("silent addresses", len(catalogue.silent), MAX_SILENT),
    ):
        if count > most:
            yield f"{count} {what}, at most {most}"
    hosts = Counter(endpoint.host or endpoint.address for endpoint in endpoints)
    for host, count in hosts.items():
        if count > MAX_HOST_ENDPOINTS:
            yield f"{host}: {count} endpoints, at most {MAX_HOST_ENDPOINTS}"


def _foreign_requests(catalogue: Catalogue, shipped: Catalogue) -> Iterator[str]:
    """Ports and paths of what is measured that the catalogue of the volunteer would not have."""
    ports = {endpoint.port for endpoint in _endpoints(shipped)}
    ports |= {host.port for host in shipped.liveness}
    for name, port, path in (
        *((endpoint.id, endpoint.port, endpoint.path) for endpoint in _endpoints(catalogue)),
        *((host.host, host.port, host.path) for host in catalogue.liveness),
    ):
        if port not in ports:
            yield f"{name}: port {port} is not one of the catalogue that came with the probe"
        if "?" in path or len(path) > MAX_PATH:
            yield f"{name}: path {quoted(path)} is long, or has a query"


def _foreign_servers(catalogue: Catalogue) -> Iterator[str]:
    """Ports at which no resolver and no reflector listens."""
    for address, port in _resolver_places(catalogue):
        if port not in RESOLVER_PORTS:
            yield f"{address}: port {port} is none of a resolver"
    if catalogue.sni.address:
        address, port = split_address(catalogue.sni.address, 443)
        if port not in REFLECTOR_PORTS:
            yield f"{address}: port {port} is none of a reflector"


def _endpoints(catalogue: Catalogue) -> list[Endpoint]:
    return [endpoint for target in catalogue.targets for endpoint in target.endpoints]


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
