# SPDX-License-Identifier: Apache-2.0
"""What one step of a measurement observed, one type per kind of step.

An Observation states what happened, not what it means. Unknown steps from newer probes are kept
as `Unrecognised`, byte for byte.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, get_args

import msgspec

from probes.wire.bounds import (
    Address,
    Count,
    Hash,
    Micros,
    Port,
    ShortHash,
    Small,
    Text,
    Token,
)


class Purpose(StrEnum):
    """Why the step was taken."""

    SUBJECT = "subject"
    """The same as the app does: the service's name, to the service's address."""
    CONTRAST = "contrast"
    """The same with one change, to isolate a cause. `contrast` names the change. Without it, the
    change is the transport: TCP and TLS to an address that was tried over QUIC."""
    REFERENCE = "reference"
    """A query to a third party (a reference resolver), for comparison."""


class Contrast(StrEnum):
    """The change that a contrast makes."""

    INNOCUOUS_NAME = "innocuous_name"
    """An innocuous name, sent to the service's address, or to our reflector (beside the service's
    name there)."""
    REFLECTOR = "reflector"
    """The service's name, sent to our reflector."""
    CLASSICAL_HELLO = "classical_hello"
    """A ClientHello without the post-quantum key share (517 bytes instead of 1,500)."""
    NO_VERIFY = "no_verify"
    """One request despite an invalid certificate, only to recognise a block page."""
    SILENT_ADDRESS = "silent_address"
    """The same DNS query to an address that runs no DNS: any answer is from somebody on the path.
    Where one came, an innocuous name is asked for there too, twice: is every query answered so?"""
    NAME_BELOW = "name_below"
    """A DNS query for a name below the service's, with a random label: it should not exist. Where
    the service's is denied, one below an innocuous name as well, twice: how are names denied that
    nobody forbids?"""
    REPEAT = "repeat"
    """The subject again, unchanged, from a new port. With the evidence `checking_disabled` the
    resolver is asked not to check signatures."""


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="step"):
    """The fields that every observation has."""

    endpoint: Text
    """Id of the endpoint that the step belongs to."""
    purpose: Purpose = Purpose.SUBJECT
    contrast: Contrast | None = None
    at_us: Micros = 0
    """Start of the step, microseconds after the start of the measurement (monotonic clock)."""
    took_us: Micros = 0
    """Duration of the step, microseconds."""
    failure: Text | None = None
    """OONI failure string (`probes.wire.failure`); null if the step succeeded."""
    evidence: Annotated[tuple[Token, ...], msgspec.Meta(max_length=16)] = ()
    """Short machine-readable remarks, such as `system_root`; never text from the network."""

    @property
    def step(self) -> str:
        """The name of its kind of step, as in `Unrecognised`."""
        return step_of(type(self))


def step_of(kind: type[Observation]) -> str:
    """The name of a kind of step on the wire, such as `dns`."""
    return str(kind.__struct_config__.tag)


MACHINE_LATE = "machine_late"
"""Evidence of a step that got no answer in time: for half of it or more the probe's own machine
was overloaded, stood still or slept."""


LIVENESS_HOST = "liveness_host"
"""Evidence beside a connect of purpose `contrast`: it went to a host that liveness reached in the
same round, while the service's address was tried again after silence."""


SAME_PORT = "same_port"
"""Evidence beside a connect of purpose `contrast`: it went to an innocuous host, at the port of the
service that could not be reached. Controls make it in any case, to compare with."""


OTHER_PORT = "other_port"
"""Evidence beside a connect of purpose `contrast`: it went to the very address that could not be
reached, at another port. Controls make it in any case, to compare with."""


HANDED_OVER = "handed_over"
"""Evidence of a step of a control: no resolver gave it this address. The monitor handed it over,
because it failed elsewhere."""


INNOCUOUS_EXPIRES = "innocuous_expires"
"""Evidence of a trace where connections are refused: SYNs with the TTL at which one was refused
went to innocuous hosts as well, at ports that they serve and at the service's, and nobody answered
them. So no proxy answers in everybody's name."""
INNOCUOUS_REFUSED = "innocuous_refused"
"""Evidence of such a trace: one of them was refused at the service's port, which its host, at whose
own port nobody answered, is too far away to do."""


