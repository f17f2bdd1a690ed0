# SPDX-License-Identifier: Apache-2.0
"""How far each endpoint of an imported run got, and how it failed.

Kinds are those of our own judge, from failure strings alone: an import has no errno, no ICMP and no
alert. Strings of OONI's first probes are known as well. Failures of the device itself (no memory,
no route, stopped by its owner) mean nothing for the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.model import Layer
from monitor.detection.observed import page_in_place
from monitor.detection.observed.imported_run import Helper
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    Kind,
    dns_kind,
    http_kind,
    tcp_kind,
    tls_kind,
)
from monitor.detection.observed.ranges import special_range
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
)

BOGON = "bogon"
PAGE = page_in_place.KNOWN
"""A known block page, or a DNS answer known to lead to one."""
FOREIGN = "foreign"
"""A DNS answer that cannot prove itself, where another one can."""
NO_WORD = "no_word"
"""The failure of Android's resolver, which is the same for every cause."""
DOWN = "down"
"""Kind of an ending whose step fails for OONI's helper too."""
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
_OPENSSL_REFUSES = "certificate verify failed"
"""In the errors of OpenSSL that the first probes passed on as they were."""
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
    helper: Helper = field(default_factory=Helper)
    page: page_in_place.PageInPlace = page_in_place.NOTHING
    """What the site showed in clear text beside what it showed the helper."""
    via: str = ""
    """The address that showed it."""


@dataclass
class NameObservations:
    """What a run observed of one name, whatever the port."""

    lookups: list[DNSLookup] = field(default_factory=list)
    """Of the system's resolver. Other resolvers' are for comparison, and not the run's own."""
    proven: set[str] = field(default_factory=set)
    """Addresses that completed TLS with a certificate of this name."""
    strangers: set[str] = field(default_factory=set)
    """Addresses that showed a certificate which is not this name's."""

    @property
    def answers(self) -> set[str]:
        """What the system's resolver answered."""
        return {answer for lookup in self.lookups for answer in lookup.answers}

    def add(self, observation: Known) -> None:
        """Add one observation of the name."""
        match observation:
            case DNSLookup():
                if observation.purpose is Purpose.SUBJECT and observation.resolver == "system":
                    self.lookups.append(observation)
            case TLSHandshake() if observation.address:
                if not observation.failure:
                    self.proven.add(observation.address)
                elif tls_kind(observation) in CERTIFICATE_KINDS:
                    self.strangers.add(observation.address)
            case HTTPExchange() if observation.tls and observation.address:
                self.add(_handshake_of(observation))
            case _:
                pass


def _handshake_of(exchange: HTTPExchange) -> TLSHandshake:
    """What a request over TLS says of its handshake: older tests record no other."""
    return TLSHandshake(
        endpoint=exchange.endpoint,
        address=exchange.address,
        port=exchange.port,
        sni=exchange.host,
        failure=exchange.failure,
    )


@dataclass
class EndpointObservations:
    """The observations of one endpoint, by step."""

    name: NameObservations = field(default_factory=NameObservations)
    connects: list[TCPConnect] = field(default_factory=list)
    handshakes: list[TLSHandshake] = field(default_factory=list)
    exchanges: list[HTTPExchange | AppExchange] = field(default_factory=list)

    def add(self, observation: Known) -> None:
        """Add one observation of the run's own resolver or connections."""
        match observation:
            case TCPConnect():
                self.connects.append(observation)
            case TLSHandshake():
                self.handshakes.append(observation)
            case HTTPExchange() | AppExchange():
                self.exchanges.append(observation)
            case _:
                pass  # lookups are the name's; no import makes others

    def of_answers(self, answers: Collection[str]) -> EndpointObservations:
        """Only what went to these addresses, if anything did."""
        mine = EndpointObservations(
            self.name,
            [observation for observation in self.connects if observation.address in answers],
            [observation for observation in self.handshakes if observation.address in answers],
            [
                observation
                for observation in self.exchanges
                if not isinstance(observation, HTTPExchange) or observation.address in answers
            ],
        )
        return mine if mine.connects or mine.handshakes or mine.exchanges else self

    def without(self, broken: Callable[[Known], bool]) -> EndpointObservations:
        """Without the steps that failed for the helper too."""
        return EndpointObservations(
            self.name,
            [observation for observation in self.connects if not broken(observation)],
            [observation for observation in self.handshakes if not broken(observation)],
            [observation for observation in self.exchanges if not broken(observation)],
        )


