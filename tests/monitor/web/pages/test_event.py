"""The page of an event, and the page of its rounds."""

from __future__ import annotations

import contextlib
import random
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from monitor.detection.events.explain import MOST_VANTAGES, SeriesRound, VantageEvidence, pack
from monitor.detection.model import EventState, NetworkEvidence, State, Tier
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.counts import StateCount
from monitor.store.reading.events import list_events
from monitor.web.event_failures import as_failures
from monitor.web.pages import event as page
from monitor.web.site import Site
from tests.monitor.fleet import START, admitted, from_round, rounds
from tests.monitor.store.samples import MINUTE, NOON, concluded, event, frame
from tests.monitor.web.pages.test_overview import EVENTS, text_of
from tests.world import site as world
from tests.world.site import Client, client, site_of
from tests.world.stores import migrated


async def text(web: Client, id: str) -> str:
    answer = await web.get(f"/e/{id}")
    assert answer.status == 200
    return text_of(await answer.text())


async def test_a_citation_of_a_demonstration_says_that_it_is_one(site: Site, web: Client) -> None:
    async with client(replace(site, demo="Everything is simulated.")) as shown:
        said = await text(shown, world.CONFIRMED)
    assert "Reachwatch (demonstration), https://reach.example/e/" in said
    assert "demonstration, everything is simulated; data CC BY 4.0}" in said
    real = await text(web, world.CONFIRMED)
    assert "Reachwatch, https://reach.example/e/" in real
    assert "simulated" not in real


async def test_a_confirmed_event_shows_its_evidence(web: Client) -> None:
    said = await text(web, world.CONFIRMED)
    for part in (
        "WeChat's web client is blocked in one network in Russia.",
        "Connections are cut when the service’s name appears.",
        "confirmed: 3 of 3 vantages, control fine",
        "Why we think so",
        "Evidence against",
        "Only one network is affected.",
        "They belong to three owners who measure independently.",
        "The technique changed: connections are cut",
        "with harmless.example the same server answered",
        "Control in AS64510, the Netherlands",
        "has no IPv6 address",
        "The 8 oldest measurements that this event rests on",
        "AS64501, 15 January 2027, 09:00 UTC p-0000000000000001 , o-",
        "After each: the vantage and its owner.",
        "curl 'https://reach.example/api/v1/events/00000000000000a1'",
        "the service's name only",
    ):
        assert part in said or part.replace("'", "&#39;") in said, part
    assert "(fit" not in said
    assert "Ended" not in said


async def test_a_closed_event_is_in_the_past_tense(web: Client) -> None:
    said = await text(web, world.CLOSED)
    assert (
        "WeChat's web client was blocked in AS64501 (Russia) from 15 "
        "January 2027, 08:00 to 08:30 UTC" in said
    )
    assert "(30 min)" in said
    # A citation of a past block says that it was one, how sure that is, since when, and how.
    cited = said[said.index("Cite, export, follow") :]
    assert "Was blocked (confirmed): 3 of 3 vantages, control fine; from 15 January" in cited
    assert "(30 min). Connections are cut when the service’s name appears. Reachwatch" in cited
    assert "Ended: affected vantages can reach it again." in said
    assert "No control measured" not in said


async def test_a_withdrawn_event_gives_the_reason(web: Client) -> None:
    said = await text(web, world.RETRACTED)
    assert "was wrongly called likely blocked in one network in Russia; that was retracted." in said
    assert "Retracted: the service fails from the control or in other countries too." in said
    assert "No alert is sent" not in said
    assert ", since " not in said
    assert "Why it was thought so" in said
    assert "Witnesses" not in said


async def test_a_silenced_event_is_not_called_blocked(web: Client) -> None:
    said = await text(web, world.INHIBITED)
    assert (
        "Telegram's web client fails in one network in France, but is not called blocked." in said
    )
    assert "No alert is sent for it: most vantages of the country are offline" in said
    assert "likely blocked" not in said


@pytest.mark.parametrize("id", [world.LIKELY, world.SINGLE])
async def test_events_without_witnesses_or_rules_have_pages(web: Client, id: str) -> None:
    said = await text(web, id)
    assert "Evidence against" in said


async def test_the_timeline_begins_before_the_onset_and_ends_after_the_end(site: Site) -> None:
    event = EVENTS[world.CONFIRMED]
    ((label, drawn),), control = await page.timelines(site, event)
    assert label == "AS64501"
    assert drawn.since < event.onset < drawn.until
    assert [run.kind for run in drawn.runs] == ["ok", "blocked"]
    assert {run.kind for run in control.runs} == {"ok"}
    assert control.summary == "worked whenever it was measured"
    ((_, over),), _control = await page.timelines(site, EVENTS[world.CLOSED])
    assert over.until > (EVENTS[world.CLOSED].closed or 0)


async def test_the_newest_witness_is_beside_its_control(site: Site) -> None:
    pair = await page.side_by_side(site, EVENTS[world.CONFIRMED])
    assert pair is not None
    assert pair["vantage"].measurement.id == EVENTS[world.CONFIRMED].witnesses[-1]
    assert pair["control"].measurement.round == pair["vantage"].measurement.round
    assert await page.side_by_side(site, EVENTS[world.LIKELY]) is None


