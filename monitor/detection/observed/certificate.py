# SPDX-License-Identifier: Apache-2.0
"""Whose certificate was shown: by its hash, its key and its authority it is compared with others.

A probe sends the last two with every leaf, and the bytes of a certificate that it refused, in which
they are read where an older probe sent no more.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec

from probes.wire.certificate_identity import CertificateIdentity, identity_of
from probes.wire.observation import Certificate


class ShownBy(msgspec.Struct, frozen=True, gc=False):
    """What tells who showed a certificate; what is empty is not known."""

    leaf: str = ""
    """Hash of the certificate."""
    key: bytes = b""
    """Hash of its public key."""
    authority: bytes = b""
    """Hash of the name of its authority; empty when it is its own."""

    def same(self, other: ShownBy, *, authority: bool = True) -> bool:
        """Whether the same server, or with `authority` the same authority, showed both."""
        return (
            self.leaf == other.leaf != ""
            or self.key == other.key != b""
            or (authority and self.same_authority(other))
        )

    def same_authority(self, other: ShownBy) -> bool:
        """Whether the same authority signed both."""
        return self.authority == other.authority != b""


NOBODY = ShownBy()


def shown_by(chain: Sequence[Certificate]) -> ShownBy:
    """Who showed a chain, leaf first."""
    if not chain:
        return NOBODY
    leaf = chain[0]
    sent = CertificateIdentity(leaf.key, leaf.authority)
    return ShownBy(leaf.sha256, *(_identity(leaf.der) if leaf.der else sent))


_identity = functools.lru_cache(maxsize=1024)(identity_of)
