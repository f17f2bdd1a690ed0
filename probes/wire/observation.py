# SPDX-License-Identifier: Apache-2.0
"""The sum type of what one step of a measurement can see.

An Observation says what happened, not what it means. Each carries the endpoint it belongs
to (the `Endpoint.id` of the catalogue entry), its purpose, its start after the start of the
measurement (`at_us`) and its length (`took_us`), both in microseconds of the monotonic
clock. Unknown steps from newer probes are kept as `Unrecognised`, byte for byte.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from probes.wire.bounds import Address, Count, Hash, Micros, Port, Small, Text, Token


class Purpose(StrEnum):
    """Why the step was taken."""

    SUBJECT = "subject"
    """What the app would do: the service's name to the service's address."""
    CONTRAST = "contrast"
    """The same with one thing changed, to isolate a cause; `contrast` says which. Without one it is
    the transport: TCP and TLS to an address that was tried over QUIC."""
    REFERENCE = "reference"
    """A question to a third party (a reference resolver) whose answer is a yardstick."""


class Contrast(StrEnum):
    """What a contrast changes."""

    INNOCUOUS_NAME = "innocuous_name"
    """Another, harmless name shown to the service's own address."""
    REFLECTOR = "reflector"
    """The service's name shown to an address of ours."""
    CLASSICAL_HELLO = "classical_hello"
    """A ClientHello without the post-quantum key share (517 bytes in place of 1,500)."""
    NO_VERIFY = "no_verify"
    """One request past an invalid certificate, only to recognise a block page."""
    SILENT_ADDRESS = "silent_address"
    """The same DNS question to an address that runs no DNS: any answer is injected."""
    REPEAT = "repeat"
    """The subject once more, unchanged, from a fresh port."""


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every observation has."""

    STEP: ClassVar[str] = ""

    endpoint: Text
    purpose: Purpose = Purpose.SUBJECT
    contrast: Contrast | None = None
    at_us: Micros = 0
    took_us: Micros = 0
    failure: Text | None = None
    """None, or an OONI failure string (`probes.wire.failure`)."""
    evidence: Annotated[tuple[Token, ...], msgspec.Meta(max_length=16)] = ()
    """Short machine-readable remarks, e.g. `system_root`; never free text from the network."""


class DNSReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One datagram or message that answered a query."""

    after_us: Micros
    """Microseconds after the query was sent."""
    rcode: Small
    answers: Annotated[tuple[Address, ...], msgspec.Meta(max_length=64)] = ()
    """Addresses (A or AAAA), sorted, in the textual form of RFC 5952."""
    cnames: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16)] = ()
    """Alias chain in order, without the trailing dot."""
    ttl: Count | None = None


class DNSLookup(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="dns"
):
    """One question to one resolver. `replies[0]` is what a stub resolver would have believed;
    further entries are later datagrams for the same question within the listening window."""

    STEP: ClassVar[str] = "dns"

    name: Text
    qtype: Token
    """`A` or `AAAA`."""
    resolver: Token
    """`system`, or the id of a catalogue resolver, or `silent`."""
    transport: Token = "udp"
    """`udp`, `tcp`, `doh` or `dot`."""
    replies: Annotated[tuple[DNSReply, ...], msgspec.Meta(max_length=16)] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Addresses of the first reply."""
        return self.replies[0].answers if self.replies else ()


class TCPConnect(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="tcp"
):
    """One TCP connection attempt to one address."""

    STEP: ClassVar[str] = "tcp"

    address: Address
    port: Port
    errno: Small | None = None
    icmp_type: Small | None = None
    """Type of the ICMP(v6) error that ended the attempt, from `IP_RECVERR`."""
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    """Who sent the ICMP error; scrubbed when it is inside the volunteer's network."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen of one presented certificate. The DER travels only when unexpected."""

    sha256: Hash
    """Hex digest of the DER form."""
    der: Annotated[bytes, msgspec.Meta(max_length=16384)] = b""
    """DER form (base64 in JSON), empty when the chain was valid."""


class TLSHandshake(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="tls"
):
    """One TLS handshake over one fresh TCP connection."""

    STEP: ClassVar[str] = "tls"

    address: Address
    port: Port
    sni: Text
    profile: Token = "default"
    """Name of the pinned ClientHello profile: `default` or `classical`."""
    hello_bytes: Count = 0
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """0 with a failure means that nothing came back: our ClientHello was the trigger."""
    errno: Small | None = None
    alert: Small | None = None
    """TLS alert description number that the far side sent (RFC 8446 section 6)."""
    plain_http: bool = False
    """The far side answered in clear-text HTTP in place of TLS."""
    version: Token | None = None
    cipher: Token | None = None
    alpn: Text | None = None
    verify_code: Small | None = None
    """OpenSSL's X509_V_ERR code; 0 when the chain and the name were valid; None when no
    certificate was seen."""
    chain: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=10)] = ()
    """Presented chain, leaf first: at most the leaf's hash when valid, else all of it."""


