"""A request to measure again: any bytes give one, or a WireError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.wire.codec import WireError
from probes.wire.retest import (
    MOST_ASKED,
    MOST_BYTES,
    MOST_FAILED_ADDRESSES,
    MOST_FAILED_ENDPOINTS,
    FailedAddresses,
    Retest,
    decode_retest,
    encode_retest,
    marks,
    name,
)

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
        (b'"asked":[]', b'"asked":["1"]', "$.asked"),
        (b'"round":', b'"rounds":', "`round`"),
        (b"}", b"]", "JSON"),
    ],
)
def test_refused_with_the_place(old: bytes, new: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words.replace("$", r"\$")):
        decode_retest(encode_retest(SAMPLE).replace(old, new))


def test_all_are_asked_or_those_whose_marks_are_there() -> None:
    probes = [f"p-{n:016x}" for n in range(MOST_ASKED)]
    assert all(SAMPLE.concerns(probe) for probe in probes)
    few = msgspec.structs.replace(SAMPLE, asked=marks(SAMPLE.round, probes[:4]))
    few = decode_retest(encode_retest(few))
    assert [probe for probe in probes if few.concerns(probe)] == probes[:4]
    assert not any(probe.encode() in encode_retest(few) for probe in probes)
    assert marks(60_000, probes) != marks(120_000, probes), "nobody can be followed by it"


def test_addresses_that_failed_are_few() -> None:
    def asking(*addresses: str, endpoints: int = 1) -> Retest:
        one = FailedAddresses(
            target="wechat/web", endpoint="wechat.com:443/tls", addresses=addresses
        )
        return msgspec.structs.replace(SAMPLE, failed=(one,) * endpoints)

    most = asking(*["2001:db8::1"] * MOST_FAILED_ADDRESSES, endpoints=MOST_FAILED_ENDPOINTS)
    assert decode_retest(encode_retest(most)) == most
    for refused in (
        asking(),
        asking(*["192.0.2.1"] * (MOST_FAILED_ADDRESSES + 1)),
        asking("192.0.2.1", endpoints=MOST_FAILED_ENDPOINTS + 1),
        asking("192.0.2.1/24"),
    ):
        with pytest.raises(WireError, match=r"\$\.failed"):
            decode_retest(encode_retest(refused))


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


def test_who_is_asked_is_not_computed_from_public_ids() -> None:
    ids = [f"p-{n:016x}" for n in range(50)]
    own = name(ids[0], "0123456789abcdef")
    asked = msgspec.structs.replace(SAMPLE, asked=marks(SAMPLE.round, [own]))
    assert asked.concerns(own)
    assert not any(asked.concerns(name(id, "")) for id in ids)
    assert not any(asked.concerns(name(id, "fedcba9876543210")) for id in ids)
