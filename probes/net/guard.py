# SPDX-License-Identifier: Apache-2.0
"""Which destinations a probe may dial. Pure.

A catalogue, a resolver's answer or a redirect may name any address. The network asks here at
connect time, about the address that is dialled.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass

# Besides what `ipaddress` calls not global, which differs between Python releases and lets
# through multicast and the tunnels (seen on 3.11.7). IANA special-purpose registries, 2026-11.
_TUNNELS_AND_SPECIAL = tuple(
    (ipaddress.ip_network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "this network"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.88.99.0/24", "6to4 relay"),
        ("240.0.0.0/4", "reserved"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2002::/16", "6to4"),
        ("2001::/23", "Teredo and IETF protocol assignments"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fec0::/10", "site-local"),
    )
)
_GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")
DNS_PORT = 53


@functools.lru_cache(maxsize=1024)
def refusal(
    address: str, port: int, allow_private: bool, nameservers: frozenset[str] = frozenset()
) -> str | None:
    """Return the rule that forbids dialling this address, or None when it may be dialled.

    Addresses that cannot be one host's (unspecified, multicast, broadcast, IPv4-mapped) are
    refused always. `nameservers` are the addresses of resolv.conf: allowed on port 53 only.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "not an address"
    if ip.is_unspecified:
        return "unspecified"
    if ip.is_multicast:
        return "multicast"
    if ip == ipaddress.IPv4Address("255.255.255.255"):
        return "broadcast"
    if ip.version == 6 and ip.ipv4_mapped is not None:
        return "IPv4-mapped"
    if allow_private or (port == DNS_PORT and address in nameservers):
        return None
    for network, rule in _TUNNELS_AND_SPECIAL:
        if ip.version == network.version and ip in network:
            return rule
    if not ip.is_global or (ip.version == 6 and ip not in _GLOBAL_UNICAST_V6):
        return "not global"
    return None


@dataclass(frozen=True)
class Guard:
    """Which destinations this probe may dial."""

    allow_private: bool = False
    nameservers: frozenset[str] = frozenset()
    """Addresses of the volunteer's own nameservers, allowed on port 53 only."""

    def refusal(self, address: str, port: int) -> str | None:
        """Return the rule that forbids this destination, or None."""
        return refusal(address, port, self.allow_private, self.nameservers)
