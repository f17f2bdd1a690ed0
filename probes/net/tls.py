# SPDX-License-Identifier: Apache-2.0
"""A TLS client with no socket in it, and the few contexts it runs with.

`TLSClient` turns bytes received into bytes to send, and records how many bytes went each way and
how the handshake ended. asyncio's own TLS reports a reset and a FIN after the ClientHello as the
same error; here they differ. Trust is certifi's roots or a private CA of the catalogue, never the
machine's own store: that only this store trusts a certificate is evidence.

The flags of verification are set explicitly, because Python 3.13 began to set
VERIFY_X509_STRICT by default and a verdict must not depend on the interpreter.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Sequence
from typing import Any

import certifi

from probes.net.network import Stream

PROFILE_VERSION = "1"
"""Raise it with every change below that changes the bytes of a ClientHello."""
SYSTEM_STORE = "system"
"""In place of a PEM text: the machine's own store, used only to explain a foreign chain."""
# What browsers offer for TLS 1.2 (Chrome 140, 2025-09), so that the probe does not stand out.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!AESCCM:!SHA256:!SHA384"
_VERIFY_FLAGS = (
    ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
)
_CAN_CLEAR_ALPN = ssl.OPENSSL_VERSION_INFO >= (3,)
"""Whether a context that offered ALPN can stop to offer it; not with OpenSSL 1.1.1."""
_HEAD_BYTES = 4096
MAX_SILENT_BYTES = 1 << 18
"""Limit for records without plain text (session tickets, key updates)."""
MAX_HANDSHAKE_BYTES = 1 << 18
"""A handshake with more bytes never ends (HelloRequests, which OpenSSL ignores); the longest chain
that OpenSSL accepts has 100 kB."""
_RECORD_BYTES = 1 << 14
"""Bytes read at once in a handshake: the content of a whole record (RFC 8446 section 5.1). Larger
buffers fragment the heap."""
_ALERT_RECORD = 21
_RECORD_TYPES = range(20, 25)
_HTTP = re.compile(rb"HTTP/\d\.\d \d{3}|\s*<(!doctype|html|head)\b", re.IGNORECASE)


