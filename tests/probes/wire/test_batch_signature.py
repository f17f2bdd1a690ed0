"""What is signed of a batch, and what is published of it."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.wire.batch_signature import SignedLine, batch_text, key_id, key_text, line_hashes
from probes.wire.codec import BatchHeader

LINES = st.lists(st.binary(max_size=20), max_size=4)


@given(LINES, LINES, st.integers(0, 9), st.integers(0, 9))
def test_no_two_batches_are_signed_alike(
    lines: list[bytes], others: list[bytes], number: int, other: int
) -> None:
    one = batch_text(BatchHeader(boot="b", sequence=number, key="k"), line_hashes(lines))
    two = batch_text(BatchHeader(boot="b", sequence=other, key="k"), line_hashes(others))
    assert (one == two) == ((lines, number) == (others, other))


def test_the_hashes_of_the_lines_are_enough() -> None:
    header = BatchHeader(boot="b", sequence=1, key="k", signature="ab" * 64)
    hashes = [hashlib.sha256(line).digest() for line in (b"x", b"y")]
    assert batch_text(header, hashes) == batch_text(
        msgspec.structs.replace(header, signature=""), line_hashes([b"x", b"y"])
    )


def test_a_key_is_given_to_one_probe() -> None:
    public = "0123456789abcdef" * 4
    assert key_id(public) == "0123456789abcdef"
    assert key_text("p-1", public) != key_text("p-2", public)


@pytest.mark.parametrize("change", [{"place": -1}, {"lines": ["x"]}, {"v": "1"}, {"probe": "me"}])
def test_a_damaged_proof_is_refused(change: dict[str, object]) -> None:
    proof = SignedLine(
        probe="p-0123456789abcdef",
        line="{}",
        place=0,
        lines=("0" * 64,),
        boot="b",
        sequence=1,
        key="",
        signature="",
        public_key="",
        received=1,
    )
    sound = msgspec.to_builtins(proof)
    assert msgspec.convert(sound, SignedLine, strict=True) == proof
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({**sound, **change}), type=SignedLine)
