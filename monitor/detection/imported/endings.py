# SPDX-License-Identifier: Apache-2.0
"""How far each endpoint of an imported run went, and how it ended where it did not work.

Kinds are those of our own judge, read from failure strings alone: an import gives no errno, no
ICMP and no alert. Strings of OONI's first probes are understood as well. What only the device
itself knows (no memory, no route, stopped by its owner) says nothing of the network.
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
# The device itself: nothing was sent, so nothing is known of the network.
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
# Strings of OONI's tests, not of the network: an answer had come.
_ANSWERED = frozenset(
    (
        "http_unexpected_status_code",
        "http_unexpected_redirect_url",
        "http_invalid_redirect_location_host",
        "json_parse_error",
    )
)


@dataclass(frozen=True)
class Beside:
    """What one endpoint is judged beside."""

    own_authority: bool = False
    """The service has an authority of its own, whose newer roots old probes do not know: a bad
    certificate says nothing."""
    country: str = ""
    fingerprints: Fingerprints = OWN


@dataclass
class Seen:
    """What was seen of one endpoint, by step."""

    lookups: list[DNSLookup] = field(default_factory=list)
    connects: list[TCPConnect] = field(default_factory=list)
    handshakes: list[TLSHandshake] = field(default_factory=list)
    exchanges: list[HTTPExchange | AppExchange] = field(default_factory=list)

    def add(self, seen: Known) -> None:
        """Sort in one observation of the run's own resolver or connections."""
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
    """How far one endpoint went."""

    layer: Layer | None
    """Where it failed; None when it works."""
    kind: str = ""
    passed: tuple[Layer, ...] = ()


def ending(seen: Seen, beside: Beside) -> Ending | None:
    """How far an endpoint went; None when nothing about it can be said."""
    passed: list[Layer] = []
    if seen.lookups:
        if (kind := _lookup(seen, beside)) is not None:
            return Ending(Layer.DNS, kind) if kind != Kind.LOCAL else None
        passed.append(Layer.DNS)
    if seen.connects:
        kinds = [_told(each, tcp_kind(each)) for each in seen.connects]
        if Kind.OK not in kinds:
            return _at(Layer.TCP, kinds, passed)
        passed.append(Layer.TCP)
    if seen.handshakes:
        kinds = [_told(each, tls_kind(each)) for each in seen.handshakes]
        if Kind.OK not in kinds:
            foreign = CERTIFICATE_KINDS if beside.own_authority else ()
            left = [kind for kind in kinds if kind not in foreign and kind is not Kind.DATES]
            return _at(Layer.TLS, left, passed)
        passed.append(Layer.TLS)
    if seen.exchanges:
        layer = _spoken(seen)
        if _page(seen, beside):
            return Ending(layer, PAGE, tuple(passed))
        failures = [each for each in seen.exchanges if not _answered(each)]
        if len(failures) == len(seen.exchanges):
            return _died(seen, failures, layer, passed, beside)
        passed.append(layer)
    return Ending(None, "", tuple(passed)) if passed else None


def _at(layer: Layer, kinds: Sequence[str], passed: Sequence[Layer]) -> Ending | None:
    told = [kind for kind in kinds if kind != Kind.LOCAL]
    return Ending(layer, _commonest(told), tuple(passed)) if told else None


def _died(
    seen: Seen,
    failures: Sequence[HTTPExchange | AppExchange],
    layer: Layer,
    passed: Sequence[Layer],
    beside: Beside,
) -> Ending | None:
    """Failed requests: they also stand for steps that were not recorded by themselves."""
    if not passed and all((each.failure or "").startswith("dns_") for each in failures):
        return _at(Layer.DNS, [_resolver(each) for each in failures], passed)
    kinds = [
        _told(each, http_kind(each) if isinstance(each, HTTPExchange) else Kind.OTHER)
        for each in failures
        if not (beside.own_authority and (each.failure or "").startswith("ssl_"))
    ]
    secure = any(isinstance(each, HTTPExchange) and each.tls for each in failures)
    if layer is Layer.HTTP and secure and Layer.TLS not in passed:
        layer = Layer.TLS  # no handshake of it was recorded, so it did not come to an end
    return _at(layer, kinds, passed)


def _answered(seen: HTTPExchange | AppExchange) -> bool:
    return seen.failure is None or seen.failure in _ANSWERED


def _page(seen: Seen, beside: Beside) -> bool:
    return any(
        isinstance(each, HTTPExchange)
        and each.failure is None
        and beside.fingerprints.page(each, beside.country) is not None
        for each in seen.exchanges
    )


def _spoken(seen: Seen) -> Layer:
    """Plain HTTP to an address without a name is how OONI speaks to Telegram's data centres: the
    app's own exchange, since no name could be filtered."""
    plain = any(
        isinstance(each, AppExchange) or (not each.tls and each.host.replace(".", "").isdigit())
        for each in seen.exchanges
    )
    return Layer.APP if plain else Layer.HTTP


def _lookup(seen: Seen, beside: Beside) -> str | None:
    """How the lookups of a name failed; None when one gave an address worth trying."""
    answers = {answer for each in seen.lookups for answer in each.answers}
    proven = any(not each.failure for each in seen.handshakes)
    known = [beside.fingerprints.answer(answer, beside.country) for answer in sorted(answers)]
    if answers and all(known) and not proven:
        return PAGE  # it may well connect: there is a server behind it
    reached = proven or any(not each.failure for each in seen.connects)
    if answers:
        forged = not reached and all(special_range(answer) is not None for answer in answers)
        return BOGON if forged else None
    if reached:
        return None  # another resolver's answer worked; the name itself is not what is filtered
    return _commonest([_resolver(each) for each in seen.lookups])


def _resolver(seen: Known) -> str:
    """How a resolver failed, by a lookup or by a request that never got an address."""
    if seen.failure == _ANDROID:
        return NO_WORD
    if seen.failure == _BOGON:
        return BOGON
    if isinstance(seen, DNSLookup):
        return _told(seen, dns_kind(seen))
    asked = DNSLookup(endpoint=seen.endpoint, name="", qtype="A", resolver="", failure=seen.failure)
    return _told(asked, dns_kind(asked))


def _told(seen: Known, kind: Kind) -> Kind:
    failure = seen.failure or ""
    if failure in _DEVICE or any(words in failure for words in _DEVICE_TEXT):
        return Kind.LOCAL
    return _OTHER_WORDS.get(failure, kind) if kind is Kind.OTHER else kind


def _commonest(kinds: Sequence[str]) -> str:
    counts = Counter(kinds)
    return max(counts, key=lambda kind: (counts[kind], kind))
