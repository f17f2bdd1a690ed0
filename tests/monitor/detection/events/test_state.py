from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec
import pytest

from monitor.detection.events.state import (
    Baseline,
    DetectorStateError,
    Member,
    OpenEvent,
    Series,
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
    decode,
    encode,
    network_key,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
from tests.monitor.detection.worlds import World, blocked, in_network, standard


def test_round_trip_of_a_whole_state() -> None:
    state = World(standard()).quiet().run(4, in_network(64501, blocked())).state
    assert any(state.open_events.values())
    assert encode(decode(encode(state))) == encode(state)
    assert decode(encode(state)) == state


def test_equal_states_have_equal_bytes_whatever_their_order() -> None:
    def state(order: list[str]) -> ServiceState:
        track = Track(
            Baseline(4, 5, 2, 3, 1, b"hours", b"stretches"), 6, 7, Suspicion([1], [2], [3])
        )
        network = TargetNetwork(
            "a/b",
            "RU",
            1,
            "probe",
            {name: Member("o", 1, 2, 3, "good") for name in order},
            {"tls": Series(dict.fromkeys(order, track))},
        )
        return ServiceState(service="a", networks={"k": network})

    assert encode(state(["x", "y", "z"])) == encode(state(["z", "x", "y"]))


def test_no_float_in_a_state() -> None:
    state = World(standard()).quiet().run(4, in_network(64501, blocked())).state

    def parts(value: object) -> Iterator[object]:
        if isinstance(value, dict):
            value = [*value, *value.values()]
        if isinstance(value, list):
            for each in value:
                yield from parts(each)
        else:
            yield value

    kinds = {type(part) for part in parts(plain(encode(state)))}
    assert kinds <= {int, str, bool, bytes, type(None)}


def plain(raw: bytes) -> object:
    return msgspec.msgpack.decode(zstd.decompress(raw))


def stored(value: object) -> bytes:
    return zstd.compress(msgspec.msgpack.encode(value))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        zstd.compress(b""),
        stored({}),
        stored({"service": "a", "version": 999}),
        stored({"service": 1}),
        stored({"service": "a"})[:-3],
        encode(ServiceState(service="a")) + b"x",
    ],
)
def test_what_cannot_be_read_is_said(raw: bytes) -> None:
    with pytest.raises(DetectorStateError, match=r"^detector state: "):
        decode(raw)


def test_a_fresh_struct_shares_nothing() -> None:
    one, other = ServiceState(service="a"), ServiceState(service="b")
    assert one.networks is not other.networks
    assert OpenEvent.__struct_config__.array_like


def test_keys_tell_networks_apart() -> None:
    assert network_key("a/b", "RU", 1, "probe") != network_key("a/b", "RU", 1, "ooni")
