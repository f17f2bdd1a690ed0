# SPDX-License-Identifier: Apache-2.0
"""Certificates of the broker: a private authority, what it issues, and what a client says of them.
`refusal` asks as Python 3.13 does, whatever Python runs here.
"""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from monitor.strict_certificates import (
    alternative_names,
    authority_certificate,
    private_pem,
    server_certificate,
    valid_for,
)
from probes.runtime.options import OptionError

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""The longest validity that browsers accept (CA/Browser Forum, 2020-09-01)."""
RENEW_DAYS = 30
_PEM = serialization.Encoding.PEM


class BrokerAuthority(NamedTuple):
    """A private certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate, which clients trust."""
        return self.certificate.public_bytes(_PEM).decode()

    @property
    def key_pem(self) -> str:
        """The private key."""
        return private_pem(self.key)


class Issued(NamedTuple):
    """A certificate with its chain, and its private key, both PEM."""

    chain: str
    key: str

    def server_context(self) -> ssl.SSLContext:
        """A server that shows it. Raises OSError or ValueError when the two do not fit."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:  # ssl loads keys from files only
            chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
            chain.write_text(self.chain)
            key.touch(0o600)
            key.write_text(self.key)
            server.load_cert_chain(chain, key, password="")  # it would ask a terminal
        return server


def new_authority() -> BrokerAuthority:
    """Make an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    validity = valid_for(AUTHORITY_DAYS)
    return BrokerAuthority(authority_certificate("Reachwatch broker authority", key, validity), key)


def read_authority(certificate: Path, key: Path) -> BrokerAuthority:
    """Read an authority from its two PEM files. Raises OptionError."""
    try:
        private = serialization.load_pem_private_key(read_pem(key).encode(), None)
        public = x509.load_pem_x509_certificate(read_pem(certificate).encode())
    except (TypeError, ValueError) as error:
        raise OptionError(f"{certificate.parent}: not an authority in PEM: {error}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise OptionError(f"{key}: must be an elliptic curve key")
    if _bytes(private.public_key()) != _bytes(public.public_key()):
        raise OptionError(f"{key}: is not the key of {certificate}")
    return BrokerAuthority(public, private)


def issue(authority: BrokerAuthority, names: Sequence[str]) -> Issued:
    """Issue a server's certificate for host names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = server_certificate(names, key, valid_for(CERTIFICATE_DAYS), authority)
    return Issued(leaf.public_bytes(_PEM).decode() + authority.pem, private_pem(key))


def is_current(chain: Path, key: Path, authority: BrokerAuthority, names: Sequence[str]) -> bool:
    """Whether the certificate in these files is the authority's, for these names, fits its key and
    is not due for renewal. Raises OptionError."""
    if not (chain.exists() and key.exists()):
        return False
    try:
        leaf = x509.load_pem_x509_certificate(read_pem(chain).encode())
        private = serialization.load_pem_private_key(read_pem(key).encode(), None)
        leaf.verify_directly_issued_by(authority.certificate)
        kept = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # not PEM, another authority's, or without names: it is replaced
        return False
    lasts = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
    wanted = alternative_names(names)
    return (
        _bytes(private.public_key()) == _bytes(leaf.public_key())
        and list(kept) == list(wanted)
        and lasts > dt.timedelta(days=RENEW_DAYS)
    )


def refusal(issued: Issued, roots: str | None, name: str) -> str:
    """Why a client on Python 3.13 that trusts these roots (PEM; None: those of this machine) would
    refuse the server of this name; empty if it would not."""
    try:
        server = issued.server_context()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or str(error)
        return f"certificate and key do not fit: {reason.lower().replace('_', ' ')}"
    try:
        client = ssl.create_default_context(cadata=roots)
        if roots is None:
            client.load_verify_locations(certifi.where())
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        shake_hands(server, client, name)
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except ssl.SSLError as error:
        return (error.reason or str(error)).lower().replace("_", " ")
    return ""


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A handshake in memory. Raises ssl.SSLError when the client does not trust the server."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass


def read_pem(path: Path) -> str:
    """The text of a PEM file. Raises OptionError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: {getattr(error, 'strerror', None) or 'not PEM'}") from None


def _bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
