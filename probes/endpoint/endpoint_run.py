# SPDX-License-Identifier: Apache-2.0
"""The measurement of one endpoint in one round: its addresses, its steps and its observations.

The file of a protocol gets an `EndpointRun` and calls its methods one after another. Each method
takes one step and records the observation. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import msgspec

from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.timeouts import Timeouts
from probes.net.network import DestinationRefusedError, Network, Stream
from probes.net.tls import TLSClient
from probes.steps import http, quic, tcp, tls
from probes.steps.context import StepContext
from probes.wire.failure import Failure
from probes.wire.observation import (
    LIVENESS_HOST,
    AnyObservation,
    AppExchange,
    Contrast,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Endpoint, SNIContrast

_Reached = TypeVar("_Reached")
_Remarked = TCPConnect | TLSHandshake | QUICHandshake | AppExchange
MAX_LIVENESS_HOSTS = 3
"""Where one flow in ten dies for good, three die in a round of a thousand."""
MAX_PER_FAMILY = 8
"""Addresses dialled of each family. Answers of the machine's own resolver come first, so that the
choice is the same in every round."""
LOCAL_FAILURES = frozenset(
    (
        Failure.NETWORK_UNREACHABLE,
        Failure.NETWORK_DOWN,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.PERMISSION_DENIED,
    )
)
"""The machine itself refused to send: no packet was lost, and a repeat fails as well."""


class ThroughputMode(Enum):
    """Whether this run may measure throughput (`probes.contrasts.throughput`)."""

    OFF = "off"
    IF_SLOW = "if_slow"
    """Only when the app's own exchange was unexpectedly slow."""
    ON = "on"


