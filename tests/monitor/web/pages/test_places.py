"""The pages of a country and of a network."""

from __future__ import annotations

import dataclasses
import re

import pytest
from msgspec.structs import replace

from monitor.detection.events.present import LatestVerdict
from monitor.detection.model import (
    Event,
    EventState,
    Layer,
    LayerFinding,
    NetworkEvidence,
    State,
    Tier,
    Verdict,
)
from monitor.interop.ooni.run import pseudonym
from monitor.store.reading.counts import ServiceHour
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter
from monitor.web.draw import strips
from monitor.web.draw.matrix import network_matrix
from monitor.web.pages import places
from monitor.web.present import Present
from monitor.web.site import Site
from monitor.web.views import common_window
from tests.monitor.detection.imported_runs import dc, measurement, record, stored
from tests.monitor.fleet import admitted
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client

EVENTS = {event.id: event for event in world.events()}
RUSSIA = places.PlaceFilter(name="Russia", country="RU")
NETWORK = places.PlaceFilter(name="AS64501 in Russia", asns=(64501,))
NAMES = {"wechat": "WeChat", "signal": "Signal", "telegram": "Telegram"}
VANTAGE = VantageRow(
    id="p", owner="o", role="vantage", country="RU", asn=64501, enrolled=0, revoked=None,
    last_seen=1,
)  # fmt: skip
CONTROL = replace(VANTAGE, role="control")


def say(
    here: places.PlaceFilter,
    events: list[Event],
    *statuses: str,
    judged: bool = True,
    probe: VantageRow = VANTAGE,
) -> str:
    members = [(probe, status) for status in statuses]
    return places.headline(here, events, NAMES, members, judged)


def test_blocked_services_come_first() -> None:
    confirmed, likely = EVENTS[world.CONFIRMED], EVENTS[world.LIKELY]
    assert (
        say(RUSSIA, [likely, confirmed])
        == "WeChat's web client is blocked in one network in Russia."
    )
    assert say(NETWORK, [confirmed]) == "WeChat's web client is blocked in AS64501 in Russia."
    part = replace(confirmed, extent="partial", asns=(1, 2))
    assert (
        say(RUSSIA, [part]) == "A part of WeChat's web client is blocked in two networks in Russia."
    )
    some = replace(confirmed, targets_measured=2, networks_measured=3)
    assert (
        say(RUSSIA, [some])
        == "WeChat's web client is blocked in one of three networks measured in Russia."
    )
    assert say(NETWORK, [some]) == "WeChat's web client is blocked in AS64501 in Russia."
    second = replace(confirmed, service="signal")
    assert (
        say(NETWORK, [confirmed, second])
        == "Signal's web client and WeChat's web client are blocked in AS64501 in Russia."
    )
    third = replace(confirmed, service="telegram")
    assert say(RUSSIA, [confirmed, second, third]).startswith("Three services are blocked")


def test_where_an_event_was_measurements_were() -> None:
    """An imported block of the past, or one whose volunteers have left."""
    said = places.headline(RUSSIA, [], NAMES, [], False, known=True)
    assert said == "No vantage in Russia is online, so what is blocked now is not known."


def test_where_measurements_were_before_it_is_said() -> None:
    said = places.headline(RUSSIA, [], NAMES, [], judged=False, measured=True)
    assert said == "No recent measurements in Russia, so what is blocked there now is not known."
    assert say(RUSSIA, [], judged=False).startswith("No measurements yet")


def test_a_block_that_nobody_measures_now_is_said_to_be_so() -> None:
    confirmed = EVENTS[world.CONFIRMED]
    other = replace(confirmed, id="0" * 16, service="telegram")

    def said(*events: Event, lost: tuple[Event, ...]) -> str:
        members = [(VANTAGE, "online")]
        ids = {event.id for event in lost}
        return places.headline(RUSSIA, events, NAMES, members, judged=True, lost=ids)

    assert said(confirmed, lost=(confirmed,)).endswith(". Nobody measures it there now.")
    both = said(confirmed, other, lost=(other,))
    assert both.endswith(". For one of these two events nothing is measured now.")
    assert "Nobody" not in said(confirmed, other, lost=())


