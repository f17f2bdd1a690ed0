# SPDX-License-Identifier: Apache-2.0
"""In which slice of a window a time is."""

import pytest

from monitor.web.draw.slots import Slots


@pytest.mark.parametrize(
    ("at", "slot"),
    [
        pytest.param(99, None, id="before"),
        pytest.param(100, 0, id="begin"),
        pytest.param(129, 2, id="last slice"),
        pytest.param(130, 2, id="over after whole slices"),
        pytest.param(131, None, id="end"),
    ],
)
def test_the_slice_of_a_time(at: int, slot: int | None) -> None:
    slots = Slots(100, 131, 10, 3)
    assert slots[at] == slot
    assert slots[at] == slot  # as it was kept
