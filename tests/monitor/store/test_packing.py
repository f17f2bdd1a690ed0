from __future__ import annotations

from monitor.store.packing import pack_state, unpack_state


def test_states_are_packed_and_plain_ones_are_still_read() -> None:
    state = b'{"service":"wechat","networks":{' + b'"a":[1,2,3],' * 999 + b"}}"
    frame = pack_state(state)
    assert len(frame) * 20 < len(state)
    assert unpack_state(frame) == state
    assert unpack_state(state) == state
    assert unpack_state(b"") == b""
    assert unpack_state(frame[:-9]) == frame[:-9]
