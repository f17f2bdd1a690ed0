"""Frames as clients may send them, cut wherever a network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.websocket_frames import (
    CloseCode,
    FrameError,
    FrameReader,
    accept_value,
    close_frame,
    frame,
)

MOST = 70_000


def sent(
    payload: bytes, opcode: int = 2, *, final: bool = True, key: bytes = b"\x01\xfe\x10a"
) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    return bytes([(0x80 if final else 0) | opcode]) + length + key + masked


def reader(credit: int = 1000) -> FrameReader:
    made = FrameReader(MOST)
    made.credit = credit
    return made


def test_the_key_of_the_standard_has_the_answer_of_the_standard() -> None:
    """RFC 6455, section 1.3."""
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert accept_value("") is None
    assert accept_value("dGhlIHNhbXBsZSBub25jZQ=é") is None


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans(), st.binary(min_size=4, max_size=4))),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_however_it_is_cut_the_same_bytes_arrive(
    parts: list[tuple[bytes, bool, bytes]], cuts: list[int]
) -> None:
    raw, within = b"", False
    for payload, final, key in parts:
        raw += sent(payload, 0 if within else 2, final=final, key=key)
        raw += sent(payload[:9], 9)  # a ping may come between the parts of a message
        within = not final
    got, replies, known = b"", b"", reader()
    while raw:
        size = cuts[len(raw) % len(cuts)]
        got += known.receive(raw[:size])
        replies += known.take_replies()
        raw = raw[size:]
    assert got == b"".join(payload for payload, _, _ in parts)
    assert replies == b"".join(
        bytes([0x8A, len(payload[:9])]) + payload[:9] for payload, _, _ in parts
    )


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, MOST])
def test_lengths_of_all_three_kinds(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    known = reader()
    assert known.receive(sent(payload[:size])) == payload[:size]
    head = frame(payload[:size])
    assert head.endswith(payload[:size])
    assert len(head) - size == (2 if size < 126 else 4 if size < 1 << 16 else 10)


def test_of_an_unfinished_frame_all_that_came_is_passed_on() -> None:
    known, whole = reader(), sent(bytes(60_000))
    assert len(known.receive(whole[:40_000])) == 40_000 - 8
    assert len(known.receive(whole[40_000:])) == 60_000 - 40_000 + 8


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(sent(b"x", 1), CloseCode.UNSUPPORTED, id="text"),
        pytest.param(sent(b"x", 3), CloseCode.PROTOCOL_ERROR, id="unknown-kind"),
        pytest.param(sent(b"x", 0), CloseCode.PROTOCOL_ERROR, id="goes-on-with-nothing"),
        pytest.param(sent(b"x", final=False) + sent(b"y"), CloseCode.PROTOCOL_ERROR, id="within"),
        pytest.param(sent(bytes(126), 9), CloseCode.PROTOCOL_ERROR, id="long-ping"),
        pytest.param(sent(b"", 9, final=False), CloseCode.PROTOCOL_ERROR, id="ping-in-parts"),
        pytest.param(frame(b"x"), CloseCode.PROTOCOL_ERROR, id="no-mask"),
        pytest.param(b"\xc2" + sent(b"x")[1:], CloseCode.PROTOCOL_ERROR, id="reserved-bit"),
        pytest.param(sent(bytes(MOST + 1))[:14], CloseCode.TOO_LONG, id="too-long"),
        pytest.param(b"\x82\xff" + b"\xff" * 12, CloseCode.TOO_LONG, id="2-to-the-64"),
        pytest.param(sent(b"") * 1001, CloseCode.TOO_MANY, id="too-many-empty"),
        pytest.param(sent(b"", 9) * 1001, CloseCode.TOO_MANY, id="too-many-pings"),
    ],
)
def test_what_no_client_of_mqtt_sends_is_refused(raw: bytes, code: CloseCode) -> None:
    with pytest.raises(FrameError) as refused:
        reader().receive(raw)
    assert refused.value.code is code


def test_behind_a_farewell_nothing_is_read() -> None:
    known = reader()
    assert known.receive(sent(b"a") + sent(b"\x03\xe8", 8) + sent(b"b")) == b"a"
    assert known.closed
    assert close_frame(CloseCode.NORMAL) == b"\x88\x02\x03\xe8"
