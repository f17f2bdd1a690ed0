"""SOCKS5 and CONNECT, against real proxies and against ones that misbehave."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from probes.runtime.broker_url import Broker
from probes.runtime.dial import dial
from probes.runtime.proxy import MOST_HEAD_BYTES, Proxy, ProxyError, open_tunnel, parse_proxy
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS, wait_until

USER, SECRET = "ada", "pass: word"


@contextlib.contextmanager
def running(*words: str, port: int) -> Iterator[int]:
    """A proxy that listens on this port."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until(answers)
        yield port
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)


@contextlib.contextmanager
def microsocks(*more: str) -> Iterator[int]:
    port = free_port()
    with running("microsocks", "-i", "127.0.0.1", "-p", str(port), *more, port=port):
        yield port


@contextlib.contextmanager
def tinyproxy(directory: Path, *more: str) -> Iterator[int]:
    port = free_port()
    lines = (f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", *more)
    (directory / "proxy.conf").write_text("\n".join(lines) + "\n")
    with running("tinyproxy", "-d", "-c", str(directory / "proxy.conf"), port=port):
        yield port


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """A server that says hello first, and then what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"hello ")
                        connection.sendall(connection.recv(100))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def said_through(proxy: Proxy, port: int, host: str = "localhost") -> bytes:
    broker = Broker(scheme="mqtt", host=host, port=port, proxy=proxy)
    with dial(broker, lambda _: None) as sock:
        sock.settimeout(HANG_SECONDS)
        sock.sendall(b"you")
        received = b""
        while chunk := sock.recv(100):
            received += chunk
        return received


@pytest.mark.needs("microsocks")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_socks5_by_name_and_by_address(host: str) -> None:
    with echo() as port, microsocks() as through:
        proxy = parse_proxy(f"socks5h://127.0.0.1:{through}")
        assert said_through(proxy, port, host) == b"hello you"


@pytest.mark.needs("microsocks")
def test_socks5_with_a_password_that_is_right_wrong_or_missing() -> None:
    with echo() as port, microsocks("-u", USER, "-P", SECRET) as through:
        right = Proxy(scheme="socks5h", host="127.0.0.1", port=through, user=USER, secret=SECRET)
        assert said_through(right, port) == b"hello you"
        wrong = Proxy(scheme="socks5h", host="127.0.0.1", port=through, user=USER, secret="x")
        with pytest.raises(ProxyError, match=r"^the proxy refused user and password$"):
            said_through(wrong, port)
        with pytest.raises(ProxyError, match="wants a user and password"):
            said_through(parse_proxy(f"socks5h://127.0.0.1:{through}"), port)


@pytest.mark.needs("microsocks")
def test_socks5_says_why_it_did_not_connect() -> None:
    with microsocks() as through:
        proxy = parse_proxy(f"socks5h://127.0.0.1:{through}")
        with pytest.raises(ProxyError, match="connection refused"):
            said_through(proxy, free_port())
        with pytest.raises(ProxyError, match="did not connect"):
            said_through(proxy, 1, "name.invalid")


@pytest.mark.needs("tinyproxy")
def test_connect_with_and_without_a_password(tmp_path: Path) -> None:
    with echo() as port:
        with tinyproxy(tmp_path) as through:
            assert said_through(parse_proxy(f"http://127.0.0.1:{through}"), port) == b"hello you"
            with pytest.raises(ProxyError, match="HTTP status 5"):
                said_through(parse_proxy(f"http://127.0.0.1:{through}"), free_port())
        with tinyproxy(tmp_path, "BasicAuth ada secret") as through:
            proxy = parse_proxy(f"http://ada:secret@127.0.0.1:{through}")
            assert said_through(proxy, port) == b"hello you"
            with pytest.raises(ProxyError, match="HTTP status 407"):
                said_through(parse_proxy(f"http://127.0.0.1:{through}"), port)


def against(scheme: str, answer: Callable[[socket.socket], None], seconds: float = 5.0) -> None:
    """Open a tunnel through a proxy that answers so."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=answer, args=(theirs,))
        thread.start()
        try:
            proxy = Proxy(scheme=scheme, host="x", port=1, user="u", secret="s")
            open_tunnel(ours, proxy, "reach.example", 443, time.monotonic() + seconds)
        finally:
            ours.close()
            thread.join()


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
@pytest.mark.parametrize(
    "answer",
    [b"", b"\x04\x5a", b"\x05\xff", b"\x05\x02\x01\x01", b"\x05\x00\x05\x00\x00\x09", b"junk",
     b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0\r\n\r\n", b"\xff" * 40],
)  # fmt: skip
def test_answers_that_are_none_are_one_line(scheme: str, answer: bytes) -> None:
    def say(theirs: socket.socket) -> None:
        with contextlib.suppress(OSError):
            theirs.sendall(answer)
            theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(ProxyError) as caught:
        against(scheme, say)
    assert "\n" not in str(caught.value)


def test_a_head_without_end_and_a_silent_proxy_are_left() -> None:
    def drip(theirs: socket.socket) -> None:
        with contextlib.suppress(OSError):
            theirs.sendall(b"x" * (MOST_HEAD_BYTES + 100))

    with pytest.raises(ProxyError, match="too long"):
        against("http", drip)
    with pytest.raises(TimeoutError):
        against("socks5h", lambda theirs: None, 0.2)


def test_nothing_behind_the_answer_is_read() -> None:
    """The first bytes of the connection inside may come in the same packet."""
    for scheme, answer in (
        ("socks5h", b"\x05\x00" + b"\x05\x00\x00\x03\x04host\x00\x50"),
        ("http", b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"),
    ):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(answer + b"inside")
            proxy = Proxy(scheme=scheme, host="x", port=1)
            open_tunnel(ours, proxy, "reach.example", 443, time.monotonic() + 5)
            assert ours.recv(100) == b"inside"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("socks5://h:1", "must begin with socks5h:// or http://"),
        ("https://h:1", "must begin"),
        ("http://:1", "names no host"),
        ("http://h:x", "not a URL"),
        ("http://u%0d:hush@h", "printable"),
        (f"http://u:{'hush' * 70}@h", "255"),
    ],
)
def test_a_bad_url_is_refused_without_its_password(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_proxy(text)
    assert "hush" not in str(caught.value)


def test_the_name_of_a_proxy_has_no_password() -> None:
    proxy = parse_proxy("socks5h://ada:h%40sh@[2001:db8::1]")
    assert (proxy.user, proxy.secret, proxy.port) == ("ada", "h@sh", 1080)
    assert proxy.name == "socks5h://[2001:db8::1]:1080"
