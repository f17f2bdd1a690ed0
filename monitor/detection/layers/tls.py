# SPDX-License-Identifier: Apache-2.0
"""One TLS handshake with the service's name: what is read, and the rules. Whether the name or the
address is blocked, `tls_contrasts` tells."""

from __future__ import annotations

from monitor.detection.layers.tls_certificate import (
    NO_CERTIFICATE,
    ShownCertificate,
    shown_certificate,
)
from monitor.detection.layers.tls_contrasts import TLSContrasts, tls_contrasts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.by_chance import attempt_by_chance, attempts_by_chance
from monitor.detection.observed.chance import nearly_as_long
from monitor.detection.observed.endpoint_context import EndpointContext, StepFacts
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    DEATHS,
    Kind,
    innocuous_passes,
    partial_loss,
    tls_kind,
)
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import (
    Rule,
    background_fails,
    forged_answer,
    line_unseen,
    machine_late,
)
from probes.wire.observation import Contrast

OWN_CERTIFICATE = "tls.own_certificate"
UNTOLD = "tls.certificate_untold"
SELF_SIGNED, CA_SIGNED = MITM = ("tls.mitm.self_signed", "tls.mitm.ca_signed")
GAP = "gap"
"""Evidence of the probe: segments of the answer arrived beyond one that is missing."""


class TLSFacts(StepFacts, frozen=True, kw_only=True):
    """One address, as far as TLS goes."""

    contrasts: TLSContrasts
    certificate: ShownCertificate = NO_CERTIFICATE
    classical: bool = False
    """A smaller ClientHello got a valid certificate."""
    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    gap: bool = False
    """Parts of the server's answer arrived, and not its beginning."""
    some_flows: bool = False
    """Many of several handshakes failed so, others passed, an innocuous name always passed,
    and none of the control's failed."""


def tls_facts(context: EndpointContext, address: AddressView, accused: bool) -> TLSFacts | None:
    """Return the facts of TLS at one address; None when it was not tried."""
    handshake = address.tls.subject
    if handshake is None:
        return None
    kind = tls_kind(handshake)
    contrasts = tls_contrasts(context, address, kind)
    by_chance = _by_chance(context, address, contrasts)
    here = [p for p in context.at_controls(address) if p.tls.tried]
    proof = kind not in DEATHS or contrasts.by_name
    there = here or [p for p in context.compared(address, proof) if p.tls.tried]
    return TLSFacts(
        kind=kind,
        reach=context.reach(kind, (Kind.OK if p.proven else p.tls.kind for p in there)),
        here=any(p.proven for p in here),
        repeated=address.tls.repeated
        or (address.http.subject is not None and address.http.subject.tls),
        by_chance=by_chance or (kind is Kind.TIMEOUT and _answered_late(context, address)),
        line_unseen=kind is Kind.TIMEOUT
        and context.line_unseen(address.family, address.tls.unanswered),
        contrasts=contrasts,
        certificate=shown_certificate(context, address, handshake, there),
        classical=address.classical or _classical_elsewhere(context, address),
        accused=accused,
        gap=GAP in handshake.evidence,
        some_flows=not by_chance and _some_flows(context, address, kind),
    )


def _by_chance(context: EndpointContext, address: AddressView, contrasts: TLSContrasts) -> bool:
    if attempts_by_chance(context, contrasts.kind, Step.PAYLOAD, address, lambda p: p.tls.kinds):
        return True
    ours = context.endpoint.reflector.tls
    if ours is None or not contrasts.reflector_dies or contrasts.innocuous_passes:
        return False
    # It rests on one attempt with our own host that only the name is blocked.
    if attempt_by_chance(context, contrasts.kind, Step.PAYLOAD, ours.address):
        return True
    beside = (o.took_us for o in context.unlisted_at_reflector if tls_kind(o) is not Kind.TIMEOUT)
    return contrasts.kind is Kind.TIMEOUT and nearly_as_long(beside, [ours.took_us])


