# SPDX-License-Identifier: Apache-2.0
"""What the web server needs to take measurements itself, where a broker cannot be reached."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence

from monitor.collector.intake import Intake


@dataclasses.dataclass(frozen=True, slots=True)
class Reception:
    """The intake of this process, and what probes are told by it."""

    intake: Intake
    authenticate: Callable[[str, str], Awaitable[bool]]
    """Whether a probe's secret is right; the broker's. Raises StoreUnavailableError."""
    retests: Callable[[str, int], Sequence[bytes]] = lambda country, asn: ()
    """What probes of a network are asked to measure again now, as on MQTT; nothing where the
    detector is another process."""
    catalogue: Callable[[], bytes] = bytes
    """The signed catalogue; empty for none."""
    stream: Callable[[str], asyncio.Protocol | None] | None = None
    """Makes the broker's side of a connection of MQTT from the client's address, None for one too
    many; None where no broker is joined to the web server."""
