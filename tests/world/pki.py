"""A private certificate authority for tests: made in a millisecond or two, kept in memory.

    ca = Authority("Test Root")
    leaf = ca.issue("wechat.test", days=30)
    server_context = leaf.context(alpn=("h2", "http/1.1"))
    trust_pem = ca.pem

Certificates carry what VERIFY_X509_STRICT wants (basicConstraints, keyUsage, key identifiers).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Leaf:
    """A certificate, its chain and its key."""

    chain_pem: str
    key_pem: str
    der: bytes

    def context(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A server context that presents this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        with tempfile.TemporaryDirectory() as folder:  # ssl loads keys from files only
            chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
            chain.write_text(self.chain_pem)
            key.write_text(self.key_pem)
            context.load_cert_chain(chain, key)
        return context


class Authority:
    """A self-signed root that issues leaf certificates."""

    def __init__(self, name: str = "Test Root") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key(), -1, 3650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, *names: str, days: int = 30, start: int = -1, subject: str = "") -> Leaf:
        """Issue a leaf for host names and addresses, valid from `start` days for `days` days."""
        return self._issue(names, days, start, subject, self._name, self._key, self.pem)

    def _issue(
        self,
        names: tuple[str, ...],
        days: int,
        start: int,
        subject: str,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        chain: str,
    ) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(subject or names[0]), issuer, key.public_key(), start, days)
            .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
            .sign(issuer_key, hashes.SHA256())
        )
        return Leaf(
            chain_pem=certificate.public_bytes(serialization.Encoding.PEM).decode() + chain,
            key_pem=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
            der=certificate.public_bytes(serialization.Encoding.DER),
        )


def self_signed(*names: str, subject: str = "") -> Leaf:
    """A leaf that no authority issued."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(subject or names[0])
    certificate = (
        _builder(name, name, key.public_key(), -1, 30)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Leaf(
        chain_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        der=certificate.public_bytes(serialization.Encoding.DER),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: int, days: int
) -> x509.CertificateBuilder:
    begin = dt.datetime.now(dt.UTC) + dt.timedelta(days=start)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _alternatives(names: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _usage(**chosen: bool) -> x509.KeyUsage:
    every = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(every | chosen))
