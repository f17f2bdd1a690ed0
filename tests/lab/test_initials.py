"""Reading along: the name in Initials, whole or in pieces, and who is left alone."""

from __future__ import annotations

import ssl

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from probes.net.quic import QUICClient
from tests.lab.blinding import datagram
from tests.lab.initials import Reader
from tests.lab.nfqueue import datagram as udp

NAME = "wechat.test"
LONG = [f"protocol-{i:03}" for i in range(80)]
"""So many that the hello does not fit one datagram."""


def first_flight(alpn: list[str], version: int = 1) -> list[bytes]:
    client = QuicConnection(
        configuration=QuicConfiguration(
            server_name=NAME,
            alpn_protocols=alpn,
            verify_mode=ssl.CERT_NONE,
            supported_versions=[version],
        )
    )
    client.connect(("192.0.2.1", 443), now=0.0)
    return [payload for payload, _ in client.datagrams_to_send(now=0.0)]


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_a_hello_in_one_datagram(version: int) -> None:
    (only,) = first_flight(["h3"], version)
    reader = Reader()
    assert reader.read("flow", only) == NAME
    assert reader.read("flow", b"\x40whatever follows") == NAME
    assert reader.datagrams("flow") == 1


@pytest.mark.parametrize("backwards", [False, True])
def test_a_hello_in_two_datagrams_in_any_order(backwards: bool) -> None:
    pieces = first_flight(LONG)
    assert len(pieces) == 2
    reader = Reader()
    first, second = pieces[::-1] if backwards else pieces
    assert reader.read("flow", first) is None
    assert reader.read("flow", first) is None  # sent again: no news
    assert reader.read("other", second) is None
    assert reader.read("flow", second) == NAME
    assert reader.datagrams("flow") == 2


def test_what_is_sent_again_is_read_as_well() -> None:
    client = QUICClient(NAME)
    client.start(0.0)
    again = client.expire(client.wait(0.0) or 0.0)
    assert Reader().read("flow", again[0]) == NAME


@pytest.mark.parametrize(
    "noise", [b"", b"\x00", b"\xc0" * 1300, b"GET / HTTP/1.1", b"\x40" * 40, b"\xff" * 1300]
)
def test_what_is_no_initial_is_nothing(noise: bytes) -> None:
    reader = Reader()
    assert reader.read("flow", noise) is None
    assert reader.read("flow", first_flight(["h3"])[0]) == NAME


def test_no_name_is_an_empty_one() -> None:
    client = QUICClient("127.0.0.1")
    assert Reader().read("flow", client.start(0.0)[0]) == ""


def test_datagrams_in_packets() -> None:
    packet = udp("10.1.0.2", 4711, "192.0.2.7", 443, b"payload")
    flow, payload = datagram(packet)
    assert payload == b"payload"
    assert flow == (bytes([10, 1, 0, 2, 192, 0, 2, 7]), bytes([0x12, 0x67, 0x01, 0xBB]))
    six = b"\x60" + bytes(7) + bytes(range(32)) + packet[20:]
    assert datagram(six) == ((bytes(range(32)), packet[20:24]), b"payload")
