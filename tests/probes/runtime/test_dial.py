from __future__ import annotations

import socket

import pytest

from probes.runtime import dial as module
from probes.runtime.broker_url import parse_way
from probes.runtime.dial import dial
from tests.world.ports import free_port


def test_the_address_is_dialled_in_place_of_the_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        way = parse_way(f"https://name.invalid:{port}?address=127.0.0.1")
        with dial(way, lambda _: None) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


def test_a_refusal_and_what_it_cost_are_told() -> None:
    spent: list[int] = []
    with pytest.raises(ConnectionRefusedError):
        dial(parse_way(f"mqtt://127.0.0.1:{free_port()}"), spent.append)
    assert len(spent) == 1
    assert 100 < spent[0] < 300, "a SYN and an RST"


def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(socket.gaierror):
        dial(parse_way("mqtts://name.invalid"), lambda _: None)


def test_silence_is_left_in_time_and_the_next_address_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ADDRESS_SECONDS", 0.2)
    with socket.socket() as full, socket.create_server(("127.0.0.1", 0)) as listener:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]  # its queue is full: a SYN gets no answer
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", at))
            for at in (port, listener.getsockname()[1])
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with dial(parse_way("mqtt://two.example"), lambda _: None) as sock:
            assert sock.getpeername() == found[1][4]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        with pytest.raises(TimeoutError):
            dial(parse_way("mqtt://two.example"), lambda _: None)
        for each in waiting:
            each.close()
