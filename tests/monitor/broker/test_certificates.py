"""What the private authority issues, and what a strict client says of certificates of others."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.broker import certificates
from monitor.broker.certificates import BrokerAuthority, Issued
from probes.runtime.options import OptionError
from tests.world import pki

NAMES = ["reach.example", "192.0.2.7"]


def without_key_usage() -> BrokerAuthority:
    """What `openssl req -x509` makes with a short configuration of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Old CA")])
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return BrokerAuthority(builder.sign(key, hashes.SHA256()), key)


def save(folder: Path, issued: Issued) -> tuple[Path, Path]:
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(issued.chain)
    key.write_text(issued.key)
    return chain, key


@pytest.mark.parametrize("name", NAMES)
def test_a_strict_client_takes_what_is_issued(name: str) -> None:
    authority = certificates.new_authority()
    issued = certificates.issue(authority, NAMES)
    assert certificates.refusal(issued, authority.pem, name) == ""
    assert "ismatch" in certificates.refusal(issued, authority.pem, "other.example")


def test_why_a_client_refuses() -> None:
    authority, other = certificates.new_authority(), certificates.new_authority()
    issued = certificates.issue(authority, NAMES)
    assert "certificate" in certificates.refusal(issued, other.pem, NAMES[0])
    assert certificates.refusal(issued, None, NAMES[0]), "no public authority issued it"
    swapped = Issued(issued.chain, certificates.issue(authority, NAMES).key)
    assert "do not fit" in certificates.refusal(swapped, authority.pem, NAMES[0])
    assert "do not fit" in certificates.refusal(Issued("", ""), authority.pem, NAMES[0])
    old = without_key_usage()
    assert certificates.refusal(certificates.issue(old, NAMES), old.pem, NAMES[0]) == (
        "CA cert does not include key usage extension"
    )
    expired = pki.Authority().issue(NAMES[0], start=-9, days=3)
    refused = certificates.refusal(Issued(expired.chain_pem, expired.key_pem), None, NAMES[0])
    assert refused != ""


def test_a_key_with_a_password_is_refused_without_a_question() -> None:
    authority = certificates.new_authority()
    issued = certificates.issue(authority, NAMES)
    key = serialization.load_pem_private_key(issued.key.encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    assert "do not fit" in certificates.refusal(
        Issued(issued.chain, locked), authority.pem, NAMES[0]
    )


def test_what_is_current(tmp_path: Path) -> None:
    authority = certificates.new_authority()
    issued = certificates.issue(authority, NAMES)
    chain, key = save(tmp_path, issued)
    assert certificates.is_current(chain, key, authority, NAMES)
    assert not certificates.is_current(chain, key, authority, ["other.example"])
    assert not certificates.is_current(chain, key, certificates.new_authority(), NAMES)
    assert not certificates.is_current(chain, tmp_path / "none", authority, NAMES)
    # A call that was killed between the two files.
    key.write_text(certificates.issue(authority, NAMES).key)
    assert not certificates.is_current(chain, key, authority, NAMES)
    chain.write_text("rubbish")
    assert not certificates.is_current(chain, key, authority, NAMES)


def test_what_ends_soon_is_not_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = certificates.new_authority()
    for days, current in ((certificates.RENEW_DAYS - 1, False), (60, True)):
        monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", days)
        files = save(tmp_path, certificates.issue(authority, NAMES))
        assert certificates.is_current(*files, authority, NAMES) is current


def test_an_authority_is_read_with_its_own_key_only(tmp_path: Path) -> None:
    first, second = certificates.new_authority(), certificates.new_authority()
    certificate, key = save(tmp_path, Issued(first.pem, first.key_pem))
    assert certificates.read_authority(certificate, key).pem == first.pem
    key.write_text(second.key_pem)
    with pytest.raises(OptionError, match="is not the key of"):
        certificates.read_authority(certificate, key)
    for text in ("rubbish", ""):
        key.write_text(text)
        with pytest.raises(OptionError, match="not an authority in PEM"):
            certificates.read_authority(certificate, key)