@dataclass(frozen=True)
class Ending:
    """How far one endpoint got."""

    layer: Layer | None
    """Where it failed; None when it works, or is DOWN."""
    kind: str = ""
    passed: tuple[Layer, ...] = ()
    contradicted: bool = False
    """The system's resolver failed or lied, and TLS passed at an address that it did not give."""


def ending(endpoint: EndpointObservations, context: RunContext) -> Ending | None:
    """How far an endpoint got; None when the observations do not show it.

    An app uses what the system's resolver answers: where that resolver answered, only connections
    to its answers count. Those to other addresses show whether the answers can be believed.
    """
    passed: list[Layer] = []
    if endpoint.name.lookups:
        if (kind := _lookup(endpoint.name, context)) == DOWN:
            return Ending(None, DOWN)
        if kind is not None:
            proven = endpoint.name.proven - endpoint.name.answers
            return Ending(Layer.DNS, kind, (), bool(proven)) if kind != Kind.LOCAL else None
        passed.append(Layer.DNS)
        endpoint = endpoint.of_answers(endpoint.name.answers)
    end = _connected(endpoint, passed, context)
    if end is None or end.layer is None:
        return end
    left = endpoint.without(lambda observation: _fails_for(context.helper, observation))
    end = _connected(left, passed, context)
    return Ending(None, DOWN) if end is None or end.layer is None else end


def _fails_for(helper: Helper, observation: Known) -> bool:
    """Whether a step failed that fails for the helper too: the site is broken there."""
    if not observation.failure or not isinstance(
        observation, TCPConnect | TLSHandshake | HTTPExchange
    ):
        return False
    at = f"[{observation.address}]" if ":" in observation.address else observation.address
    at = f"{at}:{observation.port}"
    if isinstance(observation, TCPConnect):
        return helper.tcp.get(at) is False
    if helper.tcp.get(at) is False or helper.tls.get(at) is False:
        return True
    host = observation.sni if isinstance(observation, TLSHandshake) else observation.host
    # Before version 0.5 its request alone says how its handshake went.
    request = isinstance(observation, HTTPExchange) or not helper.tls
    return request and helper.http is False and host == helper.name


def _connected(
    endpoint: EndpointObservations, before: Sequence[Layer], context: RunContext
) -> Ending | None:
    """How far the connections to an endpoint got."""
    passed = list(before)
    if endpoint.connects:
        kinds = [_kind_of(observation, tcp_kind(observation)) for observation in endpoint.connects]
        if Kind.OK not in kinds:
            return _at(Layer.TCP, kinds, passed)
        passed.append(Layer.TCP)
    if endpoint.handshakes:
        if all(observation.failure for observation in endpoint.handshakes):
            return _shaken(endpoint.handshakes, passed, context)
        passed.append(Layer.TLS)
    if endpoint.exchanges:
        layer = _spoken(endpoint)
        if kind := _page(endpoint, context):
            return Ending(layer, kind, tuple(passed))
        failures = [observation for observation in endpoint.exchanges if not _answered(observation)]
        if len(failures) == len(endpoint.exchanges):
            return _died(endpoint, failures, layer, passed, context)
        passed.append(layer)
    return Ending(None, "", tuple(passed)) if passed else None


def _at(layer: Layer, kinds: Sequence[str], passed: Sequence[Layer]) -> Ending | None:
    usable = [kind for kind in kinds if kind != Kind.LOCAL]
    return Ending(layer, _commonest(usable), tuple(passed)) if usable else None


def _died(
    endpoint: EndpointObservations,
    failures: Sequence[HTTPExchange | AppExchange],
    layer: Layer,
    passed: Sequence[Layer],
    context: RunContext,
) -> Ending | None:
    """Failed requests, which also represent steps that were not recorded separately."""
    if not passed and all((exchange.failure or "").startswith("dns_") for exchange in failures):
        return _at(Layer.DNS, [_resolver(exchange) for exchange in failures], passed)
    secure = [
        exchange for exchange in failures if isinstance(exchange, HTTPExchange) and exchange.tls
    ]
    if layer is Layer.HTTP and secure and Layer.TLS not in passed:
        # No handshake was recorded, so it was not completed.
        return _shaken([_handshake_of(exchange) for exchange in secure], passed, context)
    kinds = [
        _kind_of(
            exchange, http_kind(exchange) if isinstance(exchange, HTTPExchange) else Kind.OTHER
        )
        for exchange in failures
    ]
    return _at(layer, kinds, passed)


