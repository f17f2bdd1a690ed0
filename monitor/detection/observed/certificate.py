# SPDX-License-Identifier: Apache-2.0
"""Whose certificate was shown: by its hash, its key and its authority it is compared with others.

A probe keeps the bytes of a certificate where it was refused, and else its hash alone. Of the bytes
only three fields are read (RFC 5280 section 4.1); what is damaged has no key and no authority.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from probes.wire.observation import Certificate

_VERSION = 0xA0
_FIELDS = 6
"""Serial number, algorithm, issuer, validity, subject, key."""
_ISSUER, _SUBJECT, _KEY = 2, 4, 5


class ShownBy(msgspec.Struct, frozen=True, gc=False):
    """What tells who showed a certificate; what is empty is not known."""

    leaf: str = ""
    """Hash of the certificate."""
    key: str = ""
    """Hash of its public key."""
    authority: str = ""
    """Hash of the name of its authority; empty when it is its own."""

    def same(self, other: ShownBy, *, authority: bool = True) -> bool:
        """Whether the same server, or with `authority` the same authority, showed both."""
        pairs = [(self.leaf, other.leaf), (self.key, other.key)]
        if authority:
            pairs.append((self.authority, other.authority))
        return any(mine == theirs != "" for mine, theirs in pairs)


NOBODY = ShownBy()


def shown_by(chain: Sequence[Certificate]) -> ShownBy:
    """Who showed a chain, leaf first."""
    return _shown_by(chain[0].sha256, chain[0].der) if chain else NOBODY


@functools.lru_cache(maxsize=1024)
def _shown_by(leaf: str, der: bytes) -> ShownBy:
    try:
        _, certificate = next(_elements(der))
        _, signed = next(_elements(certificate))
        fields = [whole for tag, whole in _whole_elements(signed) if tag != _VERSION][:_FIELDS]
    except (ValueError, StopIteration):
        return ShownBy(leaf)
    if len(fields) < _FIELDS:
        return ShownBy(leaf)
    is_own = fields[_ISSUER] == fields[_SUBJECT]
    return ShownBy(leaf, _hash(fields[_KEY]), "" if is_own else _hash(fields[_ISSUER]))


def _hash(field: bytes) -> str:
    return hashlib.sha256(field).hexdigest()


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
