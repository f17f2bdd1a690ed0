# SPDX-License-Identifier: Apache-2.0
"""The simulated provider: decides by source network and by service.

It returns the technique to apply, or None to let the traffic pass. The servers apply it: on
loopback there is no box on the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.demo.block import DemoBlock


@dataclass
class ISP:
    """The provider's tables and the present block."""

    network_of: Mapping[str, int]
    """Source address to AS number."""
    service_of_name: Mapping[str, str]
    service_of_address: Mapping[str, str]
    block: DemoBlock | None = None

    def dns(self, source: str, name: str) -> str | None:
        """The technique for a question to the provider's own resolver."""
        return self._by_name(source, name, "dns.")

    def tls(self, source: str, name: str, address: str) -> str | None:
        """The technique for a ClientHello that shows a name to an address."""
        technique = self._by_name(source, name, "tls.")
        if self.block is not None and self.block.technique.endswith(".other"):
            technique = self._by_address(source, address, "tls.")
        return technique

    def http(self, source: str, host: str) -> str | None:
        """The technique for a clear-text request for a host."""
        return self._by_name(source, host, "http.")

    def _by_name(self, source: str, name: str, layer: str) -> str | None:
        key = name.lower().rstrip(".")
        return self._technique_for(source, self.service_of_name.get(key), layer)

    def _by_address(self, source: str, address: str, layer: str) -> str | None:
        return self._technique_for(source, self.service_of_address.get(address), layer)

    def _technique_for(self, source: str, service: str | None, layer: str) -> str | None:
        block = self.block
        if block is None or service != block.service or self.network_of.get(source) != block.asn:
            return None
        return block.technique if block.technique.startswith(layer) else None
