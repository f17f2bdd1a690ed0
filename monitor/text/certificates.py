# SPDX-License-Identifier: Apache-2.0
"""Unexpected certificates in words. Names in them are hostile text: they are cut, their control
characters are made visible, and templates escape them.
"""

from __future__ import annotations

import warnings

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from probes.wire.observation import Certificate

MAX_NAME = 120
_SHORT = {NameOID.COMMON_NAME: "CN", NameOID.ORGANIZATION_NAME: "O", NameOID.COUNTRY_NAME: "C"}


class CertificateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate of a chain."""

    sha256: str
    subject: str = ""
    issuer: str = ""
    valid: str = ""
    """`2026-01-01 to 2027-01-01`."""
    names: str = ""
    """Its first DNS names."""


def summarise_certificate(certificate: Certificate) -> CertificateSummary:
    """The fields of a certificate; only the hash when its DER is missing or broken."""
    bare = CertificateSummary(sha256=certificate.sha256)
    if not certificate.der:
        return bare
    try:
        with warnings.catch_warnings():
            # Forged certificates often violate RFC 5280. What is wrong with a name is a warning
            # of another kind, and comes when the name is read.
            warnings.simplefilter("ignore", UserWarning)
            parsed = x509.load_der_x509_certificate(certificate.der)
            since, until = parsed.not_valid_before_utc, parsed.not_valid_after_utc
            return CertificateSummary(
                sha256=certificate.sha256,
                subject=_name(parsed.subject),
                issuer=_name(parsed.issuer),
                valid=f"{since.date()} to {until.date()}",
                names=_names(parsed),
            )
    except (ValueError, TypeError, OverflowError, x509.InvalidVersion, x509.DuplicateExtension):
        # Forged certificates are often malformed.
        return bare


def _name(name: x509.Name) -> str:
    parts = [f"{_SHORT[each.oid]}={each.value!s}" for each in name if each.oid in _SHORT]
    return safe_text(", ".join(parts) or name.rfc4514_string())


def _names(parsed: x509.Certificate) -> str:
    try:
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.UnsupportedGeneralNameType, ValueError):
        return ""
    names = found.value.get_values_for_type(x509.DNSName)
    return safe_text(", ".join(names[:5]) + (", …" if len(names) > 5 else ""))


def escape_control_characters(text: str) -> str:
    """The text with control and direction characters as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def safe_text(text: str) -> str:
    """Text from the network on one line, cut at MAX_NAME characters."""
    kept = escape_control_characters(text)
    return kept if len(kept) <= MAX_NAME else kept[: MAX_NAME - 1] + "…"
