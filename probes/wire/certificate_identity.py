# SPDX-License-Identifier: Apache-2.0
"""What tells who showed a certificate: its key, and the name of the authority that signed it.

Of the bytes only three fields are read (RFC 5280 section 4.1); what is damaged has neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

HASH_BYTES = 8
"""Enough to tell some certificates of one name apart, and few to carry."""
_VERSION = 0xA0
_FIELDS = 6
"""Serial number, algorithm, issuer, validity, subject, key."""
_ISSUER, _SUBJECT, _KEY = 2, 4, 5


class CertificateIdentity(NamedTuple):
    """Hashes of a certificate's parts; empty for what is not known."""

    key: bytes = b""
    """Of its public key (SubjectPublicKeyInfo)."""
    authority: bytes = b""
    """Of the name of its issuer; empty when it is its own."""


def identity_of(der: bytes) -> CertificateIdentity:
    """The identity of a certificate in DER."""
    try:
        _, certificate = next(_elements(der))
        _, signed = next(_elements(certificate))
        fields = [whole for tag, whole in _whole_elements(signed) if tag != _VERSION][:_FIELDS]
    except (ValueError, StopIteration):
        return CertificateIdentity()
    if len(fields) < _FIELDS:
        return CertificateIdentity()
    is_own = fields[_ISSUER] == fields[_SUBJECT]
    return CertificateIdentity(_hash(fields[_KEY]), b"" if is_own else _hash(fields[_ISSUER]))


def _hash(field: bytes) -> bytes:
    return hashlib.sha256(field).digest()[:HASH_BYTES]


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The contents of each element (tag, length, contents; X.690) of DER."""
    for tag, whole, header in _split(der):
        yield tag, whole[header:]


def _whole_elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    for tag, whole, _ in _split(der):
        yield tag, whole


def _split(der: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Tag, whole element, and the size of its header. Raises ValueError when it is damaged."""
    at = 0
    while at < len(der):
        if at + 2 > len(der):
            raise ValueError("ends early")
        length, header = der[at + 1], 2
        if length >= 0x80:
            header += length - 0x80
            length = int.from_bytes(der[at + 2 : at + header])
        end = at + header + length
        if end > len(der):
            raise ValueError("ends early")
        yield der[at], der[at:end], header
        at = end
