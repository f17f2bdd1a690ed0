# SPDX-License-Identifier: Apache-2.0
"""Measurements and batches to bytes and back.

A Measurement is one JSON line. A batch is a header line and Measurement lines, compressed
with zstd. Any bytes give a value or a `WireError`; nothing else is ever raised. A step that
this version does not know is kept as it came, so a round trip loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Annotated, Any, TypeVar

import msgspec

from probes.runtime.compression import zstd
from probes.wire.bounds import (
    ASN,
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    MAX_LINE_BYTES,
    MAX_OBSERVATIONS,
    Count,
    Country,
    Hash,
    MeasurementId,
    Micros,
    Millis,
    ProbeId,
    Signature,
    Small,
    TargetId,
    Token,
)
from probes.wire.measurement import VERSION, Measurement, Software
from probes.wire.observation import (
    KNOWN,
    AnyObservation,
    Known,
    Unrecognised,
    step_of,
)

BATCH_VERSION = 1
_T = TypeVar("_T")


class WireError(Exception):
    """Bytes that are not what they claim to be. The text names the place and the reason; `size` is
    how many bytes were decompressed to find out."""

    size = 0


class TooNewError(WireError):
    """A batch of a later version: not malformed, so it must wait and not be acknowledged."""


class BatchHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a batch."""

    v: int = BATCH_VERSION
    boot: Token
    """Random id of this run of the daemon; `sequence` counts within it."""
    sequence: Count
    """Number of the batch."""
    key: Token = ""
    """Id of the key that signed it (`probes.wire.batch_signature`); empty if it is not signed."""
    signature: Signature = ""
    """Of its lines; empty if it is not signed."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A header and the Measurement lines as sent, not yet decoded."""

    header: BatchHeader
    lines: tuple[bytes, ...]


class EnvelopeVantage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of a `Vantage` that the store keeps."""

    country: Country = "ZZ"
    asn: ASN = 0


class EnvelopeReply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Numbers of a `DNSReply` that no rule reads."""

    after_us: Micros
    ttl: Count | None = None


class EnvelopeObservation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Fields of an observation that no rule reads."""

    at_us: Micros = 0
    took_us: Micros = 0
    sent_bytes: Count = 0
    received_bytes: Count = 0
    body_bytes: Count = 0
    body_sha256: Hash | None = None
    replies: Annotated[tuple[EnvelopeReply, ...], msgspec.Meta(max_length=16)] = ()


class _Unread(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What no rule reads: checked and not kept."""

    monotonic_us: Micros = 0
    software: Software = Software()
    observations: Annotated[
        tuple[EnvelopeObservation, ...], msgspec.Meta(max_length=MAX_OBSERVATIONS)
    ] = ()


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a Measurement by which it is admitted and found again. `decode_envelope` checks
    those that no rule reads as well; the others are known to be JSON and nothing more. A rule that
    reads an invalid field fails to, so that a line which passes both is a Measurement: live
    detection and replay agree on that."""

    v: Annotated[int, msgspec.Meta(ge=1, le=VERSION)] = VERSION
    id: MeasurementId
    probe: ProbeId
    target: TargetId
    round: Millis
    interval_ms: Millis = 0
    started: Millis
    took_us: Micros = 0
    clock_offset_ms: Small | None = None
    clock_corrected_ms: Small = 0
    epoch: Token = ""
    sequence: Count = 0
    vantage: EnvelopeVantage = EnvelopeVantage()


_Word = Annotated[str, msgspec.Meta(max_length=100)]


class _LooseVantage(EnvelopeVantage, frozen=True, kw_only=True, gc=False):
    country: _Word = "ZZ"


class _LooseEnvelope(Envelope, frozen=True, kw_only=True, gc=False):
    """An envelope with what no rule reads, in which no pattern was looked for."""

    id: Annotated[str, msgspec.Meta(min_length=32, max_length=32)]
    probe: _Word
    target: _Word
    epoch: _Word = ""
    vantage: _LooseVantage = _LooseVantage()
    monotonic_us: Micros = 0
    software: msgspec.Raw = msgspec.Raw(b"{}")
    observations: Annotated[
        tuple[EnvelopeObservation, ...], msgspec.Meta(max_length=MAX_OBSERVATIONS)
    ] = ()


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    """The words of several envelopes, each once."""

    ids: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]*\Z")]
    """All of them in one."""
    probes: frozenset[ProbeId]
    targets: frozenset[TargetId]
    epochs: frozenset[Token]
    countries: frozenset[Country]


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The monitor's confirmation that batches are durably stored or quarantined."""

    v: int = 1
    boot: Token
    """Run of the daemon that the batches belong to."""
    sequences: Annotated[tuple[Count, ...], msgspec.Meta(max_length=4096)]
    """Numbers of the batches."""
    place: Annotated[int, msgspec.Meta(ge=0, lt=1000)] | None = None
    """The probe's place in the interval of its rounds, in thousandths, so that the probes of a
    network take turns; null if the monitor gives none."""
    vantages: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many vantages of the network take turns, this one included; null as above."""
    quarantined: Count = 0
    """How many measurements of these batches were not accepted."""
    reason: Token = ""
    """Why the last of them was not, as in the monitor's quarantine."""
    held: Annotated[tuple[Count, ...], msgspec.Meta(max_length=4096)] = ()
    """Numbers of batches that are not stored because their times are impossible by the monitor's
    clock: the probe keeps them, and sends them again with its clock corrected or later."""
    clock_offset_ms: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | None = None
    """The probe's clock minus the monitor's, from the probe's last status; null if unknown."""


