# SPDX-License-Identifier: Apache-2.0
"""The measurement of one endpoint in one round: its steps and its observations.

The file of a protocol gets an `EndpointRun` and calls its methods one after another. Each method
takes one step and records the observation. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

import msgspec

from probes.endpoint.address_choice import AddressChoice
from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.silence import SilentWaits, Waits
from probes.endpoint.timeouts import Timeouts
from probes.net.network import Network, Stream
from probes.net.resolvers import parse_authority
from probes.net.tls import TLSClient
from probes.steps import http, quic, tcp, tls
from probes.steps.context import StepContext
from probes.wire.failure import Failure
from probes.wire.observation import (
    HANDED_OVER,
    LIVENESS_HOST,
    AnyObservation,
    AppExchange,
    AtAddress,
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
MAX_LOOKS = 4
"""How often hosts are reached again for one endpoint and address family, or for its name."""
LOOK_BESIDE_SECONDS = 1.0
"""Attempts at several addresses that begin within so long share them."""
LOOK_SECONDS = 2.0
"""How long an attempt is silent that is not repeated, or a lookup, until a host is connected to
meanwhile: an answer may take a second, and the last packets are sent after three and more."""
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


class RoundMeans(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoints of one round share."""

    network: Network
    dns_cache: DNSCache
    silence: SilentWaits = msgspec.field(default_factory=SilentWaits)
    timeouts: Timeouts = Timeouts()
    sni: SNIContrast = SNIContrast()
    alive: Sequence[tuple[str, int]] = ()
    """Addresses and ports at which liveness hosts were reached in this round."""
    alive_by_now: Callable[[], Sequence[tuple[str, int]]] = tuple
    """The same where liveness is measured meanwhile."""
    stun_hosts: Sequence[tuple[str, int]] = ()
    """Those at which one answered over UDP."""
    ask_stun: Callable[[EndpointRun, str, int], Awaitable[AppExchange]] | None = None
    """Asks one of them once more (`probes.protocols.stun`)."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How one endpoint is measured in one round."""

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
    brief: bool = False
    """It fails as in the rounds before: show that with one contrast."""
    references: bool = True
    """Ask reference resolvers. False for liveness."""
    throughput: ThroughputMode = ThroughputMode.OFF
    lean: bool = False
    """Dial one address, another one in each round, and read only the beginning of a page."""
    turn: int = 0
    """Chooses the address of a lean run, see `AddressChoice`."""
    handed_over: Sequence[str] = ()
    """Addresses that failed elsewhere, which a control tries besides its own."""

    @property
    def looks_closer(self) -> bool:
        """Whether the cause of a failure is looked for, which is not known from the last round."""
        return self.contrasts and not self.brief