def _answered_late(context: EndpointContext, address: AddressView) -> bool:
    """Whether an answer to another name took nearly as long as ours was waited for."""
    beside = (*address.tls.every_innocuous, context.endpoint.reflector.tls)
    return nearly_as_long(
        (other.took_us for other in beside if other and tls_kind(other) is not Kind.TIMEOUT),
        (ours.took_us for ours in address.tls.every),
    )


def _some_flows(context: EndpointContext, address: AddressView, kind: Kind) -> bool:
    return (
        kind in DEATHS
        and partial_loss(kind, address.tls.kinds)
        and innocuous_passes(kind, address.tls.innocuous_kinds)
        and not context.any_name_at_times(
            kind, lambda p: p.tls.kinds, lambda p: p.tls.innocuous_kinds
        )
        and not context.control_fails(kind, lambda p: p.tls.kinds)
    )


def _classical_elsewhere(context: EndpointContext, address: AddressView) -> bool:
    """The smaller ClientHello was not tried here, and passed at another address of the endpoint."""
    tried = any(hello.contrast is Contrast.CLASSICAL_HELLO for hello in address.tls.every)
    return not tried and any(other.classical for other in context.endpoint.addresses.values())


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
        lambda handshake: handshake.kind is kind and handshake.contrasts.by_name,
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
        lambda handshake: handshake.kind is kind and handshake.contrasts.whatever_name,
        State.BLOCKED,
        f"Every handshake to this address {_WORDS[kind]}, whatever the name, while the control's "
        "passes. (fit, halved)",
        technique,
        weight,
    )