class FailingWay(msgspec.Struct, frozen=True, kw_only=True):
    """A way to the monitor that does not work in the probe's network."""

    way: Token
    """Its kind: `mqtts`, `wss`, `https`, the same behind `proxy+`."""
    failure: Token
    """Why it failed last: an OONI failure string, or `no_progress`, `not_acknowledged`,
    `dns_lookup_failed`, `not_the_monitor`, `proxy_failed`, `credentials_refused`, `sent_too_much`,
    `connection_lost`."""
    since_ms: Millis = 0
    """Since when it fails, by the probe's clock."""
    attempts: Count = 0
    """How often it was tried since."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """State of a probe, sent at its start and end, every minute, and (`lost`) as the MQTT will."""

    v: int = 1
    state: Token
    """`hello`, `heartbeat`, `goodbye` or `lost`."""
    boot: Token = ""
    """Random id of this run of the daemon."""
    version: Token = ""
    """Version of the probe."""
    catalogue: Token = ""
    """Version of its catalogue."""
    consent: Token = ""
    """Hash of the consent text that the volunteer agreed to."""
    spool_rows: Count = 0
    """Measurements in the spool."""
    spool_oldest_seconds: Count = 0
    """Age of the oldest one."""
    dropped: Count = 0
    """Measurements that were dropped because the spool was full, since it was created."""
    taken: Count = 0
    """Measurements that were written to the spool, since it was created."""
    transport: Token = ""
    """How the probe reaches the broker."""
    epoch: Token = ""
    """Random name of the spool."""
    sequence: Count = 0
    """Number of the newest measurement in it."""
    acked: Count = 0
    """Measurements that the monitor has acknowledged, since the spool was created."""
    failing_ways: Annotated[tuple[FailingWay, ...], msgspec.Meta(max_length=16)] = ()
    """Better ways to the monitor than the one in use that do not work here, the best first."""
    clock_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """The probe's clock when it sent this, Unix time in milliseconds; 0 if it does not say."""


class _Loose(msgspec.Struct, frozen=True, kw_only=True):
    """Only what tells which way an observation is decoded."""

    step: Token


_KNOWN_STEPS = frozenset(map(step_of, KNOWN))
_STEP, _WORDS = b'"step":"', frozenset(step.encode() for step in _KNOWN_STEPS)
"""How we encode the name of a step, and the steps that are known."""
_OBSERVATIONS = b'"observations":['
_FIELDS = tuple(Measurement.__struct_fields__)
_annotations = msgspec.structs.fields(Measurement)


