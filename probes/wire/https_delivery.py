# SPDX-License-Identifier: Apache-2.0
"""Delivery without a broker: the requests that a probe sends to the monitor's web server.

A batch is what it is on MQTT, and the answer is its acknowledgement. With its status a probe asks
what the monitor wants of it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec

from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import WireError

BATCHES = "/api/v1/batches"
POLL = "/api/v1/poll"
MOST_RETESTS = 32
MOST_ANSWER_BYTES = 2 * MAX_PACKET_BYTES
"""A signed catalogue is a packet, and its base64 a third longer."""


class PollAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a status."""

    v: int = 1
    retests: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=MOST_RETESTS)] = ()
    """Requests for this network that can still be met, each as on MQTT; a probe is told one several
    times."""
    asked_lately: bool = False
    """Whether there were any in the last minutes: more are likely."""
    catalogue: bytes = b""
    """The signed catalogue, if the probe has asked for it and has another; else empty."""


def encode_answer(answer: PollAnswer) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(answer)


def decode_answer(body: bytes) -> PollAnswer:
    """Return the answer. Raises WireError."""
    try:
        return msgspec.json.decode(body, type=PollAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"poll: {error}") from None


def authorization(user: str, secret: str) -> str:
    """Return the value of the header that proves who asks (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def credentials(authorization: str) -> tuple[str, str]:
    """Return user and secret in the value of such a header; both empty where there are none."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    user, _, secret = text.partition(":")
    return (user, secret) if scheme.lower() == "basic" and user.isprintable() else ("", "")
