"""A private CA that Python 3.13 refuses, in a handshake and in a file."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from monitor.broker import certificates
from probes.runtime import private_authority
from tests.monitor.broker.test_certificates import without_key_usage
from tests.world import pki


def trusting(folder: Path, pem: str) -> str:
    file = folder / "ca.pem"
    file.write_text(pem)
    return private_authority.flaw({"SSL_CERT_FILE": str(file)})


def test_a_file_is_looked_at_whatever_python_runs(tmp_path: Path) -> None:
    old, good = without_key_usage().pem, certificates.new_authority().pem
    assert trusting(tmp_path, good) == ""
    for pem in (old, good + old):
        said = trusting(tmp_path, pem)
        assert said.startswith(f"SSL_CERT_FILE: {tmp_path}/ca.pem: a CA without key usage")
        assert "`reachwatch broker init`" in said
        assert "\n" not in said


def test_what_is_no_private_authority_is_left_alone(tmp_path: Path) -> None:
    assert private_authority.flaw({}) == ""
    assert private_authority.flaw({"SSL_CERT_FILE": str(tmp_path / "none")}) == ""
    assert private_authority.flaw({"SSL_CERT_FILE": certifi.where()}) == ""
    assert trusting(tmp_path, without_key_usage().pem * (private_authority.MOST + 1)) == ""
    assert trusting(tmp_path, pki.self_signed("a.test").chain_pem) == "", "a server's own"
    for rubbish in ("é", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"):
        assert trusting(tmp_path, rubbish) == ""


def test_a_refused_handshake_names_the_remedy() -> None:
    old = without_key_usage()
    issued = certificates.issue(old, ["reach.example"])
    client = ssl.create_default_context(cadata=old.pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        certificates.shake_hands(issued.server_context(), client, "reach.example")
    assert private_authority.remedy(refused.value).startswith(
        "the CA has no key usage, which Python 3.13 requires: ask whoever"
    )
    good = certificates.new_authority()
    server = certificates.issue(good, ["reach.example"]).server_context()
    client = ssl.create_default_context(cadata=good.pem)
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        certificates.shake_hands(server, client, "other.example")
    assert private_authority.remedy(refused.value) == ""
    assert private_authority.remedy(None) == ""
