# SPDX-License-Identifier: Apache-2.0
"""A suspicion of the detector's: what it asks the probes of one network to measure again now.

Travels on `retest/<country>/<asn>`, never retained. Whether to obey is the probe's own matter
(`probes.rounds.retests`): a broker that lies can cost a volunteer no more than its bounds allow.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from probes.wire.bounds import Millis, TargetId
from probes.wire.codec import WireError

MOST_TARGETS = 16
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 1_000, 300_000
MOST_BYTES = 4096


class Retest(msgspec.Struct, frozen=True, kw_only=True):
    """Measure these targets once more."""

    v: int = 1
    targets: Annotated[tuple[TargetId, ...], msgspec.Meta(min_length=1, max_length=MOST_TARGETS)]
    round: Millis
    """The round that the measurements shall bear, a multiple of the interval, so that those of
    all probes asked are folded together."""
    interval_ms: Annotated[int, msgspec.Meta(ge=LEAST_INTERVAL_MS, le=MOST_INTERVAL_MS)]
    """Length of that round: nobody begins after it."""


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
        raise WireError(f"round {retest.round} is no multiple of {retest.interval_ms} ms")
    return retest
