"""One measurement: its verdict in words, and ladders of vantage and control."""

from __future__ import annotations

import copy
import dataclasses

import pytest
from msgspec.structs import replace

from monitor.detection.events.explain import (
    STOOD_IN,
    RoundEvidence,
    SeriesRound,
    VantageEvidence,
    pack,
)
from monitor.detection.model import State, Stored
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.reading.explanation import stood_in
from monitor.store.reading.measurements import get_verdict
from monitor.store.records import Conclusions, ProbeKey
from monitor.web.pages import measurement as page
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client


def id_of(person: int, target: str = "wechat/web", number: int = 20) -> str:
    return world.measurement(world.PEOPLE[person], target, number).id


async def text(web: Client, id: str) -> str:
    answer = await web.get(f"/m/{id}")
    assert answer.status == 200
    return text_of(await answer.text())


async def test_a_failed_measurement_is_explained(web: Client) -> None:
    said = await text(web, id_of(0))
    assert "WeChat, web client, from AS64501 in Russia" in said
    assert "One measurement alone confirms nothing" in said
    assert "The handshake is reset (RST) for the service" in said
    assert "forged on the path, not by the far end" in said
    assert "reset 12 ms after our TLS ClientHello for web.wechat.test" in said
    assert "2 certificates shown" in said
    assert "Control in AS64510" in said
    assert "AS64501 , Russia as stated when the probe was set up" in said
    assert "this measurement, which never changes" in said
    assert "blocked (confirmed)" not in said


async def test_other_measurements_show_their_state(web: Client) -> None:
    assert "reachable" in await text(web, id_of(3))
    assert "Measured by a control" in await text(web, id_of(7))
    assert "Liveness: innocuous hosts" in await text(web, id_of(0, "liveness/international"))
    assert "the vantage’s clock was 45 s ahead" in await text(web, id_of(4))
    assert "vantage offline" in await text(web, id_of(6))


@pytest.mark.parametrize("remark", ["no_control", "control_fails"])
async def test_nothing_is_said_of_a_control_that_did_not_pass(site: Site, remark: str) -> None:
    found = await site.database.facts.measurement(id_of(0))
    assert found is not None
    async with site.database.reading() as connection:
        verdict = await get_verdict(connection, found[0].measurement, found[2])
    assert verdict is not None
    silent = replace(verdict, rule="tcp.timeout", evidence=())
    assert "while the control connects" in page.comment_on(silent)
    assert page.comment_on(replace(silent, evidence=(remark,))) == ""
    cut = replace(silent, rule="tls.reset.sni", evidence=(remark,))
    assert "for the service's name only" in page.comment_on(cut)


async def test_the_control_is_of_the_same_round_or_shortly_before(site: Site) -> None:
    found = await site.database.facts.measurement(id_of(0))
    assert found is not None
    control = await page.nearest_control(site, found[0])
    assert control is not None
    assert control.measurement.round == found[0].measurement.round
    own = await site.database.facts.measurement(id_of(7, number=0))
    assert own is not None
    assert await page.nearest_control(site, own[0]) is None


def showing(site: Site, found: tuple[Stored, *tuple[object, ...]], stored: Stored) -> Site:
    """The site, with this in place of every measurement."""

    class Shown:
        async def measurement(self, id: str) -> object:
            return stored, *found[1:]

        def __getattr__(self, name: str) -> object:
            return getattr(site.database.facts, name)

    database = copy.copy(site.database)
    database.facts = Shown()  # type: ignore[assignment]
    return dataclasses.replace(site, database=database)


async def test_an_imported_one_names_its_source_and_no_vantage(site: Site) -> None:
    found = await site.database.facts.measurement(id_of(0))
    assert found is not None
    stored = found[0]
    async with client(showing(site, found, replace(stored, source="ooni"))) as web:
        answer = await (await web.get(f"/m/{id_of(0)}")).text()
    assert "volunteers of ooni" in text_of(answer)
    assert f'href="/v/{stored.measurement.probe}"' not in answer


async def test_it_says_whether_its_vantage_had_a_key(site: Site, web: Client) -> None:
    found = await site.database.facts.measurement(id_of(0))
    assert found is not None
    for since, said in ((1, "this vantage had no key"), (0, "by the vantage’s own key: the proof")):
        since += found[0].received
        key = ProbeKey(probe=found[0].measurement.probe, id=f"{since}", public_key="", since=since)
        await site.database.registry.replace_key(key, [])
        assert said in await text(web, id_of(0))


async def test_it_says_that_nobody_stated_whence_the_place_is_known(site: Site) -> None:
    found = await site.database.facts.measurement(id_of(0))
    assert found is not None
    stored = found[0]
    vantage = replace(stored.measurement.vantage, geo="none")
    stored = replace(stored, measurement=replace(stored.measurement, vantage=vantage))
    async with client(showing(site, found, stored)) as web:
        assert "AS64501 , Russia source not stated" in await text(web, id_of(0))


async def test_a_measurement_names_the_event_that_it_is_part_of(web: Client) -> None:
    blocked = id_of(0, number=19)
    text = await (await web.get(f"/m/{blocked}")).text()
    assert f'<a href="/e/{world.CONFIRMED}">' in text
    assert "This is one of its witnesses." in text
    # Elsewhere, of another function or before it began nothing is named.
    for person, target, number in ((0, "wechat/messaging", 19), (0, "wechat/web", 10)):
        other = id_of(person, target, number)
        answer = await web.get(f"/m/{other}")
        assert answer.status == 200
        assert f"/e/{world.CONFIRMED}" not in await answer.text()


