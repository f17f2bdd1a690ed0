# SPDX-License-Identifier: Apache-2.0
"""The certificates of the simulated internet, made anew for each demonstration.

One authority signs the services; the forger signs for itself. Keys live in a temporary folder
for as long as the world does, and nobody outside it trusts them.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.strict_certificates import (
    Validity,
    authority_certificate,
    private_pem,
    server_certificate,
    valid_for,
)

_HALF_DAYS = 30
"""For so long before the demonstration and after it."""
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one demonstration."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The root as PEM text, for the catalogue's `trust`."""
        return self.certificate.public_bytes(_PEM).decode("ascii")


def make_authority(name: str) -> Authority:
    """Return a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(authority_certificate(name, key, _validity()), key)


def server_context(
    folder: Path,
    names: Sequence[str],
    authority: Authority | None,
    alpn: Sequence[str] = ("http/1.1",),
) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for the names.

    Without an authority the certificate signs itself, as a forger's does. Certificate and key
    are written to the folder, because ssl reads them only from files.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signing = None if authority is None else (authority.certificate, authority.key)
    certificate = server_certificate(names, key, _validity(), signing)
    path = folder / f"{certificate.serial_number:x}.pem"
    path.touch(mode=0o600)
    path.write_text(private_pem(key) + certificate.public_bytes(_PEM).decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nobody resumes here
    context.load_cert_chain(path)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _validity() -> Validity:
    return valid_for(2 * _HALF_DAYS, before=_HALF_DAYS)