def test_a_block_that_is_ending_is_called_so() -> None:
    """The pages of the event, of the service and the overview say so too."""
    clearing = replace(EVENTS[world.CONFIRMED], state=EventState.CLEARING)
    said = "WeChat's web client is becoming reachable again in {}; the block has not ended yet."
    assert say(RUSSIA, [clearing]) == said.format("one network in Russia")
    assert say(NETWORK, [clearing]) == said.format("AS64501 in Russia")


def test_a_network_is_named_with_the_functions_that_fail_there() -> None:
    here, other = (
        NetworkEvidence(
            asn=asn, target=target, layer="tls", technique="tls.reset.sni", tier=Tier.CONFIRMED,
            onset=1, agreeing=3, voting=3, owners=3,
        )
        for asn, target in ((64501, "wechat/web"), (64502, "wechat/messaging"))
    )  # fmt: skip
    both = replace(
        EVENTS[world.CONFIRMED],
        targets=("wechat/messaging", "wechat/web"),
        targets_measured=3,
        asns=(64501, 64502),
        networks=(here, other),
    )
    assert say(NETWORK, [both]) == "WeChat's web client is blocked in AS64501 in Russia."
    less = replace(both, networks=(here, other, replace(other, asn=64501, tier=Tier.UNCONFIRMED)))
    assert say(NETWORK, [less]) == say(NETWORK, [both]), "nobody confirmed the other one here"
    assert say(NETWORK, [replace(less, networks=less.networks[2:])]).startswith("WeChat (")
    assert say(RUSSIA, [both]).startswith("WeChat (messaging and web client) is blocked in two")


def test_unconfirmed_blocks_are_called_so() -> None:
    likely = EVENTS[world.LIKELY]
    assert say(RUSSIA, [likely]) == "Signal's messaging is likely blocked in one network in Russia."
    assert say(RUSSIA, [likely, replace(likely, service="wechat")]) == (
        "Two services may be blocked in Russia; none of it is confirmed."
    )


@pytest.mark.parametrize(
    ("said", "statuses", "judged", "probe"),
    [
        ("No measurements yet: there are no probes in Russia.", (), False, VANTAGE),
        ("No vantages in Russia, only a control, which vantages elsewhere are compared with.",
         ("online",), False, CONTROL),
        ("No vantage in Russia is online, so what is blocked now is not known.",
         ("silent", "degraded"), True, VANTAGE),
        ("No vantage in Russia is online, so what is blocked now is not known.",
         (), True, VANTAGE),
        ("No conclusions about Russia yet.", ("online",), False, VANTAGE),
        ("No known blocks in Russia. Two vantages are watching.",
         ("online", "online", "silent"), True, VANTAGE),
        ("No known blocks in Russia. One vantage is watching.",
         ("online",), True, VANTAGE),
    ],
)  # fmt: skip
def test_missing_data_is_never_called_reachable(
    said: str, statuses: tuple[str, ...], judged: bool, probe: VantageRow
) -> None:
    assert say(RUSSIA, [], *statuses, judged=judged, probe=probe) == said
    inhibited = replace(EVENTS[world.INHIBITED], country="RU")
    assert say(RUSSIA, [inhibited], *statuses, judged=judged, probe=probe) == said


