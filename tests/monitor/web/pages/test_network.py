"""A network: service by function by step."""

from __future__ import annotations

from monitor.detection.model import Layer, LayerFinding, State, Technique, Verdict
from monitor.detection.sequence.present import Sight
from monitor.web.pages import network
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client

EVENTS = {event.id: event for event in world.events()}
CONFIRMED = EVENTS[world.CONFIRMED]


def sight(probe: str, *findings: tuple[Layer, bool], target: str = "wechat/web") -> Sight:
    found = tuple(
        LayerFinding(layer=layer, blocked=bad, rule=f"{layer}.{'bad' if bad else 'good'}")
        for layer, bad in findings
    )
    state = State.BLOCKED if any(bad for _, bad in findings) else State.OK
    return Sight(
        target=target, country="RU", asn=64501, probe=probe, round=0,
        verdict=Verdict(target=target, state=state, rule="r", findings=found),
    )  # fmt: skip


def test_steps_are_told_apart() -> None:
    seen = [
        sight("a", (Layer.DNS, False), (Layer.TCP, False), (Layer.TLS, True)),
        sight("b", (Layer.DNS, False), (Layer.TCP, False), (Layer.TLS, False)),
        sight("c", (Layer.DNS, True)),
        sight("a", (Layer.DNS, False), target="wechat/messaging"),
    ]
    layers = network.shown(seen)
    assert layers == [Layer.DNS, Layer.TCP, Layer.TLS, Layer.HTTP]
    messaging, web = network.table(seen, layers, [CONFIRMED], 64501, {"wechat": "WeChat"})
    assert (messaging.target, web.target) == ("wechat/messaging", "wechat/web")
    dns, tcp, tls, http = web.steps
    assert dns is not None
    assert (dns.word, dns.base, dns.event) == ("fails, not confirmed", "1 of 3 vantages", None)
    assert dns.rules == ("dns.bad",)
    assert tcp is not None
    assert (tcp.kind, tcp.word, tcp.base) == ("ok", "works", "2 of 2 vantages")
    assert tls is not None
    assert (tls.kind, tls.word, tls.event) == ("blocked", "blocked (confirmed)", world.CONFIRMED)
    assert tls.base == "1 of 2 vantages"
    assert http is None
    assert messaging.steps[1:] == (None, None, None)


def test_only_an_event_of_this_network_and_step_calls_it_blocked() -> None:
    seen = [sight("a", (Layer.TLS, True))]
    layers = [Layer.TLS]

    def word(events: list[object], asn: int = 64501) -> str:
        ((step,),) = [row.steps for row in network.table(seen, layers, events, asn, {})]  # type: ignore[arg-type]
        assert step is not None
        return step.word

    assert word([CONFIRMED]) == "blocked (confirmed)"
    assert word([CONFIRMED], asn=64502) == "fails, not confirmed"
    assert word([]) == "fails, not confirmed"
    assert word([EVENTS[world.SINGLE]]) == "fails, not confirmed"  # of another country
    assert word([EVENTS[world.INHIBITED]]) == "fails, not confirmed"


def test_other_layers_come_when_somebody_saw_them() -> None:
    assert network.shown([sight("a", (Layer.QUIC, False))]) == [
        Layer.DNS, Layer.TCP, Layer.TLS, Layer.QUIC, Layer.HTTP
    ]  # fmt: skip
    assert network.shown([]) == list(network.USUAL)


def test_a_verdict_without_findings_says_what_it_says_as_a_whole() -> None:
    bad = Verdict(
        target="a/b", state=State.BLOCKED, layer=Layer.TCP, technique=Technique.TCP_RESET, rule="r"
    )
    (found,) = network.findings(bad)
    assert (found.layer, found.blocked, found.rule) == (Layer.TCP, True, "r")
    assert network.findings(Verdict(target="a/b", state=State.OK, rule="r")) == ()


async def test_the_page(web: Client) -> None:
    page = await (await web.get("/as/64501")).text()
    assert "<h1>WeChat is blocked in AS64501 in Russia.</h1>" in page
    assert 'href="/method#rule-tls.reset.sni"' in page
    text = text_of(page)
    assert "Service Function DNS TCP TLS HTTP" in text
    assert "3 of 3 vantages" in text
    assert "3 vantages measured; for 60 min nobody did" in text
    assert 'href="/c/RU"' in page
    other = text_of(await (await web.get("/as/64502")).text())
    assert "No service is known to be blocked in AS64502 in Russia." in other
    assert "fails, not confirmed" in other
    assert "blocked (confirmed)" not in other


async def test_addresses_and_unknown_networks(web: Client, empty: Site) -> None:
    answer = await web.get("/as/0064501", allow_redirects=False)
    assert answer.status == 301
    assert answer.headers["Location"] == "/as/64501"
    assert (await web.get("/as/4294967296")).status == 404
    assert (await web.get("/as/x")).status == 404
    page = await (await web.get("/as/7")).text()
    assert "<h1>Nothing measured here yet: no vantage stands in AS7.</h1>" in page
    assert "reachwatch token new" in page


async def test_an_empty_monitor(empty: Site) -> None:
    async with client(empty) as web:
        answer = await web.get("/as/64501")
        assert answer.status == 200
        assert "no vantage stands in AS64501" in await answer.text()
