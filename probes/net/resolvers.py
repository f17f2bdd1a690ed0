# SPDX-License-Identifier: Apache-2.0
"""Where DNS questions go: a `ResolverRoute` is one resolver over one transport, by address.

Routes come from the catalogue's resolvers and from the machine's resolv.conf. No route needs a
lookup of its own: a DoH or DoT resolver without an address in the catalogue gives no route.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from probes.wire.target import Catalogue, Resolver

SYSTEM = "system"
SILENT = "silent"
RESOLV_CONF = Path("/etc/resolv.conf")
MAX_NAMESERVERS = 3
"""glibc's MAXNS (resolv.conf(5), Debian 13, 2026): further lines are ignored by stubs."""
_MAX_RESOLV_CONF = 1 << 16

_CARRIER_NAT = ipaddress.ip_network("100.64.0.0/10")
_DOCUMENTATION = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    )
)  # RFC 5737, 3849, 9637
"""RFC 6598: an address of the provider's, not of the home."""

PUBLIC_RESOLVERS = frozenset(
    ipaddress.ip_address(text)
    for text in (
        # DNSCrypt/dnscrypt-resolvers commit 24795a19, v3/public-resolvers.md, read 2026-11-24.
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "9.9.9.10", "94.140.14.140"),
        *("194.242.2.2", "76.76.2.11", "86.54.11.100", "146.112.41.2", "185.222.222.222"),
        *("185.71.138.138", "158.64.1.29", "130.59.31.248", "5.1.66.255", "91.239.100.100"),
        *("95.215.19.53", "103.2.57.5", "77.88.8.8", "77.88.8.1", "223.5.5.5", "120.53.53.53"),
        # Second addresses as the operators publish them: Google, Cloudflare,
        # Quad9, OpenDNS, AdGuard, AliDNS, DNSPod, 114DNS. General knowledge, 2026-11-24.
        *("1.1.1.2", "1.1.1.3", "1.0.0.2", "1.0.0.3", "149.112.112.112", "149.112.112.10"),
        *("9.9.9.11", "149.112.112.11", "208.67.222.222", "208.67.220.220", "94.140.14.14"),
        *("94.140.15.15", "94.140.14.141", "223.6.6.6", "119.29.29.29", "114.114.114.114"),
        *("114.114.115.115", "76.76.2.0", "76.76.10.0", "77.88.8.2", "77.88.8.3", "77.88.8.7"),
        *("2001:4860:4860::8888", "2001:4860:4860::8844"),
        *("2606:4700:4700::1111", "2606:4700:4700::1001"),
        *("2620:fe::fe", "2620:fe::9", "2620:fe::10", "2620:fe::11"),
        *("2620:119:35::35", "2620:119:53::53", "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff"),
        *("2400:3200::1", "2400:3200:baba::1", "2a02:6b8::feed:0ff", "2a02:6b8:0:1::feed:0ff"),
    )
)
"""Public resolvers: with one of these the ISP's own DNS is not what is measured."""


class ResolverError(ValueError):
    """Not a resolver address. The text names it and the reason, in one line."""


@dataclass(frozen=True)
class ResolverRoute:
    """One resolver, one transport."""

    id: str
    """`system`, `silent`, or the id of a catalogue resolver."""
    transport: str
    """`udp`, `tcp`, `dot` or `doh`."""
    address: str
    port: int
    server_name: str = ""
    """Name that DoT and DoH show and verify; the address when the catalogue gives none."""
    path: str = ""
    """Path of the DoH URL."""
    trust: str = ""
    """PEM text of a private CA used in place of the bundled roots; empty for the bundled ones."""


