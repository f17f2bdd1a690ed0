# SPDX-License-Identifier: Apache-2.0
"""This probe's Ed25519 key. The private key never leaves the state directory.

The package cryptography does the signing; where it is not installed, batches are sent unsigned, and
the monitor shows them as such. It is loaded when a key is first used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from probes import state_directory
from probes.wire.batch_signature import batch_text, key_id, line_hashes
from probes.wire.codec import BatchHeader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE, NEW = "signing.key", "signing.key.new"
"""The private key, 64 hex digits; and one that the monitor has not confirmed yet."""
MISSING = "the package cryptography is missing: pip install 'reachwatch[catalogue]'"


class SigningKeyError(Exception):
    """The key cannot be made or used. The text is one line."""


class SigningKey:
    """A key pair."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw().hex()
        """The public key, hex."""

    @property
    def id(self) -> str:
        """Its id in the headers of batches."""
        return key_id(self.public)

    def sign(self, text: bytes) -> bytes:
        """Return the signature of a text."""
        return self._private.sign(text)

    def signed(self, header: BatchHeader, lines: Sequence[bytes]) -> BatchHeader:
        """Return the header of a batch with these lines, signed."""
        named = msgspec.structs.replace(header, key=self.id)
        signature = self.sign(batch_text(named, line_hashes(lines)))
        return msgspec.structs.replace(named, signature=signature.hex())

    def save(self, directory: Path, name: str = FILE) -> None:
        """Keep the private key with mode 0600. Raises StateError."""
        content = self._private.private_bytes_raw().hex().encode() + b"\n"
        state_directory.write(directory / name, content)


def make() -> SigningKey:
    """Make a key. Raises SigningKeyError where the package is missing."""
    return SigningKey(_kind().generate())


def load(directory: Path, name: str = FILE) -> SigningKey | None:
    """Return the key that was kept, None when there is none. Raises SigningKeyError."""
    path = directory / name
    try:
        content = path.read_text("ascii").strip()
        return SigningKey(_kind().from_private_bytes(bytes.fromhex(content)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SigningKeyError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise SigningKeyError(
            f"{path}: damaged: ask your operator to revoke the key, remove this file, and run "
            "`reachprobe key --renew`"
        ) from None


def _kind() -> type[Ed25519PrivateKey]:
    with contextlib.suppress(ImportError):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey
    raise SigningKeyError(MISSING)
