# SPDX-License-Identifier: Apache-2.0
"""One endpoint being measured: which addresses are dialled, what was seen, and how to see more.

An experiment gets a `Visit` and calls its methods in a straight line; each takes one step and
records the observation. Nothing is judged here, but what to do next depends on what failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from probes.contrasts import partial_loss
from probes.contrasts.throughput_schedule import Look
from probes.endpoint.dns_cache import Names
from probes.endpoint.timeouts import Patience
from probes.net.network import DestinationRefusedError, Network, Stream
from probes.net.tls import TLSClient
from probes.steps import http, quic, tcp, tls
from probes.wire.failure import Failure
from probes.wire.observation import (
    AnyObservation,
    Contrast,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Endpoint, SNIContrast

_Reached = TypeVar("_Reached")
MAX_PER_FAMILY = 8
"""Addresses dialled of each family; own answers come first, so the choice is the same again."""
# Nothing was lost on the way: the machine itself said no, and would say it again.
LOCAL = frozenset(
    (
        Failure.NETWORK_UNREACHABLE,
        Failure.NETWORK_DOWN,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.PERMISSION_DENIED,
    )
)


@dataclass(slots=True)
class Link:
    """One address reached, or not: the open connection and what was seen on the way."""

    address: str
    port: int
    tcp: TCPConnect
    stream: Stream | None = None
    tls: TLSHandshake | None = None
    client: TLSClient | None = None

    @property
    def good(self) -> bool:
        """Open, and past its handshake if there was one."""
        return self.stream is not None and (self.tls is None or self.tls.failure is None)

    def close(self) -> None:
        """Close the connection, if it is open. Its TLS is forgotten, for it takes some 50 kB, but
        for what a failed handshake has shown."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        if self.tls is not None and self.tls.failure is None:
            self.client = None


