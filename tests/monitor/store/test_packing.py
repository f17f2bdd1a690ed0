from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.store.packing import Packer, pack_state, unpack, unpack_state
from tests.monitor.store.samples import admitted

PACKER = Packer()
FIRST_LINE = (
    b'{"v":1,"id":"00","target":"wechat/messaging","observations":[{"step":"tcp","'
    b'endpoint":"a.example:443/tls","errno":104,"failure":"connection_reset"}]}'
)
FIRST_FRAME = (
    "0128b52ffd2095650100683030776563686174612e7d5d7d0900a3041f3891848f69601ae0a2e6cd01580601"
    "fef928f9670e0970c020"
)


@given(st.lists(st.binary(max_size=3000), max_size=5))
def test_lines_survive_one_after_the_other(lines: list[bytes]) -> None:
    assert [unpack(PACKER.pack(line)) for line in lines] == lines


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"rubbish",
        b"\x01rubbish",
        b"\x63" + PACKER.pack(b"x")[1:],
        PACKER.pack(os.urandom(500))[:-9],
    ],
)
def test_what_is_no_frame_is_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match="stored line"):
        unpack(frame)


def test_a_measurement_gets_small() -> None:
    line = admitted(1).line
    assert len(PACKER.pack(line)) < len(line) / 2


def test_a_released_dictionary_never_changes() -> None:
    """A frame that was stored by the first release."""
    frame = bytes.fromhex(FIRST_FRAME)
    assert unpack(frame) == FIRST_LINE


def test_states_are_packed_and_plain_ones_are_still_read() -> None:
    state = b'{"service":"wechat","networks":{' + b'"a":[1,2,3],' * 999 + b"}}"
    frame = pack_state(state)
    assert len(frame) * 20 < len(state)
    assert unpack_state(frame) == state
    assert unpack_state(state) == state
    assert unpack_state(b"") == b""
    assert unpack_state(frame[:-9]) == frame[:-9]