def parse_authority(text: str, port: int = 53) -> tuple[str, int]:
    """Return address and port of `ADDRESS`, `ADDRESS:PORT`, `[IPV6]` or `[IPV6]:PORT`.

    `port` is used when the text has none. Raises ResolverError.
    """
    text = text.strip()
    host, written = text, ""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ResolverError(f"{text!r}: not [ADDRESS]:PORT")
        written = rest[1:] if rest else ""
        if rest == ":":
            raise ResolverError(f"{text!r}: no port after the colon")
    elif text.count(":") == 1:
        host, _, written = text.partition(":")
        if not written:
            raise ResolverError(f"{text!r}: no port after the colon")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ResolverError(f"{text!r}: {host!r} is not an IP address") from None
    if written:
        if not (written.isascii() and written.isdigit() and 0 < int(written[:6]) < 65536):
            raise ResolverError(f"{text!r}: port {written!r} is not 1 to 65535")
        port = int(written)
    return str(address), port


def routes(resolver: Resolver) -> tuple[ResolverRoute, ...]:
    """Return every way to ask a catalogue resolver: UDP, TCP, DoT, DoH. Raises ResolverError."""
    found: list[ResolverRoute] = []
    if resolver.udp:
        address, port = parse_authority(resolver.udp)
        found += [
            ResolverRoute(resolver.id, transport, address, port) for transport in ("udp", "tcp")
        ]
    if resolver.dot:
        address, port = parse_authority(resolver.dot, 853)
        name = resolver.dot_name or address
        found.append(
            ResolverRoute(resolver.id, "dot", address, port, name, trust=resolver.dot_trust)
        )
    if resolver.doh and (route := _doh(resolver)):
        found.append(route)
    return tuple(found)


def _doh(resolver: Resolver) -> ResolverRoute | None:
    try:
        url = urlsplit(resolver.doh)
        host, port = url.hostname or "", url.port or 443
    except ValueError as error:
        raise ResolverError(f"{resolver.doh!r}: {error}") from None
    if url.scheme != "https" or not host:
        raise ResolverError(f"{resolver.doh!r}: not an https URL")
    if resolver.doh_address:
        address, port = parse_authority(resolver.doh_address, port)
    else:
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            return None
    path = (url.path or "/dns-query") + (f"?{url.query}" if url.query else "")
    return ResolverRoute(resolver.id, "doh", address, port, host, path, resolver.doh_trust)


def silent_routes(catalogue: Catalogue) -> tuple[ResolverRoute, ...]:
    """Return the routes to addresses that run no DNS: any answer was injected on the path."""
    return tuple(
        ResolverRoute(SILENT, "udp", *parse_authority(silent.address))
        for silent in catalogue.silent
    )


def system_routes(
    override: str | None = None, resolv_conf: Path = RESOLV_CONF
) -> tuple[ResolverRoute, ...]:
    """Return the nameservers that this machine's programs ask, in their order.

    `override` (`ADDRESS[:PORT]`, from `--resolver`) replaces them; raises ResolverError when it is
    malformed. Malformed lines of resolv.conf are skipped, as stub resolvers do; when it names no
    nameserver, the one on this machine is used (resolv.conf(5)).
    """
    if override:
        return (ResolverRoute(SYSTEM, "udp", *parse_authority(override)),)
    try:
        with resolv_conf.open("rb") as file:
            text = file.read(_MAX_RESOLV_CONF).decode("latin-1")
    except OSError:
        text = ""
    found: list[ResolverRoute] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address, port = parse_authority(words[1])
        except ResolverError:
            continue
        found.append(ResolverRoute(SYSTEM, "udp", address, port))
    if not found:
        found.append(ResolverRoute(SYSTEM, "udp", "127.0.0.1", 53))
    return tuple(found[:MAX_NAMESERVERS])


def resolver_class(address: str) -> str:
    """Return `private`, `isp`, `public` or `unknown` for a resolver's address.

    `private` is a router at home or in the office, or this machine: its upstream is unknown.
    """
    try:
        ip = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip in PUBLIC_RESOLVERS:
        return "public"
    if ip.version == 4 and ip in _CARRIER_NAT:
        return "isp"
    if ip.is_multicast or ip.is_unspecified:
        return "unknown"
    if any(ip.version == net.version and ip in net for net in _DOCUMENTATION):
        return "isp"  # in the laboratory these stand for global addresses
    return "isp" if ip.is_global else "private"