@dataclass(slots=True)
class Visit:
    """One endpoint in one round."""

    network: Network
    endpoint: Endpoint
    names: Names
    started_us: int
    patience: Patience = field(default_factory=Patience)
    sni: SNIContrast = field(default_factory=SNIContrast)
    failed_before: bool = False
    """It failed in the last round: innocuous contrasts run before the trigger."""
    cooling: bool = False
    """It failed so lately that a censor may still block it whatever the name: an innocuous name
    that dies now says nothing."""
    contrasts: bool = True
    """False for a retest and for liveness: only what the app would do."""
    repeats: bool = True
    """False for a retest: the service's name is shown once."""
    references: bool = True
    """False for liveness: only the machine's own resolver counts."""
    look: Look = Look.NO
    """Whether its speed may be looked at (`probes.contrasts.throughput`)."""
    observations: list[AnyObservation] = field(default_factory=list)
    dates_ms: list[tuple[int, int]] = field(default_factory=list)
    """(far side's clock, ours), milliseconds, from HTTP dates over verified TLS or clear text."""
    own: tuple[str, ...] = ()
    """Addresses from the machine's own resolver, or the endpoint's own address."""
    begun: bool = False
    """Its experiment was started."""
    _dialled: set[str] = field(default_factory=set)
    _once: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The endpoint's: every observation carries it."""
        return self.endpoint.id

    def first_time(self, what: str) -> bool:
        """True the first time this is asked of this visit: for steps taken once an endpoint."""
        seen = what in self._once
        self._once.add(what)
        return not seen

    async def addresses(self) -> tuple[str, ...]:
        """Resolve the endpoint and return the addresses to dial, the machine's own first."""
        found = await self.resolve()
        if not self.endpoint.host:
            # An address of the catalogue is tried whatever the guard and the routes say of it.
            self._dialled.update(found)
            return found
        return await self._to_dial(found)

    async def resolve(self) -> tuple[str, ...]:
        """Resolve the endpoint and return its addresses, the machine's own first."""
        name = self.endpoint.host
        if not name:
            self.own = (self.endpoint.address,)
            return self.own
        self.own = await self.names.system(name, yardstick=self.references)
        if not self.references:
            return self.own
        widen = self.failed_before or not self._allowed(self.own)
        others = await self.names.references(name, widen=widen)
        return (*self.own, *sorted(others))

    async def more_addresses(self) -> tuple[str, ...]:
        """Ask every reference resolver, once, and return the addresses not dialled yet."""
        name = self.endpoint.host
        if not name or not self.references or self.names.widened(name):
            return ()
        others = await self.names.references(name, widen=True)
        return await self._to_dial(sorted(others))

    async def second_opinion(self, *, reached: bool) -> tuple[str, ...]:
        """For protocols in which an address cannot prove itself: further addresses to dial.

        Every reference resolver is asked when no own answer was reached, or when something
        answered in place of the silent address; one over an encrypted channel when the own
        answers are merely not the yardstick's, as is usual with geographic DNS.
        """
        name = self.endpoint.host
        if not name or not self.references:
            return ()
        if not reached or await self.names.injected(name):
            return await self.more_addresses()
        if set(self.own).intersection(await self.names.references(name)):
            return ()
        return await self._to_dial(sorted(await self.names.encrypted(name)))

    def _allowed(self, addresses: Iterable[str]) -> list[str]:
        port = self.endpoint.port
        return [a for a in addresses if self.network.refusal(a, port) is None]

    async def _to_dial(self, candidates: Iterable[str]) -> tuple[str, ...]:
        """New addresses that may be dialled, capped; a machine without IPv6 gets one to try."""
        new = dict.fromkeys(a for a in candidates if a not in self._dialled)
        allowed = self._allowed(new)
        v4 = [a for a in allowed if ":" not in a][:MAX_PER_FAMILY]
        v6 = [a for a in allowed if ":" in a][:MAX_PER_FAMILY]
        if v6 and not await self._has_route(v6[0]):
            v6 = v6[:1] if self.first_time("no_ipv6") else []
        self._dialled.update(v4, v6)
        return (*v4, *v6)

    async def _has_route(self, address: str) -> bool:
        """A connected UDP socket sends nothing, and says whether there is a way there."""
        try:
            (await self.network.datagrams(address, self.endpoint.port)).close()
        except DestinationRefusedError:
            return True
        except OSError:
            return False
        return True

    def _limit(self, purpose: Purpose) -> float:
        return self.patience.subject if purpose is Purpose.SUBJECT else self.patience.contrast

    async def each(
        self, addresses: Iterable[str], reach: Callable[[Visit, str], Awaitable[_Reached]]
    ) -> list[_Reached]:
        """Do the same at every address at once; return what was reached, in their order."""
        chosen = tuple(addresses)
        if len(chosen) < 2:  # most have one address or none to add: no task is needed for that
            return [await reach(self, a) for a in chosen]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_run(reach(self, a))) for a in chosen]
        return [task.result() for task in tasks]

    async def connect(
        self,
        address: str,
        *,
        port: int | None = None,
        purpose: Purpose = Purpose.SUBJECT,
        contrast: Contrast | None = None,
    ) -> Link:
        """Open TCP and record it."""
        port = self.endpoint.port if port is None else port
        seen, stream = await tcp.connect(
            self.network,
            endpoint=self.id,
            address=address,
            port=port,
            started_us=self.started_us,
            purpose=purpose,
            contrast=contrast,
            timeout=self._limit(purpose),
        )
        self.observations.append(seen)
        return Link(address, port, seen, stream)

    async def connect_subject(self, address: str) -> Link:
        """Open TCP as the app would; once more from a fresh port when that may have been loss."""
        link = await self.connect(address)
        if link.stream is None and self.repeats and not _is_final(link.tcp):
            link = await self.connect(address, purpose=Purpose.CONTRAST, contrast=Contrast.REPEAT)
            return await partial_loss.connections(self, link) if link.good else link
        return link

    async def shake(
        self,
        link: Link,
        *,
        name: str | None = None,
        purpose: Purpose = Purpose.SUBJECT,
        contrast: Contrast | None = None,
        profile: str = "default",
        trust: str | None = None,
        verify: bool = True,
        alpn: Sequence[str] | None = None,
    ) -> Link:
        """Shake hands over an open link and record it; a link that fails is closed."""
        if link.stream is None:
            return link
        try:
            link.tls, link.client = await tls.handshake(
                self.network,
                link.stream,
                endpoint=self.id,
                address=link.address,
                port=link.port,
                sni=self.endpoint.server_name if name is None else name,
                started_us=self.started_us,
                purpose=purpose,
                contrast=contrast,
                profile=profile,
                trust=self.endpoint.trust if trust is None else trust,
                verify=verify,
                alpn=self.endpoint.alpn if alpn is None else alpn,
                timeout=self._limit(purpose),
            )
        except BaseException:
            link.close()
            raise
        self.observations.append(link.tls)
        if link.tls.failure is not None:
            link.close()
        return link

    async def shake_quic(
        self,
        address: str,
        *,
        port: int | None = None,
        name: str | None = None,
        purpose: Purpose = Purpose.SUBJECT,
        contrast: Contrast | None = None,
        verify: bool = True,
    ) -> QUICHandshake:
        """Shake hands over QUIC from a fresh port and record it."""
        seen = await quic.handshake(
            self.network,
            endpoint=self.id,
            address=address,
            port=self.endpoint.port if port is None else port,
            sni=self.endpoint.server_name if name is None else name,
            started_us=self.started_us,
            purpose=purpose,
            contrast=contrast,
            trust=self.endpoint.trust,
            verify=verify,
            alpn=self.endpoint.alpn,
            timeout=self._limit(purpose),
        )
        self.observations.append(seen)
        return seen

    async def ask(
        self,
        link: Link,
        *,
        host: str | None = None,
        purpose: Purpose = Purpose.SUBJECT,
        contrast: Contrast | None = None,
    ) -> HTTPExchange | None:
        """Send one HTTP request over an open link, record the exchange, and close the link."""
        if link.stream is None:
            return None
        try:
            seen, date_ms = await http.exchange(
                self.network,
                link.stream,
                link.client,
                endpoint=self.id,
                address=link.address,
                port=link.port,
                host=self.endpoint.server_name if host is None else host,
                path=self.endpoint.path,
                started_us=self.started_us,
                purpose=purpose,
                contrast=contrast,
                timeout=self._limit(purpose),
            )
        finally:
            link.close()
        self.observations.append(seen)
        if date_ms is not None and contrast is not Contrast.NO_VERIFY:
            self.dates_ms.append((date_ms, self.network.wall_ms()))
        return seen

    def remark(self, seen: TLSHandshake | QUICHandshake, evidence: str) -> None:
        """Add a word of evidence to an observation that is already recorded."""
        place = next(i for i, o in enumerate(self.observations) if o is seen)
        self.observations[place] = msgspec.structs.replace(
            seen, evidence=(*seen.evidence, evidence)
        )


def _is_final(seen: TCPConnect) -> bool:
    return "not_dialled" in seen.evidence or (seen.failure in LOCAL and seen.icmp_type is None)


async def _run(reached: Awaitable[_Reached]) -> _Reached:
    return await reached
