# SPDX-License-Identifier: Apache-2.0
"""One MQTT payload into measurements and what is malformed in it. Pure.

Any bytes give an `UnpackedBatch`, or `TooNewError` for a batch of a newer version, which must stay
at its probe. Malformed parts are kept for the quarantine with their line number. Whenever the
header can be read, the batch can be acknowledged, so that it is not sent for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.collector.admission import QuarantineReason
from monitor.collector.rates import MALFORMED_UNITS, units
from probes.runtime.compression import zstd
from probes.wire import codec
from probes.wire.codec import BatchHeader, Envelope, TooNewError, WireError
from probes.wire.measurement import VERSION

HEADER_BYTES = 4096
MAX_BAD_LINES = 20
"""Malformed lines of one batch that are kept; the last one tells how many more there were."""


class Malformed(msgspec.Struct, frozen=True):
    """Bytes for the quarantine."""

    reason: QuarantineReason
    detail: str
    payload: bytes


class UnpackedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a payload."""

    header: BatchHeader | None
    """None when the header could not be read: nothing to acknowledge."""
    lines: tuple[bytes, ...] = ()
    """As sent."""
    entries: tuple[tuple[int, Envelope], ...] = ()
    """(place among the lines, envelope) of those that have a valid envelope."""
    bad: tuple[Malformed, ...] = ()
    bytes: int = 0
    """Decompressed."""
    cost: int = 1
    """For the rate of its probe (`monitor.collector.rates`)."""


class _Version(msgspec.Struct, frozen=True):
    v: int = 1


def unpack(payload: bytes) -> UnpackedBatch:
    """Unpack a payload. Raises TooNewError when the batch, or a measurement in it, is of a newer
    version."""
    try:
        batch = codec.decode_batch(payload)
    except TooNewError:
        raise
    except WireError as error:
        bad = Malformed(QuarantineReason.MALFORMED_BATCH, str(error), payload)
        cost = max(MALFORMED_UNITS, units(1, error.size))
        return UnpackedBatch(
            header=readable_header(payload), bad=(bad,), bytes=error.size, cost=cost
        )
    wrong: list[Malformed] = []
    try:
        good = list(enumerate(codec.decode_envelopes(batch.lines)))
    except WireError:
        good, wrong = _one_by_one(batch.lines)
    size = sum(map(len, batch.lines))
    return UnpackedBatch(
        header=batch.header,
        lines=batch.lines,
        entries=tuple(good),
        bad=_bounded(wrong),
        bytes=size,
        cost=units(len(batch.lines), size),
    )


def _one_by_one(
    lines: Sequence[bytes],
) -> tuple[list[tuple[int, Envelope]], list[Malformed]]:
    """The envelopes of a batch with lines that have none, and these. Raises TooNewError."""
    good: list[tuple[int, Envelope]] = []
    wrong: list[Malformed] = []
    for place, line in enumerate(lines):
        try:
            good.append((place, codec.decode_envelope(line)))
        except WireError as error:
            detail = f"line {place + 1}: {error}"
            if _is_newer(line):
                raise TooNewError(detail) from None
            wrong.append(Malformed(QuarantineReason.MALFORMED_LINE, detail, line))
    return good, wrong


def _bounded(wrong: list[Malformed]) -> tuple[Malformed, ...]:
    if len(wrong) <= MAX_BAD_LINES:
        return tuple(wrong)
    last = wrong[MAX_BAD_LINES - 1]
    more = f"{last.detail}; and {len(wrong) - MAX_BAD_LINES} more lines"
    return (*wrong[: MAX_BAD_LINES - 1], msgspec.structs.replace(last, detail=more))


def _is_newer(line: bytes) -> bool:
    try:
        return msgspec.json.decode(line, type=_Version).v > VERSION
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def readable_header(payload: bytes) -> BatchHeader | None:
    """The header of a batch that is malformed after it, if it can be read."""
    try:
        start = zstd.ZstdDecompressor().decompress(payload, HEADER_BYTES)
        return msgspec.json.decode(start.split(b"\n", 1)[0], type=BatchHeader)
    except (zstd.ZstdError, EOFError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
