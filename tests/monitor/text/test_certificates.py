"""Certificates of strangers: whatever they say is text on one line."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from monitor.text.certificates import MAX_NAME, safe_text, summarise_certificate
from probes.wire.observation import Certificate
from tests.world.pki import Authority
from tests.world.site import SCRIPT


def test_a_certificate_is_summarised() -> None:
    leaf = Authority("Evil <b>Root</b>").issue("wechat.test")
    said = summarise_certificate(Certificate(sha256="a" * 64, der=leaf.der))
    assert "wechat.test" in said.names
    assert "Evil <b>Root</b>" in said.issuer
    assert " to " in said.valid
    assert said.sha256 == "a" * 64


def test_hostile_names_stay_text() -> None:
    said = summarise_certificate(
        Certificate(sha256="a" * 64, der=Authority("R").issue(SCRIPT[:40]).der)
    )
    assert "<script>" in said.names  # the template escapes it; test_hostile looks at the page


def test_a_country_of_one_letter_warns_nobody() -> None:
    key, day = Ed25519PrivateKey.generate(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    with pytest.warns(UserWarning, match="length"):
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "R", _validate=False)
    name = x509.Name([country])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day).sign(key, None)
    der = made.public_bytes(Encoding.DER)
    assert summarise_certificate(Certificate(sha256="a" * 64, der=der)).subject == "C=R"


@given(st.binary(max_size=300))
def test_any_bytes_give_at_least_the_hash(der: bytes) -> None:
    assert summarise_certificate(Certificate(sha256="b" * 64, der=der)).sha256 == "b" * 64


@given(st.binary(min_size=1, max_size=4), st.integers(0, 10_000))
def test_a_broken_certificate_is_no_error(noise: bytes, at: int) -> None:
    der = bytearray(_LEAF.der)
    at %= len(der)
    der[at : at + len(noise)] = noise
    assert summarise_certificate(Certificate(sha256="b" * 64, der=bytes(der))).sha256 == "b" * 64


_LEAF = Authority("R").issue("x.test")


@given(st.text(max_size=300))
def test_plain_text_is_short_and_printable(text: str) -> None:
    said = safe_text(text)
    assert len(said) <= MAX_NAME
    assert said.isprintable()
