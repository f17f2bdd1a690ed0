"""WhatsApp's first exchange: our half of it, and every answer that may come."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import x25519
from hypothesis import given
from hypothesis import strategies as st

from probes.apps import whatsapp
from probes.apps.opening import Spoken, Unspoken
from probes.apps.whatsapp import field, reading, segment

HELLO = field(1, bytes(32)) + field(2, bytes(48)) + field(3, bytes(180))
ANSWER = segment(field(3, HELLO))


def test_what_is_said():
    hello = whatsapp.opening().hello
    assert hello[:11] == b"WA\x05\x03\x00\x00\x24\x12\x22\x0a\x20"
    x25519.X25519PublicKey.from_public_bytes(hello[11:])
    assert len(hello) == 4 + 3 + 36
    assert hello != whatsapp.opening().hello


def test_answers():
    assert reading(ANSWER) == Spoken("server_hello")
    assert reading(ANSWER + b"more") == Spoken("server_hello")
    assert reading(segment(field(2, HELLO))) is Unspoken.FOREIGN
    assert (
        reading(segment(field(3, HELLO[:34] + field(2, bytes(20)) + field(3, bytes(180)))))
        is Unspoken.FOREIGN
    )
    assert reading(segment(bytes(100))) is Unspoken.FOREIGN
    assert reading(b"\xff\xff\xff") is Unspoken.FOREIGN
    assert reading(b"\x00\x00\x02hi") is Unspoken.FOREIGN
    assert reading(b"HTTP/1.1 400 Bad Request") is Unspoken.FOREIGN


def test_every_beginning_of_an_answer_may_become_one():
    assert {reading(ANSWER[:n]) for n in range(len(ANSWER))} == {Unspoken.MORE}


@given(st.binary(max_size=300), st.integers(0, 290))
def test_any_bytes_have_a_reading(noise: bytes, at: int):
    assert isinstance(reading(noise), Spoken | Unspoken)
    assert isinstance(reading(segment(noise)), Spoken | Unspoken)
    assert isinstance(reading(ANSWER[:at] + noise), Spoken | Unspoken)