class EndpointRun:
    """One endpoint in one round."""

    __slots__ = (
        "_looked",
        "_once",
        "_waits",
        "addresses",
        "begun",
        "course",
        "dates_ms",
        "endpoint",
        "means",
        "observations",
        "started_us",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        means: RoundMeans,
        started_us: int,
        course: Course | None = None,
    ) -> None:
        """`started_us` is the start of the measurement, by the network's clock."""
        self.endpoint, self.means = endpoint, means
        self.started_us, self.course = started_us, course or Course()
        self.addresses = AddressChoice(
            means.network,
            endpoint,
            means.dns_cache,
            references=self.course.references,
            widen=self.course.failed_last_round,
            brief=self.course.brief,
            lean=self.course.lean,
            turn=self.course.turn,
            handed_over=self.course.handed_over,
            while_asked=self._while_asked,
        )
        self.observations: list[AnyObservation] = []
        self.dates_ms: list[tuple[int, int]] = []
        """(server's clock, ours) in Unix milliseconds, from HTTP Date headers over verified TLS or
        clear text."""
        self.begun = False
        self._once: set[str] = set()
        self._looked: dict[str, float] = {}
        self._waits = Waits(means.silence)

    @property
    def id(self) -> str:
        """The endpoint's id, which every observation carries."""
        return self.endpoint.id

    @property
    def network(self) -> Network:
        """The network on which it is measured."""
        return self.means.network

    @property
    def timeouts(self) -> Timeouts:
        """The time limits of the round."""
        return self.means.timeouts

    @property
    def sni(self) -> SNIContrast:
        """The names and the address for contrasts."""
        return self.means.sni

    def examine(self) -> None:
        """Measure with every contrast from now on: something has changed."""
        self.course = msgspec.structs.replace(self.course, brief=False, repeats=True)
        self.addresses.brief = False

    def once(self, key: str) -> bool:
        """Return True for the first call with this key: for steps taken once an endpoint."""
        new = key not in self._once
        self._once.add(key)
        return new

    def up_to(self, key: str, limit: int) -> bool:
        """Return True for the first `limit` calls with this key."""
        return any(self.once(f"{key} {number}") for number in range(limit))

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
        self, doubtful: bool, address: str, step: Awaitable[_Reached], *, udp: bool = False
    ) -> _Reached:
        """Take a step at an address once more. Where the line itself may have failed (`doubtful`:
        after silence, and where the cause is looked for), hosts that liveness reached over the same
        address family are connected to at the same time: only they tell whether the machine was
        still online. Over UDP those that answered over UDP are asked as well, of the other family
        where none has this one: whether the line still lets datagrams through."""
        if not doubtful or not self._may_look(address):
            return await step

        def reached(hosts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
            return _of_family(hosts, address)

        async with asyncio.TaskGroup() as group:
            for host in reached(self.means.alive)[:MAX_LIVENESS_HOSTS]:
                group.create_task(self._beside(self._connect_to(*host)))
            if udp and self.means.ask_stun is not None:
                for host in (reached(self.means.stun_hosts) or self.means.stun_hosts)[
                    :MAX_LIVENESS_HOSTS
                ]:
                    group.create_task(self._beside(self.means.ask_stun(self, *host)))
            return await step

    async def while_silent(self, address: str, attempt: Awaitable[_Reached]) -> _Reached:
        """Wait for an attempt at an address. Where it is silent and will not be repeated, a host
        that liveness reached over the same address family, else our own, is connected to meanwhile:
        what is reached before or after says nothing of the line while it was waited for."""
        if self.course.repeats or not self.course.contrasts:
            return await attempt
        return await self._looking(attempt, address)

    async def _while_asked(self, lookup: Awaitable[_Reached]) -> _Reached:
        """Wait for a name in the same way, whatever the family, and several times: it is asked
        again from other ports, and of other nameservers."""
        if not self.course.contrasts:
            return await lookup
        return await self._looking(lookup, "")

    async def _looking(self, attempt: Awaitable[_Reached], address: str) -> _Reached:
        async def look() -> None:
            for _ in range(1 if address else MAX_LOOKS):
                await asyncio.sleep(LOOK_SECONDS)
                if self._may_look(address):
                    for host in self._one_alive(address):
                        await self._beside(self._connect_to(*host))

        async with asyncio.TaskGroup() as group:
            looks = group.create_task(look())
            try:
                return await attempt
            finally:
                looks.cancel()

    def _may_look(self, address: str) -> bool:
        """Whether hosts may be reached beside an attempt at an address: not twice at a time."""
        over = f"IPv{6 if ':' in address else 4}" if address else "any"
        now = asyncio.get_running_loop().time()
        if now - self._looked.get(over, -LOOK_BESIDE_SECONDS) < LOOK_BESIDE_SECONDS:
            return False
        self._looked[over] = now
        return self.up_to(f"liveness over {over}", MAX_LOOKS)

    def _one_alive(self, address: str) -> list[tuple[str, int]]:
        """A host that liveness reached, of the address family of this address if there is one; our
        own where it has reached none yet."""
        alive = [*(self.means.alive or self.means.alive_by_now())]
        if self.sni.address:
            alive.append(parse_authority(self.sni.address, 443))
        return (_of_family(alive, address) if address else alive)[:1]

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
        roomy: bool = False,
    ) -> Connection:
        """Open a TCP connection and record it. In a lean run the far side may send little before it
        is read, unless the connection is to be `roomy`."""
        step = self.step(address, port, contrast=contrast, purpose=purpose)
        step = replace(step, narrow=self.addresses.lean and not roomy)
        with self._waits.answer():
            attempt = tcp.connect(step)
            is_app = purpose is None and contrast is None
            seen, stream = await (self.while_silent(address, attempt) if is_app else attempt)
        if stream is not None:
            self.means.silence.answered(seen.took_us / 1e6)
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
            attempt = tls.handshake(
                step,
                connection.stream,
                sni=self.endpoint.server_name if name is None else name,
                profile=profile,
                trust=self.endpoint.trust if trust is None else trust,
                verify=verify,
                alpn=self.endpoint.alpn if alpn is None else alpn,
            )
            seen, client = await self.while_silent(step.address, attempt)
        except BaseException:
            connection.close()
            raise
        connection.tls, connection.client = seen, client
        self.observations.append(seen)
        if seen.failure is not None:
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
        attempt = quic.handshake(
            self.step(address, port, contrast=contrast),
            sni=self.endpoint.server_name if name is None else name,
            trust=self.endpoint.trust,
            verify=verify,
            alpn=self.endpoint.alpn,
        )
        seen = await self.while_silent(address, attempt)
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
            attempt = http.exchange(
                self.step(connection.address, connection.port, contrast=contrast),
                connection.stream,
                connection.client,
                host=self.endpoint.server_name if host is None else host,
                path=self.endpoint.path,
                max_body=http.LEAN_BODY if self.addresses.lean else http.MAX_BODY,
            )
            seen, date_ms = await self.while_silent(connection.address, attempt)
        finally:
            connection.close()
        self.observations.append(seen)
        if date_ms is not None and contrast is not Contrast.NO_VERIFY:
            self.dates_ms.append((date_ms, self.network.wall_ms()))
        return seen

    def mark_handed_over(self) -> None:
        """Mark what was seen at addresses that no resolver of this machine gave."""
        foreign = self.addresses.foreign
        self.observations = [
            msgspec.structs.replace(seen, evidence=(*seen.evidence, HANDED_OVER))
            if isinstance(seen, AtAddress) and (seen.address, seen.port) in foreign
            else seen
            for seen in self.observations
        ]

    def add_evidence(self, seen: _Remarked, evidence: str) -> None:
        """Add evidence to an observation that is already recorded."""
        place = next(i for i, o in enumerate(self.observations) if o is seen)
        self.observations[place] = msgspec.structs.replace(
            seen, evidence=(*seen.evidence, evidence)
        )


def _of_family(hosts: Iterable[tuple[str, int]], address: str) -> list[tuple[str, int]]:
    """The hosts of the address family of an address."""
    return [host for host in hosts if (":" in host[0]) == (":" in address)]


def purpose_of(contrast: Contrast | None) -> Purpose:
    """The purpose of a step at the service: contrast where something was changed."""
    return Purpose.SUBJECT if contrast is None else Purpose.CONTRAST


async def _run(reached: Awaitable[_Reached]) -> _Reached:
    return await reached
