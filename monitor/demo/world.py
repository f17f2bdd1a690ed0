# SPDX-License-Identifier: Apache-2.0
"""Starts and stops the simulated internet and its block.

`World` runs the servers, writes their catalogue, and names the vantages whose probes somebody
else starts. Several worlds run side by side: each takes a random 127.a.b.0/24 and free ports.
"""

from __future__ import annotations

import errno
import random
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from monitor.demo import plan
from monitor.demo.block import DEFAULT, TECHNIQUES, DemoBlock, parse_block
from monitor.demo.catalogue_files import Ports, write_catalogue
from monitor.demo.certificates import Authority, make_authority, server_context
from monitor.demo.connection import ClearService, StartTalk, TLSService
from monitor.demo.conversation import (
    BlockPageConversation,
    DoHConversation,
    FramedDNS,
    Silence,
    WebConversation,
)
from monitor.demo.isp import ISP
from monitor.demo.nameserver import Censor, Nameserver
from monitor.demo.servers import DemoServers

__all__ = ["DEFAULT", "TECHNIQUES", "DemoBlock", "DemoVantage", "World", "parse_block"]

_ATTEMPTS = 30
"""Other blocks of addresses tried when a port is taken."""


@dataclass(frozen=True)
class DemoVantage:
    """What a probe of the demonstration is started with."""

    label: str
    bind: str
    """The address it measures from."""
    resolver: str
    """`ADDRESS:PORT` of its provider's nameserver."""
    country: str
    asn: int
    owner: str
    role: str
    """`vantage` or `control`."""