def _untold(kind: Kind) -> Rule[TLSFacts]:
    return Rule(
        f"tls.{kind}.untold",
        lambda handshake: handshake.kind is kind,
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
        lambda handshake: handshake.kind is Kind.OK,
        State.OK,
        "A valid certificate for the name.",
    ),
    Rule(
        "tls.repeat_valid",
        lambda handshake: handshake.repeated and not handshake.some_flows,
        State.OK,
        "A second attempt from a fresh port got a valid certificate: loss, not a block.",
        evidence=("transient",),
    ),
    Rule(
        "tls.large_hello",
        lambda handshake: handshake.classical and not handshake.some_flows,
        State.OK,
        "The small ClientHello passes where the large one fails: a middlebox drops a ClientHello "
        "that does not fit into one packet (openssl#27601), for every name.",
        evidence=("large_hello",),
    ),
    machine_late(Layer.TLS),
    Rule(
        "tls.control_fails_too",
        lambda handshake: handshake.reach.fails_too,
        State.DOWN,
        "The control fails in the same way, or before: expired certificate, broken server.",
    ),
    Rule(
        "tls.clock",
        lambda handshake: handshake.kind is Kind.DATES and handshake.certificate.at_control,
        State.INCONCLUSIVE,
        "The certificate is outside its dates by this machine's clock, and the control accepts "
        "the same certificate.",
        evidence=("clock_wrong",),
    ),
    Rule(
        "tls.dates",
        lambda handshake: handshake.kind is Kind.DATES,
        State.INCONCLUSIVE,
        "The certificate is outside its dates by this machine's clock: the clock may be wrong, or "
        "this server has an old certificate. OpenSSL looks at the dates last, so its authority and "
        "its name are right: nobody else can show it.",
        evidence=("certificate_dates",),
    ),
    Rule(
        "tls.http_any_host",
        lambda handshake: handshake.kind is Kind.PLAIN_HTTP and handshake.certificate.for_any_name,
        State.INCONCLUSIVE,
        "An answer in clear-text HTTP in place of TLS, at our own host for a name that nobody has "
        "or at several innocuous hosts as well: a sign-in page that lets some hosts or connections "
        "pass.",
        evidence=("captive_portal",),
    ),
    Rule(
        "tls.http_response",
        lambda handshake: handshake.kind is Kind.PLAIN_HTTP,
        State.BLOCKED,
        "An answer in clear-text HTTP in place of TLS. (typed)",
        Technique.TLS_HTTP_RESPONSE,
        3_700_000,
    ),
    Rule(
        OWN_CERTIFICATE,
        lambda handshake: handshake.kind in CERTIFICATE_KINDS and handshake.certificate.at_control,
        State.INCONCLUSIVE,
        "The control was shown the same certificate, or another of the same key, so it is the "
        "service's own: this machine does not trust it, or not for this name.",
        evidence=("own_certificate",),
    ),
    Rule(
        "tls.local_interceptor",
        lambda handshake: (
            handshake.kind in CERTIFICATE_KINDS and handshake.certificate.for_any_name
        ),
        State.INCONCLUSIVE,
        "A host that has nothing to do with the service, or our own for a name that nobody has, "
        "shows a certificate of the same authority: an antivirus or an office proxy that exempts "
        "some hosts.",
        evidence=("tls_interception",),
    ),
    Rule(
        SELF_SIGNED,
        lambda handshake: handshake.kind is Kind.SELF_SIGNED and handshake.certificate.foreign,
        State.BLOCKED,
        "A self-signed certificate for this name alone, where the control sees a valid one: our "
        "own host shows it for this name too, or the server shows another name what the control "
        "got, or a known block page is behind it. (fit: tls other)",
        Technique.TLS_MITM_SELF_SIGNED,
        4_700_000,
    ),
    Rule(
        "tls.other_name",
        lambda handshake: (
            handshake.kind is Kind.OTHER_NAME
            and handshake.certificate.unseen
            and not handshake.certificate.foreign
        ),
        State.INCONCLUSIVE,
        "A trusted authority's certificate for another name, at an address that no control saw. A "
        "server for this region that has none for this name yet shows such a one; who intercepts "
        "TLS seldom has one.",
        Technique.TLS_MITM_CA_SIGNED,
        evidence=("unseen_address",),
    ),
    Rule(
        CA_SIGNED,
        lambda handshake: handshake.kind in CERTIFICATE_KINDS and handshake.certificate.foreign,
        State.BLOCKED,
        "A certificate of an unknown authority or for another name, for this name alone, where the "
        "control sees a valid one: our own host shows it for this name too, or the server shows "
        "another name what the control got, or a known block page is behind it. (fit: tls other)",
        Technique.TLS_MITM_CA_SIGNED,
        4_700_000,
    ),
    Rule(
        UNTOLD,
        lambda handshake: handshake.kind in CERTIFICATE_KINDS,
        State.INCONCLUSIVE,
        "A certificate that is not valid for the name, where the control sees a valid one, and no "
        "comparison shows whose it is: a service that changes its authority region by region shows "
        "the same as who intercepts its address.",
        evidence=("certificate_untold",),
    ),
    Rule(
        "tls.large_answer",
        lambda handshake: (
            handshake.kind is Kind.TIMEOUT and handshake.gap and not handshake.contrasts.by_name
        ),
        State.INCONCLUSIVE,
        "Small segments of the server's answer arrived, and the one before them did not, whatever "
        "the name: the path loses large packets and their repeats without a word (a black hole of "
        "path MTU discovery, RFC 2923).",
        evidence=("large_answer",),
    ),
    # That one name passes where another dies is no proof where others die at random.
    background_fails(Layer.TLS),
    line_unseen(Layer.TLS),
    Rule(
        "tls.any_name",
        lambda handshake: handshake.contrasts.any_name,
        State.INCONCLUSIVE,
        "At our own host, a name that nobody has fails in the same way, and a well-known one "
        "passes: a sign-in page or an office that lets only listed names through.",
        evidence=("any_name",),
    ),
    Rule(
        "tls.any_host",
        lambda handshake: handshake.contrasts.any_host and not handshake.contrasts.by_name,
        State.INCONCLUSIVE,
        "At our own host every name dies in the same way, one that nobody has included, and none "
        "passed there in this round: this network cuts TLS of this kind, or to hosts that it does "
        "not list, whatever the service.",
        evidence=("any_host",),
    ),
    *(_sni(kind) for kind in DEATHS),
    *(rule(kind) for kind in DEATHS for rule in (_other, _untold)),
    Rule(
        "tls.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The handshake failed in a way that no other rule covers, or never began.",
    ),
)
