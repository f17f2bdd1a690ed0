"""Speed, freezing and comparison of transfers."""

from __future__ import annotations

import pytest

from probes.wire.failure import Failure
from probes.wire.observation import Transfer
from probes.wire.speed import (
    SLOW,
    complete,
    dead,
    frozen,
    slow,
    small_answers,
    speed,
    times_faster,
)


def seen(received: int = 65_536, us: int = 65_536, **other: object) -> Transfer:
    values: dict[str, object] = {
        "endpoint": "a:443/https",
        "address": "192.0.2.1",
        "port": 443,
        "sni": "a",
        "wanted_bytes": 65_536,
        "received_bytes": received,
        "took_us": 2 * us,
        "rate": received * 1_000_000 // us if us else 0,
    }
    return Transfer(**(values | other))


STALLED = seen(16_000, 4_100_000, silence_us=4_000_000, failure=Failure.TIMEOUT)


def test_speed():
    assert speed(seen()) == 1_000_000
    assert speed(seen(rate=0)) == 500_000  # an older probe's
    assert speed(seen(0, 0)) == 0


def test_slow():
    assert not slow(seen())
    assert slow(seen(SLOW - 1, 1_000_000))
    assert not slow(seen(SLOW, 1_000_000))
    assert slow(STALLED)
    assert slow(seen(pace=SLOW - 1))
    assert not slow(seen(pace=SLOW))


@pytest.mark.parametrize(
    ("transfer", "is_frozen"),
    [
        (STALLED, True),
        (seen(0, 0, failure=Failure.TIMEOUT), False),
        (seen(16_000, silence_us=1_000_000, failure=Failure.TIMEOUT), False),
        (seen(16_000, silence_us=4_000_000), False),
        (seen(70_000, silence_us=4_000_000, failure=Failure.TIMEOUT), False),
        (seen(600, silence_us=4_000_000, failure=Failure.TIMEOUT), False),
        (seen(16_000, silence_us=4_000_000, failure=Failure.RESET), False),
    ],
)
def test_frozen(transfer: Transfer, is_frozen: bool):
    assert frozen(transfer) is is_frozen


@pytest.mark.parametrize("received", [0, 600, 30_000])
@pytest.mark.parametrize("failure", [Failure.RESET, Failure.EOF, Failure.TIMEOUT])
def test_dead_is_not_slow(received: int, failure: Failure):
    """Session tickets may have arrived, or a part of the answer."""
    ended = seen(received, failure=failure)
    assert dead(ended)
    assert not slow(ended)
    assert times_faster(seen(), ended, 10)
    assert not dead(STALLED)


def test_whole():
    assert complete(seen())
    assert not complete(seen(1_000))
    assert not complete(STALLED)


def test_times_faster():
    crawling = seen(us=3_000_000, pace=20_000)
    assert times_faster(seen(), crawling, 10)
    assert not times_faster(crawling, seen(), 10)
    assert not times_faster(seen(us=600_000), crawling, 10)
    assert times_faster(seen(us=600_000), crawling, 5)
    assert times_faster(seen(), STALLED, 10)
    assert not times_faster(STALLED, crawling, 10)
    # Slow as a whole by losses, and its bytes as close to each other as a fast line's.
    assert times_faster(seen(us=600_000, pace=4_000_000), crawling, 10)
    assert not times_faster(seen(us=3_100_000, pace=4_000_000), crawling, 10)
    assert not times_faster(seen(us=600_000), seen(us=3_000_000), 10)


def test_a_burst_is_no_speed():
    """Both at our own host, one after the other, on a line whose delay varies: without waits the
    first is fifty times as fast, and with all of them it is the slower one."""
    burst = seen(203_564, us=785_498, rate=249_160_173, pace=174_058_858)
    steady = seen(197_160, us=445_947, rate=4_963_092, pace=206_992_033)
    assert not times_faster(burst, steady, 10)
    assert not times_faster(seen(us=350_000, rate=5_000_000), seen(us=600_000), 10)
    assert times_faster(seen(us=250_000, rate=5_000_000), seen(us=600_000), 10)


def test_small_answers_are_compared_with_all_their_waits():
    """A server that answers its first request quickly and the later ones slowly has waits that no
    round trip explains: its rate is a thirteenth of the other's, and its time twice as long."""
    quick = seen(27_000, took_us=151_000, rate=1_184_000, pace=185_000, requests=16)
    waits = seen(27_000, took_us=291_000, rate=95_000, pace=12_000, requests=16)
    assert small_answers(quick)
    assert not times_faster(quick, waits, 10)
    assert times_faster(quick, seen(27_000, took_us=1_600_000, requests=16), 10)
    assert not small_answers(seen(27_000, requests=1))
    assert not small_answers(seen(64_000, requests=2))
    assert not small_answers(seen(16_000, requests=3, failure=Failure.TIMEOUT))
