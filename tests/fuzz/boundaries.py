"""Where bytes of strangers come in, and how each of these boundaries may answer: with a value, or
with an error that it documents. Anything else is a fault of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from monitor.broker.connection import Event, ServerConnection
from monitor.broker.packets import Connect, Publish, Subscribe, Unsubscribe
from monitor.broker.properties import PacketError, Reason
from monitor.collector.unpack import unpack
from monitor.detection.judge import imported_run
from monitor.detection.judge.recognised import measurement_of, recognise
from monitor.detection.judge.target import judge
from monitor.detection.model import Stored
from monitor.follow.listing import ListingError, page_of
from monitor.follow.pace import asked_seconds
from monitor.interop import flat
from monitor.interop.fingerprints import tables
from monitor.interop.ooni import writing
from monitor.interop.ooni.reading import ImportedRun, line_items
from monitor.text.certificates import summarise_certificate
from monitor.web.draw.step_table import endpoint_steps
from probes.net.certificates import observed
from probes.net.dns_message import Query, parse_reply
from probes.protocols import matrix, mmtls, mtproto, stun, whatsapp, xmpp
from probes.wire.codec import (
    WireError,
    decode,
    decode_ack,
    decode_status,
    encode,
)
from probes.wire.enrolment_token import TokenError, parse_token
from probes.wire.https_delivery import decode_answer
from probes.wire.measurement import Measurement, Role
from probes.wire.page_facts import page_head, place, title_shape
from probes.wire.retest import decode_retest
from probes.wire.signed_catalogue import decode_files, decode_signed
from tests.monitor.detection import scenes
from tests.monitor.interop.samples import targets_by_name

CORPUS = Path(__file__).parent / "corpus"
Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Boundary:
    """One place at which bytes of strangers come in."""

    name: str
    """Also the folder of its corpus."""
    whose: str
    """Who sends the bytes."""
    read: Read
    may_raise: tuple[type[Exception], ...] = ()
    """Errors that it documents."""

    def outcome(self, given: bytes) -> str:
        """What became of some bytes, in a word that is the same for like bytes; raises what the
        boundary may not raise."""
        try:
            made = self.read(given)
        except self.may_raise as error:
            return f"{type(error).__name__} {hashlib.sha256(_words(error)).hexdigest()[:6]}"
        return made if isinstance(made, str) else type(made).__name__

    def corpus(self) -> Iterator[Path]:
        """Its kept inputs, in a fixed order."""
        return iter(sorted((CORPUS / self.name).glob("*.bin")))


def _words(error: Exception) -> bytes:
    """An error's text without the numbers and quotations in it."""
    return "".join(c for c in str(error).partition(":")[0] if c.isalpha() or c == " ").encode()


def _batch(payload: bytes) -> str:
    batch = unpack(payload)
    return f"{bool(batch.header)} {len(batch.entries) > 0} {sorted({b.reason for b in batch.bad})}"


def _line(line: bytes) -> str:
    """A measurement, and all that is made of it: a verdict alone and beside a control, the same by
    its look, and the texts and tables of its page."""
    measurement = decode(line)
    assert decode(encode(measurement)) == measurement
    verdict = judge(measurement, *_CONTROL)
    looked = recognise(line)
    if looked is not None:
        assert judge(measurement_of(looked), *_CONTROL).rule == verdict.rule
    judge(measurement)
    imported_run.judge(measurement)
    for row in endpoint_steps(measurement):
        msgspec.json.encode(str(row))
    stored = Stored(measurement=measurement, owner="o", role=Role.VANTAGE, enrolled=0)
    list(flat.rows(stored))
    writing.line(stored)
    return f"{verdict.state} {verdict.rule}"


_CONTROL: tuple[list[Measurement], list[tuple[Measurement, list[Measurement]]]] = (
    scenes.alive(),
    [scenes.control(scenes.dns(), scenes.tcp(), scenes.tls())],
)


def _mqtt(stream: bytes) -> str:
    """All that a client sends: served as the embedded broker does."""
    connection, heard = ServerConnection(), list[str]()
    try:
        events = connection.receive(stream)
        while events and len(heard) < _MOST_EVENTS:
            for event in events:
                heard.append(type(event).__name__)
                _serve(connection, event)
            events = connection.receive(b"")
    finally:
        connection.take_output()
    return " ".join(dict.fromkeys(heard))


