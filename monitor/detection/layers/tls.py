# SPDX-License-Identifier: Apache-2.0
"""One TLS handshake with the service's name: what is read, and the rules.

Two contrasts show whether the name or the address is blocked: an innocuous name at the service's
address, and the service's name at our own reflector, beside an innocuous one there.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.chance import nearly_as_long
from monitor.detection.observed.endpoint_context import (
    AFTER_TRIGGER,
    EndpointContext,
    Reach,
    StepFacts,
)
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    DEATHS,
    Kind,
    innocuous_passes,
    partial_loss,
    reached,
    tcp_kind,
    tls_kind,
)
from monitor.detection.observed.view import AddressView, EndpointView
from monitor.detection.rule import Rule, background_fails, forged_answer
from probes.wire.observation import Contrast, TLSHandshake

GAP = "gap"
"""Evidence of the probe: segments of the answer arrived beyond one that is missing."""


_HANGS_UP = (Kind.EOF, Kind.RESET)


@dataclass(frozen=True)
class TLSFacts(StepFacts):
    """One address, as far as TLS goes."""

    classical: bool = False
    accused: bool = False
    innocuous: Kind | None = None
    reflector: Kind | None = None
    """The service's name at an address of ours; None also where that fails for every name."""
    same_leaf: bool = False
    """The control saw the same certificate."""
    system_root: bool = False
    page: str | None = None
    tainted: bool = False
    """The innocuous name was sent after ours: a censor that blocks the pair of addresses for
    minutes (residual censorship) blocks it as well."""
    gap: bool = False
    """Parts of the server's answer arrived, and not its beginning."""
    other_edge: bool = False
    """A trusted authority's certificate for another name, shown at addresses alone that no control
    saw, and no known block page behind it."""
    some_flows: bool = False
    """Half or more of several handshakes failed so, others passed, an innocuous name always passed,
    and none of the control's failed."""

    @property
    def innocuous_passes(self) -> bool:
        """Another name at the same address gets further than ours. A server that accepts no other
        name may refuse it by an alert, or hang up: either is an answer, where ours gets none."""
        kind = self.innocuous
        answered = kind is Kind.ALERT or (kind in _HANGS_UP and self.kind is Kind.TIMEOUT)
        return kind is not None and (reached(kind) or (answered and self.kind is not kind))

    @property
    def reflector_dies(self) -> bool:
        """Our name to our own host fails in the same way."""
        return self.reflector is not None and self.reflector is self.kind

    @property
    def by_name(self) -> bool:
        """The contrasts show filtering by name."""
        return self.innocuous_passes or self.reflector_dies

    @property
    def whatever_name(self) -> bool:
        """The contrasts show that the address is blocked, whatever the name. When the innocuous
        name was sent second, only if ours passes at our reflector."""
        passes_elsewhere = self.reflector is not None and reached(self.reflector)
        compared = self.innocuous is not None and not self.by_name
        return compared and (passes_elsewhere or not self.tainted)

    @property
    def residual_possible(self) -> bool:
        """A block by name, continued for minutes, may look like a block of the address."""
        return self.tainted and self.innocuous is not None and not self.by_name


def tls_facts(context: EndpointContext, address: AddressView, accused: bool) -> TLSFacts | None:
    """Return the facts of TLS at one address; None when it was not tried."""
    if address.tls is None:
        return None
    contrasts = contrasted(context, address, address.tls)
    kind, by_name = contrasts.kind, contrasts.by_name
    by_chance = context.by_chance(
        kind, Step.PAYLOAD, address, lambda p: map(tls_kind, p.handshakes)
    ) or (
        # It rests on one attempt with our own host that only the name is blocked.
        contrasts.reflector_dies
        and not contrasts.innocuous_passes
        and context.endpoint.reflector is not None
        and context.one_by_chance(kind, Step.PAYLOAD, context.endpoint.reflector.address)
    )
    beside = (*address.innocuous_handshakes, context.endpoint.reflector)
    answered = (each.took_us for each in beside if each and tls_kind(each) is not Kind.TIMEOUT)
    late = kind is Kind.TIMEOUT and nearly_as_long(
        answered, (each.took_us for each in address.handshakes)
    )
    here = [p for p in context.at_controls(address) if p.tls is not None]
    proof = kind not in DEATHS or by_name
    seen = here or [p for p in context.compared(address, proof) if p.tls is not None]
    kinds = [Kind.OK if p.proven else tls_kind(p.tls) for p in seen if p.tls is not None]
    leaf = leaf_of(address)
    page = context.page(address.http_unverified) if address.http_unverified else None
    return TLSFacts(
        kind=kind,
        reach=context.reach(kind, kinds),
        here=any(p.proven for p in here),
        repeated=address.tls_repeated or (address.http is not None and address.http.tls),
        by_chance=by_chance or late,
        classical=address.tls_classical or _classical_elsewhere(context, address),
        accused=accused,
        innocuous=contrasts.innocuous,
        reflector=contrasts.reflector,
        same_leaf=bool(leaf) and leaf in map(leaf_of, seen),
        system_root="system_root" in address.tls.evidence,
        page=page,
        tainted=_tainted(address),
        gap=GAP in address.tls.evidence,
        other_edge=kind is Kind.OTHER_NAME
        and page is None
        and all(
            context.unseen(each)
            for each in context.endpoint.addresses.values()
            if leaf_of(each) == leaf
        ),
        some_flows=kind in DEATHS
        and not by_chance
        and partial_loss(kind, map(tls_kind, address.handshakes))
        and innocuous_passes(kind, [tls_kind(each) for each in address.innocuous_handshakes])
        and not context.control_fails(kind, lambda p: map(tls_kind, p.handshakes)),
    )


