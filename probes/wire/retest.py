# SPDX-License-Identifier: Apache-2.0
"""A retest: the detector asks the probes of one network to measure some targets again now.

It is published on `retest/<country>/<asn>` and never retained. The probe limits what it does
(`probes.rounds.retests`), so that a hostile broker cannot exceed the volunteer's limits.

Addresses that failed go along for the controls alone (`probes.rounds.handed_over`): another probe
dials no address that it did not learn from its own resolvers or its catalogue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from probes.wire.bounds import Address, Millis, TargetId
from probes.wire.codec import WireError

MOST_TARGETS = 16
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 1_000, 300_000
MOST_BYTES = 4096
MOST_ASKED = 16
MOST_FAILED_ENDPOINTS = 8
MOST_FAILED_ADDRESSES = 4
"""Of one endpoint."""


Mark = Annotated[str, msgspec.Meta(min_length=8, max_length=8)]


class FailedAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of one endpoint that failed at several vantages of a network."""

    target: TargetId
    endpoint: Annotated[str, msgspec.Meta(max_length=320)]
    """Id of the endpoint in the catalogue: the control dials its port and shows its name."""
    addresses: Annotated[
        tuple[Address, ...], msgspec.Meta(min_length=1, max_length=MOST_FAILED_ADDRESSES)
    ]


class Retest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to measure these targets once more."""

    v: int = 1
    targets: Annotated[tuple[TargetId, ...], msgspec.Meta(min_length=1, max_length=MOST_TARGETS)]
    round: Millis
    """Round of the measurements, a multiple of the interval, so that those of all probes are
    judged together."""
    interval_ms: Annotated[int, msgspec.Meta(ge=LEAST_INTERVAL_MS, le=MOST_INTERVAL_MS)]
    """Length of that round, after which no probe starts."""
    asked: Annotated[tuple[Mark, ...], msgspec.Meta(max_length=MOST_ASKED)] = ()
    """Marks of the probes that are asked; empty for all that receive it."""

    throughput: bool = False
    """Whether the suspicion is that they are slow: then their throughput is measured as well."""
    failed: Annotated[
        tuple[FailedAddresses, ...], msgspec.Meta(max_length=MOST_FAILED_ENDPOINTS)
    ] = ()
    """Addresses to which a control connects as well, so that path and server can be told apart."""

    def concerns(self, name: str) -> bool:
        """Whether the probe with this name is asked."""
        return not self.asked or _mark(self.round, name) in self.asked


def name(probe: str, mark: str) -> str:
    """Return what a probe is recognised by. `mark` is what it was given when it enrolled and nobody
    else knows: ids are public, and who could compute a mark would know whom not to let pass."""
    return f"{probe} {mark}" if mark else probe


def marks(round: int, names: Iterable[str]) -> tuple[Mark, ...]:
    """The marks of probes in a request for a round. All probes of a network receive it: a mark
    tells a probe that it is asked, and nobody who the others are."""
    return tuple(sorted(_mark(round, name) for name in names))


def _mark(round: int, name: str) -> Mark:
    return hashlib.sha256(f"{round} {name}".encode()).hexdigest()[:8]


_decoder = msgspec.json.Decoder(Retest)


def encode_retest(retest: Retest) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(retest)


def decode_retest(payload: bytes) -> Retest:
    """Return the request in an MQTT payload. Raises WireError with the reason."""
    if len(payload) > MOST_BYTES:
        raise WireError(f"retest of {len(payload)} bytes, at most {MOST_BYTES}")
    try:
        retest = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from None
    if retest.round % retest.interval_ms:
        raise WireError(f"round {retest.round} is not a multiple of {retest.interval_ms} ms")
    return retest
