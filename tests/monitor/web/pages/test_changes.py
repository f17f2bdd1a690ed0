"""Changes of state: the page, the feeds and what they leave out; badges and pictures."""

from __future__ import annotations

from dataclasses import replace as replace_site
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from monitor.detection.model import Change, ChangeKind, OtherWitnesses, Tier
from monitor.store.reading.events import Transition, get_event, list_transitions
from monitor.store.records import Conclusions, Filter
from monitor.text.words import when
from monitor.web.pages import changes
from monitor.web.present import Present
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client

ATOM = "{http://www.w3.org/2005/Atom}"
NOBODY = Present(revision=1)
"""A present in which nobody measures."""


@pytest.fixture
async def told(site: Site) -> Site:
    """The site after the events' whole histories were published."""
    journal = [
        (world.CONFIRMED, "likely"), (world.CONFIRMED, "confirmed"), (world.CLOSED, "confirmed"),
        (world.CLOSED, "closed"), (world.SINGLE, "closed"), (world.RETRACTED, "retracted"),
    ]  # fmt: skip
    by_id = {event.id: event for event in world.events()}
    for id, kind in journal:
        service = by_id[id].service
        await site.database.conclusions.save(
            [
                Conclusions(
                    service=service, round=world.NOW, state=b"state", events=(), facts=(),
                    journal=((id, kind),),
                )
            ],
            0,
        )  # fmt: skip
    return site


async def test_changes_are_listed_newest_first(told: Site) -> None:
    async with client(told) as web:
        text = text_of(await (await web.get("/changes")).text())
        correction = (
            "Correction: Telegram's web client was wrongly reported as "
            "blocked in one network in Russia."
        )
        assert correction in text
        assert text.index(correction) < text.index(
            "WeChat's web client is blocked in one network in Russia"
        )
        assert (
            "WeChat's web client is reachable again in one network in Russia, after 30 min." in text
        )
        mine = text_of(await (await web.get("/changes?service=telegram&country=RU")).text())
        assert "Changes of Telegram in Russia" in mine
        assert "WeChat is" not in mine
        assert (await web.get("/changes?before=x")).status == 400
        form = await web.get("/changes?service=wechat&country=", allow_redirects=False)
        assert form.headers["Location"] == "/changes?service=wechat"
        async with told.database.reading() as connection:
            rows = await list_transitions(connection, limit=1000)
            numbers = [row.number for row in rows]
            assert numbers == sorted(numbers, reverse=True)
            after = await list_transitions(connection, Filter(), after=numbers[-2], limit=2)
            assert [row.number for row in after] == numbers[-4:-2]
        older = await web.get(f"/changes?before={numbers[0]}")
        assert correction not in text_of(await older.text())


@pytest.mark.parametrize(
    ("path", "titles"),
    [
        ("/feed.atom", 5),
        ("/feed.atom?service=wechat&country=RU", 4),
        ("/s/wechat/feed.atom", 4),
        ("/c/ru/feed.atom", 5),
        ("/c/FR/feed.atom", 0),
    ],
)
async def test_feeds_tell_changes_of_state_alone(told: Site, path: str, titles: int) -> None:
    async with client(told) as web:
        answer = await web.get(path)
        assert answer.content_type == "application/atom+xml"
        root = ET.fromstring(await answer.read())
    assert root.tag == f"{ATOM}feed"
    for name in ("title", "id", "updated"):
        assert root.findtext(f"{ATOM}{name}")
    entries = root.findall(f"{ATOM}entry")
    assert len(entries) == titles
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(ids)) == titles
    for entry in entries:
        assert entry.findtext(f"{ATOM}updated")
        assert entry.findtext(f"{ATOM}summary")
        link = entry.find(f"{ATOM}link")
        assert link is not None
        assert link.get("href", "").startswith("https://reach.example/e/")
        kinds = {category.get("term") for category in entry.findall(f"{ATOM}category")}
        assert kinds & {"likely", "confirmed", "closed", "retracted"}
    assert not any(world.SINGLE in str(id) for id in ids)


async def test_what_became_of_an_event_is_not_told_as_if_it_had_been_so_before(told: Site) -> None:
    async with client(told) as web:
        root = ET.fromstring(await (await web.get("/feed.atom?service=wechat")).read())
    summaries = [
        (entry.findtext(f"{ATOM}title"), entry.findtext(f"{ATOM}summary") or "")
        for entry in root.findall(f"{ATOM}entry")
        if world.CONFIRMED in str(entry.findtext(f"{ATOM}id"))
    ]
    (confirmed, newest), (likely, before) = summaries
    assert confirmed == "WeChat's web client is blocked in one network in Russia (confirmed)."
    assert newest.startswith("Confirmed: 3 of 3 vantages")
    assert likely == "WeChat's web client is likely blocked in one network in Russia."
    assert before.startswith(
        "Since then: WeChat's web client is blocked in one network in Russia. Connections "
    )


async def test_a_feed_says_between_which_times_a_block_ended(told: Site) -> None:
    async with told.database.reading() as connection:
        rows = await list_transitions(connection, limit=1000)
    closed = next(r for r in rows if r.kind == "closed" and r.event.id == world.CLOSED)
    first = world.BLOCKED_SINCE
    event = replace(closed.event, ended_earliest=first, ended_latest=first + 10 * world.MINUTE)

    def summary(row: Transition) -> str:
        root = ET.fromstring(changes.atom(told, Filter(), [row], NOBODY))
        return root.findtext(f"{ATOM}entry/{ATOM}summary") or ""

    assert summary(replace(closed, event=event)).endswith(
        f" It ended between {when(first)} and {when(first + 10 * world.MINUTE)}."
    )
    assert "It ended" not in summary(closed)


