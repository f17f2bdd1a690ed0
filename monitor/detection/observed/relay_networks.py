# SPDX-License-Identifier: Apache-2.0
"""Networks that relays and virtual private networks leave from. A run whose traffic comes out there
was made somewhere else, whatever country and network it names.

A network belongs here if people are hardly ever connected to it otherwise. Hosting networks in
which a VPN rents machines among others do not.
"""

from __future__ import annotations

from typing import NamedTuple


class RelayNetwork(NamedTuple):
    """Whose relays leave from a network, and where that is said."""

    asn: int
    operator: str
    source: str
    read: str
    """When the source was read."""


_RELAY = (
    "doi.org/10.1145/3517745.3561426 (Sattler et al., IMC 2022): egress of iCloud Private Relay"
)
_LIST = "X4BNet/lists_vpn 2bd96f8 input/vpn/ASN.txt"
_READ = "2026-11-30"
RELAY_NETWORKS: tuple[RelayNetwork, ...] = (
    RelayNetwork(13335, "Cloudflare (WARP, Private Relay)", _RELAY, _READ),
    RelayNetwork(36183, "Akamai (Private Relay)", _RELAY, _READ),
    RelayNetwork(54113, "Fastly (Private Relay)", _RELAY, _READ),
    RelayNetwork(9009, "M247 (NordVPN and others)", _LIST, _READ),
    RelayNetwork(50525, "PrivadoVPN", _LIST, _READ),
    RelayNetwork(60729, "Tor exits", _LIST, _READ),
    RelayNetwork(136787, "TEFINCOM (NordVPN)", _LIST, _READ),
    RelayNetwork(207137, "PacketHub (NordVPN)", _LIST, _READ),
    RelayNetwork(209854, "Surfshark", _LIST, _READ),
    RelayNetwork(212238, "Datacamp (several VPNs)", _LIST, _READ),
)
_ASNS = frozenset(network.asn for network in RELAY_NETWORKS)


def is_relay(asn: int) -> bool:
    """Whether what leaves from a network was sent from elsewhere."""
    return asn in _ASNS
