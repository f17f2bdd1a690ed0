# SPDX-License-Identifier: Apache-2.0
"""How far each endpoint of an imported run got, and how it failed.

Kinds are those of our own judge, from failure strings alone: an import has no errno, no ICMP and no
alert. Strings of OONI's first probes are known as well. Failures of the device itself (no memory,
no route, stopped by its owner) mean nothing for the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.detection.facts.kinds import (
    CERTIFICATE_KINDS,
    Kind,
    dns_kind,
    http_kind,
    tcp_kind,
    tls_kind,
)
from monitor.detection.facts.ranges import special_range
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.imported.rules import BOGON, NO_WORD, PAGE
from monitor.detection.model import Layer
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Known,
    TCPConnect,
    TLSHandshake,
)

_ANDROID = "android_dns_cache_no_data"
_BOGON = "dns_bogon_error"
# Strings of df-007 that our own probe does not use, and of OONI's first probes ("legacy" there),
# in the kinds of today: ooni/spec data-formats/df-007-errors.md, read 2026-11.
_OTHER_WORDS = {
    "connection_refused_error": Kind.REFUSED,
    "connection_lost_error": Kind.RESET,
    "tcp_timed_out_error": Kind.TIMEOUT,
    "task_timed_out": Kind.TIMEOUT,
    "deferred_timeout_error": Kind.TIMEOUT,
    "response_never_received": Kind.EOF,
    "no_route_error": Kind.UNREACHABLE,
    "network_reset": Kind.RESET,
    "dns_server_misbehaving": Kind.SERVFAIL,
    "dns_temporary_failure": Kind.SERVFAIL,
    "dns_non_recoverable_failure": Kind.SERVFAIL,
}
# Failures of the device itself: nothing was sent.
_DEVICE = frozenset(
    (
        "network_down",
        "network_unreachable",
        "address_not_available",
        "address_family_not_supported",
        "permission_denied",
        "no_buffer_space",
        "interrupted",
    )
)
_DEVICE_TEXT = (
    "cannot allocate memory",
    "too many open files",
    "operation not permitted",
    "context canceled",
    "operation was canceled",
)
# Strings of OONI's tests about an answer that had arrived.
_ANSWERED = frozenset(
    (
        "http_unexpected_status_code",
        "http_unexpected_redirect_url",
        "http_invalid_redirect_location_host",
        "json_parse_error",
    )
)


@dataclass(frozen=True)
class RunContext:
    """What applies to all endpoints of a run."""

    own_authority: bool = False
    """The service has its own certificate authority, and old probes do not know its newer roots: an
    invalid certificate means nothing."""
    country: str = ""
    fingerprints: Fingerprints = OWN


@dataclass
class EndpointObservations:
    """The observations of one endpoint, by step."""

    lookups: list[DNSLookup] = field(default_factory=list)
    connects: list[TCPConnect] = field(default_factory=list)
    handshakes: list[TLSHandshake] = field(default_factory=list)
    exchanges: list[HTTPExchange | AppExchange] = field(default_factory=list)

    def add(self, seen: Known) -> None:
        """Add one observation of the run's own resolver or connections."""
        match seen:
            case DNSLookup():
                if seen.resolver == "system":
                    self.lookups.append(seen)
            case TCPConnect():
                self.connects.append(seen)
            case TLSHandshake():
                self.handshakes.append(seen)
            case HTTPExchange() | AppExchange():
                self.exchanges.append(seen)
            case _:
                pass  # no import makes others


@dataclass(frozen=True)
class Ending:
    """How far one endpoint got."""

    layer: Layer | None
    """Where it failed; None when it works."""
    kind: str = ""
    passed: tuple[Layer, ...] = ()


def ending(seen: EndpointObservations, context: RunContext) -> Ending | None:
    """How far an endpoint got; None when the observations do not show it."""
    passed: list[Layer] = []
    if seen.lookups:
        if (kind := _lookup(seen, context)) is not None:
            return Ending(Layer.DNS, kind) if kind != Kind.LOCAL else None
        passed.append(Layer.DNS)
    if seen.connects:
        kinds = [_kind_of(each, tcp_kind(each)) for each in seen.connects]
        if Kind.OK not in kinds:
            return _at(Layer.TCP, kinds, passed)
        passed.append(Layer.TCP)
    if seen.handshakes:
        kinds = [_kind_of(each, tls_kind(each)) for each in seen.handshakes]
        if Kind.OK not in kinds:
            foreign = CERTIFICATE_KINDS if context.own_authority else ()
            left = [kind for kind in kinds if kind not in foreign and kind is not Kind.DATES]
            return _at(Layer.TLS, left, passed)
        passed.append(Layer.TLS)
    if seen.exchanges:
        layer = _spoken(seen)
        if _page(seen, context):
            return Ending(layer, PAGE, tuple(passed))
        failures = [each for each in seen.exchanges if not _answered(each)]
        if len(failures) == len(seen.exchanges):
            return _died(seen, failures, layer, passed, context)
        passed.append(layer)
    return Ending(None, "", tuple(passed)) if passed else None


