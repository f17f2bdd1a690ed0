# SPDX-License-Identifier: Apache-2.0
"""A QUIC client with no socket in it (RFC 9000, RFC 9001): `QUICClient` turns datagrams received
and time passed into datagrams to send, and knows what it saw.

The library is `aioquic`, the extra `quic`; it is loaded with the first handshake, so that a probe
without the extra, or without QUIC in its catalogue, does not carry it. The library's own check of
certificates gives a text in place of a number, so it is switched off, and the chain is verified
here as OpenSSL does in `probes.net.tls`: same roots, same codes, same order.

A handshake succeeds once it is confirmed by an answer to something sent after it. A censor may let
our first datagram and the server's whole flight pass and drop only what we send next.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import ipaddress
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import certifi

from probes.net.network import Datagrams
from probes.runtime.unloaded import without
from probes.wire.protocol import PROTOCOLS

if TYPE_CHECKING:
    from aioquic.quic.connection import QuicConnection
    from cryptography import x509
    from OpenSSL import crypto

# The library logs errors of the far side; what matters of them is in the observation.
_silent = logging.getLogger("quic")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
EXTRA = "quic"
ALPN = PROTOCOLS["quic"].alpn
"""Offered when the catalogue says nothing: QUIC has no handshake without it (RFC 9001, 8.1)."""
IDLE_SECONDS = 30.0
"""What browsers offer (Chrome 140, 2025-09)."""
_OTHER_TLS = ("OpenSSL.SSL", "service_identity.pyopenssl")
"""Besides the library's own check of certificates, which is switched off: more than a megabyte of
memory."""
INITIAL_RTT = 0.5
"""Seconds. The library sends again after twice as long (1 s, as RFC 9002, 6.2.2 recommends) and
forgets what it sent before. With its own 0.1, on a path of 0.6 s, each answer came to a packet that
was forgotten: no round trip was ever measured, and most handshakes never ended."""
_VERSIONS = {0x00000001: "v1", 0x6B3343CF: "v2"}  # RFC 9000, RFC 9369
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_CRYPTO_ERRORS = range(0x100, 0x200)
_BAD_CERTIFICATE = 0x100 + 42
_CRYPTO_FRAME = 0x06
_H3_NO_ERROR = 0x100
MAX_RECEIVED = 262144
"""Bytes (and, below, datagrams) that one handshake may bring. The longest chains seen have 30 kB.
Each datagram costs a millisecond, so a flood would delay all other measurements."""
MAX_DATAGRAMS = 512
_MAX_CODE = 2**53
"""Error codes have 62 bits (RFC 9000 section 16); the wire format takes what JSON does."""
# X509_V_ERR numbers of OpenSSL's x509_vfy.h.
_UNSPECIFIED, _NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 1, 9, 10, 62, 64


class QUICError(Exception):
    """The library raised at what the far side sent; the text names its error."""


def available() -> bool:
    """The extra `quic` is installed."""
    return importlib.util.find_spec("aioquic") is not None


class QUICClient:
    """One handshake in memory. `now` is any monotonic clock in seconds, the same one throughout.

    `server_name` is shown to the far side and must be in its certificate; an IP address is
    verified too, but not shown. `trust_pem` replaces certifi's roots; with `verify=False` any
    certificate will do.
    """

    def __init__(
        self,
        server_name: str,
        *,
        trust_pem: str = "",
        verify: bool = True,
        alpn: Sequence[str] = (),
    ) -> None:
        import ssl

        with without("service_identity", *_OTHER_TLS):
            from aioquic.quic.configuration import QuicConfiguration
            from aioquic.quic.connection import QuicConnection

        self._name, self._trust, self._verify = server_name, trust_pem, verify
        self._connection: QuicConnection = QuicConnection(
            configuration=QuicConfiguration(
                alpn_protocols=list(alpn or ALPN),
                idle_timeout=IDLE_SECONDS,
                initial_rtt=INITIAL_RTT,
                server_name=server_name,
                verify_mode=ssl.CERT_NONE,
            )
        )
        self.done = False
        """Nothing more is to come: confirmed, refused by us, or closed by either side."""
        self.confirmed = False
        """The far side answered what was sent after the handshake."""
        self.verify_code: int | None = None
        """OpenSSL's X509_V_ERR, 0 when chain and name were valid; None when none was verified."""
        self.close_code: int | None = None
        """Error code of the far side's CONNECTION_CLOSE."""
        self.own_code: int | None = None
        """Error code with which this side gave up."""
        self.no_version = False
        """The far side offered no version in common."""
        self.alpn: str | None = None
        self.sent_bytes = 0
        self.received_bytes = 0
        self._datagrams = 0

    def start(self, now: float) -> list[bytes]:
        """Return the first datagrams: at least 1,200 bytes each."""
        self._connection.connect(_PEER, now=now)
        return self._outgoing(now)

    def feed(self, datagram: bytes, now: float) -> list[bytes]:
        """Take a datagram from the far side and return those to send. Raises QUICError."""
        from OpenSSL import crypto

        self.received_bytes += len(datagram)
        self._datagrams += 1
        if self.received_bytes > MAX_RECEIVED or self._datagrams > MAX_DATAGRAMS:
            raise QUICError("flood")
        try:
            self._connection.receive_datagram(datagram, _PEER, now=now)
            self._follow(now)
        except (ValueError, LookupError, AssertionError, ArithmeticError, crypto.Error) as error:
            # The last: a certificate that one of the two libraries can read and not the other.
            raise QUICError(type(error).__name__) from error
        return self._outgoing(now)

    def wait(self, now: float) -> float | None:
        """Seconds until `expire` must be called; None for never."""
        at = self._connection.get_timer()
        return None if at is None else max(at - now, 0.0)

    def expire(self, now: float) -> list[bytes]:
        """The time of `wait` is over: return what is sent again."""
        self._connection.handle_timer(now=now)
        self._follow(now)
        return self._outgoing(now)

    def finish(self, now: float) -> list[bytes]:
        """Close the connection as an app would, and return what to send."""
        if self.verify_code:
            self._connection.close(error_code=_BAD_CERTIFICATE, frame_type=_CRYPTO_FRAME)
        else:
            self._connection.close(error_code=_H3_NO_ERROR)
        return self._outgoing(now)

    @property
    def version(self) -> str | None:
        """Negotiated version, such as `v1`; None before the far side proved to speak it."""
        number = self._connection._version if self.alpn is not None or self.chain() else None
        return None if number is None else _VERSIONS.get(number, f"{number:08x}")

    def chain(self) -> tuple[bytes, ...]:
        """Presented certificates (DER), leaf first, also when verification refused them."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return tuple(each.public_bytes(Encoding.DER) for each in self._presented())

    def _presented(self) -> list[x509.Certificate]:
        # The library keeps the peer's certificates to itself.
        tls = getattr(self._connection, "tls", None)
        if tls is None or tls._peer_certificate is None:
            return []
        return [tls._peer_certificate, *tls._peer_certificate_chain]

    def _outgoing(self, now: float) -> list[bytes]:
        payloads = [payload for payload, _ in self._connection.datagrams_to_send(now=now)]
        self.sent_bytes += sum(map(len, payloads))
        return payloads

    def _follow(self, now: float) -> None:
        """Update the state after a datagram or a timeout."""
        from aioquic.quic.connection import QuicConnectionState
        from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, PingAcknowledged
        from OpenSSL import crypto

        while (event := self._connection.next_event()) is not None:
            match event:
                case HandshakeCompleted():
                    self.alpn = event.alpn_protocol
                    if self._verify:
                        presented = map(crypto.X509.from_cryptography, self._presented())
                        self.verify_code = verify(tuple(presented), self._name, self._trust)
                    if self.verify_code:
                        self.done = True
                    else:
                        self._connection.send_ping(0)
                case PingAcknowledged():
                    self.done = self.confirmed = True
                case ConnectionTerminated():
                    self.done = True
                    self.no_version = self.alpn is None and not self._presented()
                case _:
                    pass
        # The library reports a close only after draining, but knows the reason at once.
        closed = self._connection._close_event
        if closed is None or self.done:
            return
        self.done = True
        if self._connection._state is QuicConnectionState.DRAINING:
            self.close_code = min(closed.error_code, _MAX_CODE)
        else:
            self.own_code = closed.error_code


_PEER = ("192.0.2.1", 443)
"""The library wants an address to compare; the socket is connected to one only."""


def is_alert(code: int) -> bool:
    """An error code that carries a TLS alert (RFC 9001 section 4.8)."""
    return code in _CRYPTO_ERRORS


async def handshake(datagrams: Datagrams, client: QUICClient, clock: Callable[[], float]) -> None:
    """Run the handshake over a socket and close the connection. Raises OSError (with the ICMP
    error) and QUICError; the caller limits the time. The library retransmits lost datagrams.
    """
    await _send(datagrams, client.start(clock()))
    while not client.done:
        try:
            async with asyncio.timeout(client.wait(clock())):
                received = await datagrams.receive()
        except TimeoutError:
            payloads = client.expire(clock())
        else:
            payloads = client.feed(received, clock())
        await _send(datagrams, payloads)
    try:
        await _send(datagrams, client.finish(clock()))
    except OSError:
        pass  # the observation is complete


async def _send(datagrams: Datagrams, payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        await datagrams.send(payload)


def verify(presented: Sequence[crypto.X509], name: str, trust_pem: str = "") -> int:
    """Return OpenSSL's X509_V_ERR for a presented chain and a name or address, 0 when valid.

    In OpenSSL's order: no way to a root, then another name, then the dates.
    """
    from OpenSSL import crypto

    if not presented:
        return _UNSPECIFIED
    context = crypto.X509StoreContext(_store(trust_pem), presented[0], presented[1:])
    code = 0
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as error:
        code = error.errors[0] or _UNSPECIFIED
    if code not in (0, _NOT_YET, _EXPIRED):
        return code
    return _wrong_name(presented[0], name) or code


def _wrong_name(leaf: crypto.X509, name: str) -> int:
    """0 when the certificate is for this name or address."""
    from cryptography import x509

    with without(*_OTHER_TLS):
        from service_identity import CertificateError, VerificationError
        from service_identity import cryptography as identity
    try:
        ipaddress.ip_address(name)
    except ValueError:
        literal = False
    else:
        literal = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a certificate without names
            if literal:
                identity.verify_certificate_ip_address(leaf.to_cryptography(), name)
            else:
                identity.verify_certificate_hostname(leaf.to_cryptography(), name)
    except (CertificateError, VerificationError, ValueError, x509.UnsupportedGeneralNameType):
        return _OTHER_ADDRESS if literal else _OTHER_NAME
    return 0


@functools.lru_cache(maxsize=16)
def _store(trust_pem: str) -> crypto.X509Store:
    """Roots, loaded once each: certifi's, or those of a PEM text."""
    from OpenSSL import crypto

    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    if not trust_pem:
        store.load_locations(certifi.where())
    for root in _PEM.findall(trust_pem):
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, root.encode()))
    return store
