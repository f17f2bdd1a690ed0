# SPDX-License-Identifier: Apache-2.0
"""Which target and endpoint of the catalogue an OONI observation belongs to.

OONI names hosts and addresses; the catalogue joins them to targets. Here is only what it does not
contain: former host names of services, and web sites that no app dials but OONI's web tests visit.
"""

from __future__ import annotations

import re

import msgspec

from probes.runtime.options import authority
from probes.wire.measurement import EndpointRef
from probes.wire.protocol import Transport, protocol
from probes.wire.target import Catalogue

# Names of OONI's tests over the years, of the same function: ooni/spec ts-018, ts-019, ts-020,
# ts-029, and the clients' lists quoted in ooni/probe#2627; read 2026-11.
_FORMER = {
    "textsecure-service.whispersystems.org": "signal/chat",
    "ud-chat.signal.org": "signal/chat",
    "api.directory.signal.org": "signal/contacts",
    "cdn.signal.org": "signal/media",
    "cdn2.signal.org": "signal/media",
    "cdn3.signal.org": "signal/media",
    "contentproxy.signal.org": "signal/media",
    "updates.signal.org": "signal/updates",
    "updates2.signal.org": "signal/updates",
    "telegram.me": "telegram/links",
    "telegram.dog": "telegram/links",
}
# Sites of citizenlab's test lists (read 2026-11) whose host is no endpoint of the catalogue.
_SITES = {
    "www.telegram.org": "telegram/site",
    "whatsapp.com": "whatsapp/site",
    "www.whatsapp.com": "whatsapp/site",
    "signal.org": "signal/site",
    "www.signal.org": "signal/site",
    "messenger.com": "messenger/web",
    "wechat.com": "wechat/site",
    "www.wechat.com": "wechat/site",
    "www.viber.com": "viber/site",
    "viber.com": "viber/site",
    "line.me": "line/site",
    "www.line.me": "line/site",
    "www.skype.com": "skype/site",
    "slack.com": "slack/site",
    "discord.com": "discord/site",
    "discordapp.com": "discord/site",
    "www.linkedin.com": "linkedin/site",
    "linkedin.com": "linkedin/site",
    "www.snapchat.com": "snapchat/site",
    "threema.ch": "threema/site",
    "wire.com": "wire/site",
    "zalo.me": "zalo/site",
    "www.imo.im": "imo/site",
    "imo.im": "imo/site",
}
_SITE = re.compile(r"https?://(?:[^/?#@]*@)?([^/?#:@]+)", re.IGNORECASE)
_PROTOCOLS = {443: "https", 80: "http"}


class TargetEndpoint(msgspec.Struct, frozen=True):
    """The target and endpoint of an observation."""

    target: str
    endpoint: str


class TargetIndex:
    """The catalogue by host name and address. Results are cached: `place` is called for each
    observation."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.combine = {target.id: target.combine for target in catalogue.targets}
        self.own_authority = frozenset(
            service.id
            for service in catalogue.services
            if any(e.trust for target in service.targets for e in target.endpoints)
        )
        """Services with a certificate authority of their own."""
        self._refs = {
            target.id: {
                endpoint.id: EndpointRef(
                    id=endpoint.id, protocol=endpoint.protocol, host=endpoint.host
                )
                for endpoint in target.endpoints
            }
            for target in catalogue.targets
        }
        self._known: dict[str, list[tuple[int, TargetEndpoint]]] = {}
        for target in catalogue.targets:
            for endpoint in target.endpoints:
                name = endpoint.host or endpoint.address
                place = TargetEndpoint(target.id, endpoint.id)
                self._known.setdefault(name, []).append((endpoint.port, place))
        for places in self._known.values():
            # OONI's tests dial TCP: of two endpoints at one port, the one over UDP comes last.
            places.sort(key=lambda known: _over_udp(known[1].endpoint))
        self._answers: dict[tuple[str, int], TargetEndpoint | None] = {}

    def place(self, name: str, port: int = 0) -> TargetEndpoint | None:
        """The target and endpoint of a host name or literal address (without brackets) at a
        port; port 0 where there is none, as in DNS. None for other services."""
        key = name, port
        if key not in self._answers:
            self._answers[key] = self._look(name.lower().rstrip("."), port)
        return self._answers[key]

    def has_site(self, url: str) -> bool:
        """Whether a run of OONI's web test is read: its site is a host of the catalogue. What other
        sites load from such a host on the way is no test of it."""
        named = _SITE.match(url)
        return named is not None and TargetIndex.place(self, named[1].lower()) is not None

    def dials(self, name: str, port: int) -> bool:
        """Whether the catalogue has an endpoint of this name and port."""
        return any(at == port for at, _ in self._known.get(name, ()))

    def _look(self, name: str, port: int) -> TargetEndpoint | None:
        known = self._known.get(name, [])
        exact = [place for at, place in known if at == port]
        if exact or (known and port == 0):
            return exact[0] if exact else known[0][1]
        # Of several functions at other ports, the first: `e1.whatsapp.net` on port 80 is still
        # messaging.
        target = known[0][1].target if known else _FORMER.get(name) or _SITES.get(name)
        if target is None:
            return None
        at = port or 443
        return TargetEndpoint(target, f"{authority(name, at)}/{_PROTOCOLS.get(at, 'tcp')}")

    def refs(self, target: str, seen: set[str]) -> tuple[EndpointRef, ...]:
        """Every endpoint of a target, then those that only OONI measured."""
        known = self._refs.get(target, {})
        return (*known.values(), *(_ref(id) for id in sorted(seen - known.keys())))


def _over_udp(endpoint: str) -> bool:
    return protocol(endpoint.rpartition("/")[2]).transport is Transport.UDP


def _ref(id: str) -> EndpointRef:
    authority, _, protocol = id.rpartition("/")
    host = authority.rpartition(":")[0]
    literal = host.startswith("[") or host.replace(".", "").isdigit()
    return EndpointRef(id=id, protocol=protocol, host="" if literal else host)