async def test_a_feed_counts_no_time_in_which_nobody_measures(told: Site) -> None:
    async with told.database.reading() as connection:
        rows = await list_transitions(connection, limit=1000)
    row = next(r for r in rows if r.kind == "confirmed" and r.event.id == world.CONFIRMED)
    seen = tuple(replace(each, seen=world.BLOCKED_SINCE) for each in row.event.networks)
    row = replace(row, event=replace(row.event, networks=seen))
    for present, since in (
        (await told.present.get(), f"since {when(world.BLOCKED_SINCE)}. Connections"),
        (NOBODY, f"last seen {when(world.BLOCKED_SINCE)}. Nobody measures it there now."),
    ):
        root = ET.fromstring(changes.atom(told, Filter(), [row], present))
        assert since in (root.findtext(f"{ATOM}entry/{ATOM}summary") or "")


async def test_a_feed_that_is_read_later_says_the_same(told: Site) -> None:
    """Readers keep an entry as they first got it, and `updated` does not change."""
    async with told.database.reading() as connection:
        rows = await list_transitions(connection, limit=1000)
    later = replace_site(told, clock=lambda: world.NOW + 5 * world.HOUR)
    present = await told.present.get()
    assert changes.atom(told, Filter(), rows, present) == changes.atom(
        later, Filter(), rows, present
    )


async def test_an_entry_that_rests_on_data_of_others_has_their_licence(told: Site) -> None:
    async with told.database.reading() as connection:
        (row,) = await list_transitions(connection, limit=1)
    imported = replace(row, event=replace(row.event, source="ooni"))
    root = ET.fromstring(changes.atom(told, Filter(), [row, imported], NOBODY))
    assert root.findtext(f"{ATOM}rights") == "CC BY 4.0"
    own, imported_entry = root.findall(f"{ATOM}entry")
    assert own.find(f"{ATOM}rights") is None
    assert imported_entry.findtext(f"{ATOM}rights") == "CC BY-NC-SA 4.0: rests on data of OONI"
    shown = OtherWitnesses("ooni", "e", Tier.LIKELY, 14, 2)
    both = replace(row, event=replace(row.event, beside=(shown,)))
    entry = ET.fromstring(changes.atom(told, Filter(), [both], NOBODY)).find(f"{ATOM}entry")
    assert entry is not None
    assert entry.findtext(f"{ATOM}rights") == "CC BY-NC-SA 4.0: rests on data of OONI"
    assert "14 failed measurements of OONI show it too." in (entry.findtext(f"{ATOM}summary") or "")
    terms = [category.get("term") for category in entry.findall(f"{ATOM}category")]
    assert terms[-2:] == ["own", "ooni"]


async def test_unknown_feeds_are_not_found(web: Client) -> None:
    assert (await web.get("/s/nothing/feed.atom")).status == 404
    assert (await web.get("/feed.atom?service=nothing")).status == 404


async def test_a_feed_follows_one_service_in_one_country_or_says_why_not(web: Client) -> None:
    """A slip in a filter would otherwise follow everything."""
    page = await (await web.get(f"/e/{world.CONFIRMED}")).text()
    assert 'href="/feed.atom?service=wechat&amp;country=RU"' in page
    assert (await web.get("/s/wechat/feed.atom?country=RU")).status == 200
    for path in ("/feed.atom?service=wechat&counrty=RU", "/s/wechat/feed.atom?service=signal"):
        answer = await web.get(path)
        assert answer.status == 400, path
    assert "did you mean country?" in await (await web.get("/feed.atom?counrty=RU")).text()


async def test_what_seemed_to_end_and_went_on_is_told(told: Site) -> None:
    """The journal tells what is decided; the history of an event, that it was clearing."""
    async with told.database.reading() as connection:
        before = await get_event(connection, world.CONFIRMED)
    assert before is not None
    turned = [
        Change(round=world.NOW + n * world.MINUTE, kind=kind)
        for n, kind in ((1, ChangeKind.CLEARING), (2, ChangeKind.AGAIN), (3, ChangeKind.CLEARING))
    ]
    event = replace(before, history=(*before.history, *turned))
    await told.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"s", events=(event,), facts=())], 0
    )
    told.present.expire()
    async with client(told) as web:
        text = text_of(await (await web.get("/changes")).text())
        root = ET.fromstring(await (await web.get("/feed.atom?service=wechat")).read())
        other = text_of(await (await web.get("/changes?service=signal")).text())
    assert (
        "clearing WeChat's web client is becoming reachable again in one network in Russia" in text
    )
    assert "reopened WeChat's web client is blocked again in one network in Russia." in text
    assert "becoming reachable" not in other
    entries = root.findall(f"{ATOM}entry")
    ids = [entry.findtext(f"{ATOM}id") or "" for entry in entries]
    assert len(set(ids)) == len(ids)
    assert len([id for id in ids if "#clearing-" in id]) == 2
    assert len([id for id in ids if "#again-" in id]) == 1
