"""Whether questions with EDNS pass to a nameserver."""

from __future__ import annotations

import pytest

from probes.net.edns_memory import EDNSMemory


@pytest.mark.parametrize(
    ("answered", "drops"),
    [
        pytest.param((), False, id="nothing asked"),
        pytest.param((False,), False, id="a lost packet"),
        pytest.param((False, False), True, id="never with it"),
        pytest.param((False, True, False, False), False, id="with it as well"),
    ],
)
def test_it_takes_two_questions_and_none_that_passed(answered: tuple[bool, ...], drops: bool):
    memory = EDNSMemory()
    for edns in answered:
        memory.answered("192.0.2.1", edns=edns)
        memory.answered("192.0.2.2", edns=True)
    assert memory.drops("192.0.2.1") is drops
    assert not memory.drops("192.0.2.2")
