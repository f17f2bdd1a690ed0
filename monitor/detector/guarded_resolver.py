# SPDX-License-Identifier: Apache-2.0
"""Where a webhook may not lead unless its operator says so: this machine, and addresses that are
valid on one link alone, under which clouds give out the machine's credentials (169.254.169.254).
"""

from __future__ import annotations

import ipaddress
import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_METADATA = ipaddress.ip_address("fd00:ec2::254")
"""EC2's over IPv6: it is not link-local (docs.aws.amazon.com, 2026-11-30)."""


def is_local(host: str) -> bool:
    """Whether this is an address of this machine or of its link, or a name of this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address == _METADATA
    )


class GuardedResolver(AbstractResolver):
    """Resolves names, and leaves out local addresses: whoever controls a name could point it at
    this machine at any moment. Raises OSError where nothing is left."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """What is not local among the addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        outside = [each for each in found if not is_local(each["host"])]
        if not outside:
            raise OSError(None, f"{host} leads to this machine or its link")
        return outside

    async def close(self) -> None:
        """Release what resolves names."""
        await self._inner.close()