UNCHECKED = "checking_disabled"
"""Evidence of a lookup: the resolver was asked not to check signatures (RFC 4035)."""


PLAIN_PAYLOAD = 512
"""Most bytes of a DNS message over UDP without EDNS (RFC 1035, section 4.2.1)."""
_HEAD_BYTES, _RECORD_BYTES = 12, 12
"""Of a message, and of a record before its data."""


class DNSReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One datagram or message that answered a query."""

    after_us: Micros
    """Microseconds after the query was sent."""
    rcode: Small
    """DNS response code."""
    answers: Annotated[tuple[Address, ...], msgspec.Meta(max_length=64)] = ()
    """Addresses (A or AAAA), sorted, in the form of RFC 5952."""
    cnames: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16)] = ()
    """Chain of aliases in order, without trailing dots."""
    ttl: Count | None = None
    """Time to live of the answer, seconds."""


class DNSLookup(Observation, frozen=True, kw_only=True, tag="dns"):
    """One query to one resolver. `replies[0]` is the reply that a stub resolver would use. Further
    entries are later replies to the same query, within the time that the probe listens."""

    name: Text
    """Name that is resolved."""
    qtype: Token
    """`A` or `AAAA`."""
    resolver: Token
    """`system`, the id of a resolver in the catalogue, or `silent`."""
    transport: Token = "udp"
    """`udp`, `tcp`, `doh` or `dot`."""
    replies: Annotated[tuple[DNSReply, ...], msgspec.Meta(max_length=16)] = ()
    """In the order in which they arrived; empty if none did."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Addresses of the first reply."""
        return self.replies[0].answers if self.replies else ()

    @property
    def most_bytes(self) -> int:
        """Bytes of the first reply without compressed aliases and what is beside its answer; 0 if
        none came (RFC 1035, section 4.1)."""
        if not self.replies:
            return 0
        address = _RECORD_BYTES + (16 if self.qtype == "AAAA" else 4)
        aliases = sum(_RECORD_BYTES + len(alias) + 2 for alias in self.replies[0].cnames)
        return _HEAD_BYTES + len(self.name) + 6 + aliases + address * len(self.answers)


class AtAddress(Observation, frozen=True, kw_only=True):
    """A step at one address, after the name was resolved."""

    address: Address
    port: Port


class TCPConnect(AtAddress, frozen=True, kw_only=True, tag="tcp"):
    """One TCP connection attempt to one address."""

    errno: Small | None = None
    icmp_type: Small | None = None
    """Type of the ICMP(v6) error that ended the attempt, from `IP_RECVERR`."""
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    """Sender of the ICMP error; removed if it is inside the volunteer's network."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One presented certificate. The DER form is sent only if the chain was not valid."""

    sha256: Hash
    """Hex digest of the DER form."""
    der: Annotated[bytes, msgspec.Meta(max_length=16384)] = b""
    """DER form (base64 in JSON); empty if the chain was valid."""
    key: ShortHash = b""
    """First 8 bytes of the SHA-256 of a leaf's public key (SubjectPublicKeyInfo)."""
    authority: ShortHash = b""
    """The same of the name of its issuer; empty if that is its own."""


class TLSHandshake(AtAddress, frozen=True, kw_only=True, tag="tls"):
    """One TLS handshake over one new TCP connection."""

    sni: Text
    profile: Token = "default"
    """Name of the pinned ClientHello profile: `default` or `classical`."""
    hello_bytes: Count = 0
    """Size of the ClientHello."""
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """0 with a failure means that nothing was received: the ClientHello was the trigger."""
    errno: Small | None = None
    alert: Small | None = None
    """Number of the TLS alert that the server sent (RFC 8446 section 6)."""
    plain_http: bool = False
    """The server answered with plain HTTP instead of TLS."""
    version: Token | None = None
    """Version that was negotiated, such as `TLSv1.3`."""
    cipher: Token | None = None
    """Cipher suite that was negotiated, as OpenSSL names it."""
    alpn: Text | None = None
    verify_code: Small | None = None
    """OpenSSL's X509_V_ERR code: 0 if chain and name were valid; null if no certificate was
    seen."""
    chain: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=10)] = ()
    """Presented chain, leaf first. If it was valid, at most the hash of the leaf."""


class PageShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page in clear text as far as it is compared with the control's. Its words and the names of
    its uncommon headers are a sample of four-byte hashes (CRC-32, the 16 smallest, sorted)."""

    size: Count = 0
    """Bytes of the body that were read."""
    words: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
    """Hashes of its words."""
    headers: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
    """Hashes of the names of its uncommon headers."""


class TitleShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A title as far as titles are compared."""

    length: Count = 0
    """Its characters."""
    letters: Annotated[bytes, msgspec.Meta(max_length=4)] = b""
    """Four-byte hash (CRC-32) of its words without digits; empty when it has none."""
    words: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    """Hashes of its longer words, as in `PageShape`: at most eight."""


class HTTPExchange(AtAddress, frozen=True, kw_only=True, tag="http"):
    """One HTTP request and its response. Redirects are not followed."""

    host: Text
    """Host header of the request."""
    path: Text = "/"
    """Path and query of the request."""
    tls: bool = False
    """Over TLS (https)."""
    protocol: Text = "http/1.1"
    """`http/1.1` or `h2`, as negotiated."""
    status: Small | None = None
    """Status code of the response."""
    location: Text | None = None
    """Location header of the response; by default its scheme and host alone."""
    title: Text | None = None
    """Title of an HTML page, if it lies in what was read of the body; by default only of a known
    block page."""
    title_shape: TitleShape | None = None
    """Shape of a title that is not sent."""
    server: Text | None = None
    """Server header of the response; by default the name of the product alone."""
    body_bytes: Count = 0
    """Bytes of the body that were read."""
    body_truncated: bool = False
    """Reading ended at the probe's limit: length and hash are those of the beginning."""
    body_sha256: Hash | None = None
    """Hex digest of what was read of the body; null if nothing was, if its excerpt had to be
    changed so that it shows no address of the volunteer, and by default if no valid certificate
    proves whose it is."""
    known_pages: Annotated[tuple[Token, ...], msgspec.Meta(max_length=32)] = ()
    """Ids of the phrases of block pages (`probes.wire.block_pages`) in title and beginning."""
    excerpt: Annotated[bytes, msgspec.Meta(max_length=2048)] = b""
    """At most 2,048 bytes of the body, only if the response looked unexpected, the operator asks
    for them, and the volunteer agreed to send them."""
    shape: PageShape | None = None
    """Of a response that no valid certificate proves to be the service's own."""
    errno: Small | None = None
    sent_bytes: Count = 0
    received_bytes: Count = 0


class QUICHandshake(AtAddress, frozen=True, kw_only=True, tag="quic"):
    """One QUIC handshake (RFC 9000, RFC 9001) over one new UDP socket."""

    sni: Text
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """0 with a failure means that no datagram was received, not even a Retry."""
    errno: Small | None = None
    icmp_type: Small | None = None
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    close_code: Count | None = None
    """Error code of the server's CONNECTION_CLOSE; 0x100 and above contain a TLS alert."""
    version: Token | None = None
    """Negotiated version, such as `v1`."""
    alpn: Text | None = None
    verify_code: Small | None = None
    """As in `TLSHandshake`: 0 if chain and name were valid."""
    chain: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=10)] = ()
    """As in `TLSHandshake`."""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """Progress of a transfer at one time."""

    at_us: Micros
    """Microseconds after the first request was sent."""
    received_bytes: Count
    """Bytes received by then."""


