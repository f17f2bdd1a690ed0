"""Vantages: status, health, watchlist."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.present import LatestVerdict
from monitor.detection.model import EventState, State, Verdict
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Seen
from monitor.web import fleet
from monitor.web.present import Present, ServicePresent, service_present
from monitor.web.site import Site
from probes.wire.codec import Status, encode, encode_message
from probes.wire.measurement import LIVENESS_INTERNATIONAL
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client

PERSON = world.PEOPLE[4]  # whose clock is wrong


def line(number: int, **changes: object) -> bytes:
    made = world.measurement(PERSON, LIVENESS_INTERNATIONAL, number)
    return encode(replace(made, **changes))


def test_rounds_clock_and_software() -> None:
    offline = replace(
        world.measurement(PERSON, LIVENESS_INTERNATIONAL, 1), observations=(), clock_offset_ms=None
    )
    known = fleet.vantage_health([encode(offline), line(0)])
    assert [lived.online for lived in known.rounds] == [False, True]
    assert known.online == 1
    assert known.offset == 45_000  # the newest that could tell
    assert known.software == "0.1"
    assert known.catalogue == world.CATALOGUE.version
    assert known.waiting is None
    assert [(each.begin, each.state) for each in fleet.liveness_counts(known)] == [
        (world.START + world.INTERVAL, State.VANTAGE_OFFLINE),
        (world.START, State.OK),
    ]


def test_a_silent_vantage_is_known_by_its_last_status() -> None:
    said = encode_message(
        Status(state="lost", version="0.2", catalogue="c", spool_rows=7, dropped=2)
    )
    known = fleet.vantage_health([], said)
    assert (known.software, known.catalogue) == ("0.2", "c")
    assert (known.waiting, known.dropped) == (7, 2)
    assert known.rounds == ()
    assert known.offset is None


def test_health_without_any_message() -> None:
    known = fleet.vantage_health([])
    assert known.software == known.catalogue == ""
    assert known.online == 0


EVENTS = world.events()
CONFIRMED = next(event for event in EVENTS if event.id == world.CONFIRMED)
SEEN = CONFIRMED.networks[0]
WHO = world.PEOPLE[0].id


def test_the_watchlist_is_by_vantage_and_from_open_events() -> None:
    second = replace(CONFIRMED, id="b" * 16, networks=(replace(SEEN, watch=((WHO, 5), ("q", 9))),))
    found = fleet.watchlist([CONFIRMED, second])
    assert [(line.since, line.event) for line in found[WHO]] == [
        (5, "b" * 16),
        (world.BLOCKED_SINCE, world.CONFIRMED),
    ]
    assert list(found) == sorted({WHO, "q"})
    assert fleet.watchlist([replace(CONFIRMED, state=EventState.CLOSED)]) == {}
    assert [line.probe for line in fleet.watchlist_of_network([second], SEEN.asn)] == [WHO, "q"]
    assert fleet.watchlist_of_network([second], 1) == []


async def test_pages_of_vantage_and_network_show_the_watchlist(web: Client) -> None:
    page = await (await web.get(f"/v/{WHO}")).text()
    assert f'href="/e/{world.CONFIRMED}">wechat/web</a>, TLS: fails since' in page
    assert "A filter in the volunteer’s home looks the same" in text_of(page)
    other = await (await web.get(f"/v/{world.PEOPLE[1].id}")).text()
    assert "On watch" not in other
    network = await (await web.get(f"/as/{SEEN.asn}")).text()
    assert f'<a href="/v/{WHO}"><code>{WHO}</code></a>: <a href="/e/' in network
    assert "On watch" not in await (await web.get("/as/64503")).text()


async def test_the_api_lists_watched_targets(web: Client) -> None:
    rows = (await (await web.get("/api/v1/vantages")).json())["vantages"]
    watch = {row["id"]: row["watch"] for row in rows}
    assert watch.pop(WHO) == ["wechat/web"]
    assert set(map(tuple, watch.values())) == {()}
    text = await (await web.get("/api/v1/vantages?format=csv")).text()
    assert text.splitlines()[0].endswith(",status,watch")


ROW = VantageRow(
    id="p", owner="o", role="vantage", country="RU", asn=1, enrolled=0, revoked=None,
    last_seen=world.NOW,
)  # fmt: skip


def status(site: Site, row: VantageRow, *states: State, offset: int | None = None) -> str:
    sights = [
        LatestVerdict(
            target=f"a/{n}", country="RU", asn=1, probe="p", round=0,
            verdict=Verdict(target=f"a/{n}", state=state, rule="r"),
        )
        for n, state in enumerate(states)
    ]  # fmt: skip
    judged = service_present(1, sights)
    present = Present(
        revision=1,
        vantages=[row],
        offsets={} if offset is None else {"p": offset},
        offline=judged.offline - judged.heard,
    )
    ((_, found),) = fleet.fleet(site, present)
    return found


async def test_statuses(site: Site) -> None:
    off = State.VANTAGE_OFFLINE
    assert status(site, ROW) == "online"
    assert status(site, ROW, off, off) == "degraded"
    assert status(site, ROW, off, State.OK) == "online"
    assert status(site, ROW, State.OK, offset=30_000) == "online"
    assert status(site, ROW, State.OK, offset=-30_001) == "degraded"
    silent = replace(
        ROW, last_seen=world.NOW - site.policy.ms(site.policy.rounds.silent_seconds) - 1
    )
    assert status(site, silent, off) == "silent"
    assert status(site, replace(ROW, last_seen=None)) == "silent"
    assert status(site, replace(ROW, revoked=1)) == "revoked"


async def test_the_fleet_of_the_store(site: Site) -> None:
    found = {row.id: status for row, status in fleet.fleet(site, await site.present.get())}
    assert found[world.PEOPLE[4].id] == found[world.OFFLINE] == "degraded"
    assert found[world.SLEEPING] == "silent"
    assert found[world.GONE] == "revoked"
    assert len(found) == 10


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        ("mqtts+5", "mqtts"),
        ("wss+3.1.1", "wss"),
        ("https", "https"),
        ("proxy+mqtts+5", "proxy+mqtts"),
        ("", "unknown"),
        ("p-0123456789abcdef", "unknown"),
    ],
)
def test_what_a_probe_says_of_its_way_is_one_of_few_words(transport: str, kind: str) -> None:
    assert fleet.kind_of_way(transport) == kind


async def test_ways_are_counted_of_those_who_are_heard(site: Site, web: Client) -> None:
    for person, transport in ((0, "wss+5"), (1, "wss+5"), (2, "https"), (6, "mqtts+5")):
        message = encode_message(Status(state="heartbeat", transport=transport))
        await site.database.registry.record_seen(
            [Seen(probe=world.PEOPLE[person].id, at=world.NOW - 1000, status=message)]
        )
    strange = Seen(probe=world.PEOPLE[5].id, at=world.NOW - 1000, status=b"of another version")
    await site.database.registry.record_seen([strange])
    probes = fleet.fleet(site, await site.present.get())
    heard = [probe for probe, status in fleet.active(probes) if status != "silent"]
    ways = await fleet.ways_in_use(site, probes)
    assert sum(ways.values()) == len(heard)
    assert (ways["wss"], ways["https"]) == (2, 1)
    assert ways["unknown"] == len(heard) - 3 - (world.PEOPLE[6].id in [probe.id for probe in heard])
    assert list(ways.values()) == sorted(ways.values(), reverse=True)
    assert "Ways to the monitor in use: " in text_of(await (await web.get("/v")).text())
    metrics = await (await web.get("/metrics")).text()
    assert '\nreachwatch_vantages_by_way{way="wss"} 2.0\n' in metrics


def test_late_conclusions_do_not_say_that_nobody_measures(site: Site) -> None:
    event = next(event for event in world.events() if event.id == world.CONFIRMED)
    here = VantageRow(
        id="p", owner="o", role="vantage", country=event.country, asn=event.asns[0], enrolled=0,
        revoked=None, last_seen=site.clock(),
    )  # fmt: skip
    elsewhere = LatestVerdict(
        event.targets[0],
        "FR",
        1,
        "q",
        world.NOW,
        Verdict(target=event.targets[0], state=State.OK, rule="r"),
    )
    judged = service_present(1, [elsewhere])

    def lost(services: dict[str, ServicePresent], *rows: VantageRow) -> bool:
        present = Present(revision=1, services=services, vantages=rows)
        return fleet.unwatched(site, present, [event]) == {event.id}

    # Of no service a recent verdict: who is heard there may measure it.
    assert not lost({}, here)
    assert lost({}, replace(here, asn=1))
    assert lost({}, replace(here, last_seen=1))
    assert lost({}, replace(here, revoked=2))
    # It is judged elsewhere, and not here.
    assert lost({event.service: judged}, here)
    same = replace(elsewhere, country=event.country, asn=event.asns[0])
    assert not lost({event.service: service_present(1, [same])}, here)
