# SPDX-License-Identifier: Apache-2.0
"""One MQTT payload to measurements and what is wrong with it. Pure.

Any bytes give an `Unpacked`, or `TooNewError` for a batch of a later version, which must wait
at its probe. What is malformed is kept for the quarantine with its place; whenever the header
can be read at all, the batch can be acknowledged, so that it does not come for ever.
"""

from __future__ import annotations

import msgspec

from monitor.collector import admission
from probes.runtime.compression import zstd
from probes.wire import codec
from probes.wire.codec import BatchHeader, TooNewError, WireError
from probes.wire.measurement import VERSION, Measurement

HEADER_BYTES = 4096
MAX_BAD_LINES = 20
"""Malformed lines of one batch that are kept; the others are counted in the last remark."""


class Bad(msgspec.Struct, frozen=True):
    """Bytes for the quarantine."""

    reason: str
    detail: str
    payload: bytes


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """What was in a payload."""

    header: BatchHeader | None
    """None when not even the header could be read: nothing to acknowledge."""
    measurements: tuple[tuple[Measurement, bytes], ...] = ()
    """(decoded, line as sent)."""
    bad: tuple[Bad, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    v: int = 1


def unpack(payload: bytes) -> Unpacked:
    """Take a payload apart. Raises TooNewError when the batch, or a measurement in it, is of a
    later version."""
    try:
        batch = codec.decode_batch(payload)
    except TooNewError:
        raise
    except WireError as error:
        bad = Bad(admission.MALFORMED_BATCH, str(error), payload)
        return Unpacked(header=salvaged_header(payload), bad=(bad,))
    good: list[tuple[Measurement, bytes]] = []
    wrong: list[Bad] = []
    for number, line in enumerate(batch.lines, 1):
        try:
            good.append((codec.decode(line), line))
        except WireError as error:
            if _later(line):
                raise TooNewError(f"line {number}: {error}") from None
            wrong.append(Bad(admission.MALFORMED_LINE, f"line {number}: {error}", line))
    return Unpacked(header=batch.header, measurements=tuple(good), bad=_few(wrong))


def _few(wrong: list[Bad]) -> tuple[Bad, ...]:
    if len(wrong) <= MAX_BAD_LINES:
        return tuple(wrong)
    last = wrong[MAX_BAD_LINES - 1]
    more = f"{last.detail}; and {len(wrong) - MAX_BAD_LINES} more lines"
    return (*wrong[: MAX_BAD_LINES - 1], msgspec.structs.replace(last, detail=more))


def _later(line: bytes) -> bool:
    try:
        return msgspec.json.decode(line, type=_Version).v > VERSION
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def salvaged_header(payload: bytes) -> BatchHeader | None:
    """The header of a batch that is malformed after it, when it can be read."""
    try:
        start = zstd.ZstdDecompressor().decompress(payload, HEADER_BYTES)
        return msgspec.json.decode(start.split(b"\n", 1)[0], type=BatchHeader)
    except (zstd.ZstdError, EOFError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