def _with_observations(name: str, kind: Any) -> Any:
    """A struct like Measurement whose observations are of another type."""
    several = Annotated[tuple[kind, ...], msgspec.Meta(max_length=MAX_OBSERVATIONS)]
    return msgspec.defstruct(
        name,
        [
            (
                f.name,
                several if f.name == "observations" else f.type,
                *(() if f.default is msgspec.NODEFAULT else (f.default,)),
            )
            for f in _annotations
        ],
        frozen=True,
        kw_only=True,
        omit_defaults=True,
    )


Undecoded = _with_observations("Undecoded", msgspec.Raw)
"""A Measurement whose observations are not decoded yet."""
_encoder = msgspec.json.Encoder()
_undecoded_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Undecoded)
_envelope_decoder = msgspec.json.Decoder(Envelope)
_unread_decoder = msgspec.json.Decoder(_Unread)
_loose_decoder = msgspec.json.Decoder(_LooseEnvelope)
_software_decoder = msgspec.json.Decoder(Software)
KnownMeasurement = _with_observations("KnownMeasurement", Known)
"""A Measurement in which every step is known."""
_known_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(KnownMeasurement)
_observation_decoder: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)
_several_decoder: msgspec.json.Decoder[tuple[Known, ...]] = msgspec.json.Decoder(tuple[Known, ...])
_step_decoder = msgspec.json.Decoder(_Loose)
_header_decoder = msgspec.json.Decoder(BatchHeader)
_ack_decoder = msgspec.json.Decoder(Ack)
_status_decoder = msgspec.json.Decoder(Status)


def encode(measurement: Measurement) -> bytes:
    """Return the Measurement as one JSON line, without the newline."""
    if not any(type(o) is Unrecognised for o in measurement.observations):
        return _encoder.encode(measurement)
    values: dict[str, Any] = {name: getattr(measurement, name) for name in _FIELDS}
    values["observations"] = [
        msgspec.Raw(o.raw) if type(o) is Unrecognised else o for o in measurement.observations
    ]
    return _encoder.encode(Undecoded(**values))


def decode(line: bytes) -> Measurement:
    """Return the Measurement in one JSON line.

    Raises WireError with the path of the offending field.
    """
    _check_line(line)
    try:
        # At once: a third of the time that one observation after the other takes.
        if _seems_known(line):
            return _measurement(_known_decoder.decode(line))
        if (decoded := _with_unknown_end(line)) is not None:
            return decoded
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # a step that this version does not know, or an error, whose place is found below
    try:
        undecoded = _undecoded_decoder.decode(line)
        values = {name: getattr(undecoded, name) for name in _FIELDS}
        values["observations"] = _observations(undecoded.observations)
        return Measurement(**values)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from None


def _check_line(line: bytes) -> None:
    """Raise WireError for a line that is too long, or no text: msgspec looks at no bytes of a
    string that nobody asks for, and whoever shows the line or a step that is unknown would."""
    if len(line) > MAX_LINE_BYTES:
        raise WireError(f"line of {len(line)} bytes, at most {MAX_LINE_BYTES}")
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"not UTF-8: {error.reason} at byte {error.start}") from None


def _seems_known(line: bytes) -> bool:
    """Whether the last step is known: what others measured ends with one that is not."""
    begin = line.rfind(_STEP)
    return begin < 0 or _word(line, begin) in _WORDS


def _with_unknown_end(line: bytes) -> Measurement | None:
    """A Measurement whose last step alone is unknown, in half of the time: the others are decoded
    at once. None where the line is not written as we write it."""
    end = line.rfind(_STEP) - 1
    begin = line.rfind(_OBSERVATIONS, 0, end) + len(_OBSERVATIONS)
    if begin < len(_OBSERVATIONS) or line[end : end + 1] != b"{" or not line.endswith(b"]}"):
        return None
    # The beginning is a whole object with these two brackets: so what follows it are observations.
    undecoded = _undecoded_decoder.decode(line[:begin] + b"]}")
    others = line[begin:end]
    known = _several_decoder.decode(b"[%b]" % others[:-1])
    last = _step_decoder.decode(line[end:-2])
    if others[-1:] != b"," or not 0 < len(known) < MAX_OBSERVATIONS or last.step in _KNOWN_STEPS:
        return None
    values = {name: getattr(undecoded, name) for name in _FIELDS}
    values["observations"] = (*known, Unrecognised(step=last.step, raw=line[end:-2]))
    return Measurement(**values)