@contextlib.asynccontextmanager
async def lived(path: Path, policy: Policy) -> AsyncIterator[tuple[Database, Client]]:
    """A site over a store in which a detector has lived through a block."""
    database = await open_database(await migrated(path / "store.sqlite"))
    try:
        await database.facts.add(admitted(rounds(range(40), from_round(4, 20))), ())
        detector = Detector(database, policy, "one", lambda: START + 10**9)
        while await detector.run_once():
            pass
        site = replace(site_of(database), clock=lambda: START + 3_600_000)
        async with client(site) as web:
            yield database, web
    finally:
        await database.close()


async def test_pictures_and_tables_of_every_series(tmp_path: Path) -> None:
    async with lived(tmp_path, Policy()) as (database, web):
        async with database.reading() as connection:
            (event,) = await list_events(connection)
        assert (await web.get(f"/e/{'0' * 16}/rounds")).status == 404
        answer = await web.get(f"/e/{event.id}/rounds")
        body = await answer.text()
        assert answer.status == 200
        assert body.count("<polygon") == 3
        assert "Evidence in AS64501" in body
        assert 'class="needed"' in body
        said = text_of(body)
        for part in (
            "AS64501, messaging, TLS",
            "what is needed",
            "Vantage 3",
            "failed tls.reset.sni",
            "blocked (confirmed)",
            f"reachwatch explain {event.id}",
        ):
            assert part in said, part
        own = await (await web.get(f"/e/{event.id}")).text()
        assert own.count("<polygon") == 3
        assert f'href="/e/{event.id}/rounds"' in own


async def test_the_rounds_of_many_vantages_are_a_small_page(tmp_path: Path) -> None:
    """Two hundred rounds of 300 vantages, whose measurements have ids like those of real ones."""
    rng, asns = random.Random(1), range(64501, 64507)
    many = event(asns=tuple(asns))
    frames = []
    for at in range(NOON, NOON + 200 * MINUTE, MINUTE):
        told = [
            SeriesRound(
                round=at,
                asn=asn,
                target=many.targets[0],
                layer="tls",
                vantages=tuple(
                    VantageEvidence(
                        probe=f"p-{asn:08x}{n:08x}",
                        owner="",
                        outcome="failed",
                        technique="tls.reset.sni",
                        measurement=rng.randbytes(16).hex(),
                        added=rng.randrange(7_000_000),
                        holds=rng.randrange(7_000_000),
                    )
                    for n in range(MOST_VANTAGES)
                ),
                holds=10**8,
                needs=10**8,
            )
            for asn in asns
        ]
        frames.append(frame(at, pack(told)))
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    await database.conclusions.save([concluded(events=(many,), evidence=tuple(frames))], 0)
    async with client(site_of(database)) as web:
        for path in (f"/e/{many.id}", f"/e/{many.id}/rounds"):
            body = await (await web.get(path)).read()
            assert b"<polygon" in body
            assert len(zlib.compress(body)) < 60_000
    await database.close()


async def test_an_imported_event_counts_no_vantages_and_owners(site: Site) -> None:
    """All runs of a network are one vantage of one owner there."""
    network = NetworkEvidence(
        asn=64501, target="wechat/web", layer="whole", technique="tls.timeout.other",
        tier=Tier.LIKELY, onset=world.BLOCKED_SINCE, agreeing=0, voting=1, owners=0,
    )  # fmt: skip
    own = msgspec.structs.replace(EVENTS[world.CONFIRMED], networks=(network,))
    async with client(site) as web:
        for source, control, columns in (("probe", "ok", True), ("ooni", "none", False)):
            told = msgspec.structs.replace(
                own, source=source, control=control, rule_counts=(("tcp.timeout", 40),)
            )
            await site.database.conclusions.save([concluded(events=(told,))], 0)
            said = await text(web, world.CONFIRMED)
            assert ("Onset Vantages now Owners AS64501" in said) is columns
            assert ("Onset AS64501 web client" in said) is not columns
            assert "tcp.timeout 40" in said
            assert ("while the control connects" in said) is columns


async def test_on_a_phone_two_of_each_are_shown_and_the_rest_folds(site: Site) -> None:
    """Networks, reasons and doubts are as many as there are, the screens of a phone four."""
    long = msgspec.structs.replace(
        EVENTS[world.CONFIRMED],
        asns=(64501, 64502, 64503, 64504),
        against=("one_network", "few_vantages", "new_vantages"),
    )
    await site.database.conclusions.save([concluded(events=(long,))], 0)
    async with client(site) as web:
        said = await (await web.get(f"/e/{long.id}")).text()
    for section, each, total in (("time", "<h3>AS", 4), ("why", "<li>", 5), ("against", "<li>", 3)):
        part = re.search(rf'<section aria-labelledby="{section}">(.*?)</section>', said, re.DOTALL)
        assert part is not None
        listed = part[1].partition('<h3 class="broad">')[0]
        shown, _, folded = listed.rpartition('<details class="narrow">')
        assert shown.count(each) == 2, section
        assert folded.count(each) >= total - 2, section


