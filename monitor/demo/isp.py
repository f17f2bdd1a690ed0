# SPDX-License-Identifier: Apache-2.0
"""The simulated provider: decides by source network and by service.

It returns the technique to apply, or None to let the traffic pass. The servers apply it: on
loopback there is no box on the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.demo.block import DemoBlock

BY_ADDRESS = ".other"
"""End of techniques that look at the address and not at the name."""


@dataclass
class ISP:
    """The provider's tables and the present blocks."""

    network_of: Mapping[str, int]
    """Source address to AS number."""
    service_of_name: Mapping[str, str]
    service_of_address: Mapping[str, str]
    blocks: dict[tuple[str, int], DemoBlock] = field(default_factory=dict)
    """By service and network."""

    def block(self, block: DemoBlock) -> None:
        """Begin a block, in place of another one of the same service and network."""
        self.blocks[block.service, block.asn] = block

    def lift(self, block: DemoBlock | None = None) -> None:
        """End a block, or all of them."""
        if block is None:
            self.blocks.clear()
        else:
            self.blocks.pop((block.service, block.asn), None)

    def dns(self, source: str, name: str) -> str | None:
        """The technique for a question to the provider's own resolver."""
        return self._by_name(source, name, "dns.")

    def tls(self, source: str, name: str, address: str) -> str | None:
        """The technique for a ClientHello that shows a name to an address."""
        named = self._by_name(source, name, "tls.")
        dialled = self._by_address(source, address, "tls.")
        if dialled is not None and dialled.endswith(BY_ADDRESS):
            return dialled
        return None if named is not None and named.endswith(BY_ADDRESS) else named

    def http(self, source: str, host: str) -> str | None:
        """The technique for a clear-text request for a host."""
        return self._by_name(source, host, "http.")

    def _by_name(self, source: str, name: str, layer: str) -> str | None:
        key = name.lower().rstrip(".")
        return self._technique_for(source, self.service_of_name.get(key), layer)

    def _by_address(self, source: str, address: str, layer: str) -> str | None:
        return self._technique_for(source, self.service_of_address.get(address), layer)

    def _technique_for(self, source: str, service: str | None, layer: str) -> str | None:
        asn = self.network_of.get(source)
        if service is None or asn is None:
            return None
        block = self.blocks.get((service, asn))
        if block is None or not block.technique.startswith(layer):
            return None
        return block.technique
