# SPDX-License-Identifier: Apache-2.0
"""What an observation keeps of the certificates that a server presented."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from probes.wire.certificate_identity import identity_of
from probes.wire.observation import Certificate

MAX_CHAIN = 10
MAX_DER_BYTES = 16384


def observed(presented: Sequence[bytes], *, whole: bool) -> tuple[Certificate, ...]:
    """Return the leaf's hash or, with `whole`, every certificate (DER, leaf first) with its bytes;
    what exceeds the limits of the wire format is kept as a hash, or not at all. Of the leaf its key
    and authority are told as well."""
    return tuple(
        Certificate(
            sha256=hashlib.sha256(der).hexdigest(),
            der=der if whole and len(der) <= MAX_DER_BYTES else b"",
            **({} if place else identity_of(der)._asdict()),
        )
        for place, der in enumerate(presented[: MAX_CHAIN if whole else 1])
    )
