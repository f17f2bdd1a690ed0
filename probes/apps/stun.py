# SPDX-License-Identifier: Apache-2.0
"""STUN (RFC 8489): the Binding request with which calls begin, over UDP.

Success is a Binding response, or an error, with our transaction id of 96 random bits: a STUN server
answered, and UDP to that port passes both ways. It does not prove whose server it was (whoever sees
the request can answer), nor that a call would work: media go to other addresses.

The answer holds the volunteer's own public address. It is neither read nor kept, and so that it
never slips out no answer is quoted either.
"""

from __future__ import annotations

import os
import struct

from probes.apps.opening import Opening, Reading, Spoken, Unspoken
from probes.apps.points import Entropy

_HEAD = struct.Struct("!HHI12s")
_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_REPLIES = {0x0101: "binding_success", 0x0111: "binding_error"}
RETRANSMIT_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Pauses before the request is sent again (RFC 8489 section 6.2.1: 500 ms, doubling)."""


def opening(entropy: Entropy = os.urandom) -> Opening:
    """Return a fresh request without attributes, as WebRTC sends it."""
    transaction = entropy(12)

    def read(received: bytes) -> Reading:
        return reading(received, transaction)

    return Opening(_HEAD.pack(_BINDING_REQUEST, 0, _COOKIE, transaction), read, excerpt=False)


def reading(datagram: bytes, transaction: bytes) -> Reading:
    """Read one datagram."""
    if len(datagram) < _HEAD.size:
        return Unspoken.FOREIGN
    kind, length, cookie, answered = _HEAD.unpack_from(datagram)
    whole = length % 4 == 0 and length == len(datagram) - _HEAD.size
    if cookie != _COOKIE or answered != transaction or not whole or kind not in _REPLIES:
        return Unspoken.FOREIGN
    return Spoken(_REPLIES[kind])