async def test_strips_and_coverage_of_a_place(site: Site) -> None:
    opened = [EVENTS[world.CONFIRMED]]
    async with site.database.reading() as connection:
        window = await common_window(site, connection)
        assert window.length == "3 h"
        values = await places.shared_values(
            site, connection, Present(revision=0), NETWORK, opened, (), None
        )
        nothing = places.PlaceFilter(name="Japan", country="JP")
        empty = await places.shared_values(
            site, connection, Present(revision=0), nothing, [], (), None
        )
    rows, watched = values["by_service"], values["watched"]
    assert empty["by_service"] == []
    assert empty["control"] is None
    assert values["control"].summary == "worked whenever it was measured"
    assert [row["name"] for row in rows] == ["WeChat", "Signal"]
    assert [run.kind for run in rows[0]["strip"].runs] == ["none", "ok", "part"]
    assert [(run.n, run.width) for run in watched.runs] == [(0, 12), (3, 24)]
    assert watched.summary.startswith("3 vantages measured; no measurements for 60 min")
    assert empty["watched"].most == 0


async def test_a_service_that_left_the_catalogue_keeps_its_strip(site: Site) -> None:
    stay = tuple(service for service in site.catalogue.services if service.id != "wechat")
    other = dataclasses.replace(site, catalogue=replace(site.catalogue, services=stay))
    async with other.present.reading() as (connection, present):
        values = await places.shared_values(other, connection, present, NETWORK, [], (), None)
    assert [row["name"] for row in values["by_service"]] == ["Signal", "wechat"]


@pytest.mark.parametrize("path", ["/", "/s", "/s/wechat", "/c", "/api/v1/services"])
async def test_a_service_that_left_the_catalogue_is_shown_while_its_block_is_open(
    site: Site, path: str
) -> None:
    stay = tuple(service for service in site.catalogue.services if service.id != "wechat")
    other = dataclasses.replace(site, catalogue=replace(site.catalogue, services=stay))
    async with client(other) as web:
        answer = await web.get(path)
        text = await answer.text()
        badge = await (await web.get("/badge/wechat/RU.svg")).text()
        feed = await web.get("/s/wechat/feed.atom")
        unknown = await web.get("/s/nothing")
    assert answer.status == 200
    assert re.search("wechat.*?blocked", text, re.DOTALL)
    assert "wechat in Russia: blocked (confirmed): web client" in badge
    assert (feed.status, unknown.status) == (200, 404)


@pytest.mark.parametrize(
    ("country", "asns", "watchers"),
    [
        ("KE", (), "others"),
        ("RU", (), "both"),
        ("RU", (64501,), "own"),
        (None, (33771, 64501), "both"),
        ("JP", (), "own"),
    ],
)
async def test_runs_of_others_are_no_vantages(
    site: Site, country: str | None, asns: tuple[int, ...], watchers: str
) -> None:
    seen = [*dc(0), record(9)]
    runs = (
        stored(replace(measurement(seen, asn=33771, country=place), probe=pseudonym(place, 33771)))
        for place in ("KE", "RU")
    )
    await site.database.facts.add(admitted(runs), ())
    here = places.PlaceFilter(name="here", country=country, asns=asns)
    async with site.present.reading() as (connection, present):
        values = await places.shared_values(site, connection, present, here, [], (), None)
    assert values["watched"].watchers == watchers


@pytest.mark.parametrize("path", ["/c/KE", "/as/33771"])
async def test_a_place_that_others_measured_before_was_measured(site: Site, path: str) -> None:
    runs = [stored(replace(measurement(dc(0), asn=33771), probe=pseudonym("KE", 33771)))]
    await site.database.facts.add(admitted(runs), ())
    async with client(site) as web:
        page = await (await web.get(path)).text()
        nowhere = await (await web.get("/c/JP")).text()
    assert "<h1>No recent measurements in " in page
    assert "<h1>No measurements yet" in nowhere


@pytest.mark.parametrize("path", ["/", "/s/wechat", "/c/RU", "/as/64501"])
async def test_a_headline_says_when_nothing_is_measured_any_more(site: Site, path: str) -> None:
    later = dataclasses.replace(site, clock=lambda: world.NOW + 24 * 3_600_000)
    async with client(later) as web:
        page = await (await web.get(path)).text()
    headline = page[page.index("<h1>") : page.index("</h1>")]
    assert re.search("Nobody measures it there now|events nothing is measured now", headline)


