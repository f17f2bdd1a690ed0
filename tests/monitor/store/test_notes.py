"""Operators' notes on events, on both databases."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from monitor.detection.events.imported import WHOLE
from monitor.detection.model import Event, EventState, NetworkEvidence, Retraction, Tier
from monitor.store import notes
from monitor.store.database import Database
from monitor.store.notes import (
    NOTE,
    RETRACTION,
    NotedEvent,
    NoteRefusedError,
    notes_of,
    read_retractions,
)
from monitor.store.reading.events import (
    count_transitions,
    get_event,
    list_ended_events,
    list_events,
    list_transitions,
)
from monitor.store.reading.newest import revisions
from monitor.store.records import Filter
from tests.monitor.store.samples import NOON, concluded, event

ID, OTHER = "00000000000000aa", "00000000000000ab"


async def opened(store: Database, *ids: str) -> None:
    events = tuple(event(id, onset=NOON) for id in ids)
    journal = tuple((id, "opened") for id in ids)
    await store.conclusions.save([concluded(events=events, journal=journal)], 1)


async def listed(store: Database, state: str | None = None) -> list[Event]:
    async with store.reading() as connection:
        return list(await list_events(connection, state=state))


async def test_a_note_stands_beside_its_event_alone(store: Database) -> None:
    await opened(store, ID, OTHER)
    async with store.reading() as connection:
        before = await revisions(connection)
    first = await store.notes.add(ID, NOTE, "a cable was cut", "https://example.org/a", "t1")
    second = await store.notes.add(ID, NOTE, "and repaired", "", "t1")
    other, one = await listed(store)
    assert notes_of(other) == ()
    assert type(other) is Event
    assert isinstance(one, NotedEvent)
    assert one.notes == (first, second)
    assert one.state is EventState.OPEN
    async with store.reading() as connection:
        changes = await list_transitions(connection)
        assert await revisions(connection) == {name: n + 2 for name, n in before.items()}
        assert {kind for _, _, kind, _ in await count_transitions(connection)} == {"opened"}
    assert [(each.kind, each.note) for each in changes[:2]] == [("note", second), ("note", first)]
    assert len({each.key for each in changes[:2]}) == 2


async def test_an_event_that_is_retracted_stays_so_whatever_is_concluded(store: Database) -> None:
    await opened(store, ID, OTHER)
    note = await store.notes.add(ID, RETRACTION, "our own filter", "", "t1")
    assert [each.id for each in await listed(store, "open")] == [OTHER]
    (one,) = await listed(store, "retracted")
    assert (one.id, one.state, one.inhibited_by) == (ID, EventState.RETRACTED, "operator")
    assert one.history[-1].round == one.ended_earliest == one.ended_latest == note.at
    over = replace(event(ID, state=EventState.CLOSED), ended_earliest=NOON, ended_latest=NOON + 9)
    by_itself = notes.noted(over, (note,))
    assert (by_itself.ended_earliest, by_itself.ended_latest) == (NOON, NOON + 9)
    # The detector goes on: it changes the event, and a refold makes it anew.
    for state in (EventState.OPEN, EventState.CLOSED):
        again = event(ID, onset=NOON, state=state)
        journal = ((ID, "confirmed"), (ID, "closed"))
        await store.conclusions.save([concluded(events=(again,), journal=journal)], 1)
        async with store.reading() as connection:
            found = await get_event(connection, ID)
            assert found is not None
            assert found.state is EventState.RETRACTED
            changes = await list_transitions(connection)
            ended = await list_ended_events(connection, 0, 0)
        assert {each.kind for each in changes if each.event.id == ID} == {"opened", "retracted"}
        assert [(each.id, kind) for each, kind in ended] == [(ID, "retracted")]
    await store.conclusions.clear()
    assert await listed(store) == []
    await opened(store, ID)
    (one,) = await listed(store)
    assert (one.state, notes_of(one)) == (EventState.RETRACTED, (note,))


async def test_what_ended_before_is_no_more_in_a_later_range(store: Database) -> None:
    await opened(store, ID)
    await store.notes.add(ID, RETRACTION, "wrong", "", "t1")
    async with store.reading() as connection:
        assert await list_events(connection, Filter(since=NOON + 10**9)) == []


async def test_of_an_event_that_was_never_published_nothing_is(store: Database) -> None:
    await store.conclusions.save([concluded(events=(event(ID, onset=NOON),))], 1)
    await store.notes.add(ID, RETRACTION, "wrong", "", "t1")
    async with store.reading() as connection:
        assert await list_transitions(connection) == []


async def test_an_event_is_retracted_however_many_notes_it_has(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever may write notes could keep a mistake published."""
    monkeypatch.setattr(notes, "MAX_NOTES", 2)
    await opened(store, ID)
    for _ in range(2):
        await store.notes.add(ID, NOTE, "x", "", "t1")
    with pytest.raises(NoteRefusedError, match="has 2 notes"):
        await store.notes.add(ID, NOTE, "x", "", "t1")
    assert (await store.notes.add(ID, RETRACTION, "x", "", "t2")).kind == RETRACTION
    with pytest.raises(NoteRefusedError, match="retracted already"):
        await store.notes.add(ID, RETRACTION, "x", "", "t2")


async def test_what_cannot_be_noted(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_NOTES", 2)
    await opened(store, ID)
    with pytest.raises(NoteRefusedError, match="no event"):
        await store.notes.add(OTHER, NOTE, "x", "", "t1")
    await store.notes.add(ID, RETRACTION, "x", "", "t1")
    with pytest.raises(NoteRefusedError, match="retracted already"):
        await store.notes.add(ID, RETRACTION, "x", "", "t1")
    await store.notes.add(ID, NOTE, "x", "", "t1")
    with pytest.raises(NoteRefusedError, match="has 2 notes"):
        await store.notes.add(ID, NOTE, "x", "", "t1")


async def test_a_retraction_remembers_what_the_event_was_about(store: Database) -> None:
    seen = [(64501, "tls"), (64502, "dns"), (64501, "tls")]
    networks = tuple(
        NetworkEvidence(
            asn=asn,
            target="wechat/messaging",
            layer=layer,
            technique="",
            tier=Tier.LIKELY,
            onset=NOON,
            agreeing=2,
            voting=2,
            owners=2,
        )
        for asn, layer in seen
    )
    imported = msgspec.structs.replace(event(OTHER, onset=NOON), source="ooni", networks=networks)
    own = msgspec.structs.replace(event(ID, onset=NOON), networks=networks)
    await store.conclusions.save([concluded(events=(own, imported))], 1)
    await store.notes.add(ID, NOTE, "x", "", "t1")
    async with store.reading() as connection:
        assert await read_retractions(connection) == {}
    notes = {id: await store.notes.add(id, RETRACTION, "wrong", "", "t1") for id in (ID, OTHER)}
    target = "wechat/messaging"
    expected = {
        ID: ((target, 64501, "tls"), (target, 64502, "dns")),
        OTHER: ((target, 64501, WHOLE), (target, 64502, WHOLE)),
    }
    async with store.reading() as connection:
        assert await read_retractions(connection) == {
            id: Retraction(notes[id].at, series) for id, series in expected.items()
        }
