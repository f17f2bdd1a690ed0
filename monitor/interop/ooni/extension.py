# SPDX-License-Identifier: Apache-2.0
"""The key `x_reachwatch` in exported measurements: what OONI's keys cannot hold.

OONI's formats allow keys that begin with `x_`. This one holds the observation in our wire format
and its position, so that importing an export loses nothing while others read OONI's keys. If
OONI's failure was changed, OONI's keys count instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from monitor.interop.ooni.run import Run
from probes.wire.bounds import Count, MeasurementId, Micros, Millis, TargetId, Token
from probes.wire.codec import WireError, decode_observation
from probes.wire.measurement import EndpointRef
from probes.wire.observation import AnyObservation, Unrecognised

TEST = "reachwatch"
"""OONI's `test_name` of our measurements; their `input` is the target."""
KEY = "x_reachwatch"
LISTS = ("queries", "tcp_connect", "tls_handshakes", "requests", KEY)
"""Keys of `test_keys` that hold observations; under KEY those that OONI has no key for."""


class ExtensionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One observation as it was measured."""

    index: Count
    observation: msgspec.Raw = msgspec.Raw(b"null")
    text: str = ""
    """The observation byte for byte instead, if its kind is unknown here."""


class ExtensionFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The rest of a measurement without an OONI key, under `x_reachwatch_frame`."""

    id: MeasurementId
    target: TargetId
    combine: Token = "any_of"
    endpoints: Annotated[tuple[EndpointRef, ...], msgspec.Meta(max_length=128)] = ()
    started: Millis
    """OONI's times have no fractions of a second."""
    took_us: Micros = 0


FRAME = "x_reachwatch_frame"
_kept = msgspec.json.Decoder(ExtensionEntry)
_frame = msgspec.json.Decoder(ExtensionFrame)
_encoder = msgspec.json.Encoder()


def restore(run: Run, keys: Mapping[str, Any]) -> None:
    """Replace what OONI's keys gave by our own observations. Without them, or with malformed ones,
    the measurement stays as OONI's keys have it."""
    try:
        frame = _frame.decode(_encoder.encode(keys.get(FRAME)))
        found = sorted(_entries(keys), key=lambda pair: pair[0])
    except (msgspec.DecodeError, WireError, UnicodeError):
        return
    if found:
        run.seen = {frame.target: []}
        run.own = tuple(seen for _, seen in found)
        run.combine, run.refs = frame.combine, frame.endpoints
        run.id = frame.id
        run.started, run.took_us = frame.started, frame.took_us


def _entries(keys: Mapping[str, Any]) -> list[tuple[int, AnyObservation]]:
    found = []
    for name in LISTS:
        entries = keys.get(name)
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict):
                raise WireError(f"{name}: not an object")
            own = _kept.decode(_encoder.encode(entry.get(KEY) if name != KEY else entry))
            raw = msgspec.Raw(own.text.encode()) if own.text else own.observation
            seen = decode_observation(own.index, raw)
            if name != KEY and not isinstance(seen, Unrecognised):
                status = entry.get("status")
                failure = (status if isinstance(status, dict) else entry).get("failure")
                if failure != seen.failure:
                    raise WireError(f"{name}: {failure!r} where {KEY} has {seen.failure!r}")
            found.append((own.index, seen))
    return found


def extension_entry(index: int, seen: AnyObservation) -> ExtensionEntry:
    """The entry of an observation."""
    if isinstance(seen, Unrecognised):
        return ExtensionEntry(index=index, text=seen.raw.decode())
    return ExtensionEntry(index=index, observation=msgspec.Raw(_encoder.encode(seen)))