def _shaken(
    handshakes: Sequence[TLSHandshake], passed: Sequence[Layer], context: RunContext
) -> Ending | None:
    """Handshakes that all failed."""
    kinds = [_kind_of(handshake, tls_kind(handshake)) for handshake in handshakes]
    foreign = CERTIFICATE_KINDS if context.own_authority else ()
    left = [kind for kind in kinds if kind not in foreign and kind is not Kind.DATES]
    return _at(Layer.TLS, left, passed)


def _answered(exchange: HTTPExchange | AppExchange) -> bool:
    return exchange.failure is None or exchange.failure in _ANSWERED


def _page(endpoint: EndpointObservations, context: RunContext) -> str:
    """What came in place of the site's page; empty when nothing is known to have."""
    answers = [
        exchange
        for exchange in endpoint.exchanges
        if isinstance(exchange, HTTPExchange) and exchange.failure is None
    ]
    if any(context.fingerprints.page(answer, context.country) for answer in answers):
        return PAGE
    kind = context.page.kind
    first = any(
        not answer.tls
        and answer.host == context.helper.name
        and context.via in ("", answer.address)
        for answer in answers
    )
    return kind if first and kind != page_in_place.SAME else ""


def _spoken(endpoint: EndpointObservations) -> Layer:
    """The layer of the requests. OONI measures Telegram's data centres by plain HTTP to an address
    without a name: this is the app's exchange, because there is no name to filter."""
    plain = any(
        isinstance(exchange, AppExchange)
        or (not exchange.tls and exchange.host.replace(".", "").isdigit())
        for exchange in endpoint.exchanges
    )
    return Layer.APP if plain else Layer.HTTP


def _lookup(name: NameObservations, context: RunContext) -> str | None:
    """How the system's resolver failed a name; None when it gave an address that may be the
    service's, DOWN when the helper's resolver fails it too."""
    answers, helper = name.answers, context.helper
    expected = helper.name == name.lookups[0].name
    nowhere = expected and helper.dns_failure and not helper.addresses and not name.proven
    if not answers:
        if nowhere:
            return DOWN
        return _commonest([_resolver(lookup) for lookup in name.lookups])
    if answers & name.proven or (expected and answers & set(helper.addresses)):
        return None
    if (kind := _forged(answers, context)) is not None:
        return kind
    if nowhere:
        return DOWN  # a resolver that answers for names that do not exist reaches no service
    # The helper sees the site at other addresses, or another resolver's address proves itself.
    elsewhere = bool(name.proven) or (expected and bool(helper.addresses) and helper.reaches())
    stranger = answers & name.strangers and elsewhere and not context.own_authority
    return FOREIGN if stranger or _not_served(helper, answers) else None


def _forged(answers: Collection[str], context: RunContext) -> str | None:
    """How answers are forged of which none can be the service's; None when one may be."""
    if all(context.fingerprints.answer(answer, context.country) for answer in answers):
        return PAGE  # a connection may succeed: the block page has a server
    if all(special_range(answer) is not None for answer in answers):
        return BOGON  # the same, and 0.0.0.0 connects to the device itself
    return None


def _not_served(helper: Helper, answers: Collection[str]) -> bool:
    """Whether the helper, which reaches the site at its own addresses, could not complete TLS at
    any of these."""
    tried = {at: works for at, works in helper.tls.items() if _host(at) in answers}
    return bool(tried) and not any(tried.values()) and any(helper.tls.values())


def _host(at: str) -> str:
    return at.rpartition(":")[0].strip("[]")


def _resolver(observation: Known) -> str:
    """How a resolver failed, according to a lookup or to a request that got no address."""
    if observation.failure == _ANDROID:
        return NO_WORD
    if observation.failure == _BOGON:
        return BOGON
    if isinstance(observation, DNSLookup):
        return _kind_of(observation, dns_kind(observation))
    asked = DNSLookup(
        endpoint=observation.endpoint, name="", qtype="A", resolver="", failure=observation.failure
    )
    return _kind_of(asked, dns_kind(asked))


def _kind_of(observation: Known, kind: Kind) -> Kind:
    failure = observation.failure or ""
    if failure in _DEVICE or any(words in failure for words in _DEVICE_TEXT):
        return Kind.LOCAL
    if kind is not Kind.OTHER:
        return kind
    return Kind.CA_SIGNED if _OPENSSL_REFUSES in failure else _OTHER_WORDS.get(failure, kind)


def _commonest(kinds: Sequence[str]) -> str:
    counts = Counter(kinds)
    return max(counts, key=lambda kind: (counts[kind], kind))
