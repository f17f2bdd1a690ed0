from __future__ import annotations

import msgspec
import pytest

from monitor.detection.calm import stored
from monitor.detection.calm.packing import packed
from monitor.detection.calm.waking import unpacked
from monitor.detection.sequence.state import ServiceState, StateError, decode, encode
from tests.monitor.detection.calm.test_merge import lived
from tests.monitor.detection.worlds import POLICY, TARGET


def test_bytes_do_not_depend_on_how_networks_are_divided() -> None:
    networks = lived()
    whole = (packed(TARGET, networks.items(), POLICY),)
    parts = tuple(packed(TARGET, [each], POLICY) for each in networks.items())
    raw = stored.encode(POLICY, {TARGET: whole})
    assert stored.encode(POLICY, {TARGET: parts}) == raw
    policy, blocks = stored.decode(raw)
    ((block,),) = blocks.values()
    assert policy == POLICY
    assert {key: unpacked(block, n, POLICY) for n, key in enumerate(block.keys)} == networks
    assert stored.encode(policy, blocks) == raw


@pytest.mark.parametrize("cut", [0, 1, 200, -1])
def test_what_cannot_be_read_is_a_state_error(cut: int) -> None:
    raw = stored.encode(POLICY, {TARGET: (packed(TARGET, lived().items(), POLICY),)})

    class Raw:
        def encoded(self) -> bytes:
            return raw[:cut]

    with pytest.raises(StateError, match=r"^detector state: "):
        decode(encode(ServiceState(service="wechat", calm=Raw())))


def test_columns_that_do_not_belong_together_are_refused() -> None:
    raw = stored.encode(POLICY, {TARGET: (packed(TARGET, lived().items(), POLICY),)})
    loose = msgspec.msgpack.decode(raw)
    loose[1][0][6]["good"] = loose[1][0][6]["good"][8:]
    with pytest.raises(ValueError, match="reshape"):
        stored.decode(msgspec.msgpack.encode(loose))