async def test_what_was_dropped_is_not_taken_for_what_never_was(site: Site) -> None:
    missing, said = "0" * 32, "There is no measurement with this id."
    async with client(site) as web:
        assert "were dropped" not in await (await web.get(f"/m/{missing}")).text()
        assert (await (await web.get(f"/api/v1/measurements/{missing}")).json())["error"] == said
        await site.database.conclusions.set_cursor(PRUNED, 1_777_852_800_000)
        for path in (f"/m/{missing}", f"/api/v1/measurements/{missing}"):
            answer = await web.get(path)
            assert answer.status == 404
            assert f"{said} Those before 2026-05-04 were dropped" in await answer.text()


async def test_a_list_says_since_when_measurements_are_kept(site: Site) -> None:
    said = "Measurements before 15 January 2027 are no longer kept"
    event = world.events()[0]
    every = "/m", "/m?service=signal&until=2027-01-14", f"/m?event={event.id}"
    async with client(site) as web:
        for path in (*every, f"/e/{event.id}"):
            assert "no longer kept" not in await (await web.get(path)).text(), path
    day = event.onset_earliest - event.onset_earliest % DAY_MS
    await site.database.conclusions.set_cursor(PRUNED, day)
    async with client(site) as web:
        for path in every[:2]:
            assert said in text_of(await (await web.get(path)).text()), path
        for path in (every[2], f"/e/{event.id}", "/m?since=2027-01-15"):
            assert "no longer kept" not in await (await web.get(path)).text(), path
    await site.database.conclusions.set_cursor(PRUNED, day + DAY_MS)
    async with client(site) as web:
        for path in (every[2], f"/e/{event.id}", "/m?since=2027-01-15"):
            page = await (await web.get(path)).text()
            assert said.replace("15", "16") in text_of(page), path
            assert page.count("no longer kept") == 1


async def test_it_says_whether_it_counts_and_why_not(web: Client) -> None:
    assert "Counted as evidence yes" in await text(web, id_of(0))
    offline = await (await web.get(f"/m/{id_of(6)}")).text()
    assert "Counted as evidence no: vantage offline vantage_offline" in text_of(offline)
    assert 'href="/method#state-vantage_offline"' in offline
    assert "Counted" not in await text(web, id_of(7))


async def test_a_list_is_chosen_by_what_verdicts_say(web: Client) -> None:
    async def rows(query: str) -> list[str]:
        answer = await web.get(f"/m?{query}")
        assert answer.status == 200, query
        table = (await answer.text()).partition("<tbody>")[2].partition("</tbody>")[0]
        return [text_of(row) for row in table.split("</tr>")[:-1]]

    typed = await rows("service=wechat&technique=tls.reset.sni")
    assert typed
    assert all("tls.reset.sni" in row and "AS64501" in row for row in typed)
    assert len(await rows("rule=tls.reset.sni&country=RU")) == len(typed)
    skipped = await rows("service=wechat&counted=no")
    assert skipped
    assert all("no: vantage offline" in row for row in skipped)
    assert not any("no:" in row for row in await rows("service=wechat&counted=yes"))
    assert await rows("state=down") == []
    mine = await rows(f"event={world.CONFIRMED}")
    assert mine
    assert all("wechat/web" in row and "AS64501" in row for row in mine)
    for wrong in ("state=open", "counted=maybe", "technique=a%20b", "event=0000000000000000"):
        assert (await web.get(f"/m?{wrong}")).status == 400


async def test_what_counts_because_others_stood_in_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lists and on its own page; of a round that says nothing nothing is added."""
    first, second = (world.measurement(world.PEOPLE[0], "wechat/web", n) for n in (20, 19))
    vantage = VantageEvidence(
        probe=first.probe, owner="", outcome=STOOD_IN, measurement=first.id, holds=1
    )
    told = SeriesRound(
        round=first.round, asn=64501, target="wechat/web", layer="tls", vantages=(vantage,),
        holds=1, needs=2,
    )  # fmt: skip
    frame = RoundEvidence(
        country="RU", source="probe", round=first.round, decided=True, body=pack([told])
    )
    conclusions = Conclusions(service="wechat", round=first.round, state=b"", evidence=(frame,))
    await site.database.conclusions.save([conclusions], 1)
    found = await site.database.facts.measurement(first.id)
    assert found is not None
    async with site.database.reading() as connection:
        verdict = await get_verdict(connection, found[0].measurement, found[2])
        assert verdict is not None
        alone = replace(verdict, state=State.INCONCLUSIVE, evidence=("no_control",))
        rows = [
            page._judged(Stored(measurement=one, owner="", role=one.vantage.role, enrolled=0), said)
            for one, said in ((first, alone), (second, alone), (first, verdict))
        ]
        assert await stood_in(connection, rows[:2]) == {first.id}
        assert await stood_in(connection, rows[2:]) == frozenset()
    told_of = frozenset([first.id])

    async def found(_connection: object, _rows: object) -> frozenset[str]:
        return told_of

    monkeypatch.setattr(page, "stood_in", found)
    text_said = "counted all the same: runs of OONI stood in for a control"
    async with client(site) as web:
        assert text_said in await text(web, first.id)
        listed = text_of(await (await web.get("/m?target=wechat/web&asn=64501")).text())
    assert listed.count(text_said) == 1
