# SPDX-License-Identifier: Apache-2.0
"""What a measurement looks like to the rules, by which it is recognised when it comes again.

Most measurements of a fleet differ only in their times and in how many bytes were transferred. No
rule reads these unless something is compared, got no answer in time or failed over QUIC, so a
measurement without contrasts, transfers, silence and failed QUIC handshakes is decoded without
them. What remains makes its look. An imported run has the record of the whole run as well, most of
which nothing reads.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import types
from typing import Annotated, Union, cast, get_args, get_origin

import msgspec

from monitor.detection.observed.imported_run import VPN, DecodedRecord, record_of
from monitor.detection.observed.liveness import CLOCK_TOLERANCE_MS
from monitor.detection.observed.relay_networks import is_relay
from probes.wire.bounds import MeasurementId, Millis, ProbeId, Small, Token
from probes.wire.codec import measurement_like
from probes.wire.failure import Failure
from probes.wire.measurement import VERSION, Measurement, Software, Vantage
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Observation,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    step_of,
)

UNREAD = frozenset(
    (
        *("at_us", "took_us", "after_us", "ttl"),
        *("sent_bytes", "received_bytes", "body_bytes", "body_sha256"),
        *("monotonic_us", "clock_corrected_ms", "epoch", "sequence"),
        *("python", "openssl", "tls_profile"),
    )
)
"""Fields that no rule reads in such a measurement; a test changes them in every scene."""
_HEARD = Annotated[str, msgspec.Meta(pattern=f"^(?!{Failure.TIMEOUT}$)")]
"""Failures other than silence, of which it counts when it was waited for."""
_PLAIN = (DNSLookup, TCPConnect, TLSHandshake, HTTPExchange, AppExchange)


class Recognised(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A Measurement without contrasts, transfers, silence and failed QUIC handshakes, and without
    what no rule reads in it. Text of its look may be anything: patterns take half of the time to
    decode a line, and are compared when a look is new. What else it has is checked."""

    v: Annotated[int, msgspec.Meta(ge=1, le=VERSION)]
    id: MeasurementId
    probe: ProbeId
    target: str
    round: Millis
    interval_ms: Millis = 0
    started: Millis
    clock_offset_ms: Small | None = None
    retest: bool = False
    vantage: Vantage = Vantage()
    catalogue: Token = ""
    software: Software = Software()
    combine: str = "any_of"
    endpoints: tuple[object, ...] = ()
    observations: tuple[object, ...] = ()


def _loose(kind: type) -> type:
    """The type without fields that no rule reads, and with any text where the wire format has a
    pattern."""
    of = get_args(kind)
    match get_origin(kind):
        case None if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return _loose_struct(kind)
        case origin if origin is Annotated:
            return cast(type, str if of[0] is str else Annotated[(_loose(of[0]), *of[1:])])
        case origin if origin in (Union, types.UnionType):
            return _union(*map(_loose, of))
        case origin if origin is tuple:
            return cast(type, types.GenericAlias(tuple, (_loose(of[0]), ...)))
    return kind


def _union(*kinds: type) -> type:
    return functools.reduce(operator.or_, kinds)


def _loose_struct(kind: type[msgspec.Struct], failure: type | None = None) -> type:
    """The struct with loose fields. An observation is no contrast, tells its step, and may have
    this type of `failure`. What no rule reads is no field: it has its default, whatever was
    sent."""
    step = step_of(kind) if issubclass(kind, Observation) else None
    told = {"contrast": type(None), "failure": failure} if step else {}
    fields: list[tuple[str, type] | tuple[str, type, object]] = []
    unread: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in UNREAD:
            unread[field.name] = 0 if field.required else field.default
        else:
            loose = told.get(field.name) or _loose(field.type)
            required = (field.name, loose)
            fields.append(required if field.required else (*required, field.default))
    return msgspec.defstruct(
        kind.__name__,
        fields,
        namespace=unread | ({"step": step} if step else {}),
        tag_field="step" if step else None,
        tag=step,
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        gc=False,
    )


def _recognised(failure: type, *others: type) -> type[Recognised]:
    """The Recognised whose endpoints and observations have loose types. `failure`: how a step may
    fail; `others`: further types of observations."""
    of_measurement = {field.name: field.type for field in msgspec.structs.fields(Measurement)}
    plain = (_loose_struct(kind, failure) for kind in _PLAIN)
    quic = _loose_struct(QUICHandshake, type(None))
    observations = types.GenericAlias(tuple, (_union(*plain, quic, *others), ...))
    software = _loose(Software)
    return cast(
        type[Recognised],
        msgspec.defstruct(
            "Recognised",
            [
                ("endpoints", _loose(of_measurement["endpoints"]), ()),
                ("observations", observations, ()),
                ("software", software, software()),
            ],
            bases=(Recognised,),
            frozen=True,
            kw_only=True,
            omit_defaults=True,
            gc=False,
        ),
    )


_RECOGNISED = _recognised(_union(_HEARD, type(None)))
_decoder = msgspec.json.Decoder(_RECOGNISED)
_run_decoder = msgspec.json.Decoder(_recognised(_union(str, type(None)), DecodedRecord))
_encoder = msgspec.json.Encoder(order="deterministic")


def recognise(line: bytes) -> Recognised | None:
    """Return the Recognised in a measurement line; None when the line must be read in full."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def recognise_run(line: bytes) -> Recognised | None:
    """Return the same of an imported run."""
    try:
        return _run_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def recognised_in(measurement: Measurement) -> Recognised | None:
    """Return the same of a Measurement that has been read in full."""
    try:
        return msgspec.convert(measurement, _RECOGNISED, from_attributes=True)
    except msgspec.ValidationError:
        return None


def measurement_of(recognised: Recognised) -> Measurement:
    """Return the Measurement, in which what no rule reads has its default. Raises WireError when it
    is none."""
    return measurement_like(recognised)


def look(recognised: Recognised) -> bytes:
    """Return a digest of all that the rules read in it."""
    return digest(
        recognised.target,
        recognised.combine,
        recognised.endpoints,
        recognised.observations,
        recognised.vantage.country,
        recognised.vantage.resolver_class,
        abs(recognised.clock_offset_ms or 0) > CLOCK_TOLERANCE_MS,
    )


def look_of_run(recognised: Recognised) -> bytes:
    """Return a digest of all that the judge of imported runs reads in one."""
    record = record_of(recognised.observations)
    return digest(
        recognised.target,
        recognised.endpoints,
        [seen for seen in recognised.observations if not isinstance(seen, DecodedRecord)],
        recognised.vantage.country,
        is_relay(recognised.vantage.asn),
        record.passed == 0,
        record.own_authority,
        record.network_type == VPN,
        record.helper,
        record.page,
    )


def digest(*values: object) -> bytes:
    """Return a digest of structs, sets and plain values: equal values have equal digests."""
    return hashlib.blake2b(_encoder.encode(values), digest_size=16).digest()
