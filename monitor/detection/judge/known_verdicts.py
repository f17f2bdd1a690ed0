# SPDX-License-Identifier: Apache-2.0
"""Verdicts that were reached before, so that measurements that look the same are judged once.

Most measurements of a fleet differ only in their times and in how many bytes were transferred. No
rule reads these unless something is compared, so a measurement without contrasts and transfers is
decoded without them (`recognise`) and judged without them. What remains makes a digest, its look.
With everything else that the judge reads, the verdict is found again by it.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import types
from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from monitor.detection.model import Verdict
from monitor.detection.observed.background import RoundBackground, background
from probes.wire.codec import decode
from probes.wire.measurement import Measurement
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
from probes.wire.protocol import Transport, protocol

UNREAD = frozenset(
    (
        *("at_us", "took_us", "after_us", "ttl"),
        *("sent_bytes", "received_bytes", "body_bytes", "body_sha256"),
        *("monotonic_us", "epoch", "sequence", "software"),
    )
)
"""Fields that no rule reads in such a measurement; a test changes them in every scene."""
MOST = 200_000
"""Looks and verdicts that are remembered, each; some 150 and 200 bytes."""


_Kept = TypeVar("_Kept", bound=Hashable)


def _loose(kind: Any, **other: Any) -> Any:
    """The type without fields that no rule reads, with any text where the wire format has a
    pattern, and with other types for some fields. Patterns take half of the time to decode a line;
    what looks the same is compared with them when it is seen first."""
    of = get_args(kind)
    match get_origin(kind):
        case None if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            every = msgspec.structs.fields(kind)
            return _without_unread(kind, **{f.name: _loose(f.type) for f in every} | other)
        case origin if origin is Annotated:
            return str if of[0] is str else Annotated[(_loose(of[0]), *of[1:])]
        case origin if origin in (Union, types.UnionType):
            return functools.reduce(operator.or_, map(_loose, of))
        case origin if origin is tuple:
            return types.GenericAlias(tuple, (_loose(of[0]), ...))
    return kind


def _without_unread(kind: Any, **other: Any) -> Any:
    """The struct without fields that no rule reads, and with other types for some fields."""
    fields = [
        (f.name, other.get(f.name, f.type), *(() if f.required else (f.default,)))
        for f in msgspec.structs.fields(kind)
        if f.name not in UNREAD
    ]
    tag: dict[str, Any] = {}
    if issubclass(kind, Observation):
        tag = {"tag_field": "step", "tag": step_of(kind)}
    return msgspec.defstruct(
        kind.__name__, fields, frozen=True, kw_only=True, omit_defaults=True, gc=False, **tag
    )


_plain: Any = _loose(DNSLookup, contrast=None)
for _kind in (TCPConnect, TLSHandshake, HTTPExchange, QUICHandshake, AppExchange):
    _plain = _plain | _loose(_kind, contrast=None)
_fields = {f.name: f for f in msgspec.structs.fields(Measurement)}
Recognised: Any = _without_unread(
    Measurement,
    target=str,
    combine=str,
    endpoints=_loose(_fields["endpoints"].type),
    observations=tuple[_plain, ...],
)
"""A Measurement without contrasts and transfers, and without what no rule reads in it. Text of its
look may be anything; what else it has is checked."""
_decoder = msgspec.json.Decoder(Recognised)
_encoder = msgspec.json.Encoder(order="deterministic")


def recognise(line: bytes) -> Any | None:
    """Return the Recognised in a measurement line; None when the line must be read in full."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def measurement_of(recognised: Any) -> Measurement:
    """Return the Measurement, in which what no rule reads has its default."""
    fields = msgspec.to_builtins(recognised)
    for seen in fields.get("observations", ()):
        for reply in seen.get("replies", ()):
            reply["after_us"] = 0  # has no default
    return decode(_encoder.encode(fields))


def digest(*values: object) -> bytes:
    """Return a digest of structs, sets and plain values: equal values have equal digests."""
    return hashlib.blake2b(_encoder.encode(values), digest_size=16).digest()


class Look(NamedTuple):
    """What follows from a look alone."""

    background: RoundBackground
    """What the measurement adds to the background of its round."""
    failed: bool
    """An observation failed: only then a rule reads the background."""
    over_udp: bool
    """As in `over_udp`."""


def look_of(recognised: Any) -> Look:
    """Return what follows from the look. Raises WireError when the line is no measurement."""
    measurement_of(recognised)  # whether it is one
    failed = any(
        seen.failure is not None or any(reply.rcode for reply in getattr(seen, "replies", ()))
        for seen in recognised.observations
    )
    return Look(background([recognised]), failed, over_udp(recognised.endpoints))


def over_udp(endpoints: Iterable[Any]) -> bool:
    """Whether it counts, in what the service's other targets show, that UDP passes at all."""
    return any(protocol(ref.protocol).transport is Transport.UDP for ref in endpoints)


class Memory(Generic[_Kept]):
    """A bounded memory by digest. What was asked for lately is kept; equal values are kept once."""

    def __init__(self) -> None:
        self._young: dict[bytes, _Kept] = {}
        self._old: dict[bytes, _Kept] = {}
        self._same: dict[_Kept, _Kept] = {}

    def get(self, key: bytes) -> _Kept | None:
        """Return what is known by this digest."""
        if (found := self._young.get(key)) is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, value: _Kept) -> None:
        """Remember a value."""
        if 2 * len(self._young) >= MOST:
            self._old, self._young, self._same = self._young, {}, {}
        self._young[key] = self._same.setdefault(value, value)


class KnownVerdicts:
    """What was concluded of measurements before, with the same fingerprints."""

    def __init__(self) -> None:
        self.looks: Memory[Look] = Memory()
        self.verdicts: Memory[Verdict] = Memory()
