# SPDX-License-Identifier: Apache-2.0
"""The reflector: the other end of a contrast. It completes TLS for any name and answers 204, or
sends N bytes when asked for `/bytes/N` (two mebibytes at most), to compare throughput.

With the extra `quic` it also completes QUIC for any name, on the same number of UDP port.

A service's name shown to this address, where no service runs, distinguishes a filter by name from
one by address. The reflector answers no DNS, opens no connection, stores nothing and never logs an
address.

How a probe must treat the certificate: one certificate serves every name, so it is never valid for
the service's name. The catalogue's `trust` (PEM of this certificate, or of the CA that signed it)
pins it instead: verify the chain against `trust` alone, and not the name (`check_hostname = False`,
`verify_mode = CERT_REQUIRED`). A chain that does not verify is someone else's. Without `trust` only
the success of the handshake counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from probes import state_directory
from probes.net import quic
from probes.reflector import quic as quic_reflector

log = logging.getLogger(__name__)
CERTIFICATE_FILE = "reflector.pem"
KEY_FILE = "reflector.key"
CONNECTION_SECONDS = 20.0
"""Limit for one connection, its handshake included."""
MAX_CONNECTIONS = 256
_MAX_HEAD = 16384
_DAYS = 3650
_ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
MAX_BYTES = 1 << 21
"""Limit for one connection; a piece is sent when the last one has left."""
_PIECE = bytes(16384)
_BYTES = re.compile(rb"GET /bytes/(\d{1,9}) HTTP/1\.1\r\n")


class ReflectorError(Exception):
    """The reflector cannot start. The text is one line: what and why."""


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Return certificate and key in the state directory, made with the `openssl` command when
    they are not there yet. Raises ReflectorError and StateError.
    """
    certificate, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if certificate.is_file() and key.is_file():
        return certificate, key
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ReflectorError(
            "no certificate: give --certificate FILE --key FILE (the openssl command, which would "
            "make one, is not installed)"
        )
    state_directory.prepare(directory)
    new_certificate, new_key = directory / ".reflector.pem.new", directory / ".reflector.key.new"
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", str(_DAYS), "-subj", "/CN=reflector",
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        "-keyout", str(new_key), "-out", str(new_certificate),
    ]  # fmt: skip
    try:
        # The umask keeps the key private from the first moment.
        made = subprocess.run(
            command, capture_output=True, text=True, timeout=60, umask=0o077, check=False
        )
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ReflectorError(f"openssl could not make a certificate: {last}")
        # On a full disk openssl writes half a file without an error: load it before keeping it.
        with contextlib.suppress(ReflectorError):
            server_context(new_certificate, new_key)
            state_directory.write(key, new_key.read_bytes())
            state_directory.write(certificate, new_certificate.read_bytes(), 0o644)
            return certificate, key
        raise ReflectorError(f"{directory}: openssl's files are not complete: is the disk full?")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReflectorError(f"openssl could not make a certificate: {error}") from None
    finally:
        for path in (new_certificate, new_key):
            path.unlink(missing_ok=True)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS context of a PEM certificate chain and its key. Raises ReflectorError."""
    for path in (certificate, key):
        if not os.access(path, os.R_OK) or not path.is_file():
            raise ReflectorError(f"{path}: not a readable file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # OpenSSL would ask on the terminal for a passphrase; an empty one fails at once.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ReflectorError(
            f"{certificate}, {key}: not a PEM certificate with its key ({reason})"
        ) from None
    return context


def offers_quic() -> bool:
    """Whether the extra `quic` is installed; logs a warning when it is not."""
    if quic.available():
        return True
    log.warning(
        "serving TLS only: QUIC is not installed (pip install 'reachwatch[%s]')", quic.EXTRA
    )
    return False


async def serve(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext,
    stop: asyncio.Event,
    ready: Callable[[int], None] | None = None,
    quic_pair: tuple[Path, Path] | None = None,
    connection_seconds: float = CONNECTION_SECONDS,
    max_connections: int = MAX_CONNECTIONS,
) -> None:
    """Serve on `host:port` until `stop` is set; `ready` gets the port (0 chooses one).

    With `quic_pair` (certificate and key) QUIC is served as well, on the same number of UDP port.
    Beyond `max_connections`, or `quic_reflector.MAX_PER_CLIENT` of one client, each new connection
    ends the oldest (of that client). Raises ReflectorError when the address is not available.
    """
    reflector = _Reflector(context, connection_seconds, max_connections)
    try:
        server = await asyncio.start_server(reflector.accept, host, port, limit=_MAX_HEAD)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReflectorError(f"{host}:{port}: {reason}") from None
    try:
        async with contextlib.AsyncExitStack() as stack:
            bound = server.sockets[0].getsockname()[1]
            if quic_pair is not None:
                over_quic = quic_reflector.serve_quic(
                    host,
                    bound,
                    quic_pair,
                    connection_seconds=connection_seconds,
                    max_connections=max_connections,
                )
                await stack.enter_async_context(over_quic)
            if ready:
                ready(bound)
            await stop.wait()
    except quic_reflector.QUICReflectorError as error:
        raise ReflectorError(str(error)) from None
    finally:
        server.close()
        reflector.abort()
        await asyncio.sleep(0)


class _Reflector:
    """The connections of all clients."""

    def __init__(
        self, context: ssl.SSLContext, connection_seconds: float, max_connections: int
    ) -> None:
        self._context = context
        self._seconds, self._most = connection_seconds, max_connections
        self._connections: dict[asyncio.StreamWriter, str] = {}
        """Each with its client, oldest first."""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        peer = writer.get_extra_info("peername") or ("",)
        client = quic_reflector.client_of(str(peer[0]))
        self._make_room(client)
        self._connections[writer] = client
        try:
            async with asyncio.timeout(self._seconds):
                await _reflect(reader, writer, self._context)
        except OSError:  # TimeoutError and ssl.SSLError as well: the client's errors are not ours
            pass
        finally:
            self._connections.pop(writer, None)
            writer.transport.abort()

    def abort(self) -> None:
        """End every connection."""
        for writer in tuple(self._connections):
            writer.transport.abort()

    def _make_room(self, client: str) -> None:
        # A probe would take a reset of its new connection for interference with the name that it
        # shows; and it needs a second, while whoever fills the places stays.
        own = [writer for writer, of in self._connections.items() if of == client]
        if len(own) >= quic_reflector.MAX_PER_CLIENT:
            oldest = own[0]
        elif len(self._connections) >= self._most:
            oldest = next(iter(self._connections))
        else:
            return
        del self._connections[oldest]
        oldest.transport.abort()


async def _reflect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    """Serve one connection: the handshake, any requests for bytes, one other request. Raises
    OSError."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)

    async def flush() -> None:
        if waiting := outgoing.read():
            writer.write(waiting)
            await writer.drain()

    async def read_more() -> bool:
        await flush()
        received = await reader.read(_MAX_HEAD)
        if received:
            incoming.write(received)
        else:
            incoming.write_eof()
        return bool(received)

    try:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if not await read_more():
                    return
        sent = 0
        while True:
            head = await _head(tls, read_more)
            if head is None:
                return
            wanted = _BYTES.match(head)
            if wanted is None:
                tls.write(_ANSWER)
                break
            size = min(int(wanted[1]), MAX_BYTES - sent)
            sent += size
            tls.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n")
            tls.write(b"Content-Length: %d\r\n\r\n" % size)
            while size > 0:
                tls.write(_PIECE[:size])
                size -= len(_PIECE)
                await flush()
            if sent >= MAX_BYTES:
                break
        try:
            tls.unwrap()  # sends close_notify and does not wait for the client's
        except ssl.SSLError:
            pass
    finally:
        await flush()  # after an error this is the alert
    writer.close()
    await writer.wait_closed()


async def _head(tls: ssl.SSLObject, read_more: Callable[[], Awaitable[bool]]) -> bytes | None:
    """Return the head of a request, cut when too long; None when the client closed."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
        try:
            piece = tls.read(_MAX_HEAD)
        except ssl.SSLWantReadError:
            if not await read_more():
                return None
            continue
        if not piece:
            return None
        head += piece
    return head