def context_for(
    profile: str, trust_pem: str = "", verify: bool = True, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Return the shared context of a ClientHello profile and a trust, set to an ALPN list.

    `trust_pem` is PEM text that replaces certifi's roots; `verify=False` accepts any
    certificate. A context takes milliseconds to make and, with its roots, most of a megabyte, so
    one is shared by all ALPN lists. A connection copies the list when it is wrapped, so wrap before
    the next call. Raises ssl.SSLError for PEM text
    that holds no certificate.
    """
    separate = bool(alpn) and not _CAN_CLEAR_ALPN
    context = _context(profile, trust_pem if verify else "", verify, separate)
    if alpn or _CAN_CLEAR_ALPN:
        context.set_alpn_protocols(list(alpn))
    return context


@functools.lru_cache(maxsize=64)
def _context(profile: str, trust_pem: str, verify: bool, separate: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    if profile == "classical":
        # One segment: no post-quantum key share, which some middleboxes drop (openssl#27601).
        context.set_ecdh_curve("prime256v1")
    elif profile != "default":
        raise ValueError(f"unknown TLS profile {profile!r}")
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust_pem == SYSTEM_STORE:
        context.set_default_verify_paths()
    elif trust_pem:
        context.load_verify_locations(cadata=trust_pem)
    else:
        context.load_verify_locations(cafile=certifi.where())
    context.verify_flags = _VERIFY_FLAGS
    return context


class TLSClient:
    """One handshake and what follows it, in memory.

    `server_name` is shown to the far side and must be in its certificate; an IP address is
    verified too, but not shown. Every method that takes or makes bytes may raise ssl.SSLError;
    the counters stay true when it does.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # Bytes are used as they are; text would go through the idna codec.
        name = server_name.encode() if server_name.isascii() else server_name
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=False, server_hostname=name or None
        )
        self.done = False
        """The handshake is complete."""
        self.hello_bytes = 0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.head = b""
        """First bytes received, kept until the handshake is done."""

    def start(self) -> bytes:
        """Return the ClientHello."""
        hello = self._advance()
        self.hello_bytes = len(hello)
        return hello

    def feed(self, received: bytes) -> bytes:
        """Take bytes from the far side (empty: it sent FIN) and return bytes to send."""
        if received:
            self.received_bytes += len(received)
            self._incoming.write(received)
            if not self.done and len(self.head) < _HEAD_BYTES:
                self.head = (self.head + received)[:_HEAD_BYTES]
        else:
            self._incoming.write_eof()
        return self._advance() if not self.done else self.pending()

    def _advance(self) -> bytes:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self.done = True
        return self.pending()

    def pending(self) -> bytes:
        """Return bytes that wait to be sent: after an error, our alert to the far side."""
        waiting = self._outgoing.read()
        self.sent_bytes += len(waiting)
        return waiting

    def write(self, plain: bytes) -> bytes:
        """Encrypt and return the bytes to send."""
        self._object.write(plain)
        return self.pending()

    def read(self, limit: int = 65536) -> bytes:
        """Return decrypted bytes that are ready, at most `limit`; empty when there are none yet.

        Raises ssl.SSLZeroReturnError after the far side's close_notify and ssl.SSLEOFError
        after a FIN without one.
        """
        try:
            plain = self._object.read(limit)
        except ssl.SSLWantReadError:
            return b""
        if not plain:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "close_notify")
        return plain

    @property
    def version(self) -> str | None:
        """Protocol version, such as `TLSv1.3`; None before the far side chose one."""
        return self._object.version() if self.done else None

    @property
    def cipher(self) -> str | None:
        """Name of the cipher suite; None before the handshake is done."""
        chosen = self._object.cipher() if self.done else None
        return chosen[0] if chosen else None

    @property
    def alpn(self) -> str | None:
        """The application protocol that the far side chose, if any."""
        return self._object.selected_alpn_protocol() if self.done else None

    def chain(self) -> tuple[bytes, ...]:
        """Presented certificates (DER), leaf first, also when verification refused them."""
        return tuple(_der(c) for c in _inner(self._object).get_unverified_chain() or ())

    def leaf(self) -> tuple[bytes, ...]:
        """The certificate (DER) that the far side presented as its own, alone; empty if none."""
        der = self._object.getpeercert(True)
        return () if der is None else (der,)

    @property
    def plain_http(self) -> bool:
        """The far side answered in clear-text HTTP (or bare HTML) in place of TLS."""
        return not self.done and _HTTP.match(self.head) is not None

    @property
    def alert_in_clear(self) -> int | None:
        """Number of an unencrypted alert among the first records received."""
        head = self.head
        while len(head) >= 5 and head[0] in _RECORD_TYPES:
            length = int.from_bytes(head[3:5], "big")
            if head[0] == _ALERT_RECORD and length == 2 and len(head) >= 7:
                return head[6]
            head = head[5 + length :]
        return None


def _inner(tls: ssl.SSLObject) -> Any:
    """CPython's own object: 3.11 and 3.12 have the chain nowhere else, 3.13 and 3.14 keep it."""
    return tls._sslobj  # type: ignore[attr-defined]


def _der(certificate: Any) -> bytes:
    return bytes(certificate.public_bytes(2))  # _ssl.ENCODING_DER


async def handshake(stream: Stream, client: TLSClient) -> None:
    """Run the handshake over a stream. Raises OSError, ssl.SSLError; the caller limits the time.

    After an SSL error our alert is sent if it can be, as any client would.
    """
    await stream.send(client.start())
    while not client.done:
        received = await stream.receive(_RECORD_BYTES)
        try:
            answer = client.feed(received)
        except ssl.SSLError:
            if alert := client.pending():
                try:
                    await stream.send(alert)
                except OSError:
                    pass  # the first error is what counts
            raise
        if answer:
            await stream.send(answer)
        if client.received_bytes > MAX_HANDSHAKE_BYTES and not client.done:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "a handshake without end")


async def receive(stream: Stream, client: TLSClient) -> bytes:
    """Return the next decrypted bytes, empty when the far side closed (with or without notice).

    Raises OSError and ssl.SSLError for everything else, a far side that sends only records
    without content among it.
    """
    begun = client.received_bytes
    while client.received_bytes - begun <= MAX_SILENT_BYTES:
        try:
            plain = client.read()
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        if plain:
            return plain
        answer = client.feed(await stream.receive())
        if answer:
            await stream.send(answer)
    raise ssl.SSLError(ssl.SSL_ERROR_SSL, "records without content")


async def send(stream: Stream, client: TLSClient, plain: bytes) -> None:
    """Encrypt and send. Raises OSError and ssl.SSLError."""
    await stream.send(client.write(plain))