async def test_an_open_block_lists_its_service_in_the_api(site: Site) -> None:
    stay = tuple(service for service in site.catalogue.services if service.id != "wechat")
    other = dataclasses.replace(
        site,
        catalogue=replace(site.catalogue, services=stay),
        clock=lambda: world.NOW + 24 * 3_600_000,
    )
    async with client(other) as web:
        rows = (await (await web.get("/api/v1/services")).json())["services"]
    (left,) = [row for row in rows if row["id"] == "wechat"]
    assert (left["states"], bool(left["open_events"])) == ([], True)


async def test_an_empty_store_has_a_window_too(empty: Site) -> None:
    async with empty.database.reading() as connection:
        assert (await common_window(empty, connection)).length == "30 min"


async def test_a_country_page_names_blocked_services_and_networks(web: Client) -> None:
    page = await (await web.get("/c/RU")).text()
    assert "<h1>WeChat&#39;s web client is blocked in one network in Russia.</h1>" in page
    assert f'<a href="/e/{world.CONFIRMED}"><span class="mark blocked">' in page
    text = text_of(page)
    assert "Service AS64501 AS64502" in text
    assert "Vantages, the last 3 h" in text
    assert "5 vantages measured; no measurements for 60 min" in text
    assert "36 of 240 measurements failed as blocked (15 %)" in text
    assert "The services themselves, as far as measurements here tell" in text
    assert page.count('<svg class="strip"') == 3
    assert (
        "WeChat's web client was blocked in AS64501 (Russia) from 15 "
        "January 2027, 08:00 to 08:30 UTC" in text
    )
    assert "lasted 30 min" in text
    assert "that was retracted" in text
    for id in (1, 2, 3, 4, 5):
        assert f'href="/v/p-{id:016x}"' in page
    assert "curl 'https://reach.example/api/v1/events?country=RU'" in page


async def test_a_block_of_one_network_is_not_put_on_another(site: Site) -> None:
    present = await site.present.get()
    rows = present.states(Filter(country="RU"))
    here = [event for event in present.opened if event.country == "RU"]
    networks, listed = network_matrix(site.catalogue.services, rows, here)
    assert networks == [64501, 64502]
    words = {name: [cell["word"] if cell else None for cell in cells] for _, name, cells in listed}
    assert words == {
        "WeChat": ["blocked (confirmed)", "reachable"],
        "Signal": ["likely blocked", "fails, not confirmed"],
    }


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("DE", "No vantage in Germany is online"),
        ("NL", "No vantages in the Netherlands, only a control"),
        ("JP", "No measurements yet: there are no probes in Japan."),
        ("ZZ", "Every vantage has stated its country."),
        ("XK", "No measurements yet"),
    ],
)
async def test_unknown_states_are_stated(web: Client, code: str, said: str) -> None:
    text = text_of(await (await web.get(f"/c/{code}")).text())
    assert said in text
    assert "No conclusions in the last rounds, so the present state is unknown." in text
    assert "nothing is known" in text
    assert "Nobody measured in this period" in text


async def test_addresses(web: Client) -> None:
    answer = await web.get("/c/ru", allow_redirects=False)
    assert answer.status == 301
    assert answer.headers["Location"] == "/c/RU"
    assert (await web.get("/c/QQ")).status == 404
    assert (await web.get("/c/RUS")).status == 404


async def test_an_empty_monitor_explains_how_to_begin(empty: Site) -> None:
    async with client(empty) as web:
        page = await (await web.get("/c/RU")).text()
    assert "<h1>No measurements yet: there are no probes in Russia.</h1>" in page
    # With the default a volunteer's token would lead to the volunteer's own machine.
    token = "reachwatch token new --role vantage --owner NAME --public-url https://reach.example<"
    assert token in page


