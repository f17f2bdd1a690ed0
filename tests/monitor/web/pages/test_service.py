"""One service: its headline, its countries, and the present state by network."""

from __future__ import annotations

import html

from msgspec.structs import replace

from monitor.detection.events.present import PresentState
from monitor.detection.model import ClosedGate, EventState, State, Tier
from monitor.store.records import Conclusions
from monitor.web.pages import service
from monitor.web.site import Site
from tests.monitor.web.draw.test_matrix import EVENTS
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client


def row(state: State, target: str = "wechat/web", asn: int = 1) -> PresentState:
    return PresentState(
        target=target, country="RU", asn=asn, state=state, technique=None, rule="r",
        vantages=1, agreeing=1, round=0,
    )  # fmt: skip


async def test_the_headline_answers_the_question(web: Client) -> None:
    page = await (await web.get("/s/wechat")).text()
    assert "<h1>WeChat&#39;s web client is blocked in one network in Russia.</h1>" in page
    text = text_of(page)
    assert "By country, the last 3 h" in text
    # The networks that measure are not those of the block.
    measured = "36 of 240 measurements failed as blocked (15 %). Measured in AS64501, AS64502."
    blocked = "AS64501: connections are cut when the service’s name appears, since 15 January 2027"
    assert f"{measured} {blocked}" in text
    assert "failing as blocked in some networks or functions" in text  # never averaged away
    assert "szlong.weixin.test:443/tls" in text
    assert "/api/v1/timeline?format=csv&amp;service=wechat" in page


async def test_a_network_that_fails_without_an_event_is_not_called_blocked(web: Client) -> None:
    text = text_of(await (await web.get("/s/signal")).text())
    assert "fails, not confirmed" in text
    assert "Signal's messaging may be blocked in Russia; that is not confirmed." in text


async def test_where_nobody_measures_now_a_block_was_last_seen(site: Site) -> None:
    """It may have ended: "since" alone would say that it is seen to go on."""
    confirmed = EVENTS[world.CONFIRMED]
    seen = tuple(replace(one, asn=64999, seen=world.NOW - 3_600_000) for one in confirmed.networks)
    silent = replace(confirmed, id="00000000000000fd", country="BR", asns=(64999,), networks=seen)
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"", events=(silent,))], 1
    )
    async with client(site) as web:
        text = text_of(await (await web.get("/s/wechat")).text())
    row = text[text.index("Brazil blocked") :].partition("Show as table")[0]
    assert "Nothing was measured. AS64999: connections are cut" in row
    assert ", last seen 15 January 2027" in row
    elsewhere = text[text.index("Russia blocked") :].partition("Show as table")[0]
    assert "since 15 January 2027" in elsewhere
    assert "last seen" not in elsewhere


async def test_of_what_is_retracted_no_end_was_measured(site: Site) -> None:
    confirmed = EVENTS[world.CONFIRMED]
    wrong = replace(
        confirmed, id="00000000000000fe", state=EventState.RETRACTED, country="FR", asns=(64503,)
    )
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"", events=(wrong,))], 1
    )
    async with client(site) as web:
        text = text_of(await (await web.get("/s/wechat")).text())
    assert "Measured functions: 0 of" in text
    assert "All functions measured" not in text
    listed = text[text.index("that was retracted") :].partition("What is measured")[0]
    assert "from 15 January 2027" in listed
    assert " to " not in listed.partition("UTC")[0]


async def test_a_service_without_measurements(web: Client) -> None:
    text = text_of(await (await web.get("/s/zulip")).text())
    assert "No measurements yet: no vantage has measured Zulip" in text


