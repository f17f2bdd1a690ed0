"""Servers on loopback that behave, and that interfere, chosen by the name in the ClientHello.

A server is an async context manager that gives its (address, port). What it does with a
connection is a `Behaviour`: a plain function that gets the ClientHello (or the first bytes of a
clear request) and a blocking socket, in a thread of its own.

    async with serve(by_name({"wechat.test": reset}, otherwise=tls(leaf.context()))) as server:
        ... server.address, server.port, server.hellos

Behaviours: reset, fin, silence, drip, alert(n), clear_http(bytes), tls(context, answer), and
`raw(bytes)`. `answer` is a function from the request's first bytes to the reply's bytes, or
`h2_answer` when the client may negotiate h2.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from tests.world.ports import free_port

Behaviour = Callable[[socket.socket, bytes], None]
Answer = Callable[[bytes], bytes]


@dataclass
class Server:
    """Where it listens and what it has seen."""

    address: str
    port: int
    hellos: list[bytes] = field(default_factory=list)
    """First bytes of each connection, in order."""

    @property
    def names(self) -> list[str]:
        """Server name of each ClientHello, in order."""
        return [server_name(hello) for hello in self.hellos]


@asynccontextmanager
async def serve(
    behaviour: Behaviour, address: str = "127.0.0.1", port: int = 0, *, wait_for_bytes: bool = True
) -> AsyncIterator[Server]:
    """Listen until the end of the block; then every connection is closed and its thread ended."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    port = port or free_port()
    listener = socket.create_server((address, port), family=family, backlog=128)
    server = Server(address, port)
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []
    last = socket.socket(family)  # what came before it is accepted, however busy the machine is
    last.bind((address, 0))

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.settimeout(20)
            first = first_bytes(connection) if wait_for_bytes else b""
            server.hellos.append(first)
            behaviour(connection, first)

    def accept() -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:  # the client went away
                continue
            if peer == last.getsockname():
                connection.close()
                return
            connections.append(connection)
            threads.append(threading.Thread(target=handle, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        last.connect((address, port))
        acceptor.join()
        last.close()
        listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def first_bytes(connection: socket.socket) -> bytes:
    """Read one whole TLS record, or a clear request up to its blank line."""
    received = b""
    while True:
        chunk = connection.recv(65536)
        received += chunk
        if not chunk or b"\r\n\r\n" in received:
            return received
        if received[:1] == b"\x16" and len(received) >= 5:
            missing = 5 + int.from_bytes(received[3:5], "big") - len(received)
            if missing <= 0:
                return received


def server_name(hello: bytes) -> str:
    """The SNI in a ClientHello record; empty when there is none."""
    if hello[:1] != b"\x16":
        return ""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 2
    while at + 4 <= end:
        kind, length = struct.unpack_from(">HH", hello, at)
        if kind == 0:
            return hello[at + 9 : at + 4 + length].decode()
        at += 4 + length
    return ""


def by_name(chosen: Mapping[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    """Decide by the server name, or by the Host of a clear request."""

    def behave(connection: socket.socket, first: bytes) -> None:
        name = server_name(first)
        if not name and b"Host: " in first:
            name = first.partition(b"Host: ")[2].partition(b"\r\n")[0].decode().partition(":")[0]
        chosen.get(name, otherwise)(connection, first)

    return behave


def reset(connection: socket.socket, first: bytes) -> None:
    """RST, as an injecting censor sends it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def fin(connection: socket.socket, first: bytes) -> None:
    """FIN, with everything read before."""
    connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        connection.recv(65536)


def silence(connection: socket.socket, first: bytes) -> None:
    """Nothing, until the client goes away or the server stops."""
    while connection.recv(65536):
        pass


def raw(payload: bytes) -> Behaviour:
    """Send these bytes, then FIN."""

    def behave(connection: socket.socket, first: bytes) -> None:
        connection.sendall(payload)
        fin(connection, first)

    return behave


def alert(number: int) -> Behaviour:
    """A fatal TLS alert in clear, then FIN."""
    return raw(b"\x15\x03\x03\x00\x02\x02" + bytes([number]))


def clear_http(status: str = "200 OK", body: bytes = b"", headers: str = "") -> Behaviour:
    """A clear-text HTTP answer, whatever was said."""
    return raw(http_answer(status, body, headers))


def http_answer(status: str = "200 OK", body: bytes = b"", headers: str = "") -> bytes:
    """An HTTP/1.1 answer; `headers` are whole lines with CRLF."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def drip(payload: bytes, seconds: float = 0.05) -> Behaviour:
    """Send the payload byte by byte, over and over, until the client goes away."""

    def behave(connection: socket.socket, first: bytes) -> None:
        connection.settimeout(seconds)
        while True:
            for byte in payload:
                connection.sendall(bytes([byte]))
                try:
                    if not connection.recv(65536):
                        return
                except TimeoutError:
                    pass

    return behave


def tls(context: ssl.SSLContext, answer: Answer | None = None, push: bytes = b"") -> Behaviour:
    """Complete the handshake, then answer each request; without `answer` just keep quiet.

    When h2 was negotiated, `answer` gives `status`, a blank and the body (see `_speak_h2`), and
    `push` goes before it, unasked for.
    """

    def behave(connection: socket.socket, first: bytes) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(first)
        far = context.wrap_bio(incoming, outgoing, server_side=True)

        def pump(step: Callable[[], bytes | None]) -> bytes | None:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    received = connection.recv(65536)
                    if not received:
                        raise EOFError from None
                    incoming.write(received)
                finally:
                    connection.sendall(outgoing.read())

        with contextlib.suppress(ssl.SSLError):
            pump(far.do_handshake)
            if far.selected_alpn_protocol() == "h2" and answer is not None:
                _speak_h2(
                    lambda: pump(lambda: far.read(65536)) or b"", far.write, answer, pump, push
                )
                return
            while request := pump(lambda: far.read(65536)):
                if answer is None:
                    continue
                reply = answer(request)
                pump(lambda reply=reply: far.write(reply) and None)
                if b"Connection: close" in reply:
                    fin(connection, b"")
                    return

    return behave


def _speak_h2(
    read: Callable[[], bytes],
    write: Callable[[bytes], int],
    answer: Answer,
    pump: Callable[[Callable[[], bytes | None]], bytes | None],
    push: bytes,
) -> None:
    """Answer h2 requests: `answer` gets the path and returns an HTTP/1.1 answer to convert."""
    far = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    far.initiate_connection()
    pump(lambda: write(far.data_to_send()) and None)
    while received := read():
        for event in far.receive_data(received):
            if isinstance(event, h2.events.RequestReceived):
                if push:
                    pushed = far.get_next_available_stream_id()
                    asked = [(":method", "GET"), (":scheme", "https"), (":path", "/pushed")]
                    far.push_stream(event.stream_id, pushed, [*asked, (":authority", "a.test")])
                    far.send_headers(pushed, [(":status", "201")])
                    far.send_data(pushed, push, end_stream=True)
                head, _, body = answer(b"").partition(b"\r\n\r\n")
                status, *lines = head.decode("latin-1").split("\r\n")
                fields = [tuple(line.split(": ", 1)) for line in lines]
                pairs = [(":status", status.split()[1])]
                pairs += [(k.lower(), v) for k, v in fields]
                far.send_headers(event.stream_id, pairs, end_stream=not body)
                if body:
                    part = body[: min(16384, far.local_flow_control_window(event.stream_id))]
                    whole = len(part) == len(body[:16384])
                    far.send_data(event.stream_id, part, end_stream=whole)
        pump(lambda: write(far.data_to_send()) and None)