async def test_links_lead_to_pages(web: Client) -> None:
    page = await (await web.get("/c/RU")).text()
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    for link in links:
        if link.startswith("/"):
            answer = await web.get(link.replace("&amp;", "&"))
            assert answer.status == 200, link


CONFIRMED = EVENTS[world.CONFIRMED]


def sight(probe: str, *findings: tuple[Layer, bool], target: str = "wechat/web") -> LatestVerdict:
    found = tuple(
        LayerFinding(layer=layer, blocked=bad, rule=f"{layer}.{'bad' if bad else 'good'}")
        for layer, bad in findings
    )
    state = State.BLOCKED if any(bad for _, bad in findings) else State.OK
    return LatestVerdict(
        target=target, country="RU", asn=64501, probe=probe, round=0,
        verdict=Verdict(target=target, state=state, rule="r", findings=found),
    )  # fmt: skip


def test_layers_have_separate_cells() -> None:
    seen = [
        sight("a", (Layer.DNS, False), (Layer.TCP, False), (Layer.TLS, True)),
        sight("b", (Layer.DNS, False), (Layer.TCP, False), (Layer.TLS, False)),
        sight("c", (Layer.DNS, True)),
        sight("a", (Layer.DNS, False), target="wechat/messaging"),
    ]
    layers = places.layers_of(seen)
    assert layers == [Layer.DNS, Layer.TCP, Layer.TLS, Layer.HTTP]
    messaging, web = places.layer_table(seen, (), layers, [CONFIRMED], 64501, {"wechat": "WeChat"})
    assert (messaging.target, web.target) == ("wechat/messaging", "wechat/web")
    dns, tcp, tls, http = web.cells
    assert dns is not None
    assert (dns.word, dns.base, dns.event) == ("fails, not confirmed", "1 of 3 vantages", None)
    assert dns.rules == ("dns.bad",)
    assert tcp is not None
    assert (tcp.kind, tcp.word, tcp.base) == ("ok", "works", "2 of 2 vantages")
    assert tls is not None
    assert (tls.kind, tls.word, tls.event) == ("blocked", "blocked (confirmed)", world.CONFIRMED)
    assert tls.base == "1 of 2 vantages"
    assert http is None
    assert messaging.cells[1:] == (None, None, None)


def test_what_fails_for_a_cause_that_cannot_be_told_is_seen() -> None:
    finding = LayerFinding(layer=Layer.DNS, blocked=False, rule="dns.good")
    verdict = Verdict(
        target="wechat/web", state=State.INCONCLUSIVE, layer=Layer.QUIC, rule="quic.r",
        evidence=("no_control",), findings=(finding,),
    )  # fmt: skip
    refused = replace(sight("a"), verdict=verdict)
    layers = places.layers_of([refused])
    assert Layer.QUIC in layers
    told = sight("b", (Layer.DNS, False), (Layer.QUIC, False))
    for seen, base in (([refused], "1 of 1 vantage"), ([refused, told], "1 of 2 vantages")):
        (row,) = places.layer_table(seen, (), (Layer.DNS, Layer.QUIC), [], 64501, {})
        dns, quic = row.cells
        assert dns is not None
        assert quic is not None
        assert dns.word == "works"
        assert (quic.kind, quic.word) == ("inconclusive", "cause unclear")
        assert (quic.base, quic.rules) == (base, ("quic.r",))


@pytest.mark.parametrize(
    ("others", "base"),
    [
        pytest.param((), "2 of 3 vantages", id="ours"),
        pytest.param(("a",), "1 of 2 vantages, newest runs of OONI: 1 of 1", id="both"),
        pytest.param(("c",), "2 of 2 vantages, newest runs of OONI: 0 of 1", id="both-others-pass"),
        pytest.param(("a", "b", "c"), "newest runs of OONI: 2 of 3", id="others"),
    ],
)
def test_runs_of_others_are_no_vantages_of_a_cell(others: tuple[str, ...], base: str) -> None:
    seen = [sight(probe, (Layer.TLS, probe != "c")) for probe in "abc"]
    (row,) = places.layer_table(seen, others, [Layer.TLS], [], 64501, {})
    (drawn,) = row.cells
    assert drawn is not None
    assert drawn.base == base


