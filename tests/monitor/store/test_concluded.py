from __future__ import annotations

from monitor.store.concluded import events, pruned, published, services
from monitor.store.database import Database
from tests.monitor.store.samples import admitted, concluded, event


async def test_services_are_those_measured_and_liveness_is_none(store: Database) -> None:
    assert await services(store.engines) == []
    targets = ("wechat/web", "wechat/messaging", "signal/chat", "liveness/international")
    await store.facts.add([admitted(n, target=t) for n, t in enumerate(targets)], ())
    assert await services(store.engines) == ["signal", "wechat"]


async def test_published_is_what_the_journal_holds_of_these_events(store: Database) -> None:
    one, two = event("a" * 16), event("b" * 16)
    saved = concluded(
        events=(one, two), journal=((one.id, "opened"), (one.id, "likely"), (two.id, "opened"))
    )
    await store.conclusions.save((saved,), 1)
    assert await published(store.engines, [one.id]) == {(one.id, "opened"), (one.id, "likely")}
    assert await published(store.engines, []) == set()
    assert await published(store.engines, ["c" * 16]) == set()


async def test_events_come_back_whole(store: Database) -> None:
    kept = [event("a" * 16, witnesses=("1", "2")), event("b" * 16, country="FR")]
    await store.conclusions.save((concluded(events=tuple(kept)),), 1)
    assert sorted(await events(store.engines), key=lambda each: each.id) == kept


async def test_nothing_is_pruned_at_first(store: Database) -> None:
    assert await pruned(store.engines) == 0