def _at(layer: Layer, kinds: Sequence[str], passed: Sequence[Layer]) -> Ending | None:
    usable = [kind for kind in kinds if kind != Kind.LOCAL]
    return Ending(layer, _commonest(usable), tuple(passed)) if usable else None


def _died(
    seen: EndpointObservations,
    failures: Sequence[HTTPExchange | AppExchange],
    layer: Layer,
    passed: Sequence[Layer],
    context: RunContext,
) -> Ending | None:
    """Failed requests, which also represent steps that were not recorded separately."""
    if not passed and all((each.failure or "").startswith("dns_") for each in failures):
        return _at(Layer.DNS, [_resolver(each) for each in failures], passed)
    kinds = [
        _kind_of(each, http_kind(each) if isinstance(each, HTTPExchange) else Kind.OTHER)
        for each in failures
        if not (context.own_authority and (each.failure or "").startswith("ssl_"))
    ]
    secure = any(isinstance(each, HTTPExchange) and each.tls for each in failures)
    if layer is Layer.HTTP and secure and Layer.TLS not in passed:
        layer = Layer.TLS  # no handshake was recorded, so it was not completed
    return _at(layer, kinds, passed)


def _answered(seen: HTTPExchange | AppExchange) -> bool:
    return seen.failure is None or seen.failure in _ANSWERED


def _page(seen: EndpointObservations, context: RunContext) -> bool:
    return any(
        isinstance(each, HTTPExchange)
        and each.failure is None
        and context.fingerprints.page(each, context.country) is not None
        for each in seen.exchanges
    )


def _spoken(seen: EndpointObservations) -> Layer:
    """The layer of the requests. OONI measures Telegram's data centres by plain HTTP to an address
    without a name: this is the app's exchange, because there is no name to filter."""
    plain = any(
        isinstance(each, AppExchange) or (not each.tls and each.host.replace(".", "").isdigit())
        for each in seen.exchanges
    )
    return Layer.APP if plain else Layer.HTTP


def _lookup(seen: EndpointObservations, context: RunContext) -> str | None:
    """How the lookups of a name failed; None when one gave a usable address."""
    answers = {answer for each in seen.lookups for answer in each.answers}
    proven = any(not each.failure for each in seen.handshakes)
    known = [context.fingerprints.answer(answer, context.country) for answer in sorted(answers)]
    if answers and all(known) and not proven:
        return PAGE  # a connection may succeed: the block page has a server
    reached = proven or any(not each.failure for each in seen.connects)
    if answers:
        forged = not reached and all(special_range(answer) is not None for answer in answers)
        return BOGON if forged else None
    if reached:
        return None  # another resolver's answer worked: the name is not filtered
    return _commonest([_resolver(each) for each in seen.lookups])


def _resolver(seen: Known) -> str:
    """How a resolver failed, according to a lookup or to a request that got no address."""
    if seen.failure == _ANDROID:
        return NO_WORD
    if seen.failure == _BOGON:
        return BOGON
    if isinstance(seen, DNSLookup):
        return _kind_of(seen, dns_kind(seen))
    asked = DNSLookup(endpoint=seen.endpoint, name="", qtype="A", resolver="", failure=seen.failure)
    return _kind_of(asked, dns_kind(asked))


def _kind_of(seen: Known, kind: Kind) -> Kind:
    failure = seen.failure or ""
    if failure in _DEVICE or any(words in failure for words in _DEVICE_TEXT):
        return Kind.LOCAL
    return _OTHER_WORDS.get(failure, kind) if kind is Kind.OTHER else kind


def _commonest(kinds: Sequence[str]) -> str:
    counts = Counter(kinds)
    return max(counts, key=lambda kind: (counts[kind], kind))