def test_only_an_event_of_this_network_and_step_calls_it_blocked() -> None:
    seen = [sight("a", (Layer.TLS, True))]
    layers = [Layer.TLS]

    def word(events: list[object], asn: int = 64501) -> str:
        ((layer_cell,),) = [
            row.cells for row in places.layer_table(seen, (), layers, events, asn, {})
        ]  # type: ignore[arg-type]
        assert layer_cell is not None
        return layer_cell.word

    assert word([CONFIRMED]) == "blocked (confirmed)"
    assert word([CONFIRMED], asn=64502) == "fails, not confirmed"
    assert word([]) == "fails, not confirmed"
    assert word([EVENTS[world.SINGLE]]) == "fails, not confirmed"  # of another country
    assert word([EVENTS[world.INHIBITED]]) == "fails, not confirmed"


def test_other_layers_are_added_when_measured() -> None:
    assert places.layers_of([sight("a", (Layer.QUIC, False))]) == [
        Layer.DNS, Layer.TCP, Layer.TLS, Layer.QUIC, Layer.HTTP
    ]  # fmt: skip
    assert places.layers_of([]) == list(places.USUAL)


async def test_the_page(web: Client) -> None:
    page = await (await web.get("/as/64501")).text()
    assert "<h1>WeChat&#39;s web client is blocked in AS64501 in Russia.</h1>" in page
    assert 'href="/method#rule-tls.reset.sni"' in page
    text = text_of(page)
    assert "Service Function DNS TCP TLS HTTP" in text
    assert "3 of 3 vantages" in text
    assert "3 vantages measured; no measurements for 60 min" in text
    assert 'href="/c/RU"' in page
    other = text_of(await (await web.get("/as/64502")).text())
    assert "No known blocks in AS64502 in Russia." in other
    assert "fails, not confirmed" in other
    assert "blocked (confirmed)" not in other


async def test_a_network_that_stopped_reporting_says_so(web: Client) -> None:
    heard = text_of(await (await web.get("/as/64501")).text())
    unheard = text_of(await (await web.get("/as/64520")).text())
    assert "No word from" not in heard
    assert "No word from AS64520 since" in unheard
    assert "or the machines are off is not known." in unheard


async def test_addresses_and_unknown_networks(web: Client, empty: Site) -> None:
    answer = await web.get("/as/0064501", allow_redirects=False)
    assert answer.status == 301
    assert answer.headers["Location"] == "/as/64501"
    assert (await web.get("/as/4294967296")).status == 404
    assert (await web.get("/as/x")).status == 404
    page = await (await web.get("/as/64999")).text()
    assert "<h1>No measurements yet: there are no probes in AS64999.</h1>" in page
    assert "reachwatch token new" in page


async def test_an_empty_monitor(empty: Site) -> None:
    async with client(empty) as web:
        answer = await web.get("/as/64501")
        assert answer.status == 200
        assert "no probes in AS64501" in await answer.text()


def test_coverage_of_hours_counts_the_most_measured_service() -> None:
    def hour(service: str, asn: int, at: int, vantages: int) -> ServiceHour:
        return ServiceHour(service, "RU", asn, at * world.HOUR, 1, 1, 1, 0, vantages)

    hours = [hour("a", 1, 0, 2), hour("a", 2, 0, 3), hour("b", 1, 0, 4), hour("a", 1, 1, 1)]
    window = strips.Window(0, 4 * world.HOUR, 2)
    assert places.most_vantages(hours, window) == {0: 5}
    assert places.most_vantages([], window) == {}
