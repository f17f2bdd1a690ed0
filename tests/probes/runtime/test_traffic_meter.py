"""The meter counts what an interface counts."""

from __future__ import annotations

import socket
import struct

import pytest

from probes.runtime.traffic_meter import TrafficMeter, stream_bytes

SYN, RST, ACK = 74, 54, 66


def test_a_connection_that_is_watched_counts_as_of_now_and_once() -> None:
    meter, carried = TrafficMeter(), [0]

    def bytes_now() -> int:
        return carried[0]

    meter.watch(bytes_now)
    carried[0] = 70
    meter.add(5)
    assert meter.total() == 75
    meter.unwatch(bytes_now)
    carried[0] = 0
    assert meter.total() == 75


def test_a_meter_adds_to_that_of_the_whole() -> None:
    whole = TrafficMeter()
    one, other = TrafficMeter(whole), TrafficMeter(whole)
    one.add(5)
    other.add_datagram(socket.AF_INET, 100)
    assert (one.total(), other.total(), whole.total()) == (5, 142, 147)


def test_a_datagram_has_headers() -> None:
    meter = TrafficMeter()
    meter.add_datagram(socket.AF_INET, 100)
    meter.add_datagram(socket.AF_INET6, 100)
    assert meter.total() == 142 + 162


def test_a_refused_connection_is_two_packets() -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", 1))
        assert stream_bytes(sock) == pytest.approx(SYN + RST, abs=4)


@pytest.mark.parametrize("size", [0, 1_000, 50_000])
def test_a_connection_is_its_payload_and_its_headers(size: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.socket() as sock:
            sock.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"x" * size)
                received = 0
                while received < size:
                    received += len(sock.recv(65536))
                counted = stream_bytes(sock)
    least = size + 2 * SYN + ACK + 5 * ACK
    assert least <= counted <= least + 20 * ACK


@pytest.mark.parametrize(("linger", "last"), [(True, 0), (False, 2)])
def test_who_was_closed_on_sends_less_to_end_it(linger: bool, last: int) -> None:
    """After a reset nothing follows, after a FIN our own and its acknowledgement."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.socket() as sock:
            sock.connect(listener.getsockname())
            accepted, _ = listener.accept()
            open_now = stream_bytes(sock)
            if linger:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            sock.settimeout(5)
            if linger:
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            else:
                assert sock.recv(1) == b""
            told = stream_bytes(sock)
    assert told < open_now
    assert told == pytest.approx(2 * SYN + ACK + last * ACK, abs=2 * ACK)