@dataclass(slots=True)
class Connection:
    """A connection to one address, open or not, and the observations made while opening it."""

    address: str
    port: int
    tcp: TCPConnect
    stream: Stream | None = None
    tls: TLSHandshake | None = None
    client: TLSClient | None = None

    @property
    def usable(self) -> bool:
        """Open, and its TLS handshake, if there was one, succeeded."""
        return self.stream is not None and (self.tls is None or self.tls.failure is None)

    def close(self) -> None:
        """Close the connection if it is open. The TLS client (some 50 kB) is kept only after a
        failed handshake, because it holds the first bytes received."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        if self.tls is not None and self.tls.failure is None:
            self.client = None


@dataclass(slots=True)
class EndpointRun:
    """One endpoint in one round."""

    network: Network
    endpoint: Endpoint
    dns_cache: DNSCache
    started_us: int
    timeouts: Timeouts = field(default_factory=Timeouts)
    sni: SNIContrast = field(default_factory=SNIContrast)
    failed_last_round: bool = False
    """Contrasts with an innocuous name then run before the service's name is shown."""
    residual: bool = False
    """The endpoint failed so recently that residual censorship may still block its address for
    every name: an innocuous name that fails now is no evidence."""
    contrasts: bool = True
    """False for liveness, which takes only the steps that the app would take."""
    control: bool = False
    """It measures what others are compared with: does each connection come about?"""
    repeats: bool = True
    """False for a retest: the service's name is shown to each of its addresses once."""
    alive: Sequence[tuple[str, int]] = ()
    """Addresses and ports at which liveness hosts were reached in this round."""
    stun_hosts: Sequence[tuple[str, int]] = ()
    """Those at which one answered over UDP."""
    ask_stun: Callable[[EndpointRun, str, int], Awaitable[AppExchange]] | None = None
    """Asks one of them once more (`probes.protocols.stun`)."""
    references: bool = True
    """Ask reference resolvers. False for liveness."""
    throughput: ThroughputMode = ThroughputMode.OFF
    lean: bool = False
    """Dial one address, another one in each round, and read only the beginning of a page. When
    anything fails, the caller sets this to False and measures again: that dials the other
    addresses."""
    turn: int = 0
    """Chooses the address of a lean run: both families in turn, then the addresses of each."""
    observations: list[AnyObservation] = field(default_factory=list)
    dates_ms: list[tuple[int, int]] = field(default_factory=list)
    """(server's clock, ours) in Unix milliseconds, from HTTP Date headers over verified TLS or
    clear text."""
    system_addresses: tuple[str, ...] = ()
    """Answers of the machine's own resolver, or the address that the catalogue gives."""
    begun: bool = False
    _dialled: set[str] = field(default_factory=set)
    _once: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The endpoint's id, which every observation carries."""
        return self.endpoint.id

    def once(self, key: str) -> bool:
        """Return True for the first call with this key: for steps taken once an endpoint."""
        new = key not in self._once
        self._once.add(key)
        return new

    def up_to(self, key: str, limit: int) -> bool:
        """Return True for the first `limit` calls with this key."""
        return any(self.once(f"{key} {number}") for number in range(limit))

    async def addresses(self) -> tuple[str, ...]:
        """Resolve the endpoint and return the addresses to dial, the machine's own first."""
        found = await self.resolve()
        if not self.endpoint.host:
            # Tried even if the guard or the routing table refuses it, so that this is on record.
            self._dialled.update(found)
            return found
        return await self._to_dial(found)

    async def resolve(self) -> tuple[str, ...]:
        """Resolve the endpoint and return its addresses, the machine's own first."""
        name = self.endpoint.host
        if not name:
            self.system_addresses = (self.endpoint.address,)
            return self.system_addresses
        self.system_addresses = await self.dns_cache.system(name, compare=self.references)
        if not self.references:
            return self.system_addresses
        widen = self.failed_last_round or not self._allowed(self.system_addresses)
        others = await self.dns_cache.references(name, widen=widen)
        return (*self.system_addresses, *sorted(others))

    async def reference_addresses(self) -> tuple[str, ...]:
        """Ask every reference resolver, once, and return the addresses not dialled yet."""
        name = self.endpoint.host
        if not name or not self.references or self.dns_cache.widened(name):
            return ()
        others = await self.dns_cache.references(name, widen=True)
        return await self._to_dial(sorted(others))

    async def further_addresses(self, *, reached: bool) -> tuple[str, ...]:
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
            return await self.reference_addresses()
        if set(self.system_addresses).intersection(await self.dns_cache.references(name)):
            return ()
        return await self._to_dial(sorted(await self.dns_cache.encrypted(name)))

    def _allowed(self, addresses: Iterable[str]) -> list[str]:
        port = self.endpoint.port
        return [a for a in addresses if self.network.refusal(a, port) is None]

    async def _to_dial(self, candidates: Iterable[str]) -> tuple[str, ...]:
        """Return the new addresses that may be dialled, up to the limit; a machine without IPv6
        gets one IPv6 address, so that the lack of a route is on record."""
        new = dict.fromkeys(a for a in candidates if a not in self._dialled)
        allowed = self._allowed(new)
        v4 = [a for a in allowed if ":" not in a]
        v6 = [a for a in allowed if ":" in a]
        if v6 and not await self._has_route(v6[0]):
            v6 = v6[:1] if self.once("no_ipv6") else []
        elif self.lean and v4 and v6:
            # Such a name costs no more than one with IPv4 alone.
            v4, v6 = ([], v6) if self.turn % 2 else (v4, [])
            return self._dial(self._one(v4 or v6, self.turn // 2))
        if self.lean:
            return self._dial([*self._one(v4, self.turn), *self._one(v6, self.turn)])
        return self._dial([*v4[:MAX_PER_FAMILY], *v6[:MAX_PER_FAMILY]])

    def _dial(self, chosen: Sequence[str]) -> tuple[str, ...]:
        self._dialled.update(chosen)
        return tuple(chosen)

    def _one(self, addresses: Sequence[str], turn: int) -> list[str]:
        """One of the addresses, if there are any: of the machine's own resolver if it gave one."""
        own = sorted(set(addresses).intersection(self.system_addresses)) or addresses
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

    def step(
        self,
        address: str,
        port: int | None = None,
        *,
        contrast: Contrast | None = None,
        purpose: Purpose | None = None,
    ) -> StepContext:
        """A step at an address, at the endpoint's port unless told otherwise."""
        purpose = purpose or purpose_of(contrast)
        limits = self.timeouts
        return StepContext(
            network=self.network,
            endpoint=self.id,
            address=address,
            port=self.endpoint.port if port is None else port,
            started_us=self.started_us,
            purpose=purpose,
            contrast=contrast,
            timeout=limits.subject if purpose is Purpose.SUBJECT else limits.contrast,
        )

    async def for_each_address(
        self, addresses: Iterable[str], reach: Callable[[EndpointRun, str], Awaitable[_Reached]]
    ) -> list[_Reached]:
        """Call `reach` for every address at the same time; return what it returned, in order."""
        chosen = tuple(addresses)
        if len(chosen) < 2:  # the usual case needs no task
            return [await reach(self, a) for a in chosen]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(reach(self, a))) for a in chosen]
        return [task.result() for task in tasks]

    async def again(
        self, silent: bool, address: str, step: Awaitable[_Reached], *, udp: bool = False
    ) -> _Reached:
        """Take a step at an address once more. After silence, hosts that liveness reached over the
        same address family are connected to at the same time: only they tell whether the machine
        was still online. After silence over UDP those that answered over UDP are asked as well, of
        the other family where none has this one: whether the line still lets datagrams through."""
        if not silent or not self.once(f"liveness over IPv{6 if ':' in address else 4}"):
            return await step

        def reached(hosts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
            return [host for host in hosts if (":" in host[0]) == (":" in address)]

        async with asyncio.TaskGroup() as group:
            for host in reached(self.alive)[:MAX_LIVENESS_HOSTS]:
                group.create_task(self._beside(self._connect_to(*host)))
            if udp and self.ask_stun is not None:
                for host in (reached(self.stun_hosts) or self.stun_hosts)[:MAX_LIVENESS_HOSTS]:
                    group.create_task(self._beside(self.ask_stun(self, *host)))
            return await step

    async def _connect_to(self, address: str, port: int) -> TCPConnect:
        connection = await self.connect(address, port=port, purpose=Purpose.CONTRAST)
        connection.close()
        return connection.tcp

    async def _beside(self, reached: Awaitable[_Remarked]) -> None:
        self.add_evidence(await reached, LIVENESS_HOST)

    async def connect(
        self,
        address: str,
        *,
        port: int | None = None,
        contrast: Contrast | None = None,
        purpose: Purpose | None = None,
    ) -> Connection:
        """Open a TCP connection and record it."""
        step = self.step(address, port, contrast=contrast, purpose=purpose)
        seen, stream = await tcp.connect(step)
        self.observations.append(seen)
        return Connection(address, step.port, seen, stream)

    async def tls_handshake(
        self,
        connection: Connection,
        *,
        name: str | None = None,
        contrast: Contrast | None = None,
        purpose: Purpose | None = None,
        profile: str = "default",
        trust: str | None = None,
        verify: bool = True,
        alpn: Sequence[str] | None = None,
    ) -> Connection:
        """Do a TLS handshake and record it. The connection is closed when the handshake fails."""
        if connection.stream is None:
            return connection
        step = self.step(connection.address, connection.port, contrast=contrast, purpose=purpose)
        try:
            connection.tls, connection.client = await tls.handshake(
                step,
                connection.stream,
                sni=self.endpoint.server_name if name is None else name,
                profile=profile,
                trust=self.endpoint.trust if trust is None else trust,
                verify=verify,
                alpn=self.endpoint.alpn if alpn is None else alpn,
            )
        except BaseException:
            connection.close()
            raise
        self.observations.append(connection.tls)
        if connection.tls.failure is not None:
            connection.close()
        return connection

    async def quic_handshake(
        self,
        address: str,
        *,
        port: int | None = None,
        name: str | None = None,
        contrast: Contrast | None = None,
        verify: bool = True,
    ) -> QUICHandshake:
        """Do a QUIC handshake from a new port and record it."""
        seen = await quic.handshake(
            self.step(address, port, contrast=contrast),
            sni=self.endpoint.server_name if name is None else name,
            trust=self.endpoint.trust,
            verify=verify,
            alpn=self.endpoint.alpn,
        )
        self.observations.append(seen)
        return seen

    async def http_request(
        self,
        connection: Connection,
        *,
        host: str | None = None,
        contrast: Contrast | None = None,
    ) -> HTTPExchange | None:
        """Send one HTTP request, record the exchange and close the connection. None when the
        connection is not open."""
        if connection.stream is None:
            return None
        try:
            seen, date_ms = await http.exchange(
                self.step(connection.address, connection.port, contrast=contrast),
                connection.stream,
                connection.client,
                host=self.endpoint.server_name if host is None else host,
                path=self.endpoint.path,
                max_body=http.LEAN_BODY if self.lean else http.MAX_BODY,
            )
        finally:
            connection.close()
        self.observations.append(seen)
        if date_ms is not None and contrast is not Contrast.NO_VERIFY:
            self.dates_ms.append((date_ms, self.network.wall_ms()))
        return seen

    def add_evidence(self, seen: _Remarked, evidence: str) -> None:
        """Add evidence to an observation that is already recorded."""
        place = next(i for i, o in enumerate(self.observations) if o is seen)
        self.observations[place] = msgspec.structs.replace(
            seen, evidence=(*seen.evidence, evidence)
        )


def purpose_of(contrast: Contrast | None) -> Purpose:
    """The purpose of a step at the service: contrast where something was changed."""
    return Purpose.SUBJECT if contrast is None else Purpose.CONTRAST


async def _run(reached: Awaitable[_Reached]) -> _Reached:
    return await reached
