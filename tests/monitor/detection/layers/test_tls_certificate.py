"""Whose certificate: what comparisons accuse somebody, and what they leave open."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.model import State, Technique, Verdict
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation, Certificate, TLSHandshake
from tests.lab.trust import Authority, self_sign
from tests.monitor.detection.scenes import (
    A1,
    HOST,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    alive,
    control,
    dns,
    endpoint,
    foreign,
    measured,
    tcp,
    tls,
)

UNLISTED = "unlisted.test"
THEIRS = (Certificate(sha256="c" * 64),)
"""What the control gets."""
SEEN_THERE = [control(dns(A1), tcp(A1), tls(A1, chain=THEIRS))]
ALSO = endpoint("tls", "l9.example")


class Chains:
    """Certificates of a stranger for several names."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stranger = folder, Authority("Stranger")

    def __call__(self, name: str, by: Authority | None = None) -> tuple[Certificate, ...]:
        return self._read(name, lambda *at: (by or self._stranger).issue([name], *at))

    def own(self, name: str) -> tuple[Certificate, ...]:
        return self._read(name, lambda *at: self_sign(name, *at))

    def _read(self, name: str, make: Any) -> tuple[Certificate, ...]:
        certificate = self._folder / "certificate.pem"
        make(certificate, self._folder / "key")
        leaf, mark, _ = certificate.read_text().partition("-----END CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(leaf + mark)
        return (Certificate(sha256=hashlib.sha256(der).hexdigest(), der=der),)


@pytest.fixture
def chains(tmp_path: Path) -> Chains:
    return Chains(tmp_path)


SIGNED_BY_ITSELF = 18


def said(*seen: AnyObservation, liveness: Any = None, there: Any = SEEN_THERE) -> Verdict:
    return judge(measured(dns(A1), tcp(A1), *seen), liveness or alive(), there)


def ours(chain: tuple[Certificate, ...], code: int = 20) -> TLSHandshake:
    """Our name at our own host."""
    return foreign(REFLECTOR, code, chain=chain, **OWN_HOST)


def unlisted(chain: tuple[Certificate, ...]) -> TLSHandshake:
    """A name that nobody has at our own host."""
    return foreign(REFLECTOR, chain=chain, **INNOCUOUS | {"sni": UNLISTED})


def test_nothing_is_compared(chains: Chains) -> None:
    verdict = said(foreign(A1, chain=chains(HOST)))
    assert (verdict.state, verdict.rule) == (State.INCONCLUSIVE, "tls.certificate_untold")
    assert verdict.technique is None
    assert "certificate_untold" in verdict.evidence


def test_our_own_host_shows_it_for_our_name_alone(chains: Chains) -> None:
    seen = (foreign(A1, chain=chains(HOST)), ours(chains(HOST)), unlisted(chains.own(UNLISTED)))
    verdict = said(*seen)
    assert (verdict.state, verdict.technique) == (State.BLOCKED, Technique.TLS_MITM_CA_SIGNED)


def test_our_own_host_shows_it_for_every_name(chains: Chains) -> None:
    seen = (foreign(A1, chain=chains(HOST)), ours(chains(HOST)), unlisted(chains(UNLISTED)))
    verdict = said(*seen)
    assert (verdict.state, verdict.rule) == (State.INCONCLUSIVE, "tls.local_interceptor")
    assert "tls_interception" in verdict.evidence


def test_one_liveness_host_of_many_shows_the_authority(chains: Chains) -> None:
    other = foreign("14.0.0.9", at=ALSO, chain=chains("l9.example"))
    liveness = alive()
    liveness = [
        measured(
            *liveness[0].observations,
            tcp("14.0.0.9", at=ALSO),
            other,
            endpoints=(*liveness[0].endpoints, ALSO),
            target=liveness[0].target,
        ),
        *liveness[1:],
    ]
    seen = (foreign(A1, chain=chains(HOST)), ours(chains(HOST)))
    assert said(*seen).state is State.BLOCKED
    assert said(*seen, liveness=liveness).rule == "tls.local_interceptor"


def test_our_own_host_shows_its_own_certificate(chains: Chains) -> None:
    """A service that changes its authority for one region does not answer there."""
    seen = (foreign(A1, chain=chains(HOST)), ours(chains.own("reflector.test")))
    assert said(*seen).rule == "tls.certificate_untold"


@pytest.mark.parametrize(
    ("chain", "rule"),
    [
        (THEIRS, "tls.mitm.ca_signed"),
        ((Certificate(sha256="d" * 64),), "tls.certificate_untold"),
    ],
    ids=["the control's", "a third"],
)
def test_what_another_name_gets_here(
    chains: Chains, chain: tuple[Certificate, ...], rule: str
) -> None:
    shown = foreign(A1, chain=chains(HOST))
    assert said(shown, tls(A1, chain=chain, **INNOCUOUS)).rule == rule


def clear(**contrast: Any) -> TLSHandshake:
    """Clear text in place of TLS, at our own host."""
    return tls(REFLECTOR, Failure.SSL_FAILED_HANDSHAKE, plain_http=True, **contrast)


def test_clear_text_for_every_name_is_a_sign_in_page() -> None:
    shown = tls(A1, Failure.SSL_FAILED_HANDSHAKE, plain_http=True)
    assert said(shown).rule == "tls.http_response"
    assert said(shown, clear(**OWN_HOST)).rule == "tls.http_response"
    verdict = said(shown, clear(**OWN_HOST), clear(**INNOCUOUS | {"sni": UNLISTED}))
    assert (verdict.state, verdict.rule) == (State.INCONCLUSIVE, "tls.http_any_host")


def test_the_control_got_the_same() -> None:
    verdict = said(foreign(A1, chain=THEIRS), ours(THEIRS))
    assert (verdict.state, verdict.rule) == (State.INCONCLUSIVE, "tls.own_certificate")


def test_an_authority_that_everybody_trusts_signs_for_everybody(chains: Chains) -> None:
    shown = foreign(A1, 62, chain=chains("cdn.test"))
    same = foreign(A1, 62, chain=chains("cdn.test"))
    assert said(shown, ours(chains("mirror.test"), 62)).rule == "tls.certificate_untold"
    assert said(same, ours(same.chain, 62)).rule == "tls.mitm.ca_signed"


def test_one_that_signs_itself_is_compared_by_its_key(chains: Chains) -> None:
    chain, other = chains.own(HOST), chains.own(HOST)
    shown = foreign(A1, SIGNED_BY_ITSELF, chain=chain)
    same, another = ours(chain, SIGNED_BY_ITSELF), ours(other, SIGNED_BY_ITSELF)
    assert said(shown, same).technique is Technique.TLS_MITM_SELF_SIGNED
    assert said(shown, another).rule == "tls.certificate_untold"
