# SPDX-License-Identifier: Apache-2.0
"""What a probe signs, so that its measurements can be told from forged and altered ones.

A probe has an Ed25519 key of its own (RFC 8032). The signature in the header of a batch is over
CONTEXT, what else the header says, and the SHA-256 of each line: so one line can be shown to others
with its signature, and the rest of the batch as hashes alone. The signing itself is elsewhere:
nothing here needs a library for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from probes.wire.bounds import ProbeId, PublicKey, Signature
from probes.wire.bounds import Token as Word
from probes.wire.codec import BatchHeader

CONTEXT = b"reachwatch batch 1\n"
"""Precedes what is signed: a key that signs other things signs no batch by it."""
KEY_CONTEXT = b"reachwatch key 1\n"
"""The same of what `key_text` returns."""
KEY_ID_DIGITS = 16


class SignatureFault(StrEnum):
    """Why the monitor does not store a batch of a probe of which it has a key: the `reason` of its
    acknowledgement, which names the batch as held."""

    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    """Signed with a key that the monitor does not have of this probe."""
    REVOKED_KEY = "revoked_key"
    WRONG_SIGNATURE = "wrong_signature"
    """The lines, or what the header says, are not what was signed."""


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `POST /api/v1/key`: a probe's new key. The answer has its id as `key`."""

    probe: ProbeId
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    public_key: PublicKey
    signature: Signature
    """Of `key_text`, by the new key: whoever sends it has the private key."""
    endorsement: Signature = ""
    """The same by the key in use: a stolen secret alone replaces no key."""


class SignedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with its signature, as `/m/ID/proof` returns it: what is needed to verify it
    without a server."""

    v: int = 1
    probe: ProbeId
    line: str
    """The measurement as it was sent."""
    place: Annotated[int, msgspec.Meta(ge=0)]
    """Its place among the lines of the batch, from 0."""
    lines: tuple[Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")], ...]
    """SHA-256 of each line of the batch, hex."""
    boot: Word
    sequence: int
    key: Word
    """Id of the key; empty if the batch is not signed."""
    signature: str
    public_key: str
    """The key that the monitor has under this id for this probe; empty for none."""
    key_since: int | None = None
    """When the monitor was given it, Unix milliseconds."""
    key_revoked: int | None = None
    """Since when nothing signed with it is accepted; null for a key in use."""
    received: int
    """When the batch arrived, Unix milliseconds."""


def key_id(public_key: str) -> str:
    """Return the id of a public key, the first digits of it."""
    return public_key[:KEY_ID_DIGITS]


def key_text(probe: str, public_key: str) -> bytes:
    """Return what is signed to give a probe a key. When it enrols it has no name yet: `probe` is
    then the id of its token."""
    return KEY_CONTEXT + f"{probe} {public_key}".encode()


def line_hashes(lines: Sequence[bytes]) -> list[bytes]:
    """Return the SHA-256 of each line."""
    return [hashlib.sha256(line).digest() for line in lines]


def batch_text(header: BatchHeader, hashes: Iterable[bytes]) -> bytes:
    """Return what is signed of a batch. `hashes` are those of its lines, in their order."""
    named = f"{header.boot} {header.sequence} {header.key}\n"
    return CONTEXT + named.encode() + b"".join(hashes)
