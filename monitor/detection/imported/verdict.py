"""The judgement of one imported run's view of one target: pure and total.

An endpoint works when one of its addresses passes every step that was tried. The target has
failed in this run when half or more of the endpoints that were tried have: real blocks spare some
addresses (Kenya 2024: held in 93 % of measurements during the block and in 0.2 % outside), so
"all must fail" sees nothing, and a stray failure among a dozen means nothing. IPv6 counts only in
runs where some IPv6 worked. What OONI concluded is not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from monitor.detection.imported import RUN_STEP
from monitor.detection.imported.rules import BOGON, IMPORT_RULES, NO_WORD, RunFacts
from monitor.detection.kinds import CERTIFICATE_KINDS, Kind, dns_kind, http_kind, tcp_kind, tls_kind
from monitor.detection.model import Layer, LayerFinding, Share, State, Verdict
from monitor.detection.ranges import special_range
from monitor.detection.rule import first
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

HALF_PER_MILLE = 500
"""Of the endpoints that were tried: from this share of failures on, the target has failed."""
WHOLE_PER_MILLE = 900
"""From this share on, all of it is called blocked and not a part."""
WORKS = "imported.works"
EMPTY = "imported.insufficient"
ALONE = "run_unproven"
"""Remark: nothing in the whole run was answered, so the device may have been offline."""
_ANDROID = "android_dns_cache_no_data"
# Strings of OONI's first probes (ooni/spec df-007, "legacy"), in the kinds of today.
_LEGACY = {
    "connection_refused_error": Kind.REFUSED,
    "connection_lost_error": Kind.RESET,
    "tcp_timed_out_error": Kind.TIMEOUT,
    "task_timed_out": Kind.TIMEOUT,
    "deferred_timeout_error": Kind.TIMEOUT,
    "response_never_received": Kind.EOF,
    "no_route_error": Kind.UNREACHABLE,
}
# The device itself: nothing was sent, so nothing is known of the network.
_OWN = frozenset(("network_down", "address_not_available", "permission_denied", "no_buffer_space"))


_UNDIALLED = frozenset(("dns", "stun", "quic"))
"""Imported runs resolve such a name and do not dial it: that it resolves is all there is."""


class Record(msgspec.Struct, frozen=True):
    """What an import says of the whole run (step `ooni.run`)."""

    passed: int = -1
    """Steps in which anybody answered, whatever the target; -1 when not known."""
    steps: int = 0
    own_authority: bool = False
    """The service has an authority of its own, whose newer roots old probes do not know: a bad
    certificate says nothing."""


_record = msgspec.json.Decoder(Record)


def record_of(observations: Iterable[AnyObservation]) -> Record:
    """What is known of the whole run; nothing when it was not recorded."""
    for seen in observations:
        if isinstance(seen, Unrecognised) and seen.step == RUN_STEP:
            try:
                return _record.decode(seen.raw)
            except msgspec.DecodeError:
                break
    return Record()


@dataclass
class _Endpoint:
    """What was seen of one endpoint, by step."""

    lookups: list[DNSLookup] = field(default_factory=list)
    connects: list[TCPConnect] = field(default_factory=list)
    handshakes: list[TLSHandshake] = field(default_factory=list)
    exchanges: list[HTTPExchange | AppExchange] = field(default_factory=list)


@dataclass(frozen=True)
class _Ending:
    """How far one endpoint went."""

    layer: Layer | None
    """Where it failed; None when it works."""
    kind: str = ""
    passed: tuple[Layer, ...] = ()


def judge(measurement: Measurement) -> Verdict:
    """The verdict on one imported measurement. Never raises."""
    record = record_of(measurement.observations)
    seen = [
        each
        for each in measurement.observations
        if not isinstance(each, Unrecognised) and each.purpose is Purpose.SUBJECT
    ]
    hosts = {ref.id: ref.host for ref in measurement.endpoints}
    named = {ref.id for ref in measurement.endpoints if ref.protocol in _UNDIALLED}
    endings = [
        ending
        for id, endpoint in _sorted(seen, hosts).items()
        if (ending := _ending(endpoint, record.own_authority)) is not None
        # A name that resolves says nothing of an endpoint that was not tried.
        and (ending.layer is not None or ending.passed != (Layer.DNS,) or id in named)
    ]
    failed = [ending for ending in endings if ending.layer is not None]
    share = Share(len(endings), len(failed))
    if not endings:
        return Verdict(target=measurement.target, state=State.INSUFFICIENT, rule=EMPTY)
    if len(failed) * 1000 < HALF_PER_MILLE * len(endings):
        layers = {layer for ending in endings if ending.layer is None for layer in ending.passed}
        return Verdict(
            target=measurement.target,
            state=State.OK,
            rule=WORKS,
            endpoints=share,
            evidence=("some_failed",) if failed else (),
            findings=_passed(layers),
        )
    return _failed(measurement.target, failed, share, record.passed == 0)


def _failed(target: str, failed: Sequence[_Ending], share: Share, alone: bool) -> Verdict:
    ways = Counter((ending.layer, ending.kind) for ending in failed if ending.layer is not None)
    layer, kind = max(ways, key=lambda way: (ways[way], list(Layer).index(way[0]), way[1]))
    rule = first(IMPORT_RULES, RunFacts(layer, kind))
    assert rule is not None, "the last rule matches everything"
    before = {
        passed
        for ending in failed
        if ending.layer is layer
        for passed in ending.passed
        if passed is not layer
    }
    evidence = ("no_control", ALONE) if alone else ("no_control",)
    finding = LayerFinding(layer=layer, blocked=True, rule=rule.id, weight=rule.weight)
    return Verdict(
        target=target,
        state=State.INCONCLUSIVE,
        layer=layer,
        technique=rule.technique,
        rule=rule.id,
        endpoints=share,
        evidence=evidence,
        findings=(*_passed(before), finding),
    )


def _shown(kind: str) -> bool:
    return kind in CERTIFICATE_KINDS


def _passed(layers: Iterable[Layer]) -> tuple[LayerFinding, ...]:
    known = set(layers)
    return tuple(
        LayerFinding(layer=layer, blocked=False, rule=WORKS) for layer in Layer if layer in known
    )


def _sorted(seen: Sequence[Known], hosts: dict[str, str]) -> dict[str, _Endpoint]:
    """Observations by endpoint; a name that several endpoints share is looked up once in a run,
    and counts for all of them that went on to connect."""
    endpoints: dict[str, _Endpoint] = {}
    v6 = any(_six(each) and each.failure is None for each in seen)
    for each in seen:
        if _six(each) and not v6:
            # No IPv6 worked in this run: networks without it fail every such address for ever.
            continue
        endpoint = endpoints.setdefault(each.endpoint, _Endpoint())
        match each:
            case DNSLookup():
                if each.resolver == "system":
                    endpoint.lookups.append(each)
            case TCPConnect():
                endpoint.connects.append(each)
            case TLSHandshake():
                endpoint.handshakes.append(each)
            case HTTPExchange() | AppExchange():
                endpoint.exchanges.append(each)
            case _:
                pass  # no import makes others
    by_host: dict[str, list[DNSLookup]] = {}
    for id, endpoint in endpoints.items():
        if hosts.get(id):
            by_host.setdefault(hosts[id], []).extend(endpoint.lookups)
    for id, endpoint in endpoints.items():
        if not endpoint.lookups and hosts.get(id):
            endpoint.lookups = by_host[hosts[id]]
    return endpoints


def _six(seen: Known) -> bool:
    return isinstance(seen, TCPConnect | TLSHandshake | HTTPExchange) and ":" in seen.address


def _ending(endpoint: _Endpoint, own_authority: bool) -> _Ending | None:
    """How far an endpoint went; None when nothing about it can be said."""
    passed: list[Layer] = []
    if endpoint.lookups:
        if (kind := _lookup(endpoint)) is not None:
            return _Ending(Layer.DNS, kind) if kind != Kind.LOCAL else None
        passed.append(Layer.DNS)
    if endpoint.connects:
        kinds = [_old(each, tcp_kind(each)) for each in endpoint.connects]
        if Kind.OK not in kinds:
            told = [kind for kind in kinds if kind is not Kind.LOCAL]
            return _Ending(Layer.TCP, _commonest(told), tuple(passed)) if told else None
        passed.append(Layer.TCP)
    if endpoint.handshakes:
        kinds = [_old(each, tls_kind(each)) for each in endpoint.handshakes]
        if Kind.OK not in kinds:
            if own_authority:
                kinds = [kind for kind in kinds if not _shown(kind)]
            kinds = [kind for kind in kinds if kind is not Kind.DATES]
            return _Ending(Layer.TLS, _commonest(kinds), tuple(passed)) if kinds else None
        passed.append(Layer.TLS)
    if endpoint.exchanges:
        failures = [each for each in endpoint.exchanges if each.failure is not None]
        if len(failures) == len(endpoint.exchanges):
            return _exchange(endpoint, failures, passed, own_authority)
        passed.append(_spoken(endpoint))
    return _Ending(None, "", tuple(passed)) if passed else None


def _exchange(
    endpoint: _Endpoint,
    failures: Sequence[HTTPExchange | AppExchange],
    passed: Sequence[Layer],
    own_authority: bool,
) -> _Ending | None:
    """A failed request: it also stands for steps that were not recorded by themselves."""
    kinds = [
        _old(each, http_kind(each) if isinstance(each, HTTPExchange) else Kind.OTHER)
        for each in failures
        if not each.failure.startswith("ssl_") or not own_authority  # type: ignore[union-attr]
    ]
    kinds = [kind for kind in kinds if kind is not Kind.LOCAL]
    if not kinds:
        return None
    if any((each.failure or "").startswith("dns_") for each in failures) and not passed:
        return _Ending(Layer.DNS, Kind.OTHER)
    layer = _spoken(endpoint)
    if layer is Layer.HTTP and Layer.TLS not in passed and any(_secure(each) for each in failures):
        layer = Layer.TLS  # no handshake of it was recorded, so it did not come to an end
    return _Ending(layer, _commonest(kinds), tuple(passed))


def _secure(seen: HTTPExchange | AppExchange) -> bool:
    return isinstance(seen, HTTPExchange) and seen.tls


def _spoken(endpoint: _Endpoint) -> Layer:
    """Plain HTTP to an address without a name is how OONI speaks to Telegram's data centres: the
    app's own exchange, since no name could be filtered."""
    plain = any(
        isinstance(each, AppExchange) or (not each.tls and each.host.replace(".", "").isdigit())
        for each in endpoint.exchanges
    )
    return Layer.APP if plain else Layer.HTTP


def _lookup(endpoint: _Endpoint) -> str | None:
    """How the lookups of a name failed; None when one gave an address worth trying."""
    answers = {answer for each in endpoint.lookups for answer in each.answers}
    reached = any(not each.failure for each in (*endpoint.connects, *endpoint.handshakes))
    if answers:
        forged = not reached and all(special_range(answer) is not None for answer in answers)
        return BOGON if forged else None
    if reached:
        return None  # another resolver's answer worked; the name itself is not what is filtered
    kinds = [
        NO_WORD if each.failure == _ANDROID else _old(each, dns_kind(each))
        for each in endpoint.lookups
    ]
    return _commonest(kinds)


def _old(seen: Known, kind: Kind) -> Kind:
    if seen.failure in _OWN:
        return Kind.LOCAL
    return _LEGACY.get(seen.failure or "", kind) if kind is Kind.OTHER else kind


def _commonest(kinds: Sequence[str]) -> str:
    counts = Counter(kinds)
    return max(counts, key=lambda kind: (counts[kind], kind))
