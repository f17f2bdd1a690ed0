# SPDX-License-Identifier: Apache-2.0
"""The addresses of one endpoint in one round: who is asked for them, and which are dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from probes.endpoint.dns_cache import DNSCache
from probes.net.network import DestinationRefusedError, Network
from probes.wire.target import Endpoint

MAX_PER_FAMILY = 8
"""Addresses dialled of each family. Answers of the machine's own resolver come first, so that the
choice is the same in every round."""


class AddressChoice(msgspec.Struct):
    """The addresses of one endpoint, and those that were dialled."""

    network: Network
    endpoint: Endpoint
    dns_cache: DNSCache
    references: bool = True
    """Ask reference resolvers. False for liveness."""
    widen: bool = False
    """Ask every reference resolver, and not one alone."""
    brief: bool = False
    """Ask one of them, over an encrypted channel, where otherwise every one is asked."""
    lean: bool = False
    """Return one address, another one in each round."""
    turn: int = 0
    """Chooses the address of a lean run: both families in turn, then the addresses of each."""
    system: tuple[str, ...] = ()
    """Answers of the machine's own resolver, or the address that the catalogue gives."""
    while_asked: Callable[[Awaitable[tuple[str, ...]]], Awaitable[tuple[str, ...]]] | None = None
    """Called with the wait for the machine's own resolver, in its place."""
    handed_over: Sequence[str] = ()
    """Addresses that failed elsewhere: dialled as well, besides those that resolvers give."""
    foreign: set[tuple[str, int]] = set()
    """Those of them that were dialled, and that no resolver gave, with the port."""
    _dialled: set[str] = set()
    _ipv6_tried: bool = False

    async def first(self) -> tuple[str, ...]:
        """Resolve the endpoint and return the addresses to dial, the machine's own first."""
        resolved = await self.resolve()
        if not self.endpoint.host:
            # Tried even if the guard or the routing table refuses it, so that this is on record.
            return self._dial(resolved)
        own = await self._to_dial(resolved)
        others = self._allowed(a for a in self.handed_over if a not in self._dialled)
        others = [a for a in others if ":" not in a or await self._has_route(a)]
        self.foreign |= {(a, self.endpoint.port) for a in others if a not in resolved}
        return (*own, *self._dial(others))

    async def resolve(self) -> tuple[str, ...]:
        """Resolve the endpoint and return its addresses, the machine's own first."""
        name = self.endpoint.host
        if not name:
            self.system = (self.endpoint.address,)
            return self.system
        asked = self.dns_cache.system(name, compare=self.references)
        self.system = await (asked if self.while_asked is None else self.while_asked(asked))
        if not self.references:
            return self.system
        widen = not self.brief and (self.widen or not self._allowed(self.system))
        others = await self.dns_cache.references(name, widen=widen)
        return (*self.system, *sorted(others))

    async def of_references(self) -> tuple[str, ...]:
        """Ask every reference resolver, once, and return the addresses not dialled yet."""
        name = self.endpoint.host
        if not name or not self.references or self.dns_cache.widened(name):
            return ()
        if self.brief:
            return await self._to_dial(sorted(await self.dns_cache.encrypted(name)))
        others = await self.dns_cache.references(name, widen=True)
        return await self._to_dial(sorted(others))

    async def doubt(self) -> None:
        """Look closer at the answer of the machine's own resolver: it leads to somebody else."""
        if self.endpoint.host and self.references:
            await self.dns_cache.doubt(self.endpoint.host)

    async def further(self, *, reached: bool) -> tuple[str, ...]:
        """Return more addresses to dial, for protocols that cannot prove an address genuine.

        All reference resolvers are asked when no answer of the machine's resolver was reached, or
        when an answer came from the silent address. When the answers only differ from those of the
        first reference resolver, as is usual with geographic DNS, one resolver is asked over an
        encrypted channel.
        """
        name = self.endpoint.host
        if not name or not self.references:
            return ()
        if not reached or await self.dns_cache.injected(name):
            return await self.of_references()
        if set(self.system).intersection(await self.dns_cache.references(name)):
            return ()
        return await self._to_dial(sorted(await self.dns_cache.encrypted(name)))

    def _allowed(self, addresses: Iterable[str]) -> list[str]:
        port = self.endpoint.port
        return [a for a in addresses if self.network.refusal(a, port) is None]

    async def _to_dial(self, candidates: Iterable[str]) -> tuple[str, ...]:
        """Return the new addresses that may be dialled, up to the limit; a machine without IPv6
        gets one IPv6 address, so that the lack of a route is on record."""
        new = dict.fromkeys(a for a in candidates if a not in self._dialled)
        if self.lean and self._dialled:
            # One of the machine's own stands for the others.
            new = {a: None for a in new if a not in self.system}
        allowed = self._allowed(new)
        v4 = [a for a in allowed if ":" not in a]
        v6 = [a for a in allowed if ":" in a]
        if v6 and not await self._has_route(v6[0]):
            v6, self._ipv6_tried = [] if self._ipv6_tried else v6[:1], True
        elif self.lean and v4 and v6:
            # Such a name costs no more than one with IPv4 alone.
            return self._dial(self._one(v6 if self.turn % 2 else v4, self.turn // 2))
        if self.lean:
            return self._dial([*self._one(v4, self.turn), *self._one(v6, self.turn)])
        return self._dial([*v4[:MAX_PER_FAMILY], *v6[:MAX_PER_FAMILY]])

    def _dial(self, chosen: Sequence[str]) -> tuple[str, ...]:
        self._dialled.update(chosen)
        return tuple(chosen)

    def _one(self, addresses: Sequence[str], turn: int) -> list[str]:
        """One of the addresses, if there are any: of the machine's own resolver if it gave one."""
        own = sorted(set(addresses).intersection(self.system)) or addresses
        return [own[turn % len(own)]] if own else []

    async def _has_route(self, address: str) -> bool:
        """Whether the kernel has a route: connecting a UDP socket sends nothing."""
        try:
            (await self.network.datagrams(address, self.endpoint.port)).close()
        except DestinationRefusedError:
            return True
        except OSError:
            return False
        return True