def test_the_state_of_a_network_agrees_with_the_event() -> None:
    event = EVENTS[world.CONFIRMED]
    here, elsewhere = row(State.BLOCKED, asn=64501), row(State.BLOCKED, asn=64502)
    assert service.state_mark(here, event) == ("blocked", "blocked (confirmed)")
    assert service.state_mark(elsewhere, event) == ("inconclusive", "fails, not confirmed")
    assert (
        service.state_mark(row(State.BLOCKED, "wechat/messaging", 64501), event)[0]
        == "inconclusive"
    )
    assert service.state_mark(here, None)[0] == "inconclusive"
    marked = replace(event, inhibited_by=ClosedGate.SERVICE_DOWN)
    assert service.state_mark(here, marked) == ("blocked", "blocked (confirmed)")
    silenced = replace(marked, tier=Tier.LIKELY)
    assert service.state_mark(here, silenced)[0] == "inconclusive"
    assert service.state_mark(row(State.OK, asn=64501), event) == ("ok", "reachable")


def test_headlines() -> None:
    confirmed, likely = EVENTS[world.CONFIRMED], EVENTS[world.LIKELY]
    assert service.headline("X", [confirmed], 2) == (
        "X's web client is blocked in one network in Russia."
    )
    part = replace(confirmed, extent="partial")
    assert service.headline("X", [part], 2).startswith("A part of X's web client is blocked")
    assert "may be blocked in Russia" in service.headline("X", [likely], 2)
    (evidence,) = EVENTS[world.CONFIRMED].networks
    failed = replace(evidence, spans=((likely.onset, likely.onset + 60_000, 0),))
    over = replace(likely, source="ooni", networks=(failed,))
    assert "was likely blocked" in service.headline("X", [over], 2)
    assert service.headline("X", [over, replace(over, country="FR")], 2) == (
        "X's messaging may have been blocked in France, Russia where the data end; "
        "that is not confirmed."
    )
    assert "may be blocked in Russia" in service.headline("X", [over, likely], 2)
    assert service.headline("X", [EVENTS[world.INHIBITED]], 1) == (
        "No known blocks of X; measured in 1 country."
    )
    assert service.headline("X", [], 0).startswith("No measurements yet")


async def test_a_range_says_what_is_known_of_it_and_not_of_the_present(web: Client) -> None:
    """The block is open now; before it there was another, which has ended."""

    async def heading(path: str, since: str, until: str) -> str:
        answer = await web.get(path, params={"since": since, "until": until})
        assert answer.status == 200
        page = await answer.text()
        return text_of(page[page.index("<h1>") + 4 : page.index("</h1>")])

    before = "2027-01-15T08:10:30Z", "2027-01-15T08:20:00Z"
    ended = (
        "WeChat's web client was blocked in AS64501 (Russia) from 15 "
        "January 2027, 08:00 to 08:30 UTC."
    )
    for path in ("/s/wechat", "/c/RU", "/as/64501"):
        assert await heading(path, *before) == ended
    quiet = await heading("/s/wechat", "2027-01-15T08:35:00Z", "2027-01-15T08:55:00Z")
    assert quiet == "WeChat from 15 January 2027, 08:35 to 08:55 UTC: no known blocks."
    nothing = await heading("/s/wechat", "2026-12-01T08:00:00Z", "2026-12-01T09:00:00Z")
    assert nothing.endswith(": nothing was measured.")
    # Exactly this time, and not the hours that hold it.
    query = dict(zip(("since", "until"), before, strict=True))
    text = html.unescape(await (await web.get("/s/wechat", params=query)).text())
    assert "from 15 January 2027, 08:10 to 08:20 UTC" in text
    # Beside a strip of the past stands what lasted then.
    beside = text[text.index('<article class="place">') : text.rindex("</article>")]
    assert ended in beside
    assert "blocked (confirmed)" not in beside.replace("event: blocked (confirmed)", "")
    text = html.unescape(await (await web.get("/s/wechat", params={"since": before[0]})).text())
    beside = text[text.index('<article class="place">') : text.rindex("</article>")]
    assert ended in beside
    assert "WeChat's web client is blocked in one network in Russia." in beside
    country = html.unescape(await (await web.get("/c/RU", params=query)).text())
    strips = country[country.index('<h2 id="strips">') : country.index('<h2 id="events">')]
    assert ended in strips
    assert "blocked (confirmed)" not in strips.replace("event: blocked (confirmed)", "")
