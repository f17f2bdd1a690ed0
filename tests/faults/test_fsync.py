"""A kill at one `fsync` in the middle; `./scripts/bench fsyncs` does it at each."""

from __future__ import annotations

import pytest

from tests.faults.fsyncs import killed_at


@pytest.mark.slow
@pytest.mark.needs("strace")
@pytest.mark.parametrize(("what", "number"), [("spool", 17), ("store", 15)])
def test_what_was_printed_survives_a_kill_at_a_single_fsync(what: str, number: int) -> None:
    was_killed, printed = killed_at(what, number)
    assert was_killed
    assert printed > 0
