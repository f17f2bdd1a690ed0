"""The contract of conclusions, on SQLite and PostgreSQL."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from monitor.detection.model import Event, EventState, State
from monitor.store.conclusions import (
    DAILY_CHECKPOINTS,
    DAY,
    FRESH_CHECKPOINTS,
    unneeded_checkpoints,
)
from monitor.store.database import Database
from monitor.store.reading.measurements import list_judged
from monitor.store.tables import event as events
from monitor.store.tables import journal
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, event
from tests.monitor.store.samples import verdict as judged


async def stored_events(store: Database) -> list[Event]:
    query = sa.select(events.c.body).order_by(events.c.id)
    async with store.reading() as connection:
        bodies = (await connection.execute(query)).scalars().all()
    return [msgspec.json.decode(body, type=Event) for body in bodies]


async def entries(store: Database) -> list[tuple[int, str, str, str, str]]:
    columns = [journal.c[name] for name in ("at", "event", "service", "country", "transition")]
    async with store.reading() as connection:
        rows = await connection.execute(sa.select(*columns).order_by(journal.c.number))
        return [(a, e, s, c, t) for a, e, s, c, t in rows]


async def verdicts(store: Database) -> dict[str, str]:
    async with store.reading() as connection:
        rows = await list_judged(connection, limit=10_000)
        return {row.id: row.verdict.state for row in rows}


async def test_an_empty_store_has_nothing_to_go_on_from(store: Database) -> None:
    assert await store.conclusions.load("wechat") is None
    assert await store.conclusions.checkpoint("wechat", NOON) is None
    assert await store.conclusions.cursor() == 0


async def test_state_and_cursor_are_replaced_together(store: Database) -> None:
    await store.conclusions.save([concluded(state=b"\0one"), concluded(service="signal")], 7)
    await store.conclusions.save([concluded(NOON + 1, state=b"two")], 9)
    assert await store.conclusions.load("wechat") == (NOON + 1, [b"two"])
    assert await store.conclusions.load("signal") == (NOON, [b"state"])
    assert await store.conclusions.cursor() == 9


async def test_a_change_follows_the_state_until_a_whole_one_takes_their_place(
    store: Database,
) -> None:
    load, save = store.conclusions.load, store.conclusions.save
    await save([concluded(state=b"whole"), concluded(service="signal")], 1)
    for n in (1, 2):
        await save([concluded(NOON + n, state=b"%d" % n, is_whole=False)], 1)
    assert await load("wechat") == (NOON + 2, [b"whole", b"1", b"2"])
    assert await store.conclusions.complete() == {"wechat": (0, None), "signal": (0, None)}
    await save([concluded(NOON + 3, state=b"again"), concluded(NOON + 1, "signal")], 1)
    assert await load("wechat") == (NOON + 3, [b"again"])
    await store.conclusions.clear(["wechat"])
    assert await load("wechat") is None
    assert await load("signal") == (NOON + 1, [b"state"])


async def test_nothing_is_saved_when_one_part_fails(store: Database) -> None:
    await store.conclusions.save([concluded(state=b"good")], 1)
    bad = concluded(NOON + 9, state=b"bad", journal=(("unheard of", "opened"),))
    with pytest.raises(ValueError, match="unheard of"):
        await store.conclusions.save([concluded(NOON + 5, service="signal"), bad], 2)
    assert await store.conclusions.load("wechat") == (NOON, [b"good"])
    assert await store.conclusions.load("signal") is None
    assert await store.conclusions.cursor() == 1


async def test_checkpoints_before_a_round_and_after_a_refold(store: Database) -> None:
    kept = tuple((NOON + n * HOUR, b"%d" % n) for n in range(5))
    await store.conclusions.save([concluded(checkpoints=kept)], 1)
    checkpoint = store.conclusions.checkpoint
    assert await checkpoint("wechat", NOON + 3 * HOUR) == (NOON + 2 * HOUR, b"2")
    assert await checkpoint("wechat", NOON) is None
    assert await checkpoint("signal", NOON + HOUR) is None
    again = concluded(refolded_after=NOON + HOUR, checkpoints=((NOON + 3 * HOUR, b"new"),))
    await store.conclusions.save([again], 2)
    assert await checkpoint("wechat", NOON + 9 * HOUR) == (NOON + 3 * HOUR, b"new")
    assert await checkpoint("wechat", NOON + 3 * HOUR) == (NOON + HOUR, b"1")


async def test_old_checkpoints_get_thin(store: Database) -> None:
    rounds = [NOON + n * HOUR for n in range(FRESH_CHECKPOINTS + 30)]
    await store.conclusions.save([concluded(checkpoints=tuple((r, b"x") for r in rounds))], 1)
    found, before = [], NOON + 999 * HOUR
    while (one := await store.conclusions.checkpoint("wechat", before)) is not None:
        before = one[0]
        found.append(before)
    # It began at noon: the first of that day and of the next are left of the older ones.
    assert found[::-1] == [rounds[0], rounds[12], *rounds[30:]]


def test_thinning_is_stable_and_bounded() -> None:
    rounds: list[int] = []
    for hour in range(24 * 200):
        rounds.append(hour * HOUR)
        gone = set(unneeded_checkpoints(rounds))
        rounds = [each for each in rounds if each not in gone]
    assert len(rounds) <= FRESH_CHECKPOINTS + DAILY_CHECKPOINTS
    assert rounds[:-FRESH_CHECKPOINTS] == [day * DAY for day in range(198 - DAILY_CHECKPOINTS, 198)]


async def test_events_are_replaced_by_their_newest_form(store: Database) -> None:
    first, other = event(), event("00000000000000bb", country="FR")
    await store.conclusions.save([concluded(events=(first, other))], 1)
    closed = event(state=EventState.CLOSED, closed=NOON + 9, updated=NOON + 9)
    await store.conclusions.save([concluded(events=(closed,))], 2)
    assert await stored_events(store) == [closed, other]


async def test_a_refold_drops_what_it_no_longer_says(store: Database) -> None:
    old, changed, gone, foreign = (
        event("a" * 16, updated=NOON),
        event("b" * 16, updated=NOON + 5),
        event("c" * 16, updated=NOON + 6),
        event("d" * 16, updated=NOON + 7, service="signal"),
    )
    rows = [admitted(n, at=NOON + n * MINUTE) for n in range(4)]
    await store.facts.add(rows, [])
    await store.conclusions.save(
        [
            concluded(events=(old, changed, gone), facts=tuple(judged(one) for one in rows)),
            concluded(service="signal", events=(foreign,)),
        ],
        1,
    )
    again = concluded(
        refolded_after=NOON,
        events=(changed,),
        facts=(judged(rows[1], State.BLOCKED), judged(rows[2])),
        journal=(("c" * 16, "retracted"),),
    )
    await store.conclusions.save([again], 2)
    assert await stored_events(store) == [old, changed, foreign]
    ids = [one.stored.measurement.id for one in rows]
    assert await verdicts(store) == {ids[0]: "ok", ids[1]: "blocked", ids[2]: "ok"}
    assert await entries(store) == [(77, "c" * 16, "wechat", "RU", "retracted")]


async def test_the_journal_takes_each_transition_once(store: Database) -> None:
    one = event()
    for _ in range(2):
        await store.conclusions.save([concluded(events=(one,), journal=((one.id, "opened"),))], 1)
    await store.conclusions.clear()
    # A later refold may name it when its row is gone: the journal itself still knows it.
    await store.conclusions.save([concluded(journal=((one.id, "opened"), (one.id, "closed")))], 1)
    opened, closed = ((77, one.id, "wechat", "RU", kind) for kind in ("opened", "closed"))
    assert await entries(store) == [opened, closed]


async def test_clear_leaves_facts_and_journal(store: Database) -> None:
    rows = [admitted(1)]
    await store.facts.add(rows, [])
    await store.conclusions.save(
        [
            concluded(
                checkpoints=((NOON, b"x"),),
                events=(event(),),
                facts=(judged(rows[0]),),
                journal=((event().id, "opened"),),
            )
        ],
        5,
    )
    await store.conclusions.clear()
    assert await store.conclusions.load("wechat") is None
    assert await store.conclusions.checkpoint("wechat", NOON + 1) is None
    assert await store.conclusions.cursor() == 0
    assert await stored_events(store) == []
    assert await verdicts(store) == {}
    assert len(await entries(store)) == 1
    assert len(await store.facts.facts(NOON, NOON)) == 1
