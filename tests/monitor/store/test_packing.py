from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.store.packing import Packer, unpack

PACKER = Packer()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_lines_survive_one_after_the_other(lines: list[bytes]) -> None:
    assert [unpack(PACKER.pack(line)) for line in lines] == lines


@pytest.mark.parametrize("frame", [b"", b"rubbish", PACKER.pack(os.urandom(500))[:-9]])
def test_what_is_no_frame_is_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match="stored line"):
        unpack(frame)


def test_a_repetitive_line_gets_small() -> None:
    assert len(PACKER.pack(b'{"address": "192.0.2.1"}' * 60)) < 100
