"""What cases `AREA.HOW` are made of, a file an area, beyond names, addresses and handshakes (which
`tests.lab.trouble` makes itself). A new area is a file here and an entry in AREAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.lab.plan import Plan, Service
from tests.lab.troubles import (
    apps,
    benign,
    everyday,
    lossy,
    names,
    partial,
    quic,
    throttling,
    traps,
)
from tests.lab.world import World

AREAS: Mapping[str, Callable[[World, Plan, str, Service], None]] = {
    "dns": names.disturb,
    "partial": partial.disturb,
    "quic": quic.disturb,
    "throttle": throttling.disturb,
    "pace": throttling.disturb,
    "trap": traps.disturb,
    "benign": benign.disturb,
    "everyday": everyday.disturb,
    "lossy": lossy.disturb,
    "app": apps.disturb,
    "udp": apps.disturb,
}
