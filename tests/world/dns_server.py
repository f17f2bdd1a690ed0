"""A real DNS server on loopback whose behaviour is a table: name -> what it does.

    async with DNSServer({"chat.example": Address("192.0.2.1")}) as server:
        ... server.udp_port, server.tcp_port, server.dot_port, server.doh_port, server.trust ...

UDP, TCP, DoT and DoH (HTTP/2) listen on free ports of `host`; UDP and TCP share one number, as
port 53 does. A name that is not in the table gets NXDOMAIN. `server.seen` holds every question as
`(transport, name, qtype, id)`, in order of arrival. The DoT and DoH certificate is for
`SERVER_NAME` and `host`, and `server.trust` is its PEM text.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import h2.config
import h2.connection
import h2.events
import h2.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.world.ports import free_port

SERVER_NAME = "dns.lab.test"


@dataclass(frozen=True)
class Address:
    """Answers with these addresses of the asked family (none of that family: an empty answer),
    after `aliases`."""

    addresses: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    ttl: int = 60

    def __init__(self, *addresses: str, aliases: tuple[str, ...] = (), ttl: int = 60) -> None:
        for name, value in (("addresses", addresses), ("aliases", aliases), ("ttl", ttl)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Rcode:
    """Answers with a response code and nothing else; `empty` in the table is Rcode("NOERROR")."""

    name: str


@dataclass(frozen=True)
class Drop:
    """Says nothing to the first `times` questions, then does `then`."""

    times: int = 1 << 30
    then: Behaviour | None = None


@dataclass(frozen=True)
class Sequence:
    """Several replies over UDP, each after its delay in seconds since the question; other
    transports get the last one only."""

    replies: tuple[tuple[float, Behaviour], ...]


@dataclass(frozen=True)
class WrongId:
    """The reply of `then` under another id."""

    then: Behaviour


@dataclass(frozen=True)
class WrongQuestion:
    """The reply of `then` for another name under the right id."""

    then: Behaviour


@dataclass(frozen=True)
class Truncated:
    """Over UDP an empty reply with the TC bit; over the others the reply of `then`."""

    then: Behaviour


@dataclass(frozen=True)
class NoEDNS:
    """FORMERR (or, with `drops`, nothing) to a question with EDNS, the reply of `then` to one
    without."""

    then: Behaviour
    drops: bool = False


@dataclass(frozen=True)
class BadSignature:
    """SERVFAIL, as from a resolver that checks signatures, or the reply of `then` to a question
    that asks it not to."""

    then: Behaviour


@dataclass(frozen=True)
class Garbage:
    """These bytes in place of a reply; `headed` puts the right id and the QR bit in front."""

    payload: bytes
    headed: bool = False


@dataclass(frozen=True)
class Hangup:
    """Closes the connection without an answer (TCP, DoT, DoH); silence over UDP."""


@dataclass(frozen=True)
class HTTPStatus:
    """Over DoH this status and content; an empty answer over the others."""

    status: int
    content_type: str = "text/html"
    content: bytes = b"<title>no</title>"


Behaviour = (
    Address | Rcode | Drop | Sequence | WrongId | WrongQuestion | Truncated | NoEDNS | BadSignature
    | Garbage | Hangup | HTTPStatus
)  # fmt: skip


@dataclass
class DNSServer:
    """See the module's docstring. Use as an asynchronous context manager."""

    table: Mapping[str, Behaviour]
    host: str = "127.0.0.1"
    secure: bool = False
    """Whether DoT and DoH listen as well (they need a certificate, made once a process)."""
    seen: list[tuple[str, str, str, int]] = field(default_factory=list)
    dead_flows: int = 0
    """Over UDP the first so many source ports are never answered, as with a full NAT table."""
    ports: list[int] = field(default_factory=list)
    """The source ports over UDP, in order of their first question."""
    connections: int = 0
    """How many were opened over TCP, DoT and DoH."""
    udp_port: int = 0
    tcp_port: int = 0
    dot_port: int = 0
    doh_port: int = 0
    trust: str = ""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _dropped: dict[str, int] = field(default_factory=dict)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> DNSServer:
        async with contextlib.AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(_cancel_all, group)
            await self._listen_plain(stack, group)
            if self.secure:
                context, self.trust = server_context(SERVER_NAME, self.host)
                self.dot_port = await self._listen(stack, 0, self._serve_dot, context)
                self.doh_port = await self._listen(stack, 0, self._serve_doh, _with_h2(context))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *details: object) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._stack.aclose()
        await asyncio.sleep(0)  # lets the tasks of the aborted connections end

    async def _listen_plain(
        self, stack: contextlib.AsyncExitStack, group: asyncio.TaskGroup
    ) -> None:
        loop = asyncio.get_running_loop()
        self.udp_port = self.tcp_port = free_port()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _UDP(self, group), local_addr=(self.host, self.udp_port)
        )
        stack.callback(transport.close)
        await self._listen(stack, self.tcp_port, self._serve_tcp, None)

    async def _listen(self, stack, port, serve, context) -> int:
        server = await asyncio.start_server(serve, self.host, port, ssl=context)
        stack.callback(server.close)
        return server.sockets[0].getsockname()[1]

    def replies(self, transport: str, wire: bytes) -> Iterator[tuple[float, bytes]]:
        """Delays in seconds and payloads for one question."""
        question = dns.message.from_wire(wire)
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        qtype = dns.rdatatype.to_text(question.question[0].rdtype)
        self.seen.append((transport, name, qtype, question.id))
        behaviour = self.table.get(name, Rcode("NXDOMAIN"))
        while isinstance(behaviour, Drop):
            count = self._dropped[name] = self._dropped.get(name, 0) + 1
            if count <= behaviour.times or behaviour.then is None:
                return
            behaviour = behaviour.then
        if isinstance(behaviour, Sequence):
            chosen = behaviour.replies if transport == "udp" else behaviour.replies[-1:]
            for delay, each in chosen:
                yield (delay if transport == "udp" else 0), _payload(question, each, transport)
        elif not (isinstance(behaviour, Hangup) or _drops_edns(behaviour, question)):
            yield 0, _payload(question, behaviour, transport)

    def behaviour(self, wire: bytes) -> Behaviour | None:
        """What the table says of the name that a question asks for."""
        question = dns.message.from_wire(wire).question[0]
        return self.table.get(question.name.to_text(omit_final_dot=True).lower())

    @contextlib.asynccontextmanager
    async def _closing(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Close the writer; what a client does to its end of a connection is no error here."""
        self._writers.add(writer)
        try:
            yield
        except (OSError, EOFError, h2.exceptions.H2Error):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    def hang_up(self) -> None:
        """Close every connection that is open."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve_tcp(self, reader, writer) -> None:
        await self._framed("tcp", reader, writer)

    async def _serve_dot(self, reader, writer) -> None:
        await self._framed("dot", reader, writer)

    async def _framed(self, transport: str, reader, writer) -> None:
        async with self._closing(writer):
            self.connections += 1
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                wire = await reader.readexactly(length)
                answered = False
                for _, payload in self.replies(transport, wire):
                    answered = True
                    writer.write(struct.pack("!H", len(payload)) + payload)
                    await writer.drain()
                if not answered and isinstance(self.behaviour(wire), Hangup):
                    return

    async def _serve_doh(self, reader, writer) -> None:
        async with self._closing(writer):
            connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            connection.initiate_connection()
            self.connections += 1
            writer.write(connection.data_to_send())
            wire, waiting, stream_id = b"", b"", 0
            while chunk := await reader.read(65536):
                for event in connection.receive_data(chunk):
                    if isinstance(event, h2.events.DataReceived):
                        wire += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        stream_id = event.stream_id
                        behaviour = self.behaviour(wire)
                        if isinstance(behaviour, Hangup):
                            return
                        for _, payload in self.replies("doh", wire):
                            status, kind, waiting = "200", "application/dns-message", payload
                            if isinstance(behaviour, HTTPStatus):
                                status, kind = str(behaviour.status), behaviour.content_type
                                waiting = behaviour.content
                            connection.send_headers(
                                stream_id, [(":status", status), ("content-type", kind)]
                            )
                        wire = b""
                waiting = _pump(connection, stream_id, waiting)
                writer.write(connection.data_to_send())
                await writer.drain()


def _pump(connection: h2.connection.H2Connection, stream_id: int, waiting: bytes) -> bytes:
    """Send what flow control lets through, end the stream after the last byte, return the rest."""
    while waiting:
        room = min(
            connection.local_flow_control_window(stream_id), connection.max_outbound_frame_size
        )
        if room <= 0:
            break
        connection.send_data(stream_id, waiting[:room], end_stream=len(waiting) <= room)
        waiting = waiting[room:]
    return waiting


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer, group: asyncio.TaskGroup) -> None:
        self._server = server
        self._group = group

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, wire: bytes, sender) -> None:
        self._group.create_task(self._answer(wire, sender))

    async def _answer(self, wire: bytes, sender) -> None:
        elapsed, ports = 0.0, self._server.ports
        if sender[1] not in ports:
            ports.append(sender[1])
        for delay, payload in self._server.replies("udp", wire):
            if ports.index(sender[1]) < self._server.dead_flows:
                return
            await asyncio.sleep(delay - elapsed)
            elapsed = delay
            self._transport.sendto(payload, sender)


