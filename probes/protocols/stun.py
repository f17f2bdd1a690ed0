# SPDX-License-Identifier: Apache-2.0
"""`stun` (RFC 8489): a server for calls answers a Binding request over UDP.

Success is a Binding response, or an error, with our transaction id of 96 random bits: a STUN server
answered, and UDP to that port passes both ways. This does not prove whose server it was (whoever
sees the request can answer), nor that a call would work, because media go to other addresses.
Silence alone is no sign of blocking: many networks let no UDP through.

The response holds the volunteer's own public address. It is neither read nor kept, and no reply is
quoted, so that the address cannot leak.
"""

from __future__ import annotations

import os
import struct

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.app_handshake import exchange_once, exchange_over_udp
from probes.protocols.public_keys import Entropy
from probes.steps.app import AppRequest, NoReply, Parsed, Reply
from probes.wire.observation import AppExchange, Purpose

_HEAD = struct.Struct("!HHI12s")
_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_REPLIES = {0x0101: "binding_success", 0x0111: "binding_error"}
RETRANSMIT_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Pauses before the request is sent again (RFC 8489 section 6.2.1: 500 ms, doubling)."""


async def measure(run: EndpointRun) -> None:
    """Send a Binding request to every address; once more from a new port when no reply came."""
    await exchange_over_udp(run, request, RETRANSMIT_SECONDS)


async def ask(run: EndpointRun, address: str, port: int) -> AppExchange:
    """Ask a liveness host, whatever the endpoint is, and record the exchange."""
    contrast = Purpose.CONTRAST
    return await exchange_once(
        run, request(), RETRANSMIT_SECONDS, address, port=port, protocol="stun", purpose=contrast
    )


def request(entropy: Entropy = os.urandom) -> AppRequest:
    """Return a new request without attributes, as WebRTC sends it."""
    transaction = entropy(12)

    def read(received: bytes) -> Parsed:
        return parse(received, transaction)

    return AppRequest(_HEAD.pack(_BINDING_REQUEST, 0, _COOKIE, transaction), read, quotable=False)


def parse(datagram: bytes, transaction: bytes) -> Parsed:
    """Parse one datagram."""
    if len(datagram) < _HEAD.size:
        return NoReply.FOREIGN
    kind, length, cookie, answered = _HEAD.unpack_from(datagram)
    whole = length % 4 == 0 and length == len(datagram) - _HEAD.size
    if cookie != _COOKIE or answered != transaction or not whole or kind not in _REPLIES:
        return NoReply.FOREIGN
    return Reply(_REPLIES[kind])