def leaf_of(address: AddressView) -> str:
    """The hash of the certificate that an address shows; empty where that was not seen."""
    seen = address.tls
    return seen.chain[0].sha256 if seen is not None and seen.chain else ""


def contrasted(context: EndpointContext, address: AddressView, seen: TLSHandshake) -> TLSFacts:
    """Return how a handshake at an address and its two contrasts ended; nothing else is read."""
    kind = tls_kind(seen)
    return TLSFacts(
        kind,
        Reach.UNKNOWN,
        innocuous=innocuous_kind(address, kind),
        reflector=_reflector_kind(context),
    )


def _reflector_kind(context: EndpointContext) -> Kind | None:
    seen = context.endpoint.reflector
    if seen is None or context.reflector_fails((seen.address, seen.port), _ours, _another):
        return None
    return tls_kind(seen)


def _ours(endpoint: EndpointView) -> bool:
    return endpoint.reflector is not None and reached(tls_kind(endpoint.reflector))


def _another(reflector: AddressView) -> bool | None:
    if reflector.tls_innocuous is not None:
        return reached(tls_kind(reflector.tls_innocuous))
    return None if reflector.tcp_innocuous is None else False


def innocuous_kind(address: AddressView, kind: Kind) -> Kind | None:
    """How the handshake with an innocuous name ended. Where ours died in the same way as already
    the connect before it, so did any name; None when there was none."""
    if address.tls_innocuous is not None:
        return tls_kind(address.tls_innocuous)
    before = address.tcp_innocuous
    return kind if before is not None and tcp_kind(before) is kind else None


def _classical_elsewhere(context: EndpointContext, address: AddressView) -> bool:
    """The smaller ClientHello was not tried here, and passed at another address of the endpoint."""
    tried = any(each.contrast is Contrast.CLASSICAL_HELLO for each in address.handshakes)
    return not tried and any(other.tls_classical for other in context.endpoint.addresses.values())


def _tainted(address: AddressView) -> bool:
    """Our name was sent to this address before the innocuous one."""
    innocuous = address.tls_innocuous or address.tcp_innocuous
    if address.tls is None or innocuous is None:
        return False
    first = min(shaken.at_us for shaken in address.handshakes)
    return innocuous.at_us > first or AFTER_TRIGGER in innocuous.evidence


_WORDS = {
    Kind.RESET: "is reset (RST)",
    Kind.TIMEOUT: "gets no answer",
    Kind.EOF: "is closed",
    Kind.ALERT: "is refused by a TLS alert",
}

# Micro-nats by the way it dies. By name: (fit) tls reset +2.04, tls other +1.60; silence by name
# is typed, since an innocuous name passes; an alert may be the server's own. By address: halved,
# and less than a signature: a scrubber or a firewall on the way resets every connection as well.
_BY_NAME = {
    Kind.RESET: (Technique.TLS_RESET_SNI, 4_700_000),
    Kind.TIMEOUT: (Technique.TLS_TIMEOUT_SNI, 3_100_000),
    Kind.EOF: (Technique.TLS_EOF_SNI, 3_700_000),
    Kind.ALERT: (Technique.TLS_ALERT_SNI, 2_500_000),
}
_BY_ADDRESS = {
    Kind.RESET: (Technique.TLS_RESET_OTHER, 1_900_000),
    Kind.TIMEOUT: (Technique.TLS_TIMEOUT_OTHER, 700_000),
    Kind.EOF: (Technique.TLS_EOF_OTHER, 1_800_000),
    Kind.ALERT: (Technique.TLS_ALERT_OTHER, 1_200_000),
}
_UNTOLD = {
    Kind.RESET: 1_900_000,
    Kind.TIMEOUT: 500_000,
    Kind.EOF: 1_200_000,
    Kind.ALERT: 700_000,
}


