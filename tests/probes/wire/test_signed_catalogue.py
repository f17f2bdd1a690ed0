"""Signed catalogues as bytes: any bytes give a value or a WireError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.runtime.compression import zstd
from probes.wire.codec import TooNewError, WireError
from probes.wire.signed_catalogue import (
    CONTEXT,
    MAX_DOCUMENT_BYTES,
    MAX_UNPACKED_BYTES,
    SignatureHeader,
    decode_files,
    decode_signed,
    encode_files,
    encode_signed,
)

HEADER = SignatureHeader(key="a" * 64, signature="b" * 128)
FILES = {"services/x.toml": 'id = "x"\n', "resolvers.toml": "", "services/own-ca.pem": "é"}


def test_what_is_encoded_is_decoded() -> None:
    body = encode_files(7, FILES)
    found = decode_signed(encode_signed(HEADER, body))
    assert (found.header, found.body, found.signed) == (HEADER, body, CONTEXT + body)
    assert (decode_files(found.body).serial, decode_files(found.body).files) == (7, FILES)


def test_the_same_files_are_the_same_bytes_in_any_order() -> None:
    assert encode_files(7, FILES) == encode_files(7, dict(reversed(FILES.items())))


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_apart_or_refused(document: bytes) -> None:
    for bytes_ in (document, zstd.compress(document), zstd.compress(b'{"v":1}\n' + document)):
        with pytest.raises(WireError):
            decode_signed(bytes_)


@pytest.mark.parametrize(
    "name",
    ["../x.toml", "/x.toml", "services/../x.toml", "services/x", "x.py", "a/b.toml", ".x.toml"],
)
def test_names_stay_inside(name: str) -> None:
    with pytest.raises(WireError):
        encode_files(1, {name: ""})


@pytest.mark.parametrize("serial", [0, -1, 2**53 + 1])
def test_serial_numbers_have_a_range(serial: int) -> None:
    with pytest.raises(WireError):
        encode_files(serial, FILES)


def test_a_later_version_is_told_apart() -> None:
    with pytest.raises(TooNewError):
        decode_signed(zstd.compress(b'{"v":2,"keys":[]}\n{}'))


def test_sizes_are_limited_before_and_after_decompression() -> None:
    with pytest.raises(WireError, match="at most"):
        decode_signed(b"x" * (MAX_DOCUMENT_BYTES + 1))
    bomb = zstd.compress(b'{"v":1}\n' + b" " * (MAX_UNPACKED_BYTES + 1))
    assert len(bomb) < 1000
    with pytest.raises(WireError, match="over"):
        decode_signed(bomb)
    with pytest.raises(WireError, match="at most"):
        encode_signed(HEADER, encode_files(1, {"x.toml": "x" * MAX_UNPACKED_BYTES}))


def test_nothing_follows_the_document() -> None:
    with pytest.raises(WireError, match="followed"):
        decode_signed(encode_signed(HEADER, encode_files(1, FILES)) + b"x")
