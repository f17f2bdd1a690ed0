from __future__ import annotations

import numpy as np

from monitor.detection.calm.block import (
    BAD,
    CODE,
    DOWN,
    GOOD,
    OFFLINE,
    OUTCOMES,
    SILENT,
    UNKNOWN,
    UNSEEN,
    UNSUPPORTED,
    narrow,
    plus_one,
    shape,
)
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates


def test_codes_are_the_words_of_the_gates() -> None:
    words = (gates.SILENT, gates.GOOD, gates.BAD, gates.UNSUPPORTED, gates.DOWN, gates.OFFLINE)
    words += (gates.UNSEEN, gates.UNKNOWN)
    codes = (SILENT, GOOD, BAD, UNSUPPORTED, DOWN, OFFLINE, UNSEEN, UNKNOWN)
    assert tuple(OUTCOMES[code] for code in codes) == words
    assert tuple(CODE[word] for word in words) == codes


def test_the_shape_of_a_week_of_hours() -> None:
    form = shape(Policy())
    assert (form.width, form.coarse, form.lag) == (3_600_000, 6 * 3_600_000, 3 * 3_600_000)
    assert (form.hours, form.stretches) == (6, 32)
    assert shape(Policy(pace=10**6)).width == 3


def test_counts_are_as_narrow_as_they_can_be() -> None:
    small = narrow(np.array([0, 255], np.uint16))
    assert small.dtype == np.uint8
    assert narrow(np.array([0, 256], np.uint16)).dtype == np.uint16
    more = plus_one(small, np.array([True, True]))
    assert more.tolist() == [1, 256]
    assert plus_one(np.array([254], np.uint8), np.array([True])).dtype == np.uint8
    assert narrow(np.zeros(0, np.uint16)).dtype == np.uint8
