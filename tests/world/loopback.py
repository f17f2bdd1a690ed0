"""A small internet on loopback for the probe: a DNS server as the machine's own resolver, another
as reference, one that should be silent, and a `EndpointRun` or a `Setup` pointed at them.

    async with internet(system={"wechat.test": Address("127.0.0.1")}) as net:
        run = net.run(Endpoint(host="wechat.test", port=server.port, protocol="tls"))
        await measure(run)
        seen = await net.finish(run)

Time limits are long, because what answers may do so late on a busy machine; a test that waits for
silence takes `SHORT`, one that waits for a second answer to a DNS query `LISTENING`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from probes.endpoint.dns_cache import DNSCache
from probes.endpoint.endpoint_run import Course, EndpointRun, RoundMeans
from probes.endpoint.timeouts import Timeouts
from probes.net.guard import Guard
from probes.net.resolvers import SYSTEM, ResolverRoute
from probes.net.socket_network import SocketNetwork
from probes.rounds.round_plan import Setup
from probes.wire.measurement import Software, Vantage
from probes.wire.observation import AnyObservation
from probes.wire.target import Catalogue, Endpoint, Resolver, Service, SilentAddress, SNIContrast
from tests.world.dns_server import SERVER_NAME, Behaviour, DNSServer, Drop

PATIENT = Timeouts(dns=30.0, window=0.1, subject=30.0, contrast=30.0, endpoint=120.0, round=300.0)
SHORT = replace(PATIENT, dns=2.0, subject=2.0, contrast=2.0)
LISTENING = replace(PATIENT, window=2.0)
LAB = SocketNetwork(guard=Guard(allow_private=True))


class _Anything(dict[str, Behaviour]):
    """A table that says the same of every name."""

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__()
        self._behaviour = behaviour

    def get(self, name: str, default: object = None) -> Behaviour:
        return self._behaviour


@dataclass
class Internet:
    """What `internet` gives."""

    group: asyncio.TaskGroup
    system: DNSServer
    reference: DNSServer
    silent: DNSServer
    catalogue: Catalogue
    timeouts: Timeouts
    network: SocketNetwork = LAB
    caches: list[DNSCache] = field(default_factory=list)

    @property
    def routes(self) -> tuple[ResolverRoute, ...]:
        return (ResolverRoute(SYSTEM, "udp", self.system.host, self.system.udp_port),)

    def dns_cache(self) -> DNSCache:
        """The lookups of a new round."""
        cache = DNSCache(self.group, self.network, self.catalogue, self.routes, self.timeouts)
        self.caches.append(cache)
        return cache

    def run(self, endpoint: Endpoint, **options: object) -> EndpointRun:
        """One endpoint in a round of its own."""
        values: dict[str, object] = {
            "network": self.network,
            "dns_cache": self.dns_cache(),
            "timeouts": self.timeouts,
            "sni": self.catalogue.sni,
        }
        course = {name: options.pop(name) for name in Course.__struct_fields__ if name in options}
        means = RoundMeans(**(values | options))
        return EndpointRun(endpoint, means, self.network.clock_us(), Course(**course))

    async def finish(self, run: EndpointRun) -> list[AnyObservation]:
        """Everything seen, lookups included, in order."""
        lookups = await run.means.dns_cache.observations(
            run.endpoint.host, run.endpoint.id, run.started_us
        )
        return sorted((*run.observations, *lookups), key=lambda seen: seen.at_us)

    def setup(self, **options: object) -> Setup:
        """For whole rounds."""
        values: dict[str, object] = {
            "network": self.network,
            "catalogue": self.catalogue,
            "vantage": Vantage(country="RU", asn=64501),
            "software": Software(version="0", python="3", openssl="x"),
            "probe": "p-0123456789abcdef",
            "system": self.routes,
            "timeouts": self.timeouts,
        }
        return Setup(**(values | options))


@asynccontextmanager
async def internet(
    system: Mapping[str, Behaviour],
    *,
    reference: Mapping[str, Behaviour] | None = None,
    injected: Behaviour | None = None,
    sni: SNIContrast | None = None,
    services: tuple[Service, ...] = (),
    liveness: tuple[object, ...] = (),
    secure: bool = False,
    timeouts: Timeouts = PATIENT,
) -> AsyncIterator[Internet]:
    """Run the DNS servers. `reference` is what the reference resolver answers (default: as the
    system), `injected` what comes back from the silent address, `secure` adds DoT and DoH."""
    async with (
        DNSServer(system) as own,
        DNSServer(system if reference is None else reference, secure=secure) as other,
        DNSServer(_Anything(injected or Drop())) as silent,
        asyncio.TaskGroup() as group,
    ):
        resolver = Resolver(
            id="lab",
            udp=f"{other.host}:{other.udp_port}",
            dot=f"{other.host}:{other.dot_port}" if secure else "",
            dot_name=SERVER_NAME if secure else "",
            dot_trust=other.trust,
            doh=f"https://{SERVER_NAME}:{other.doh_port}/dns-query" if secure else "",
            doh_address=other.host if secure else "",
            doh_trust=other.trust,
        )
        catalogue = Catalogue(
            version="0123456789ab",
            services=services,
            resolvers=(resolver,),
            silent=(SilentAddress(address=f"{silent.host}:{silent.udp_port}"),),
            liveness=liveness,
            sni=sni or SNIContrast(innocuous="innocuous.test"),
        )
        net = Internet(group, own, other, silent, catalogue, timeouts)
        yield net
        for cache in net.caches:
            cache.close()