class HTTPExchange(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="http"
):
    """One HTTP request and what came back, without following redirects."""

    STEP: ClassVar[str] = "http"

    address: Address
    port: Port
    host: Text
    path: Text = "/"
    tls: bool = False
    protocol: Text = "http/1.1"
    """`http/1.1` or `h2`, as negotiated."""
    status: Small | None = None
    location: Text | None = None
    title: Text | None = None
    server: Text | None = None
    body_bytes: Count = 0
    body_sha256: Hash | None = None
    excerpt: Annotated[bytes, msgspec.Meta(max_length=2048)] = b""
    """At most 2,048 bytes of the body, only when the exchange looked unexpected."""
    errno: Small | None = None
    sent_bytes: Count = 0
    received_bytes: Count = 0


class QUICHandshake(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="quic"
):
    """One QUIC handshake (RFC 9000, RFC 9001) over one fresh UDP socket."""

    STEP: ClassVar[str] = "quic"

    address: Address
    port: Port
    sni: Text
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """0 with a failure means that no datagram came back: not even a version or a Retry."""
    errno: Small | None = None
    icmp_type: Small | None = None
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    close_code: Count | None = None
    """Error code of the far side's CONNECTION_CLOSE; 0x100 and above carry a TLS alert."""
    version: Token | None = None
    """Negotiated version, e.g. `v1`."""
    alpn: Text | None = None
    verify_code: Small | None = None
    """As in `TLSHandshake`: 0 when chain and name were valid."""
    chain: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=10)] = ()


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a transfer had come."""

    at_us: Micros
    """Microseconds after the first request was sent."""
    received_bytes: Count


class Transfer(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="transfer"
):
    """Bytes fetched over one connection after its handshake, to compare speeds: the service's
    name or an innocuous one, at the same address, or the service's name elsewhere.

    Requests are repeated on the connection until `wanted_bytes` came or the time was over.
    """

    STEP: ClassVar[str] = "transfer"

    address: Address
    port: Port
    sni: Text
    turn: Small = 0
    """Place within the series of transfers of this endpoint, from 0: pairs run in both orders."""
    tls: bool = True
    requests: Small = 0
    """Requests that were answered in full."""
    status: Small | None = None
    """Of the first answer."""
    wanted_bytes: Count = 0
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """Bytes on the connection after the handshake, as the socket gave them."""
    first_us: Micros = 0
    """From the first request to the first byte of an answer."""
    silence_us: Micros = 0
    """Longest time without a byte once bytes had come, the last wait included."""
    rate: Count = 0
    """Bytes a second over the second half of the bytes, when a sender has found its speed,
    without the waits that round trips explain."""
    pace: Count = 0
    """Bytes a second at which the middle byte came after the one before it: evenly spaced packets
    show a narrow place, whatever distance and losses cost beside it."""
    errno: Small | None = None
    progress: Annotated[tuple[Progress, ...], msgspec.Meta(max_length=32)] = ()
    """Thinned out: shows where a stream froze."""


class AppExchange(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="app"
):
    """The first exchange of an app's own protocol, without an account."""

    STEP: ClassVar[str] = "app"

    address: Address
    port: Port
    protocol: Token
    """`mtproto`, `stun`, ...: a name of the catalogue's protocols."""
    transport: Token = "tcp"
    """`tcp`, `tls` or `udp`."""
    spoke: bool = False
    """The answer is one of this protocol, as far as a stranger can tell: a server that speaks."""
    reply: Token | None = None
    """Kind of answer in a word, e.g. `res_pq`."""
    sent_bytes: Count = 0
    received_bytes: Count = 0
    errno: Small | None = None
    icmp_type: Small | None = None
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    excerpt: Annotated[bytes, msgspec.Meta(max_length=256)] = b""
    """The first bytes that came back, only when they are not of this protocol."""


class PathHop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to packets that may live for so many hops."""

    ttl: Small
    router: Address | None = None
    """Who sent ICMP time-exceeded for a SYN of this TTL (`IP_RECVERR`); scrubbed when inside the
    volunteer's network."""
    hello: Token | None = None
    """What came back for a ClientHello of this TTL on an open connection: `silence`, `reset`,
    `eof`, `alert`, `answer`, `icmp`; None when none was sent."""


class PathTrace(
    Observation, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag="path"
):
    """At how many hops an interference acts: the same trigger with growing TTL."""

    STEP: ClassVar[str] = "path"

    address: Address
    port: Port
    sni: Text
    hops: Annotated[tuple[PathHop, ...], msgspec.Meta(max_length=64)] = ()


class Unrecognised(msgspec.Struct, frozen=True, kw_only=True):
    """An observation of a step that this version does not know, kept as it came."""

    step: str
    raw: bytes
    """The JSON object, byte for byte."""


KNOWN: tuple[type[Observation], ...] = (
    DNSLookup,
    TCPConnect,
    TLSHandshake,
    QUICHandshake,
    HTTPExchange,
    Transfer,
    AppExchange,
    PathTrace,
)
Known = (
    DNSLookup
    | TCPConnect
    | TLSHandshake
    | QUICHandshake
    | HTTPExchange
    | Transfer
    | AppExchange
    | PathTrace
)
AnyObservation = Known | Unrecognised
