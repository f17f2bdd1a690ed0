from __future__ import annotations

import pytest

from probes.delivery.connection_size import LARGEST_BYTES, LEAST_BYTES, ConnectionSize


@pytest.mark.parametrize("freeze_at", [12_000, 16_000, 20_000, 64_000])
@pytest.mark.parametrize("lost", [0, 15_000, 300_000])
def test_a_few_freezes_teach_what_passes(freeze_at: int, lost: int) -> None:
    """What a connection is counted as includes what was sent in vain."""
    size, freezes = ConnectionSize(), 0
    while size.limit is None or size.limit > freeze_at:
        assert size.froze(freeze_at + min(lost, (size.limit or LARGEST_BYTES)))
        freezes += 1
    assert freezes <= 8
    assert size.limit >= LEAST_BYTES


def test_it_grows_while_connections_pass_and_ends_without_a_limit() -> None:
    size = ConnectionSize()
    size.froze(20_000)
    rounds = 0
    while size.limit is not None:
        assert not size.passed(size.limit // 3), "a connection that carried little proves nothing"
        size.passed(size.limit)
        rounds += 1
    assert rounds < 15
    assert size.batch_bytes is None
    assert not size.is_full(10**9, 10**9)


def test_where_connections_go_on_freezing_few_of_them_do() -> None:
    size, froze, passed = ConnectionSize(), 0, 0
    for _ in range(500):
        if size.limit is None or size.limit > 16_000:
            size.froze(16_000 + 3_000)
            froze += 1
        else:
            size.passed(size.limit)
            passed += 1
    assert froze < 20
    assert size.limit is not None
    assert size.limit > 9_000


def test_where_not_even_the_least_passes_the_way_fails() -> None:
    size = ConnectionSize()
    for _ in range(9):
        size.froze(LEAST_BYTES)
    assert size.limit == LEAST_BYTES
    assert not size.froze(LEAST_BYTES)


def test_a_connection_is_full_before_it_reaches_the_limit() -> None:
    size = ConnectionSize()
    size.froze(20_000)
    assert size.limit == 12_000
    assert size.is_full(7_000, 5_001)
    assert not size.is_full(6_000, 6_000)
