from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.collector import admission, unpack
from monitor.collector.unpack import UnpackedBatch
from monitor.detection.judge.recognised import UNREAD, recognise
from probes.wire.bounds import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    MAX_LINE_BYTES,
    MAX_OBSERVATIONS,
    MAX_PACKET_BYTES,
)
from probes.wire.codec import (
    BatchHeader,
    Envelope,
    TooNewError,
    WireError,
    decode,
    decode_envelope,
    decode_envelopes,
    encode,
    encode_batch,
    envelope_of,
)
from probes.wire.measurement import Software
from tests.monitor.collector.bench import batch, measurement

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEADER = BatchHeader(boot="b", sequence=3)
BOMB = zstd.compress(b'{"boot":"b","sequence":3}\n' + b"0" * (MAX_BATCH_BYTES + 10))
DEEP = encode_batch(HEADER, [b"[" * 100_000])
NUL = encode_batch(HEADER, [encode(measurement()).replace(b"spool", b"sp\\u0000l")])


def plain(envelope: Envelope) -> Envelope:
    """Without what a batch's decoder keeps besides."""
    return msgspec.convert(envelope, Envelope, from_attributes=True)


def test_a_good_batch() -> None:
    got = unpack.unpack(batch(sequences=range(5), number=9))
    assert got.header == BatchHeader(boot="b", sequence=9)
    assert [(place, m.sequence) for place, m in got.entries] == [(n, n) for n in range(5)]
    assert all(envelope_of(decode(got.lines[place])) == plain(m) for place, m in got.entries)
    assert got.bad == ()


@given(st.binary(max_size=500))
@example(b"\x00" * MAX_PACKET_BYTES)
@example(BOMB)
@example(DEEP)
@example(NUL)
@example(batch()[:-3])
@example(batch() + b"x")
@example(encode_batch(HEADER, [b""]))
def test_any_bytes_give_a_value(payload: bytes) -> None:
    got = unpack.unpack(payload)
    assert isinstance(got, UnpackedBatch)
    assert got.entries or got.bad
    assert all(bad.reason in admission.QuarantineReason for bad in got.bad)


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=40))
def test_any_lines_keep_the_header(lines: list[bytes]) -> None:
    try:
        got = unpack.unpack(encode_batch(HEADER, [*lines, encode(measurement())]))
    except TooNewError:
        return
    assert got.header == HEADER
    assert len(got.entries) >= 1
    assert len(got.bad) <= unpack.MAX_BAD_LINES


@pytest.mark.parametrize(
    "payload",
    [BOMB, batch(number=3) + b"x", encode_batch(HEADER, [b"{}"] * (MAX_BATCH_LINES + 1))],
    ids=["bomb", "trailing", "too many lines"],
)
def test_a_malformed_batch_whose_header_is_readable_can_be_acknowledged(payload: bytes) -> None:
    got = unpack.unpack(payload)
    assert got.header is not None
    assert got.header.sequence == 3
    assert [bad.reason for bad in got.bad] == ["malformed_batch"]


def test_one_bad_line_loses_no_neighbour_and_says_where() -> None:
    lines = [encode(measurement(sequence=n)) for n in range(3)]
    lines[1] = lines[1].replace(b'"round":', b'"ruond":')
    got = unpack.unpack(encode_batch(HEADER, lines))
    assert [(place, m.sequence) for place, m in got.entries] == [(0, 0), (2, 2)]
    assert got.bad[0].detail.startswith("line 2: ")
    assert "round" in got.bad[0].detail


def test_many_bad_lines_are_summed_up() -> None:
    got = unpack.unpack(encode_batch(HEADER, [b"{}"] * 100))
    assert len(got.bad) == unpack.MAX_BAD_LINES
    assert got.bad[-1].detail.endswith("and 80 more lines")


def test_a_later_version_waits() -> None:
    with pytest.raises(TooNewError):
        unpack.unpack(encode_batch(BatchHeader(v=2, boot="b", sequence=0), []))
    later = encode(measurement()).replace(b'"v":1', b'"v":2')
    with pytest.raises(TooNewError, match="line 2"):
        unpack.unpack(encode_batch(HEADER, [encode(measurement()), later]))


AT = {"endpoint": "a:443/https", "at_us": 1, "took_us": 2}
THERE = {**AT, "address": "192.0.2.1", "port": 443, "sent_bytes": 3, "received_bytes": 4}
FULL = msgspec.to_builtins(measurement(monotonic_us=1, software=Software(version="1"))) | {
    "observations": [
        {
            **AT,
            "step": "dns",
            "name": "a",
            "qtype": "A",
            "resolver": "system",
            "replies": [{"after_us": 1, "rcode": 0, "ttl": 1}],
        },
        {**THERE, "step": "tls", "sni": "a"},
        {**THERE, "step": "http", "host": "a", "body_bytes": 1, "body_sha256": "a" * 64},
    ]
}


def spoiled(value: Any, wrong: Any, keys: Container[str] = UNREAD) -> Iterator[Any]:
    """The value with one of some fields, by default those that no rule reads, made wrong, for each
    of them in turn."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys:
                yield value | {key: wrong}
            for changed in spoiled(inner, wrong, keys):
                yield value | {key: changed}
    if isinstance(value, list):
        for place, inner in enumerate(value):
            for changed in spoiled(inner, wrong, keys):
                yield [*value[:place], changed, *value[place + 1 :]]


def test_what_admission_and_the_judge_accept_is_a_measurement() -> None:
    """Else live detection, which skips what no rule reads, would judge a line that replay leaves
    out."""
    reply = FULL["observations"][0]["replies"][0]
    lookup = FULL["observations"][0]
    wrong = [
        *(each for bad in (-1, "\x00", [{}]) for each in spoiled(FULL, bad)),
        FULL | {"observations": [FULL["observations"][1]] * (MAX_OBSERVATIONS + 1)},
        FULL | {"observations": [lookup | {"replies": [reply] * 17}]},
        FULL | {"observations": [lookup | {"replies": [{"rcode": 0}]}]},
    ]
    assert len(wrong) > 50
    assert recognise(msgspec.json.encode(FULL)) is not None
    assert decode_envelope(msgspec.json.encode(FULL)).sequence == 0
    for one in wrong:
        line = msgspec.json.encode(one)
        with pytest.raises(WireError):
            decode(line)
        with pytest.raises(WireError):
            decode_envelope(line)


def test_all_lines_at_once_are_refused_as_each_alone() -> None:
    good = msgspec.json.encode(FULL)
    keys = {*Envelope.__struct_fields__, "country", "asn", *UNREAD}
    ids = "0123456789abcdef" * 2
    wrong = (
        -1,
        "\x00",
        "",
        "A",
        "a\n",
        "\u00fc" * 32,
        ids.upper(),
        ids + "\n",
        "x" * 101,
        None,
        [{}],
    )
    refused = 0
    for one in (each for bad in wrong for each in spoiled(FULL, bad, keys)):
        line = msgspec.json.encode(one)
        try:
            alone = decode_envelope(line)
        except WireError:
            refused += 1
            with pytest.raises(WireError):
                decode_envelopes([good, line, good])
        else:
            assert [*map(plain, decode_envelopes([line, good]))] == [alone, decode_envelope(good)]
    assert refused > 200
    assert decode_envelopes([]) == []
    with pytest.raises(WireError, match="at most"):
        decode_envelopes([good, b" " * (MAX_LINE_BYTES + 1)])
