"""The Binding request, and what counts as its answer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.apps import stun
from probes.apps.opening import Spoken, Unspoken
from tests.world import app_servers

ID = bytes(range(12))


def message(kind: int = 0x0101, body: bytes = b"", transaction: bytes = ID) -> bytes:
    return struct.pack("!HHI", kind, len(body), 0x2112A442) + transaction + body


def test_what_is_said():
    opening = stun.opening()
    assert len(opening.hello) == 20
    assert opening.hello[:8] == bytes.fromhex("000100002112a442")
    assert opening.hello != stun.opening().hello
    assert opening.read(app_servers.stun(opening.hello)) == Spoken("binding_success")


def test_the_volunteers_address_is_never_quoted():
    assert not stun.opening().excerpt


@pytest.mark.parametrize(
    ("datagram", "reading"),
    [
        (message(), Spoken("binding_success")),
        (message(body=bytes(12)), Spoken("binding_success")),
        (message(0x0111), Spoken("binding_error")),
        (message(0x0001), Unspoken.FOREIGN),
        (message(transaction=bytes(12)), Unspoken.FOREIGN),
        (message()[:-1], Unspoken.FOREIGN),
        (message() + b"\0", Unspoken.FOREIGN),
        (message(body=b"\0"), Unspoken.FOREIGN),
        (b"", Unspoken.FOREIGN),
    ],
)
def test_answers(datagram: bytes, reading: object):
    assert stun.reading(datagram, ID) == reading


@given(st.binary(max_size=100))
def test_any_datagram_has_a_reading(noise: bytes):
    assert isinstance(stun.reading(noise, ID), Spoken | Unspoken)
