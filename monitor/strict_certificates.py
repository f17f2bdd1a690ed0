# SPDX-License-Identifier: Apache-2.0
"""Certificates of private authorities that strict clients accept.

They carry what Python 3.13 asks of every chain (`VERIFY_X509_STRICT`: key usage, key identifiers,
critical basic constraints).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Validity = tuple[dt.datetime, dt.datetime]
"""Not before and not after."""
Extension = tuple[x509.ExtensionType, bool]
"""With whether it is critical."""
MOST_CHARACTERS = 64
"""Of a common name; clients check the alternative names."""


def valid_for(days: int, before: int = 1) -> Validity:
    """So many days since yesterday, because the clocks of small machines may be slow; or since
    `before` days ago."""
    now = dt.datetime.now(dt.UTC)
    return now - dt.timedelta(days=before), now + dt.timedelta(days=days - before)


def authority_certificate(
    name: str, key: ec.EllipticCurvePrivateKey, validity: Validity
) -> x509.Certificate:
    """An authority's certificate, signed by itself."""
    own = _common_name(name)
    extensions = ((x509.BasicConstraints(ca=True, path_length=0), True), (_usage(ca=True), True))
    return _signed(own, own, key, key, validity, extensions)


def server_certificate(
    names: Sequence[str],
    key: ec.EllipticCurvePrivateKey,
    validity: Validity,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """The certificate of a server with these host names and addresses; without an authority it
    signs itself."""
    subject = _common_name(names[0][:MOST_CHARACTERS])
    issuer, signer = (subject, key) if authority is None else (authority[0].subject, authority[1])
    extensions = (
        (alternative_names(names), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(ca=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    )
    return _signed(subject, issuer, key, signer, validity, extensions)


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Host names and addresses as a certificate lists them."""
    return x509.SubjectAlternativeName([_alternative(name) for name in names])


def private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    validity: Validity,
    extensions: Sequence[Extension],
) -> x509.Certificate:
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