class Transfer(AtAddress, frozen=True, kw_only=True, tag="transfer"):
    """A download over one connection after its handshake, to compare throughput: with the service's
    name or an innocuous one at the same address, or with the service's name elsewhere.

    Requests are repeated on the connection until `wanted_bytes` arrived or the time limit ended.
    """

    sni: Text
    turn: Small = 0
    """Number within the series of transfers of this endpoint, from 0. Pairs run in both orders."""
    tls: bool = True
    """Over TLS."""
    requests: Small = 0
    """Requests with a complete response."""
    status: Small | None = None
    """HTTP status of the first response."""
    wanted_bytes: Count = 0
    """Bytes after which the transfer ends."""
    sent_bytes: Count = 0
    received_bytes: Count = 0
    """Bytes received on the socket after the handshake."""
    first_us: Micros = 0
    """Time from the first request to the first byte of the response, microseconds."""
    silence_us: Micros = 0
    """Longest time without a byte after the first byte, including the end, microseconds."""
    rate: Count = 0
    """Bytes per second over the second half of the bytes, after the sender's slow start and without
    the waits that round trips explain."""
    pace: Count = 0
    """Bytes per second at which the median byte followed the byte before it. Evenly spaced packets
    indicate a bottleneck, independent of delay and loss."""
    errno: Small | None = None
    progress: Annotated[tuple[Progress, ...], msgspec.Meta(max_length=32)] = ()
    """Progress at some times; shows where a transfer froze."""


class PageHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page in clear text that came in place of an app's answer, by its first bytes."""

    status: Small | None = None
    """Status code; null for a bare page."""
    location: Text | None = None
    """Scheme and host of its redirect."""
    known_pages: Annotated[tuple[Token, ...], msgspec.Meta(max_length=32)] = ()
    """As in `HTTPExchange`."""


class AppExchange(AtAddress, frozen=True, kw_only=True, tag="app"):
    """The first exchange of an app's own protocol, without an account."""

    protocol: Token
    """Protocol as named in the catalogue, such as `mtproto` or `stun`."""
    transport: Token = "tcp"
    """`tcp`, `tls` or `udp`."""
    spoke: bool = False
    """The response is valid for this protocol, as far as can be determined without an account."""
    reply: Token | None = None
    """Kind of response, such as `res_pq`."""
    sent_bytes: Count = 0
    received_bytes: Count = 0
    errno: Small | None = None
    icmp_type: Small | None = None
    icmp_code: Small | None = None
    icmp_from: Address | None = None
    page: PageHead | None = None
    """The page that came in place of the app's answer; null if none did."""
    excerpt: Annotated[bytes, msgspec.Meta(max_length=256)] = b""
    """The first bytes received, only if they are not valid for this protocol; sent as the excerpt
    of an `HTTPExchange` is."""


class PathHop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Response to packets with one time to live (TTL)."""

    ttl: Small
    """Hops after which routers drop the packet."""
    router: Address | None = None
    """Sender of ICMP time-exceeded for a SYN with this TTL (`IP_RECVERR`), or for a datagram from
    where a SYN was refused on; removed if it is inside the volunteer's network."""
    syn: Token | None = None
    """Response to a SYN with this TTL, where connections are refused: `reset` or `answer`; null if
    none came."""
    hello: Token | None = None
    """Response to a ClientHello with this TTL on an open connection: `silence`, `reset`, `eof`,
    `alert`, `answer` or `icmp`; null if none was sent."""


class PathTrace(AtAddress, frozen=True, kw_only=True, tag="path"):
    """The distance of interference in hops: the same trigger with increasing TTL, which is a
    ClientHello, or a SYN where connections are refused."""

    sni: Text
    """Empty where no ClientHello was sent."""
    hops: Annotated[tuple[PathHop, ...], msgspec.Meta(max_length=64)] = ()
    """By increasing TTL."""


class Unrecognised(msgspec.Struct, frozen=True, kw_only=True):
    """An observation of a step that this version does not know, kept unchanged."""

    step: str
    raw: bytes
    """The JSON object, byte for byte."""


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
KNOWN: tuple[type[Observation], ...] = get_args(Known)
AnyObservation = Known | Unrecognised
