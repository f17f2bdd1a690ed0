"""Two kinds of evidence for one block are one picture."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import EventState, Layer, State, Verdict
from monitor.store.reading.counts import StateCount
from monitor.store.records import Conclusions
from monitor.text import words
from monitor.web.both_sources import APART_MS, beside, one_picture
from monitor.web.event_failures import as_failures
from monitor.web.site import Site
from tests.monitor.detection.imported_runs import dc, measurement, record, stored
from tests.monitor.fleet import admitted
from tests.monitor.store.samples import event, fact_of
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.scenery import HOUR, NOW
from tests.world.site import client

OWN = event("0000000000000001", onset=NOW, state=EventState.CLOSED, closed=NOW + 5 * HOUR)
OONI = replace(OWN, id="0000000000000002", source="ooni", onset=NOW - HOUR, control="none")


def test_the_same_block_is_shown_once_with_both_kinds_of_evidence() -> None:
    assert beside(OWN, [OONI, OWN]) is OONI
    assert beside(OONI, [OONI, OWN]) is OWN
    assert one_picture([OONI, OWN]) == ([OWN], {OWN.id: OONI})


@pytest.mark.parametrize(
    "changes",
    [
        {"country": "FR"},
        {"service": "telegram"},
        {"source": "probe"},
        {"state": EventState.RETRACTED},
        {"onset": OWN.closed + APART_MS + 1},
        {"onset": NOW - 9 * HOUR - APART_MS, "closed": NOW - 1 - APART_MS},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_another_block_stays_apart(changes: dict[str, object]) -> None:
    other = replace(OONI, **changes)
    assert one_picture([other, OWN]) == ([other, OWN], {})


async def test_pages_say_on_which_witnesses_an_event_rests(site: Site) -> None:
    alone = replace(OONI, id="0000000000000003", country="KE", asns=(64599,), service="telegram")
    both = [replace(each, rule_counts=(("imported.tls_reset", 14),)) for each in (OONI, alone)]
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=NOW, state=b"", events=(OWN, *both))], 1
    )
    async with client(site) as web:
        said = {
            one.id: text_of(await (await web.get(f"/e/{one.id}")).text()) for one in (OWN, *both)
        }
        listed = text_of(await (await web.get("/s/wechat")).text())
    assert "And 14 failed measurements of OONI in 6 h." in said[OWN.id]
    assert "The same block in the data of OONI" in said[OWN.id]
    assert "14 failed measurements of OONI in 6 h, without controls of ours." in said[OONI.id]
    assert "The same block as our vantages saw it" in said[OONI.id]
    assert "No vantage of ours is there." in said[alone.id]
    assert "OONI shows it too" in listed
    assert "rests on OONI alone" not in listed


def test_what_failed_for_others_while_their_event_lasted_is_shown_as_the_event_says() -> None:
    def row(state: State) -> StateCount:
        return StateCount(NOW, "wechat/messaging", "RU", 64501, state, 3)

    rows = [row(State.OK), row(State.INCONCLUSIVE)]
    told = as_failures(replace(OONI, closed=NOW + HOUR), rows, NOW + HOUR)
    assert [one.state for one in told] == [State.OK, State.BLOCKED]
    assert as_failures(OWN, rows, NOW + HOUR) == rows


async def test_a_block_of_which_ours_saw_the_end_does_not_rest_on_others_alone(site: Site) -> None:
    own, runs = (replace(one, service="telegram", country="KE") for one in (OWN, OONI))
    both = (own, replace(runs, state=EventState.OPEN, closed=None))
    await site.database.conclusions.save(
        [Conclusions(service="telegram", round=NOW, state=b"", events=both)], 1
    )
    async with client(site) as web:
        listed = text_of(await (await web.get("/")).text())
    assert "vantages of ours saw it too" in listed
    assert "rests on OONI alone" not in listed


def test_what_others_stood_in_for_is_shown_as_the_event_says() -> None:
    row = StateCount(NOW, "wechat/messaging", "RU", 64501, State.INCONCLUSIVE, 3)
    alone = replace(OWN, control="none", against=("control_by_runs_of_others",))
    assert [one.state for one in as_failures(alone, [row], NOW + HOUR)] == [State.BLOCKED]


async def test_a_range_of_the_past_counts_a_block_of_both_sources_once(site: Site) -> None:
    own, runs = (replace(one, service="telegram", country="KE") for one in (OWN, OONI))
    both = (own, replace(runs, closed=NOW + HOUR))
    await site.database.conclusions.save(
        [Conclusions(service="telegram", round=NOW, state=b"", events=both)], 1
    )
    day, next_day = (words.machine(at)[:10] for at in (NOW, NOW + 24 * HOUR))
    async with client(site) as web:
        for path in ("/c/KE", "/s/telegram"):
            said = text_of(await (await web.get(f"{path}?since={day}&until={next_day}")).text())
            assert "Telegram's messaging was" in said
            assert "one more event" not in said


async def test_tables_of_now_and_lists_say_whose_a_measurement_is(site: Site) -> None:
    begin = world.START + (world.ROUNDS - 1) * world.INTERVAL
    seen = [*dc(0), record(9)]
    run = stored(measurement(seen, begin, asn=64501, country="RU", target="wechat/web"))
    await site.database.facts.add(admitted([run]), ())
    said = Verdict(target="wechat/web", state=State.INCONCLUSIVE, layer=Layer.TCP, rule="r")
    told = Conclusions(
        service="wechat", round=begin, state=b"", events=(), facts=(fact_of(run, said),)
    )
    await site.database.conclusions.save([told], 10**6)
    async with client(site) as web:
        of_network = text_of(await (await web.get("/as/64501")).text())
        of_service = text_of(await (await web.get("/s/wechat")).text())
        listed = await (await web.get("/m?asn=64501&target=wechat/web")).text()
        rows = await (await web.get("/api/v1/measurements?asn=64501&target=wechat/web")).json()
        mine = text_of(await (await web.get("/m?asn=64502")).text())
    assert "newest runs of OONI: 1 of 1" in of_network
    assert "of 4 vantages" not in of_network
    assert "3 of 3 newest runs of OONI: 0 of 1" in of_service
    assert f'href="/v/{world.PEOPLE[0].id}">vantage of ours' in listed
    assert text_of(listed).count("run of OONI") == 1
    assert "vantage of ours" not in mine
    sources = {row["vantage"]: row["source"] for row in rows["measurements"]}
    assert sources.pop(run.measurement.probe) == "ooni"
    assert set(sources.values()) == {"own"}


async def test_what_is_open_where_the_data_of_others_end_is_not_said_to_go_on(site: Site) -> None:
    """Beside a strip "since 3 May" was read as a block of today."""
    confirmed = next(one for one in world.events() if one.id == world.CONFIRMED)
    begin = NOW - 9 * HOUR
    seen = [
        replace(one, asn=64503, spans=((begin, NOW - 7 * HOUR, 0),)) for one in confirmed.networks
    ]
    runs = replace(OONI, country="FR", asns=(64503,), state=EventState.OPEN, closed=None)
    runs = replace(runs, onset=begin, networks=tuple(seen))
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=NOW, state=b"", events=(runs,))], 1
    )
    async with client(site) as web:
        pages = [await (await web.get(path)).text() for path in ("/s/wechat", "/c/FR")]
    link = f'<a href="/e/{runs.id}">'
    for page in pages:
        (said,) = (text_of(part) for part in page.split("<p><small>") if link in part[:999])
        assert "failed as blocked" in said
        assert "WeChat's messaging was likely blocked" in said
        assert "where the data end." in said.partition("Show as table")[0]
