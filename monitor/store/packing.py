# SPDX-License-Identifier: Apache-2.0
"""Compression of detector states."""

from __future__ import annotations

from probes.runtime.compression import zstd

STATE_LEVEL = 1
"""A state of 100 networks with 5 vantages each is 420 kB and packs in about a millisecond."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def pack_state(state: bytes) -> bytes:
    """Return a detector's state as one zstd frame: it is repetitive, and 140 of every service are
    kept."""
    return zstd.compress(state, STATE_LEVEL)


def unpack_state(frame: bytes) -> bytes:
    """Return the state in a frame. Other bytes (states were once stored plain) are returned as they
    are; decoding decides whether they are valid."""
    if not frame.startswith(_ZSTD_MAGIC):
        return frame
    try:
        return zstd.decompress(frame)
    except zstd.ZstdError:
        return frame
