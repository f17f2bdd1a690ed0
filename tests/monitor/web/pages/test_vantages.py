"""Vantages: can they be relied on? Never an address."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Seen
from monitor.web.fleet import LivenessRound, VantageHealth
from monitor.web.pages import vantages
from monitor.web.site import Site
from probes.wire.codec import FailingWay, Status, encode_message
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client

ROW = VantageRow(
    id="p", owner="o", role="vantage", country="RU", asn=7, enrolled=0, revoked=None,
    last_seen=world.NOW - 60_000,
)  # fmt: skip

UNKNOWN = VantageHealth()


async def test_the_list(web: Client) -> None:
    page = await (await web.get("/v")).text()
    assert "<h1>5 of 8 vantages are online in 2 countries, and one control.</h1>" in page
    text = text_of(page)
    assert "4 of 4 rounds" in text
    assert "45 s ahead" in text
    assert "4 h ago" in text
    assert "0123456789ab" in text
    ids = re.findall(r'href="/v/(p-[0-9a-f]{16})"', page)
    assert len(ids) == 10
    assert ids[0] == world.PEOPLE[7].id  # controls first
    assert ids[-1] == world.GONE  # who left comes last
    assert "198.51.100." not in page
    assert "<script>alert" not in page


async def test_a_long_list_comes_in_pages(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vantages, "PAGE_ROWS", 4)
    seen: list[str] = []
    path = "/v"
    while path:
        page = await (await web.get(path)).text()
        seen += re.findall(r'href="/v/(p-[0-9a-f]{16})"', page)
        more = re.search(r'href="(/v\?after=p-[0-9a-f]{16})"', page)
        path = more[1] if more else ""
    assert len(seen) == len(set(seen)) == 10
    first = text_of(await (await web.get("/v?after=nonsense")).text())
    assert "5 of 8 vantages" in first


async def test_one_vantage(web: Client, site: Site) -> None:
    failing = FailingWay(
        way="mqtts", failure="connection_reset", since_ms=world.NOW - 7_200_000, attempts=4
    )
    status = Status(
        state="heartbeat",
        version="9",
        spool_rows=3,
        dropped=1,
        transport="https",
        failing_ways=(failing,),
    )
    await site.database.registry.record_seen(
        [Seen(probe=world.PEOPLE[0].id, at=world.NOW - 1000, status=encode_message(status))]
    )
    page = await (await web.get(f"/v/{world.PEOPLE[0].id}")).text()
    text = text_of(page)
    assert "is online and was so in 24 of its last 24 rounds." in text
    assert "24 of 24 rounds (100 %)" in text
    assert "3 measurements waiting at its last report; 1 dropped" in text
    assert "Way here https" in text
    assert "Failing way mqtts , connection_reset , 4 attempts since" in text
    assert "accurate to the second" in text
    assert "connections are cut when the service’s name appears" in text
    newest = world.measurement(world.PEOPLE[0], "wechat/web", world.ROUNDS - 1)
    assert f'href="/m/{newest.id}"' in page
    # One measurement alone calls nothing blocked.
    assert "blocked (confirmed)" not in text
    assert 'class="mark inconclusive"' in page
    assert "198.51.100." not in page


async def test_controls_and_revoked_vantages(web: Client) -> None:
    control = text_of(await (await web.get(f"/v/{world.PEOPLE[7].id}")).text())
    assert "This control in AS64510 in the Netherlands is online" in control
    assert "control" in control
    silent = text_of(await (await web.get(f"/v/{world.SLEEPING}")).text())
    assert "has been silent for 4 h." in silent
    assert "No recent measurements." in silent
    gone = text_of(await (await web.get(f"/v/{world.GONE}")).text())
    assert "has left." in gone
    assert (await web.get("/v/p-" + "e" * 16)).status == 404
    assert (await web.get("/v/p-xyz")).status == 404


async def test_nothing_old_fills_a_short_list(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vantages, "MAX_MEASUREMENTS", 1)
    paths = [f"/v/{person.id}" for person in world.PEOPLE[:2]]
    assert text_of(await (await web.get(paths[0])).text()).count("Round of") == 1

    def since(site: Site, rounds: int) -> int:
        return world.NOW if rounds == vantages.LIST_ROUNDS else 0

    monkeypatch.setattr(vantages, "since", since)
    assert "No recent measurements." in text_of(await (await web.get(paths[1])).text())


async def test_an_empty_monitor_explains_how_to_begin(empty: Site) -> None:
    async with client(empty) as web:
        page = await (await web.get("/v")).text()
    assert "<h1>No probes have enrolled yet.</h1>" in page
    assert "reachwatch token new --role control --owner NAME" in page


def test_sentences(site: Site) -> None:
    def say(status: str, known: VantageHealth = UNKNOWN, **changes: object) -> str:
        return vantages.sentence(site, replace(ROW, **changes), status, known)

    assert say("silent", last_seen=None) == (
        "This vantage in AS7 in Russia has enrolled, but has never connected."
    )
    assert say("degraded", VantageHealth(offset=-90_000)).endswith(
        "is connected, but its clock is 1 min behind: of little use."
    )
    assert "was offline in all its recent measurements" in say("degraded")
    assert say("online").endswith("is online.")
    lived = VantageHealth(rounds=(LivenessRound(1, 1, True), LivenessRound(0, 1, False)))
    assert say("online", lived).endswith("is online and was so in 1 of its last 2 rounds.")
    assert vantages.clock(VantageHealth()) == ""
