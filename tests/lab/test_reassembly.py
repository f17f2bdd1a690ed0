"""The censor that reassembles, without a kernel queue: what it reads of packets."""

from __future__ import annotations

import random
import socket
import ssl
import struct

import pytest

from tests.lab.hello import server_name, whole_hello
from tests.lab.reassembly import Flow, Segment, _kills


def hello(name: str) -> bytes:
    """A ClientHello as OpenSSL writes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            incoming, outgoing, server_hostname=name
        ).do_handshake()
    return outgoing.read()


def segments(text: bytes, first: int, size: int) -> list[Segment]:
    ends = ("192.0.2.1", "192.0.2.2", 40000, 443)
    return [
        Segment(*ends, (first + at) % (1 << 32), 1, 24, text[at : at + size])
        for at in range(0, len(text), size)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_are_put_together(seed: int) -> None:
    rng = random.Random(seed)
    first = rng.choice((7, 2**32 - 100))  # sequence numbers wrap
    pieces = segments(hello("bad.example"), first, rng.randint(50, 600))
    assert len(pieces) > 1
    rng.shuffle(pieces)
    flow = Flow(first)
    assert [_kills(flow, piece, "bad.example") for piece in pieces].count(True) == 1
    assert _kills(flow, pieces[0], "bad.example")  # and nothing passes afterwards


def test_other_names_and_other_bytes_pass() -> None:
    pieces = segments(hello("good.example"), 7, 100)
    flow = Flow(7)
    assert not any(_kills(flow, piece, "bad.example") for piece in pieces)
    assert not any(_kills(Flow(7), p, "bad.example") for p in segments(b"GET / HTTP", 7, 4))


def test_a_name_is_read_from_a_whole_hello_alone() -> None:
    text = hello("bad.example")
    assert (whole_hello(text), server_name(text)) == (True, "bad.example")
    assert not whole_hello(text[:-1])
    assert server_name(text[:40]) == ""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_packets_of_both_families_are_read(family: socket.AddressFamily) -> None:
    source, to = ("192.0.2.1", "192.0.2.2") if family is socket.AF_INET else ("::1", "::2")
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, to)
    tcp = struct.pack("!HHIIBBHHH", 40000, 443, 5, 6, 0x50, 24, 0, 0, 0) + b"hi"
    if family is socket.AF_INET:
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 60, 6, 0) + ends + tcp
    else:
        packet = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 60) + ends + tcp
    padded = packet + b"\0\0"
    assert Segment.read(padded) == Segment(source, to, 40000, 443, 5, 6, 24, b"hi")
