"""What a broker may send."""

from __future__ import annotations

from probes.delivery.received_quota import (
    AGAIN_BYTES,
    BURST_BYTES,
    HOUR_BYTES,
    ReceivedQuota,
)

HOUR = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_catalogue_and_an_hour_of_answers_are_welcome() -> None:
    clock = Clock()
    quota = ReceivedQuota(clock)
    assert quota.count_read(256 << 10)
    for minute in range(24 * 60):
        clock.now = minute * 60.0
        assert all(quota.count_read(count) for count in (1, 1, 2, 1, 1, 300)), minute
    assert quota.plenty()
    assert not quota.exceeded()


def test_a_flood_ends_the_connection_and_the_broker_waits() -> None:
    clock = Clock()
    quota = ReceivedQuota(clock)
    reads = 0
    while quota.count_read(65_536):
        reads += 1
    assert reads == BURST_BYTES // (65_536 + 44)
    assert quota.exceeded()
    assert not quota.count_read(1), "what had arrived before the end"
    clock.now += HOUR * AGAIN_BYTES / HOUR_BYTES / 2
    assert quota.exceeded()
    clock.now += HOUR
    assert not quota.exceeded()
    assert not quota.plenty(), "no catalogue yet"
    assert quota.count_read(1000)


def test_a_month_of_floods_has_its_bound() -> None:
    clock = Clock()
    quota = ReceivedQuota(clock)
    read = 0
    for minute in range(30 * 24 * 60):
        clock.now = minute * 60.0
        while not quota.exceeded() and quota.count_read(4096):
            read += 4096
    assert read <= BURST_BYTES + 30 * 24 * HOUR_BYTES


def test_small_packets_cost_their_headers() -> None:
    quota = ReceivedQuota(Clock())
    reads = 0
    while quota.count_read(1):
        reads += 1
    assert reads <= BURST_BYTES / 45
