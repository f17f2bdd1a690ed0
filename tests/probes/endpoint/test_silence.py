"""Whether an endpoint only waits."""

from __future__ import annotations

import asyncio
import math
from contextlib import ExitStack

import pytest

from probes.endpoint.silence import LEAST_SECONDS, REMEMBERED, TIMES, SilentWaits, Waits
from tests.world.waiting import eventually


@pytest.mark.parametrize(
    ("took", "patience"),
    [
        pytest.param([], math.inf, id="nothing has answered"),
        pytest.param([0.05] * 5, LEAST_SECONDS, id="a quick line"),
        pytest.param([1.5] * 5, 1.5 * TIMES, id="a slow line"),
        pytest.param([0.05] * 4 + [7.05] * 3, LEAST_SECONDS, id="a lossy line"),
        pytest.param([0.05] * 9 + [3.0] * REMEMBERED, 3.0 * TIMES, id="a line that slows down"),
    ],
)
def test_patience_follows_what_answers_take_on_this_line(
    took: list[float], patience: float
) -> None:
    silence = SilentWaits()
    for seconds in took:
        silence.answered(seconds)
    assert silence.patience_seconds == patience


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> SilentWaits:
    for name in ("LEAST_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(f"probes.endpoint.silence.{name}", 0.02)
    return SilentWaits()


async def test_an_endpoint_counts_once_however_many_of_its_addresses_are_silent(
    silence: SilentWaits,
) -> None:
    silence.answered(0.0)
    waits, changes = Waits(silence), list[int]()
    silence.on_change.append(lambda: changes.append(silence.endpoints))
    with ExitStack() as second:
        with waits.answer():
            second.enter_context(waits.answer())
            await eventually(lambda: silence.endpoints == 1)
        assert silence.endpoints == 1, "the other address is silent still"
    assert (silence.endpoints, changes) == (0, [1])


async def test_an_answer_in_time_is_no_silence_nor_is_a_wait_on_an_unknown_line(
    silence: SilentWaits,
) -> None:
    waits = Waits(silence)
    with waits.answer():
        await asyncio.sleep(0.1)
        assert silence.endpoints == 0
        silence.answered(0.0)
        await eventually(lambda: silence.endpoints == 1, "now it is known")
    with waits.answer():
        pass
    await asyncio.sleep(0.1)
    assert silence.endpoints == 0
