# SPDX-License-Identifier: Apache-2.0
"""Rules over one TLS handshake with the service's name, decided by the SNI square:
service address and innocuous name; our own reflector and the service's name.
"""

from __future__ import annotations

from monitor.detection.facts.kinds import CERTIFICATE_KINDS, DEATHS, Kind
from monitor.detection.facts.tcp_tls_http import Reach, TLSFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.rule import Rule

_TLS = Layer.TLS
_WORDS = {
    Kind.RESET: "dies by RST",
    Kind.TIMEOUT: "is met with silence",
    Kind.EOF: "is closed",
    Kind.ALERT: "is refused by a TLS alert",
}
# Micro-nats by the way it dies. By name: (fit) tls reset +2.04, tls other +1.60; silence by name
# is typed, since an innocuous name passes; an alert may be the server's own. By address: halved.
_BY_NAME = {
    Kind.RESET: (Technique.TLS_RESET_SNI, 4_700_000),
    Kind.TIMEOUT: (Technique.TLS_TIMEOUT_SNI, 3_100_000),
    Kind.EOF: (Technique.TLS_EOF_SNI, 3_700_000),
    Kind.ALERT: (Technique.TLS_ALERT_SNI, 2_500_000),
}
_BY_ADDRESS = {
    Kind.RESET: (Technique.TLS_RESET_OTHER, 2_400_000),
    Kind.TIMEOUT: (Technique.TLS_TIMEOUT_OTHER, 700_000),
    Kind.EOF: (Technique.TLS_EOF_OTHER, 1_800_000),
    Kind.ALERT: (Technique.TLS_ALERT_OTHER, 1_200_000),
}
_UNTOLD = {
    Kind.RESET: 2_400_000,
    Kind.TIMEOUT: 500_000,
    Kind.EOF: 1_200_000,
    Kind.ALERT: 700_000,
}


def _sni(kind: Kind) -> Rule[TLSFacts]:
    technique, weight = _BY_NAME[kind]
    return Rule(
        f"tls.{kind}.sni",
        _TLS,
        lambda f: f.kind is kind and f.by_name,
        State.BLOCKED,
        f"The handshake {_WORDS[kind]} for the service's name only: an innocuous name to the same "
        "address passes, or the service's name to our own host dies too. (fit, typed)",
        technique,
        weight,
    )


def _other(kind: Kind) -> Rule[TLSFacts]:
    technique, weight = _BY_ADDRESS[kind]
    return Rule(
        f"tls.{kind}.other",
        _TLS,
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
        _TLS,
        lambda f: f.kind is kind,
        State.BLOCKED,
        f"The handshake {_WORDS[kind]} and no contrast was measured: by name or by address is not "
        "known, so no technique is named. (fit, halved)",
        None,
        _UNTOLD[kind],
    )


TLS_RULES: tuple[Rule[TLSFacts], ...] = (
    Rule(
        "tls.answer_accused",
        _TLS,
        lambda f: f.accused,
        State.INSUFFICIENT,
        "The address comes from a forged DNS answer: it is the DNS that is judged.",
    ),
    Rule(
        "tls.certificate_valid",
        _TLS,
        lambda f: f.kind is Kind.OK,
        State.OK,
        "A valid certificate for the name.",
    ),
    Rule(
        "tls.repeat_valid",
        _TLS,
        lambda f: f.repeated and not f.some_flows,
        State.OK,
        "A second attempt from a fresh port got a valid certificate: loss, not a block.",
        evidence=("transient",),
    ),
    Rule(
        "tls.large_hello",
        _TLS,
        lambda f: f.classical and not f.some_flows,
        State.OK,
        "The small ClientHello passes where the large one fails: a middlebox that drops what does "
        "not fit one packet (openssl#27601), for every name.",
        evidence=("large_hello",),
    ),
    Rule(
        "tls.control_fails_too",
        _TLS,
        lambda f: f.reach is Reach.SAME,
        State.DOWN,
        "The control fails in the same way: expired certificate, broken server.",
    ),
    Rule(
        "tls.clock",
        _TLS,
        lambda f: f.kind is Kind.DATES and (f.same_leaf or f.reach is not Reach.PASSED),
        State.INCONCLUSIVE,
        "The certificate's dates do not fit this machine's clock, and the control is shown the "
        "same certificate or none.",
        evidence=("clock_wrong",),
    ),
    Rule(
        "tls.http_response",
        _TLS,
        lambda f: f.kind is Kind.PLAIN_HTTP,
        State.BLOCKED,
        "Someone answered in clear-text HTTP in place of TLS. (typed)",
        Technique.TLS_HTTP_RESPONSE,
        3_700_000,
    ),
    Rule(
        "tls.mitm.self_signed",
        _TLS,
        lambda f: f.kind is Kind.SELF_SIGNED,
        State.BLOCKED,
        "A certificate that signed itself, where the control sees a valid one. (fit: tls other)",
        Technique.TLS_MITM_SELF_SIGNED,
        4_700_000,
    ),
    Rule(
        "tls.mitm.ca_signed",
        _TLS,
        lambda f: f.kind in CERTIFICATE_KINDS or f.kind is Kind.DATES,
        State.BLOCKED,
        "A certificate by an unknown authority, for another name, or long expired, where the "
        "control sees a valid one and the liveness hosts are not intercepted. (fit: tls other)",
        Technique.TLS_MITM_CA_SIGNED,
        4_700_000,
    ),
    *(rule(kind) for kind in DEATHS for rule in (_sni, _other, _untold)),
    Rule(
        "tls.unclear",
        _TLS,
        lambda _: True,
        State.INCONCLUSIVE,
        "The handshake failed in a way that these rules do not know, or never began.",
    ),
)