class World:
    """Async context manager: inside it, the simulated internet is up."""

    def __init__(self, seed: int | None = None, *, prefix: str = "") -> None:
        """`seed` fixes the choice of addresses; `prefix` names their first three octets, where
        the machine has addresses of its own for it (the laboratory of containers)."""
        self._random = random.Random(seed)
        self._prefix = prefix
        self._running: _Running | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def catalogue_dir(self) -> Path:
        """The catalogue that the probes and the monitor of this world use."""
        return self._started.folder / "catalogue"

    @property
    def vantages(self) -> tuple[DemoVantage, ...]:
        """Nine volunteers' probes and the control, last."""
        return self._started.vantages

    @property
    def addresses(self) -> dict[str, str]:
        """Every host name of the world with its address."""
        return self._started.addresses

    def block(self, block: DemoBlock) -> None:
        """Start a block."""
        self._started.isp.block(block)

    def lift(self, block: DemoBlock | None = None) -> None:
        """End a block, or all of them."""
        self._started.isp.lift(block)

    async def __aenter__(self) -> Self:
        """Start every server. Raises OSError when no block of loopback addresses is free."""
        self._folder = tempfile.TemporaryDirectory(prefix="reachwatch-demo-")
        attempt = 0
        while self._running is None:
            attempt += 1
            loopback = f"127.{self._random.randint(16, 250)}.{self._random.randint(1, 254)}"
            running = _Running(self._prefix or loopback, Path(self._folder.name))
            try:
                await running.start()
                self._running = running
            except BaseException as error:
                await running.servers.close()
                taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
                if not taken or attempt == _ATTEMPTS:
                    self._folder.cleanup()
                    raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every server and connection and remove the files."""
        running, folder = self._running, self._folder
        self._running = self._folder = None
        if running is not None:
            await running.servers.close()
        if folder is not None:
            folder.cleanup()

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the world is not up")
        return self._running


@dataclass
class _Running:
    """One attempt at a world, at one block of addresses."""

    prefix: str
    folder: Path
    servers: DemoServers = field(default_factory=DemoServers)
    isp: ISP = field(default_factory=lambda: ISP({}, {}, {}))
    addresses: dict[str, str] = field(default_factory=dict)
    vantages: tuple[DemoVantage, ...] = ()

    def at(self, number: int) -> str:
        """The address with this last octet."""
        return f"{self.prefix}.{number}"

    async def start(self) -> None:
        """Open every server and write the catalogue. Raises OSError."""
        self.addresses = {host: self.at(number) for host, number in plan.hosts().items()}
        forged = {
            "dns.injection.bogon": plan.BOGON,
            "dns.injection.blockpage": self.at(plan.BLOCK_PAGE),
            "dns.injection.other": self.at(plan.PARKING),
        }
        nameserver = Nameserver(self.addresses, forged)
        networks = (*plan.NETWORKS, plan.CONTROL_NETWORK)
        for number in range(len(networks)):
            await self._resolver(self.at(plan.FIRST_RESOLVER + number), nameserver, self.isp.dns)
        await self._resolver(self.at(plan.REFERENCE), nameserver, None)
        await self.servers.datagrams(self.at(plan.SILENT), None)
        self.vantages = tuple(self._vantages(networks))
        self._configure_isp()
        ca = make_authority("Demonstration CA")
        await self._sites(ca)
        await self._encrypted_resolvers(ca, nameserver)
        port = self.servers.port
        ports = Ports(dns=port("dns"), tls=port("tls"), http=port("http"), tcp=port("tcp"))
        write_catalogue(self.folder / "catalogue", self.prefix, ports, ca.pem)

    def _vantages(self, networks: Sequence[plan.DemoNetwork]) -> Iterable[DemoVantage]:
        number = plan.FIRST_VANTAGE
        for index, network in enumerate(networks):
            resolver = f"{self.at(plan.FIRST_RESOLVER + index)}:{self.servers.port('dns')}"
            for place, owner in enumerate(network.owners, 1):
                label = f"as{network.asn}-{place}" if network.role == "vantage" else network.role
                yield DemoVantage(
                    label=label,
                    bind=self.at(number),
                    resolver=resolver,
                    country=network.country,
                    asn=network.asn,
                    owner=owner,
                    role=network.role,
                )
                number += 1

    def _configure_isp(self) -> None:
        self.isp.network_of = {vantage.bind: vantage.asn for vantage in self.vantages}
        self.isp.service_of_name = {
            name: service.id for service in plan.SERVICES for name in plan.names_of(service)
        }
        self.isp.service_of_address = {
            address: service.id for service in plan.SERVICES for address in self._places(service)
        }

    def _places(self, service: plan.DemoService) -> list[str]:
        named = [self.addresses[name] for name in plan.names_of(service)]
        return [*named, *(self.at(number) for number in plan.numbers_of(service))]

    async def _sites(self, ca: Authority) -> None:
        """The services, the innocuous hosts, the reflector, and the targets of forged answers."""
        names = tuple(name for service in plan.SERVICES for name in plan.names_of(service))
        forger = server_context(self.folder, names, None)
        for service in plan.SERVICES:
            context = server_context(self.folder, plan.names_of(service), ca)
            for address in self._places(service):
                await self._site(address, context, forger, service.name)
        domestic = [host for hosts in plan.DOMESTIC.values() for host in hosts]
        others = (*plan.INTERNATIONAL, *domestic, plan.INNOCUOUS)
        context = server_context(self.folder, others, ca)
        for host in others:
            await self._site(self.addresses[host], context, forger, "An everyday site")
        context = server_context(self.folder, (*names, plan.INNOCUOUS), ca)
        await self._tls(self.at(plan.REFLECTOR), context, forger, _silence)
        context = server_context(self.folder, (plan.PARKED,), ca)
        await self._site(self.at(plan.PARKING), context, forger, "This domain is parked")
        page = server_context(self.folder, (plan.BLOCK_PAGE_HOST,), None)
        await self._tls(self.at(plan.BLOCK_PAGE), page, forger, _block_page)
        await self._clear("http", self.at(plan.BLOCK_PAGE), _block_page)
        await self._clear("tcp", self.at(plan.BLOCK_PAGE), _silence)

    async def _encrypted_resolvers(self, ca: Authority, nameserver: Nameserver) -> None:
        context = server_context(self.folder, (plan.REFERENCE_DOH,), ca, alpn=("h2",))
        doh = self.at(plan.DOH)
        await self._tls(doh, context, context, lambda source: DoHConversation(nameserver, source))
        context = server_context(self.folder, (plan.REFERENCE_DOT,), ca, alpn=())
        dot = self.at(plan.DOT)
        await self._tls(dot, context, context, lambda source: FramedDNS(nameserver, source))

    async def _resolver(self, address: str, nameserver: Nameserver, censor: Censor | None) -> None:
        await self.servers.datagrams(address, nameserver, censor)
        await self._clear("dns", address, lambda source: FramedDNS(nameserver, source, censor))

    async def _site(
        self, address: str, context: ssl.SSLContext, forger: ssl.SSLContext, title: str
    ) -> None:
        await self._tls(address, context, forger, lambda source: WebConversation(title))
        await self._clear(
            "http",
            address,
            lambda source: WebConversation(title, lambda host: self.isp.http(source, host)),
        )
        await self._clear("tcp", address, _silence)

    async def _tls(
        self,
        address: str,
        context: ssl.SSLContext,
        forger: ssl.SSLContext,
        start: StartTalk,
    ) -> None:
        await self.servers.listen(
            "tls",
            address,
            lambda: TLSService(start, self.servers.connections, context, forger, self.isp),
        )

    async def _clear(self, kind: str, address: str, start: StartTalk) -> None:
        await self.servers.listen(
            kind, address, lambda: ClearService(start, self.servers.connections)
        )


def _silence(source: str) -> Silence:
    return Silence()


def _block_page(source: str) -> BlockPageConversation:
    return BlockPageConversation("")
