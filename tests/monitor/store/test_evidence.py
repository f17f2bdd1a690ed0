"""The evidence of each round: kept for a day, then what shows how events were decided."""

from __future__ import annotations

from monitor.detection.model import EventState
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database
from monitor.store.evidence import MARGIN_MS
from monitor.store.retention import prune
from tests.monitor import fleet
from tests.monitor.fleet import kept_evidence
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, event, frame

BLOCK = fleet.from_round(4, 30)
DAY = 24 * HOUR
MIDNIGHT = NOON - 12 * HOUR


async def kept(store: Database, service: str = "wechat") -> list[int]:
    return [each.round for each in await kept_evidence(store, service)]


async def test_a_refold_replaces_the_frames_of_later_rounds(store: Database) -> None:
    rounds = [NOON + n * MINUTE for n in range(4)]
    foreign = frame(rounds[3], country="FR")
    first = concluded(evidence=(*map(frame, rounds), foreign))
    await store.conclusions.save([first, concluded(service="signal", evidence=first.evidence)], 1)
    assert await kept(store) == [*rounds, rounds[3]]
    new = frame(rounds[2], b"new")
    await store.conclusions.save([concluded(refolded_after=rounds[1], evidence=(new,))], 2)
    assert await kept_evidence(store, "wechat") == [*map(frame, rounds[:2]), new]
    assert await kept(store, "signal") == [*rounds, rounds[3]]


async def test_a_round_that_is_concluded_again_has_one_frame(store: Database) -> None:
    await store.conclusions.save([concluded(evidence=(frame(NOON),))], 1)
    await store.conclusions.save([concluded(evidence=(frame(NOON, b"new", decided=True),))], 2)
    assert await kept_evidence(store, "wechat") == [frame(NOON, b"new", decided=True)]


async def concluded_by_the_hour(store: Database, until: int, decisions: dict[int, bool]) -> None:
    """Save frames of every ten minutes from NOON on, an hour at a time as the detector does."""
    for hour in range(NOON, until, HOUR):
        rounds = range(hour, hour + HOUR, 10 * MINUTE)
        frames = tuple(frame(round, decided=decisions.get(round, False)) for round in rounds)
        checkpoints = ((rounds[-1], b"state"),)
        await store.conclusions.save([concluded(evidence=frames, checkpoints=checkpoints)], 1)


async def test_after_a_day_frames_without_an_event_go(store: Database) -> None:
    elsewhere = event(country="FR", opened=NOON, updated=NOON + DAY)
    await store.conclusions.save([concluded(events=(elsewhere,))], 1)
    await concluded_by_the_hour(store, NOON + 30 * HOUR, {})
    newest = NOON + 30 * HOUR - 10 * MINUTE
    assert await kept(store) == list(range(newest - DAY, newest + 1, 10 * MINUTE))


async def test_of_an_event_what_was_decided_stays_and_one_frame_a_day(store: Database) -> None:
    onset, opened, confirmed = NOON + HOUR, NOON + 2 * HOUR, NOON + 9 * HOUR
    closed = NOON + 3 * DAY + 5 * HOUR
    told = event(onset=onset, opened=opened, updated=closed, closed=closed, state=EventState.CLOSED)
    await store.conclusions.save([concluded(events=(told,))], 1)
    decisions = dict.fromkeys((opened, confirmed, closed), True)
    await concluded_by_the_hour(store, closed + 2 * DAY, decisions)
    step = 10 * MINUTE
    expected = {
        *range(onset - MARGIN_MS, opened + MARGIN_MS + step, step),
        *range(confirmed - MARGIN_MS, confirmed + MARGIN_MS + step, step),
        *range(closed - MARGIN_MS, closed + MARGIN_MS + step, step),
        *(MIDNIGHT + n * DAY for n in range(1, 4)),
        *range(closed + DAY - step, closed + 2 * DAY, step),
    }
    assert await kept(store) == sorted(expected)
    # With its measurements an event loses the days, and keeps what was decided.
    await store.facts.add([admitted(n, at=NOON + n * DAY) for n in range(6)], [])
    await prune(store.engines.place, closed + 3 * DAY)
    left = {round for round in expected if round < closed + DAY - step}
    left -= {MIDNIGHT + n * DAY for n in range(1, 4)}
    assert await kept(store) == sorted(left)
    # What was pruned is not concluded again; what is kept of it stays.
    await store.conclusions.clear()
    assert await kept(store) == sorted(left)
    again = concluded(refolded_after=-1, evidence=(frame(opened, b"half"),))
    await store.conclusions.save([again], 2)
    assert await kept_evidence(store, "wechat") == [
        frame(round, decided=decisions.get(round, False)) for round in sorted(left)
    ]


async def test_an_event_that_is_open_keeps_what_is_older_than_a_day(store: Database) -> None:
    told = event(onset=NOON, opened=NOON, updated=NOON)
    await store.conclusions.save([concluded(events=(told,))], 1)
    await concluded_by_the_hour(store, NOON + 90 * HOUR, {NOON: True})
    found = await kept(store)
    assert [r for r in found if NOON + MARGIN_MS < r < NOON + 65 * HOUR] == [
        MIDNIGHT + DAY, MIDNIGHT + 2 * DAY, MIDNIGHT + 3 * DAY
    ]  # fmt: skip


async def lived(store: Database, numbers: range) -> None:
    """Let a detector conclude these rounds of a block."""
    await store.facts.add(fleet.admitted(fleet.rounds(numbers, BLOCK)), ())
    detector = Detector(store, Policy(), "one", lambda: fleet.START + 10**9)
    while await detector.run_once():
        pass
