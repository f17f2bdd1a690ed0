"""A request to measure again: any bytes give one, or a WireError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.wire.codec import WireError
from probes.wire.retest import MOST_BYTES, Retest, decode_retest, encode_retest

SAMPLE = Retest(targets=("wechat/web",), round=120_000, interval_ms=60_000)


def test_there_and_back() -> None:
    assert decode_retest(encode_retest(SAMPLE)) == SAMPLE


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"wechat/web", b"wechat", "$.targets"),
        (b'["wechat/web"]', b"[]", "$.targets"),
        (b"120000", b"120001", "not a multiple"),
        (b"60000", b"999", "$.interval_ms"),
        (b"60000", b"300001", "$.interval_ms"),
        (b'"round":', b'"rounds":', "`round`"),
        (b"}", b"]", "JSON"),
    ],
)
def test_refused_with_the_place(old: bytes, new: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words.replace("$", r"\$")):
        decode_retest(encode_retest(SAMPLE).replace(old, new))


def test_too_long() -> None:
    with pytest.raises(WireError, match="at most 4096"):
        decode_retest(encode_retest(SAMPLE) + b" " * MOST_BYTES)


def test_a_later_field_is_passed_over() -> None:
    assert decode_retest(encode_retest(SAMPLE)[:-1] + b',"why":"x"}') == SAMPLE


@given(st.binary(max_size=200))
def test_any_bytes(payload: bytes) -> None:
    try:
        assert isinstance(decode_retest(payload), Retest)
    except WireError:
        pass
