"""Measurement lines as zstd frames: what the `line` column holds.

Level 3 costs some 7 µs for a line of 1.5 kB; higher levels cost more and gain two per cent.
A trained dictionary may come later without a new column, because a frame names its own.
"""

from __future__ import annotations

import sys

from probes.wire.bounds import MAX_LINE_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3


class Packer:
    """Packs lines with one compressor: making a new one for each line costs three times as
    much. Not for two threads at once."""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(level=LEVEL)

    def pack(self, line: bytes) -> bytes:
        """Return the line as one whole frame."""
        return self._compressor.compress(line, zstd.ZstdCompressor.FLUSH_FRAME)


def unpack(frame: bytes) -> bytes:
    """Return the line in a frame. Raises ValueError when it is none of ours."""
    try:
        decompressor = zstd.ZstdDecompressor()
        line = decompressor.decompress(frame, MAX_LINE_BYTES + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"stored line: {error}") from None
    if not decompressor.eof:
        raise ValueError("stored line: truncated or too long")
    return line
