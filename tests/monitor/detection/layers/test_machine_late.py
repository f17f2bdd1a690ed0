"""An attempt that got no answer while the probe's own machine was overloaded, stood still or slept
accuses nobody, though the same attempt on a machine that ran does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.observed.background import Step, background
from monitor.detection.observed.endpoint_context import Reach, reach
from monitor.detection.observed.kinds import Kind
from probes.wire.failure import Failure
from probes.wire.observation import MACHINE_LATE
from tests.monitor.detection.scenes import (
    A1,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    REPEAT,
    dns,
    measured,
    quic,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import OVER_QUIC, verdict

DEAD = Failure.TIMEOUT
SCENES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "dns": ((dns(failure=DEAD), dns(failure=DEAD, **REPEAT)), {}),
    "tcp": ((dns(A1), tcp(A1, DEAD), tcp(A1, DEAD, **REPEAT)), {}),
    "tls": (
        (dns(A1), tcp(A1), tls(A1, DEAD), tls(A1, DEAD, **REPEAT), tls(A1, **INNOCUOUS)),
        {},
    ),
    "quic": (
        (
            *(dns(A1, at=QUIC), quic(A1, DEAD), quic(A1, DEAD, **REPEAT)),
            *(quic(A1, **INNOCUOUS), quic(REFLECTOR, **OWN_HOST)),
        ),
        OVER_QUIC,
    ),
}


def late(seen: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, with the remark where no answer came."""
    return tuple(
        msgspec.structs.replace(step, evidence=(*step.evidence, MACHINE_LATE))
        if step.failure == DEAD
        else step
        for step in seen
    )


@pytest.mark.parametrize("layer", SCENES)
def test_silence_on_a_machine_that_ran_is_a_block_and_on_one_that_was_late_is_not(layer: str):
    seen, given = SCENES[layer]
    assert verdict(*seen, **given).state == "blocked"
    judged = verdict(*late(seen), **given)
    assert (judged.state, judged.technique, judged.rule) == (
        "inconclusive",
        None,
        f"{layer}.machine_late",
    )
    assert MACHINE_LATE in judged.evidence


@pytest.mark.parametrize("layer", ["tcp", "tls", "quic"])
def test_a_repeat_on_a_machine_that_ran_stands_for_an_attempt_on_one_that_was_late(layer: str):
    seen, given = SCENES[layer]
    first = next(place for place, step in enumerate(seen) if step.failure == DEAD)
    mixed = (*seen[:first], *late(seen[first : first + 1]), *seen[first + 1 :])
    assert verdict(*mixed, **given).state == "blocked"


def test_a_late_attempt_is_counted_nowhere():
    """Neither as lost, which would explain what others lose, nor as one that passed."""
    worked = (tcp(A1), quic(A1), dns(A1))
    lost = (quic(A1, DEAD, **REPEAT), dns(failure=DEAD, **REPEAT))
    without, with_lost = (background([measured(*s)]) for s in (worked, (*worked, *lost)))
    assert background([measured(*worked, *late(lost))]) == without
    assert with_lost.of(4, Step.DATAGRAM).lost == 1
    assert with_lost.lookups.lost == 1


def test_that_a_control_was_late_says_nothing_of_the_service():
    assert reach(Kind.TIMEOUT, [Kind.LATE]) is Reach.UNKNOWN
    assert reach(Kind.TIMEOUT, [Kind.LATE, Kind.TIMEOUT]) is Reach.SAME
    assert reach(Kind.TIMEOUT, [Kind.LATE, Kind.OK]) is Reach.PASSED
