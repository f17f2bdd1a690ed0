# SPDX-License-Identifier: Apache-2.0
"""Whether a signature is that of a probe's key. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from monitor.store.records import ProbeKey
from probes.wire.batch_signature import SignatureFault, batch_text, key_text
from probes.wire.codec import BatchHeader


def is_signed(public_key: str, signature: str, text: bytes) -> bool:
    """Whether this is the key's signature of the text; all but the text in hex."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def fault_of_batch(
    header: BatchHeader | None, hashes: Iterable[bytes], keys: Sequence[ProbeKey]
) -> SignatureFault | None:
    """Why a batch with lines of these hashes cannot be taken for that of the probe that has these
    keys; None when it can. A probe that never had a key does not sign."""
    if not keys or header is None:
        return None
    if not header.key:
        return SignatureFault.UNSIGNED
    key = next((each for each in keys if each.id == header.key), None)
    if key is None:
        return SignatureFault.UNKNOWN_KEY
    if not is_signed(key.public_key, header.signature, batch_text(header, hashes)):
        return SignatureFault.WRONG_SIGNATURE
    return SignatureFault.REVOKED_KEY if key.revoked is not None else None


def proves_possession(probe: str, public_key: str, signature: str) -> bool:
    """Whether who sends a public key has the private one; `probe` as in `key_text`."""
    return is_signed(public_key, signature, key_text(probe, public_key))
