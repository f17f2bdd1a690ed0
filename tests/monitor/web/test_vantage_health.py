"""The condition of a vantage, from its own lines and its last status."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.model import State
from monitor.web.vantage_health import condition, sights
from probes.wire.codec import Status, encode, encode_message
from probes.wire.measurement import LIVENESS_INTERNATIONAL
from tests.world import site as world

PERSON = world.PEOPLE[4]  # whose clock is wrong


def line(number: int, **changes: object) -> bytes:
    made = world.measurement(PERSON, LIVENESS_INTERNATIONAL, number)
    return encode(replace(made, **changes))


def test_rounds_clock_and_software() -> None:
    offline = replace(
        world.measurement(PERSON, LIVENESS_INTERNATIONAL, 1), observations=(), clock_offset_ms=None
    )
    known = condition([encode(offline), line(0)])
    assert [lived.online for lived in known.rounds] == [False, True]
    assert known.online == 1
    assert known.offset == 45_000  # the newest that could tell
    assert known.software == "0.1"
    assert known.catalogue == world.CATALOGUE.version
    assert known.waiting is None
    assert sights(known) == [
        (world.START + world.INTERVAL, State.VANTAGE_OFFLINE),
        (world.START, State.OK),
    ]


def test_a_silent_one_is_known_by_its_last_status() -> None:
    said = encode_message(
        Status(state="lost", version="0.2", catalogue="c", spool_rows=7, dropped=2)
    )
    known = condition([], said)
    assert (known.software, known.catalogue) == ("0.2", "c")
    assert (known.waiting, known.dropped) == (7, 2)
    assert known.rounds == ()
    assert known.offset is None


def test_of_nothing_nothing_is_known() -> None:
    known = condition([])
    assert known.software == known.catalogue == ""
    assert known.online == 0