def _sni(kind: Kind) -> Rule[TLSFacts]:
    technique, weight = _BY_NAME[kind]
    return Rule(
        f"tls.{kind}.sni",
        lambda f: f.kind is kind and f.by_name,
        State.BLOCKED,
        f"The handshake {_WORDS[kind]} for the service's name only: an innocuous name to the same "
        "address passes, or the service's name to our own host fails too, where an innocuous one "
        "passes. (fit, typed)",
        technique,
        weight,
    )


def _other(kind: Kind) -> Rule[TLSFacts]:
    technique, weight = _BY_ADDRESS[kind]
    return Rule(
        f"tls.{kind}.other",
        lambda f: f.kind is kind and f.whatever_name,
        State.BLOCKED,
        f"Every handshake to this address {_WORDS[kind]}, whatever the name, while the control's "
        "passes. (fit, halved)",
        technique,
        weight,
    )


def _untold(kind: Kind) -> Rule[TLSFacts]:
    return Rule(
        f"tls.{kind}.untold",
        lambda f: f.kind is kind,
        State.BLOCKED,
        f"The handshake {_WORDS[kind]} and no contrast was measured: whether by name or by "
        "address is not known, so no technique is named. (fit, halved)",
        None,
        _UNTOLD[kind],
    )


TLS_RULES: tuple[Rule[TLSFacts], ...] = (
    forged_answer(Layer.TLS),
    Rule(
        "tls.certificate_valid",
        lambda f: f.kind is Kind.OK,
        State.OK,
        "A valid certificate for the name.",
    ),
    Rule(
        "tls.repeat_valid",
        lambda f: f.repeated and not f.some_flows,
        State.OK,
        "A second attempt from a fresh port got a valid certificate: loss, not a block.",
        evidence=("transient",),
    ),
    Rule(
        "tls.large_hello",
        lambda f: f.classical and not f.some_flows,
        State.OK,
        "The small ClientHello passes where the large one fails: a middlebox drops a ClientHello "
        "that does not fit into one packet (openssl#27601), for every name.",
        evidence=("large_hello",),
    ),
    Rule(
        "tls.control_fails_too",
        lambda f: f.reach.fails_too,
        State.DOWN,
        "The control fails in the same way, or before: expired certificate, broken server.",
    ),
    Rule(
        "tls.clock",
        lambda f: f.kind is Kind.DATES and f.same_leaf,
        State.INCONCLUSIVE,
        "The certificate is outside its dates by this machine's clock, and the control accepts "
        "the same certificate.",
        evidence=("clock_wrong",),
    ),
    Rule(
        "tls.dates",
        lambda f: f.kind is Kind.DATES,
        State.INCONCLUSIVE,
        "The certificate is outside its dates by this machine's clock: the clock may be wrong, or "
        "this server has an old certificate. OpenSSL looks at the dates last, so its authority and "
        "its name are right: nobody else can show it.",
        evidence=("certificate_dates",),
    ),
    Rule(
        "tls.http_response",
        lambda f: f.kind is Kind.PLAIN_HTTP,
        State.BLOCKED,
        "An answer in clear-text HTTP in place of TLS. (typed)",
        Technique.TLS_HTTP_RESPONSE,
        3_700_000,
    ),
    Rule(
        "tls.mitm.self_signed",
        lambda f: f.kind is Kind.SELF_SIGNED,
        State.BLOCKED,
        "A self-signed certificate, where the control sees a valid one. (fit: tls other)",
        Technique.TLS_MITM_SELF_SIGNED,
        4_700_000,
    ),
    Rule(
        "tls.other_name",
        lambda f: f.other_edge,
        State.INCONCLUSIVE,
        "A trusted authority's certificate for another name, at an address that no control saw. A "
        "server for this region that has none for this name yet shows such a one; who intercepts "
        "TLS seldom has one.",
        Technique.TLS_MITM_CA_SIGNED,
        evidence=("unseen_address",),
    ),
    Rule(
        "tls.mitm.ca_signed",
        lambda f: f.kind in CERTIFICATE_KINDS,
        State.BLOCKED,
        "A certificate of an unknown authority or for another name, where the control sees a valid "
        "one and the liveness hosts are not intercepted. (fit: tls other)",
        Technique.TLS_MITM_CA_SIGNED,
        4_700_000,
    ),
    Rule(
        "tls.large_answer",
        lambda f: f.kind is Kind.TIMEOUT and f.gap and not f.by_name,
        State.INCONCLUSIVE,
        "Small segments of the server's answer arrived, and the one before them did not, whatever "
        "the name: the path loses large packets and their repeats without a word (a black hole of "
        "path MTU discovery, RFC 2923).",
        evidence=("large_answer",),
    ),
    # That one name passes where another dies is no proof where others die at random.
    background_fails(Layer.TLS),
    *(_sni(kind) for kind in DEATHS),
    *(rule(kind) for kind in DEATHS for rule in (_other, _untold)),
    Rule(
        "tls.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The handshake failed in a way that no other rule covers, or never began.",
    ),
)