def _drops_edns(behaviour: Behaviour, question: dns.message.Message) -> bool:
    return isinstance(behaviour, NoEDNS) and behaviour.drops and question.edns >= 0


def _payload(question: dns.message.Message, behaviour: Behaviour, transport: str) -> bytes:
    match behaviour:
        case WrongId(then):
            wire = _payload(question, then, transport)
            return struct.pack("!H", question.id ^ 0x5555) + wire[2:]
        case WrongQuestion(then):
            other = dns.message.make_query("other.example.", question.question[0].rdtype)
            other.id = question.id
            return _payload(other, then, transport)
        case Truncated(then) if transport == "udp":
            message = dns.message.make_response(question)
            message.flags |= dns.flags.TC
            return message.to_wire()
        case Truncated(then):
            return _payload(question, then, transport)
        case NoEDNS(then):
            if question.edns >= 0:
                return struct.pack("!6H", question.id, 0x8181, 0, 0, 0, 0)
            return _payload(question, then, transport)
        case BadSignature(then):
            unchecked = question.flags & dns.flags.CD
            return _payload(question, then if unchecked else Rcode("SERVFAIL"), transport)
        case Garbage(payload, headed):
            return struct.pack("!HH", question.id, 0x8180) * headed + payload
        case Rcode(name):
            message = dns.message.make_response(question)
            message.set_rcode(dns.rcode.from_text(name))
            return message.to_wire()
        case Address(addresses, aliases, ttl):
            return _answer(question, addresses, aliases, ttl).to_wire(max_size=65535)
        case _:
            return dns.message.make_response(question).to_wire()


def _answer(question, addresses, aliases, ttl) -> dns.message.Message:
    message = dns.message.make_response(question)
    asked = question.question[0]
    owner = asked.name
    for alias in aliases:
        rrset = dns.rrset.from_text(owner, ttl, "IN", "CNAME", f"{alias}.")
        message.answer.append(rrset)
        owner = rrset[0].target
    family = 6 if asked.rdtype == dns.rdatatype.AAAA else 4
    fitting = [a for a in addresses if ipaddress.ip_address(a).version == family]
    if fitting:
        message.answer.append(dns.rrset.from_text(owner, ttl, "IN", asked.rdtype, *fitting))
    return message


def _cancel_all(group: asyncio.TaskGroup) -> None:
    for task in tuple(group._tasks):
        task.cancel()


@cache
def server_context(*names: str) -> tuple[ssl.SSLContext, str]:
    """A server context with a self-signed certificate for names or addresses, and its PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    alternatives = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, *plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.write_bytes(private + pem)
        context.load_cert_chain(path)
    return context, pem.decode()


def _with_h2(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["h2"])
    return context
