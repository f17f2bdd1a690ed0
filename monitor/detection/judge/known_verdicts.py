# SPDX-License-Identifier: Apache-2.0
"""Verdicts that were reached before, so that measurements that look the same are judged once.

Most measurements of a fleet differ only in their times and in how many bytes were transferred. No
rule reads these unless something is compared, so a measurement without contrasts and transfers is
decoded without them (`recognise`) and judged without them. What remains, together with everything
else that the judge reads, makes a digest, by which the verdict is found again.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from monitor.detection.model import Verdict
from monitor.detection.observed.background import RoundBackground
from probes.wire.codec import decode
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Observation,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)

UNREAD = frozenset(
    (
        *("at_us", "took_us", "after_us", "ttl"),
        *("sent_bytes", "received_bytes", "body_bytes", "body_sha256"),
        *("monotonic_us", "epoch", "sequence", "software"),
    )
)
"""Fields that no rule reads in such a measurement; a test changes them in every scene."""
MOST = 200_000
"""Verdicts that are remembered; some 150 bytes each."""


def _without_unread(kind: Any, **other: Any) -> Any:
    """The struct without fields that no rule reads, and with other types for some fields."""
    fields = [
        (f.name, other.get(f.name, f.type), *(() if f.required else (f.default,)))
        for f in msgspec.structs.fields(kind)
        if f.name not in UNREAD
    ]
    tag = {"tag_field": "step", "tag": kind.STEP} if issubclass(kind, Observation) else {}
    return msgspec.defstruct(
        kind.__name__, fields, frozen=True, kw_only=True, omit_defaults=True, gc=False, **tag
    )


_reply: Any = _without_unread(DNSReply)
_plain: Any = _without_unread(DNSLookup, contrast=None, replies=tuple[_reply, ...])
for _kind in (TCPConnect, TLSHandshake, HTTPExchange, QUICHandshake, AppExchange):
    _plain = _plain | _without_unread(_kind, contrast=None)
Recognised: Any = _without_unread(Measurement, observations=tuple[_plain, ...])
"""A Measurement without contrasts and transfers, and without what no rule reads in it."""
_decoder = msgspec.json.Decoder(Recognised)
_encoder = msgspec.json.Encoder(order="sorted")


def recognise(line: bytes) -> Any | None:
    """Return the Recognised in a measurement line; None when the line must be read in full."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def something_failed(recognised: Any) -> bool:
    """Whether an observation of the Recognised failed: only then a rule reads the background."""
    return any(
        seen.failure is not None or any(reply.rcode for reply in getattr(seen, "replies", ()))
        for seen in recognised.observations
    )


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


class KnownVerdicts:
    """A bounded memory of verdicts by digest, each with what its measurement adds to the background
    of its round. What was asked for lately is kept."""

    def __init__(self) -> None:
        self._young: dict[bytes, tuple[Verdict, RoundBackground]] = {}
        self._old: dict[bytes, tuple[Verdict, RoundBackground]] = {}
        self._same: dict[RoundBackground, RoundBackground] = {}
        """Most measurements of a fleet add the same few values."""

    def get(self, key: bytes) -> tuple[Verdict, RoundBackground] | None:
        """Return what is known by this digest."""
        if (found := self._young.get(key)) is None and (found := self._old.get(key)) is not None:
            self.put(key, *found)
        return found

    def put(self, key: bytes, verdict: Verdict, seen: RoundBackground) -> None:
        """Remember a verdict."""
        if 2 * len(self._young) >= MOST:
            self._old, self._young, self._same = self._young, {}, {}
        self._young[key] = verdict, self._same.setdefault(seen, seen)
