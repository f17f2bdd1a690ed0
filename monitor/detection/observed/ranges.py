# SPDX-License-Identifier: Apache-2.0
"""Addresses that no public service can have, and the special range in which they lie.

Laboratories and the demonstration use such ranges themselves. There the correct address, according
to the control or a certificate, lies in a special range too, and only answers in another range are
suspicious. Documentation addresses are used like global ones; in private and loopback space only
the same prefix counts as the same range.
"""

from __future__ import annotations

import functools
import ipaddress

# IANA special-purpose registries, read 2026-11; the same list as OONI's netxlite/bogon.go and
# the IPv6 range of the GFW's forged answers (2001::/32, GFWatch, USENIX Security 2021).
_SPECIAL = tuple(
    (ipaddress.ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol"),
        ("192.0.2.0/24", "documentation"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmark"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("100::/64", "discard"),
        ("2001::/32", "teredo"),
        ("2001:2::/48", "benchmark"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link"),
        ("ff00::/8", "multicast"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@functools.lru_cache(maxsize=8192)
def special_range(address: str) -> str | None:
    """Return the kind of special range an address lies in; None for a global one.

    An address of NAT64 counts as the IPv4 address inside it; text that is no address is
    `malformed`.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return "malformed"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
    return next(
        (kind for network, kind in _SPECIAL if network.version == ip.version and ip in network),
        None,
    )


def special_place(address: str) -> str | None:
    """Return the special range and the part of it that an address lies in; None for a global one.

    The part is the network of 16 bits (IPv4) or 48 (IPv6); documentation ranges are one.
    """
    kind = special_range(address)
    if kind in (None, "malformed", "documentation"):
        return kind
    ip = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    bits = int(ip) >> (16 if ip.version == 4 else 80)
    return f"{kind}:{bits:x}"


def family(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4
