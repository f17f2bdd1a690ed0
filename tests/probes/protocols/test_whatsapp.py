"""WhatsApp's first exchange: the request, and every reply that may come."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import x25519
from hypothesis import given
from hypothesis import strategies as st

from probes.protocols import whatsapp
from probes.protocols.whatsapp import field, parse, segment
from probes.steps.app import NoReply, Reply

HELLO = field(1, bytes(32)) + field(2, bytes(48)) + field(3, bytes(180))
ANSWER = segment(field(3, HELLO))


def test_the_request():
    hello = whatsapp.request().payload
    assert hello[:11] == b"WA\x05\x03\x00\x00\x24\x12\x22\x0a\x20"
    x25519.X25519PublicKey.from_public_bytes(hello[11:])
    assert len(hello) == 4 + 3 + 36
    assert hello != whatsapp.request().payload


def test_answers():
    assert parse(ANSWER) == Reply("server_hello")
    assert parse(ANSWER + b"more") == Reply("server_hello")
    assert parse(segment(field(2, HELLO))) is NoReply.FOREIGN
    assert (
        parse(segment(field(3, HELLO[:34] + field(2, bytes(20)) + field(3, bytes(180)))))
        is NoReply.FOREIGN
    )
    assert parse(segment(bytes(100))) is NoReply.FOREIGN
    assert parse(b"\xff\xff\xff") is NoReply.FOREIGN
    assert parse(b"\x00\x00\x02hi") is NoReply.FOREIGN
    assert parse(b"HTTP/1.1 400 Bad Request") is NoReply.FOREIGN


def test_every_part_of_an_answer_is_incomplete():
    assert {parse(ANSWER[:n]) for n in range(len(ANSWER))} == {NoReply.INCOMPLETE}


@given(st.binary(max_size=300), st.integers(0, 290))
def test_any_bytes_can_be_parsed(noise: bytes, at: int):
    assert isinstance(parse(noise), Reply | NoReply)
    assert isinstance(parse(segment(noise)), Reply | NoReply)
    assert isinstance(parse(ANSWER[:at] + noise), Reply | NoReply)
