"""The first page: one sentence, then rows, matrix, coverage, and what is missing."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from monitor.store.reading.vantages import VantageRow
from monitor.web.pages import overview
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import Client, client

EVENTS = {event.id: event for event in world.events()}
ROW = VantageRow(
    id="p", owner="ada", role="vantage", country="RU", asn=1, enrolled=0, revoked=None, last_seen=1
)


def text_of(page: str) -> str:
    """The page's words, without markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).replace("&#39;", "'")


async def test_the_overview_shows_open_events(web: Client) -> None:
    page = await (await web.get("/")).text()
    assert "<h1>WeChat&#39;s web client is blocked in one network in Russia.</h1>" in page
    assert "<title>What is blocked now · Reachwatch</title>" in page
    text = text_of(page)
    assert "connections are cut when the service’s name appears" in text
    assert "blocked (confirmed)" in text
    assert "3 of 3 vantages, control fine" in text
    assert "last 3 h: 36 of 72 failed" in text
    assert "The Netherlands (control) 1 of 1" in text
    assert "degraded: offline for its own reasons, or with a wrong clock" in text
    assert "most vantages of the country are offline" in text
    assert "that was retracted" in text


async def test_an_empty_monitor_explains_how_to_begin(empty: Site) -> None:
    async with client(empty) as web:
        page = await (await web.get("/")).text()
    assert "<h1>No measurements yet.</h1>" in page
    # With the default a volunteer's token would lead to the volunteer's own machine.
    token = "reachwatch token new --role vantage --owner NAME --public-url https://reach.example<"
    assert token in page
    assert "No vantage is measuring now, so nothing is known." in page
    assert "reachwatch token new --role control --owner NAME" in page
    assert "Zulip" in page
    assert "No probes have enrolled yet." in page


def test_gaps_before_a_verdict() -> None:
    control = replace(ROW, role="control")
    other = replace(ROW, id="q", owner="bela")
    assert overview.missing([ROW, other], [control], True) == []
    assert len(overview.missing([], [], False)) == 2
    followed = " ".join(text for text, _command in overview.missing([], [], True, others=True))
    assert "volunteers of OONI" in followed
    assert "nothing is measured" not in followed
    assert "nothing can be called blocked" not in followed
    # What is open and was confirmed before is not said to rest on others, or to be impossible.
    ours = " ".join(
        text for text, _command in overview.missing([], [], True, others=True, ours=True)
    )
    assert "volunteers of OONI" not in ours
    assert "rest on what was measured earlier" in ours
    assert "nothing new can be called blocked" in ours
    alone = overview.missing([ROW], [], True)
    assert alone[0][0].startswith("One vantage, no control: nothing can be called blocked yet")
    assert "--role control" in alone[0][1]
    assert len(alone) == 2
    same = overview.missing([ROW, replace(other, owner="ada")], [control], True)
    assert "can never confirm a block" in same[0][0]
    unknown = overview.missing([ROW, replace(other, country="ZZ", asn=0)], [control], True)
    assert "have no vote" in unknown[0][0]


async def test_one_machine_without_a_control_shows_what_it_sees(
    web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [(ROW, "online")]
    monkeypatch.setattr(overview, "active", lambda probes, role=None: alone)
    page = await (await web.get("/")).text()
    assert "What this machine sees" in page
    assert "This machine reaches" in text_of(page)
    assert "reachprobe join TOKEN &amp;&amp; reachprobe run --country CC --asn N" in page
    assert page.count("<td>") > 10


def test_coverage_counts_controls_apart() -> None:
    living = [(ROW, "online"), (replace(ROW, id="q"), "silent"), (replace(ROW, id="r"), "degraded"),
              (replace(ROW, id="c", role="control", country="NL"), "online")]  # fmt: skip
    first, control = overview.coverage(living)
    assert (first["country"], first["online"], first["total"]) == ("RU", 1, 3)
    assert (first["degraded"], first["owners"], first["networks"]) == (1, 1, 1)
    assert control["control"]
    assert not first["control"]
