# SPDX-License-Identifier: Apache-2.0
"""The catalogue on the topic `reachwatch/v1/catalogue`: the files of a directory with a serial
number, signed.

A header line and a body, both JSON, compressed together with zstd. The Ed25519 signature is over
CONTEXT and the bytes of the body as sent, so that nothing has to be written anew to verify it. The
signing itself is elsewhere: nothing here needs a library for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec

from probes.runtime.compression import zstd
from probes.wire.bounds import MAX_PACKET_BYTES, PublicKey
from probes.wire.codec import TooNewError, WireError

SIGNED_VERSION = 1
CONTEXT = b"reachwatch catalogue 1\n"
"""Precedes the body in what is signed: a key that signs other things signs no catalogue by it."""
MAX_DOCUMENT_BYTES = MAX_PACKET_BYTES - 1024
"""Longest document: it must fit into a packet."""
MAX_UNPACKED_BYTES = 2 << 20
MAX_FILES = 512
COMPRESSION_LEVEL = 12
"""Level 19 takes 13 times as long to save 3 % of the shipped catalogue's 11 kB."""

FileName = Annotated[
    str, msgspec.Meta(pattern=r"^(services/)?[a-z0-9][a-z0-9_-]{0,60}\.(toml|pem)\Z")
]
WayURL = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+\Z")]
MAX_WAYS = 16
_T = TypeVar("_T")


class SignatureHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a signed catalogue."""

    v: int = SIGNED_VERSION
    key: PublicKey
    """Whose signature it is."""
    signature: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]


class CatalogueFiles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is signed."""

    serial: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    """Grows from one catalogue to the next; a probe takes none with a lower one."""
    files: Annotated[dict[FileName, str], msgspec.Meta(max_length=MAX_FILES)]
    """Text by name, as in a catalogue's directory."""
    ways: Annotated[tuple[WayURL, ...], msgspec.Meta(max_length=MAX_WAYS)] = ()
    """URLs at which the monitor is reached, in place of those that a probe knows; none leaves them
    as they are."""


class SignedCatalogue(msgspec.Struct, frozen=True):
    """A signed catalogue; neither is the signature verified nor the body decoded."""

    header: SignatureHeader
    body: bytes

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        return CONTEXT + self.body


def encode_files(serial: int, files: Mapping[str, str], ways: Sequence[str] = ()) -> bytes:
    """Return the body, always the same for the same files. Raises WireError for what a probe would
    not decode."""
    body = msgspec.json.encode(
        CatalogueFiles(serial=serial, files=dict(files), ways=tuple(ways)), order="deterministic"
    )
    decode_files(body)
    return body


def decode_files(body: bytes) -> CatalogueFiles:
    """Return what is in a body. Raises WireError."""
    return _decoded(body, CatalogueFiles, "signed catalogue")


def encode_signed(header: SignatureHeader, body: bytes) -> bytes:
    """Return the whole document. Raises WireError when it is too long."""
    whole = msgspec.json.encode(header) + b"\n" + body
    document = zstd.compress(whole, COMPRESSION_LEVEL)
    if len(whole) > MAX_UNPACKED_BYTES or len(document) > MAX_DOCUMENT_BYTES:
        raise WireError(
            f"signed catalogue: {len(document)} bytes ({len(whole)} unpacked), at most "
            f"{MAX_DOCUMENT_BYTES} ({MAX_UNPACKED_BYTES})"
        )
    return document


def decode_signed(document: bytes) -> SignedCatalogue:
    """Return a document taken apart. Raises TooNewError for a later version, else WireError."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise WireError(f"signed catalogue: {len(document)} bytes, at most {MAX_DOCUMENT_BYTES}")
    try:
        decompressor = zstd.ZstdDecompressor()
        whole = decompressor.decompress(document, MAX_UNPACKED_BYTES)
    except (zstd.ZstdError, EOFError) as error:
        raise WireError(f"signed catalogue: not zstd: {error}") from None
    if not decompressor.eof or decompressor.unused_data:
        raise WireError(
            f"signed catalogue: truncated, over {MAX_UNPACKED_BYTES} bytes, or followed by others"
        )
    head, _, body = whole.partition(b"\n")
    if _decoded(head, _Version, "signed catalogue: header").v > SIGNED_VERSION:
        raise TooNewError("signed catalogue: of a later version of the format")
    return SignedCatalogue(_decoded(head, SignatureHeader, "signed catalogue: header"), body)


class _Version(msgspec.Struct, frozen=True):
    v: int


def _decoded(text: bytes, kind: type[_T], place: str) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{place}: {error}") from None
