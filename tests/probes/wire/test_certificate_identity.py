"""What is read of a certificate: its key and the name of its authority."""

from __future__ import annotations

import ssl

import pytest

from probes.wire.certificate_identity import HASH_BYTES, CertificateIdentity, identity_of
from tests.world.pki import Authority, self_signed

STRANGER = Authority("Stranger")


def test_one_authority_signs_for_two_names() -> None:
    first, second = (identity_of(STRANGER.issue(name).der) for name in ("a.test", "b.test"))
    other = identity_of(Authority("Other").issue("a.test").der)
    assert first.authority == second.authority != other.authority
    assert len({first.key, second.key, other.key}) == 3
    assert {len(part) for part in (*first, *other)} == {HASH_BYTES}


def test_what_signs_itself_has_no_authority() -> None:
    whole = identity_of(self_signed("a.test").der)
    assert (whole.authority, len(whole.key)) == (b"", HASH_BYTES)
    root = identity_of(ssl.PEM_cert_to_DER_cert(STRANGER.pem))
    assert root.authority == b""


@pytest.mark.parametrize("end", [0, 1, 2, 5, 40, 150])
def test_damaged_bytes_have_neither(end: int) -> None:
    assert identity_of(STRANGER.issue("a.test").der[:end]) == CertificateIdentity()