def _serve(connection: ServerConnection, event: Event) -> None:
    match event:
        case Connect():
            connection.accept(event, may_retain=False, may_share=False)
        case Subscribe():
            connection.subscribed(event.packet_id, [Reason.SUCCESS] * len(event.subscriptions))
        case Unsubscribe():
            connection.unsubscribed(event.packet_id, [Reason.SUCCESS] * len(event.filters))
        case Publish() if event.packet_id:
            connection.acknowledge(event.packet_id, Reason.SUCCESS)


def _catalogue(document: bytes) -> str:
    return str(len(decode_files(decode_signed(document).body).files) > 0)


def _dns(payload: bytes) -> str:
    parsed = parse_reply(payload, ASKED, 1)
    return f"{parsed.fault} {parsed.truncated} {parsed.evidence} {parsed.reply is not None}"


def _ooni(line: bytes) -> str:
    made = []
    for item in line_items(line, 1, targets_by_name()):
        made.append(type(item).__name__)
        for measurement, kept in item.found if isinstance(item, ImportedRun) else ():
            assert decode(kept) == measurement
            imported_run.judge(measurement)
    return " ".join(sorted(set(made)))


def _fingerprints(raw: bytes) -> str:
    table = tables.read("x.csv", raw)
    return f"{table.origin} {len(table.faults) > 0} {len(table.entries) > 0}"


def _certificate(der: bytes) -> str:
    summary = summarise_certificate(observed([der], whole=True)[0])
    return f"{bool(summary.subject)} {bool(summary.names)} {bool(summary.valid)}"


def _page(received: bytes) -> str:
    head = page_head(received)
    title = title_shape(received.decode("utf-8", "replace")[:512])
    assert place(received.decode("latin-1")).count("?") == 0
    known = head.known_pages if head else ()
    return f"{head is not None} {bool(head and head.location)} {known} {bool(title.words)}"


def _app(read: Read) -> Read:
    """A reader of what a server of an app answers, at every length: it comes in pieces."""

    def every_length(received: bytes) -> str:
        for length in range(0, len(received), max(1, len(received) // 16)):
            read(received[:length])
        return repr(read(received))[:80]

    return every_length


_MOST_EVENTS = 1000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Query(0x1234, (b"srv", b"example"), 1, b"")
NONCE = bytes(range(16))
TRANSACTION = bytes(range(12))

BOUNDARIES = (
    Boundary("batch", "a probe", _batch, (WireError,)),
    Boundary("measurement", "a probe", _line, (WireError,)),
    Boundary("status", "a probe", decode_status, (WireError,)),
    Boundary("mqtt", "whoever reaches the broker", _mqtt, (PacketError,)),
    Boundary("token", "whoever writes to a volunteer", lambda raw: parse_token(raw.decode()),
             (TokenError, UnicodeDecodeError)),
    Boundary("ack", "a broker", decode_ack, (WireError,)),
    Boundary("retest", "a broker", decode_retest, (WireError,)),
    Boundary("poll", "a web server in the monitor's place", decode_answer, (WireError,)),
    Boundary("catalogue", "a broker", _catalogue, (WireError,)),
    Boundary("dns", "a resolver, or somebody on the way", _dns),
    Boundary("certificate", "a server, or somebody on the way", _certificate),
    Boundary("mtproto", "a server", _app(lambda raw: mtproto.parse(raw, NONCE))),
    Boundary("xmpp", "a server", _app(xmpp.parse)),
    Boundary("whatsapp", "a server", _app(whatsapp.parse)),
    Boundary("stun", "a server", _app(lambda raw: stun.parse(raw, TRANSACTION))),
    Boundary("mmtls", "a server", _app(mmtls.parse)),
    Boundary("matrix", "a server", _app(matrix.parse)),
    Boundary("page", "a server, or somebody on the way", _page),
    Boundary("ooni", "whoever sends measurements to OONI", _ooni),
    Boundary("listing", "a public bucket", page_of, (ListingError,)),
    Boundary("retry_after", "a public bucket",
             lambda raw: asked_seconds(raw.decode("latin-1"), NOW)),
    Boundary("fingerprints", "whoever makes a list", _fingerprints),
)  # fmt: skip