async def test_a_divided_network_is_not_said_to_have_endpoints_that_work(site: Site) -> None:
    part = msgspec.structs.replace(EVENTS[world.CONFIRMED], extent="partial")
    divided = msgspec.structs.replace(part, against=("network_divided",))
    async with client(site) as web:
        for event, told in ((part, "some endpoints"), (divided, "other vantages there reach")):
            await site.database.conclusions.save([concluded(events=(event,))], 0)
            said = await text(web, event.id)
            assert [each in said for each in ("some endpoints", "other vantages there reach")] == [
                each == told for each in ("some endpoints", "other vantages there reach")
            ]


async def test_a_service_that_left_the_catalogue_is_not_linked(site: Site) -> None:
    _wechat, *rest = site.catalogue.services
    catalogue = msgspec.structs.replace(site.catalogue, services=tuple(rest))
    async with client(replace(site, catalogue=catalogue)) as shown:
        for path in (f"/e/{world.CONFIRMED}", "/as/64501", "/c/RU", "/c/RU?range=7d"):
            said = await (await shown.get(path)).text()
            assert "not in the catalogue" in said
            assert 'href="/s/wechat"' not in said
            if not path.startswith("/e/"):
                strips = text_of(said.partition('id="strips"')[2])
                drawn = strips.partition("wechat (not in the catalogue)")[2]
                assert re.match(r".{0,900}: 36 of \d+ measurements failed as blocked", drawn), path


async def test_a_function_that_is_not_measured_is_not_said_to_work(site: Site) -> None:
    wechat, *rest = site.catalogue.services
    login = msgspec.structs.replace(wechat.targets[0], id="wechat/login")
    more = msgspec.structs.replace(wechat, targets=(*wechat.targets, login))
    catalogue = msgspec.structs.replace(site.catalogue, services=(more, *rest))
    async with client(replace(site, catalogue=catalogue)) as shown:
        said = await text(shown, world.CONFIRMED)
    assert "Affected: web client; measured as well: messaging, reachable in " in said
    assert "1 other function has no measurements here meanwhile login" in said
    assert "login, reachable" not in said
    assert "unaffected" not in said


@pytest.mark.parametrize(
    ("begin", "end", "counted"),
    [
        pytest.param(125, 127, (125, 127, 1), id="minutes"),
        pytest.param(125, 200, (125, 200, 1), id="without-a-whole-hour"),
        pytest.param(125, 330, (180, 300, 60), id="whole-hours"),
        pytest.param(125, 6000, (4560, 6000, 60), id="its-last-day"),
        pytest.param(125, None, (6660, 8100, 60), id="still-open"),
        pytest.param(8050, None, (8050, 8101, 1), id="new"),
    ],
)
def test_other_functions_are_counted_while_an_event_lasted(
    begin: int, end: int | None, counted: tuple[int, int, int]
) -> None:
    minute = 60_000
    closed = {} if end is None else {"state": EventState.CLOSED, "ended_latest": end * minute}
    one = msgspec.structs.replace(EVENTS[world.CONFIRMED], onset=begin * minute, **closed)
    since, until, width = page.while_it_lasted(one, 8101 * minute - 1)
    assert (since // minute, until // minute, width // minute) == counted


def test_failures_of_an_import_have_the_colour_of_its_event_while_it_lasted() -> None:
    hour = 3_600_000
    spans = ((NOON, NOON + hour, NOON + 2 * hour), (NOON + 10 * hour, NOON + 12 * hour, 0))
    network = msgspec.structs.replace(EVENTS[world.CONFIRMED].networks[0], spans=spans)
    imported = msgspec.structs.replace(
        EVENTS[world.CONFIRMED], source="ooni", tier=Tier.LIKELY, networks=(network,)
    )
    rows = [
        StateCount(NOON + n * hour, "wechat/web", "RU", 64501, state, 1)
        for n, state in ((1, State.INCONCLUSIVE), (1, State.OK), (6, State.INCONCLUSIVE))
    ]
    assert [row.state for row in as_failures(imported, rows, NOON + 20 * hour)] == [
        State.BLOCKED,
        State.OK,
        State.INCONCLUSIVE,
    ]


async def test_several_techniques_are_told_by_their_share(site: Site) -> None:
    async with site.database.reading() as connection:
        (known,) = [e for e in await list_events(connection) if e.id == world.CONFIRMED]
    assert await page.techniques(site, known) == ()
    (evidence,) = known.networks
    several = msgspec.structs.replace(
        known,
        asns=(64501, 64502),
        targets=("wechat/web", "signal/messaging"),
        networks=(evidence, msgspec.structs.replace(evidence, technique="dns.nxdomain")),
    )
    found = await page.techniques(site, several)
    assert [name for name, _ in found] == ["tls.reset.sni", "tcp.timeout"]
    assert found[0][1] == 36 > found[1][1] > 0