def _word(text: bytes, begin: int) -> bytes:
    """The name of the step at a place."""
    return text[begin + len(_STEP) : text.find(b'"', begin + len(_STEP))]


def _observations(raws: Sequence[msgspec.Raw]) -> tuple[AnyObservation, ...]:
    """Observations of which some are unknown: the others are decoded at once. Raises WireError."""
    each = [bytes(raw) for raw in raws]
    plain = [
        raw.startswith(_STEP, 1) and _word(raw, 1) in _WORDS and raw.count(b'"step"') == 1
        for raw in each
    ]
    try:
        decoded = iter(_several_decoder.decode(b"[%b]" % b",".join(compress(each, plain))))
    except (msgspec.DecodeError, UnicodeDecodeError):
        plain, decoded = [False] * len(each), iter(())  # one by one, which finds the place
    return tuple(
        next(decoded) if at_once else decode_observation(index, raw)
        for index, (raw, at_once) in enumerate(zip(raws, plain, strict=True))
    )


def measurement_like(other: object) -> Measurement:
    """Return the Measurement with the attributes of an object, of whose observations each tells its
    `step`.

    Raises WireError with the path of the offending attribute.
    """
    try:
        return _measurement(msgspec.convert(other, KnownMeasurement, from_attributes=True))
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from None


def _measurement(known: object) -> Measurement:
    return Measurement(**{name: getattr(known, name) for name in _FIELDS})


def decode_envelope(line: bytes) -> Envelope:
    """Return the envelope of the Measurement in one JSON line. Whether the rest of the line is
    valid, only `decode` tells.

    Raises WireError with the path of the offending field.
    """
    _check_line(line)
    _decoded(_unread_decoder, line)
    return _decoded(_envelope_decoder, line)


def decode_envelopes(lines: Sequence[bytes]) -> Sequence[Envelope]:
    """The envelopes of all lines of a batch, in half of the time that `decode_envelope` takes for
    each: words that several lines have in common are compared with their patterns once.

    Raises WireError, without a place, when one of them would be refused.
    """
    for line in lines:
        _check_line(line)
    found: list[_LooseEnvelope] = []
    software: set[bytes] = set()
    for line in lines:
        one = _decoded(_loose_decoder, line)
        software.add(bytes(one.software))
        # Nobody asks for them again, and the next line's take the same memory.
        msgspec.structs.force_setattr(one, "observations", ())
        found.append(one)
    words = {
        "ids": "".join([one.id for one in found]),
        "probes": {one.probe for one in found},
        "targets": {one.target for one in found},
        "epochs": {one.epoch for one in found},
        "countries": {one.vantage.country for one in found},
    }
    try:
        msgspec.convert(words, _Words)
    except msgspec.ValidationError as error:
        raise WireError(str(error)) from None
    for each in software:
        _decoded(_software_decoder, each)
    return found


def envelope_of(measurement: Measurement) -> Envelope:
    """The envelope of a decoded Measurement."""
    place = measurement.vantage
    return Envelope(
        id=measurement.id,
        probe=measurement.probe,
        target=measurement.target,
        round=measurement.round,
        interval_ms=measurement.interval_ms,
        started=measurement.started,
        took_us=measurement.took_us,
        clock_offset_ms=measurement.clock_offset_ms,
        clock_corrected_ms=measurement.clock_corrected_ms,
        epoch=measurement.epoch,
        sequence=measurement.sequence,
        vantage=EnvelopeVantage(country=place.country, asn=place.asn),
    )


def decode_observation(index: int, raw: msgspec.Raw) -> AnyObservation:
    """Return the observation in a JSON object; `index` is its place, for the message.

    Raises WireError.
    """
    try:
        if (step := _step_decoder.decode(raw).step) not in _KNOWN_STEPS:
            return Unrecognised(step=step, raw=bytes(raw))
        return _observation_decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise WireError(f"observations[{index}]: {error}") from None


def encode_batch(header: BatchHeader, lines: Sequence[bytes], level: int = 9) -> bytes:
    """Return header and lines, one a line, compressed with zstd at a level."""
    return zstd.compress(b"\n".join((_encoder.encode(header), *lines)), level)


def decode_batch(payload: bytes) -> Batch:
    """Return the batch in an MQTT payload; its lines are not decoded yet.

    Raises TooNewError for a later version, WireError for anything malformed or oversized.
    """
    header, raw, _ = _decompressed(payload)
    return Batch(header=header, lines=_split(raw))


def first_lines(payload: bytes, count: int) -> Sequence[bytes]:
    """Return the first lines of a batch, `count` of them or all where there are fewer. What follows
    is not cut into lines: of hundreds few are wanted.

    Raises as `decode_batch`.
    """
    _, raw, _ = _decompressed(payload)
    return raw.split(b"\n", count + 1)[1 : count + 1]


def lines_holding(payload: bytes, text: bytes) -> Sequence[tuple[int, bytes]]:
    """Return the lines of a batch that hold a text, with their places; also those with a backslash,
    since JSON may write any text with escapes. Others are not cut out: of hundreds one is wanted.

    Raises as `decode_batch`.
    """
    _, raw, end = _decompressed(payload)
    if raw.find(b"\\", end) >= 0:
        lines = enumerate(_split(raw))
        return [(place, line) for place, line in lines if text in line or b"\\" in line]
    found: list[tuple[int, bytes]] = []
    place, counted = -1, end
    while (at := raw.find(text, counted)) >= 0:
        place += raw.count(b"\n", counted, at)
        counted = raw.find(b"\n", at)
        counted = len(raw) if counted < 0 else counted
        found.append((place, raw[raw.rfind(b"\n", 0, at) + 1 : counted]))
    return found


def _decompressed(payload: bytes) -> tuple[BatchHeader, bytes, int]:
    """The header of a batch, all of its bytes, and where its first line ends."""
    try:
        decompressor = zstd.ZstdDecompressor()
        raw = decompressor.decompress(payload, MAX_BATCH_BYTES)
    except (zstd.ZstdError, EOFError) as error:
        raise WireError(f"not zstd: {error}") from None
    if not decompressor.eof:
        raise _sized(len(raw), f"truncated, or over {MAX_BATCH_BYTES} bytes after decompression")
    if decompressor.unused_data:
        raise WireError("bytes after the end of the batch")
    end = raw.find(b"\n")
    end = len(raw) if end < 0 else end
    try:
        header = _header_decoder.decode(raw[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"batch header: {error}") from None
    if header.v > BATCH_VERSION:
        raise TooNewError(f"batch header: version {header.v}, this collector knows {BATCH_VERSION}")
    return header, raw, end


def _split(raw: bytes) -> tuple[bytes, ...]:
    # Counted before they are split: a batch of 300 bytes may hold eight million empty lines.
    if (count := raw.count(b"\n")) > MAX_BATCH_LINES:
        raise _sized(len(raw), f"batch of {count} lines, at most {MAX_BATCH_LINES}")
    return tuple(raw.split(b"\n")[1:])


def _sized(size: int, text: str) -> WireError:
    error = WireError(text)
    error.size = size
    return error


def encode_message(message: Ack | Status) -> bytes:
    """Return an acknowledgement or a status as JSON."""
    return _encoder.encode(message)


def decode_ack(payload: bytes) -> Ack:
    """Return the acknowledgement in an MQTT payload. Raises WireError."""
    return _decoded(_ack_decoder, payload)


def decode_status(payload: bytes) -> Status:
    """Return the status in an MQTT payload. Raises WireError."""
    return _decoded(_status_decoder, payload)


def _decoded(decoder: msgspec.json.Decoder[_T], payload: bytes) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from None


def read_lines(lines: Iterable[bytes]) -> Iterable[tuple[int, Measurement | WireError]]:
    """Decode JSON Lines: each line's number (from 1) with its Measurement or what is wrong."""
    for number, line in enumerate(lines, 1):
        if stripped := line.strip():
            try:
                yield number, decode(stripped)
            except WireError as error:
                yield number, error
