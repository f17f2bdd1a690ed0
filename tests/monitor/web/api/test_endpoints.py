"""Every list of the API, its filters and pages; enrolment over HTTP."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from monitor import enrolment
from monitor.interop.forms import COLUMNS, rfc3339
from monitor.store.database import open_database
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.records import Conclusions
from monitor.web.answers import DROPPED
from monitor.web.api import endpoints as api
from monitor.web.app import make_app
from monitor.web.params import BadParameterError
from monitor.web.site import Site
from probes.privacy.geo import update
from probes.runtime.geo_table import FILE_NAME, GeoTable
from probes.wire.enrolment_token import parse_token
from tests.monitor.store.samples import event as sample
from tests.world import site as world
from tests.world.site import HOUR, NOW, Client, client, site_of
from tests.world.stores import migrated

INTERFACE = """id service targets country asns technique extent state tier onset onset_earliest
    onset_latest opened confirmed closed confidence vantages control rule_counts witnesses
    inhibited_by source policy rules_version catalogue_version"""
LISTS = [name for name, _ in api.LISTS]


async def get(web: Client, path: str, status: int = 200) -> Any:
    answer = await web.get(f"/api/v1/{path}")
    body = await answer.text()
    assert answer.status == status, body
    return json.loads(body)


async def walk(web: Client, name: str, limit: int, **filters: str) -> list[dict[str, Any]]:
    """Every page of a list, joined."""
    rows: list[dict[str, Any]] = []
    query = {"limit": str(limit), **filters}
    for _ in range(2000):
        answer = await web.get(f"/api/v1/{name}", params=query)
        page = await answer.json()
        assert answer.status == 200, page
        assert len(page[name]) <= limit
        rows += page[name]
        if page["next"] is None:
            return rows
        assert page[name], "a page that is empty cannot have a next one"
        query["after"] = page["next"]
    raise AssertionError("paging does not end")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_add_up_to_the_whole_list(web: Client, name: str, limit: int) -> None:
    whole = (await get(web, f"{name}?limit=1000"))[name]
    assert whole
    if limit == 1 and len(whole) > 60:
        return  # one connection a row for hundreds of rows says no more than two a page
    assert await walk(web, name, limit) == whole


async def test_ties_are_neither_lost_nor_shown_twice(empty: Site, tmp_path: Path) -> None:
    """Twenty events with one onset: their order is by id."""
    database = await open_database(await migrated(tmp_path / "site.sqlite"))
    many = tuple(
        sample(f"{n:016x}", country=country, asns=(n % 2,)) for n, country in enumerate(["RU"] * 20)
    )
    await database.conclusions.save(
        [Conclusions(service="wechat", round=1, state=b"", events=many)], 1
    )
    await database.close()
    async with world.client(empty) as web:
        for limit in (1, 3, 19, 20, 21):
            rows = await walk(web, "events", limit)
            assert [row["id"] for row in rows] == [f"{n:016x}" for n in reversed(range(20))]
            odd = await walk(web, "events", limit, asn="AS1")
            assert [row["id"] for row in odd] == [f"{n:016x}" for n in reversed(range(1, 20, 2))]


async def test_an_event_has_the_fields_of_the_interface(web: Client) -> None:
    listed = (await get(web, "events?state=open&service=wechat&country=ru"))["events"]
    (event,) = [each for each in listed if each["id"] == world.CONFIRMED]
    assert set(INTERFACE.split()) <= set(event)
    assert event["vantages"] == {"agreeing": 3, "total": 3}
    assert event["policy"] == {"name": "default", "pace": 1}
    assert 0 < event["confidence"] < 1
    assert event["onset"].endswith("Z")
    assert event["rule_counts"] == {"tls.reset.sni": 36}
    one = await get(web, f"events/{world.CONFIRMED}")
    assert event.items() <= one.items()
    assert one["networks"][0]["asn"] == 64501
    assert one["against"] == ["one_network"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("state=open", {world.CONFIRMED, world.LIKELY, world.SINGLE, world.INHIBITED}),
        ("state=closed", {world.CLOSED}),
        ("state=retracted", {world.RETRACTED}),
        ("service=signal", {world.LIKELY}),
        ("target=telegram/web", {world.RETRACTED, world.INHIBITED}),
        ("country=fr", {world.SINGLE, world.INHIBITED}),
        ("asn=64503", {world.SINGLE, world.INHIBITED}),
        ("asn=AS64503&state=open", {world.SINGLE, world.INHIBITED}),
        ("asn=1", set()),
        ("source=ooni", set()),
        ("source=own&state=closed", {world.CLOSED}),
        ("source=probe&state=closed", {world.CLOSED}),
    ],
)
async def test_filters_of_events(web: Client, query: str, ids: set[str]) -> None:
    assert {row["id"] for row in (await get(web, f"events?{query}"))["events"]} == ids


async def test_since_and_until_select_events_open_in_between(web: Client) -> None:
    async def ids(query: str) -> set[str]:
        return {row["id"] for row in (await get(web, f"events?{query}"))["events"]}

    closed, retracted = world.START + 6 * world.INTERVAL, world.START + 3 * world.INTERVAL
    assert world.CLOSED in await ids(f"since={_rfc(closed)}")
    assert world.CLOSED not in await ids(f"since={_rfc(closed + 1000)}")
    assert world.RETRACTED in await ids(f"since={_rfc(retracted)}")
    assert world.RETRACTED not in await ids(f"since={_rfc(retracted + 1000)}")
    assert world.CONFIRMED in await ids(f"since={_rfc(world.NOW - 1000)}")
    assert world.CONFIRMED not in await ids(f"until={_rfc(world.BLOCKED_SINCE)}")
    assert world.CONFIRMED in await ids(f"until={_rfc(world.BLOCKED_SINCE + 1000)}")
    assert world.CLOSED not in await ids("since=30m")
    assert world.CONFIRMED in await ids("since=30m")


def _rfc(at: int) -> str:
    return rfc3339(at) or ""


async def test_measurements_between_two_rounds(web: Client) -> None:
    since, until = world.START + world.INTERVAL, world.START + 3 * world.INTERVAL
    rows = await walk(web, "measurements", 50, since=_rfc(since), until=_rfc(until))
    assert {row["round"] for row in rows} == {_rfc(since), _rfc(since + world.INTERVAL)}
    assert len(rows) == 2 * 7 * 3
    assert await walk(web, "measurements", 50, source="ooni") == []
    own = await walk(web, "measurements", 50, source="own", since=_rfc(since), until=_rfc(until))
    assert own == rows
    mine = await walk(web, "measurements", 50, target="wechat/web", asn="64501", country="RU")
    assert len(mine) == 3 * world.ROUNDS
    assert {row["target"] for row in mine} == {"wechat/web"}
    assert sum(row["state"] == "blocked" for row in mine) == 36
    assert set(mine[0]) >= {"id", "vantage", "technique", "rule", "evidence"}


async def test_a_list_of_measurements_says_that_it_lacks_what_was_dropped(site: Site) -> None:
    day = NOW - NOW % DAY_MS
    whole = "measurements?limit=3", f"measurements?event={world.CONFIRMED}"
    late = f"measurements?since={rfc3339(day)}"
    async with client(site) as web:
        for path in (*whole, late):
            assert "dropped_before" not in await get(web, path), path
    await site.database.conclusions.set_cursor(PRUNED, day)
    async with client(site) as web:
        assert (await get(web, whole[0]))["dropped_before"] == rfc3339(day)
        assert "dropped_before" not in await get(web, late)
        for path, header in ((whole[0], rfc3339(day)), (late, None)):
            for kind in ("csv", "json"):
                answer = await web.get(f"/api/v1/{path}&format={kind}")
                assert answer.headers.get(DROPPED) == header, path
        for name in LISTS:
            assert name == "measurements" or "dropped_before" not in await get(web, name)
    await site.database.conclusions.set_cursor(PRUNED, day + DAY_MS)
    async with client(site) as web:
        for path in (*whole, late):
            assert (await get(web, path))["dropped_before"] == rfc3339(day + DAY_MS), path


async def test_a_measurement_comes_byte_for_byte(web: Client, site: Site) -> None:
    id = world.events()[0].witnesses[0]
    found = await site.database.facts.measurement(id)
    assert found is not None
    answer = await web.get(f"/api/v1/measurements/{id}")
    assert await answer.read() == found[1]
    assert (await get(web, f"measurements/{'0' * 32}", 404))["error"]
    assert (await get(web, f"events/{'0' * 16}", 404))["error"]


async def test_what_arrived_is_published_by_day(web: Client) -> None:
    days = (await get(web, "chain"))["days"]
    assert sum(day["batches"] for day in days) >= 1
    assert all(len(day["hash"]) == 64 for day in days)


async def test_a_measurement_has_a_proof_or_says_that_there_is_none(web: Client) -> None:
    id = world.events()[0].witnesses[0]
    answer = await (await web.get(f"/m/{id}/proof")).json()
    assert (answer["key"], answer["signature"]) == ("", ""), "imported: nobody signed it"
    assert hashlib.sha256(answer["line"].encode()).hexdigest() == answer["lines"][answer["place"]]
    assert (await web.get(f"/m/{'0' * 32}/proof")).status == 404


async def test_the_timeline_counts_hours(web: Client) -> None:
    rows = await walk(web, "timeline", 3, target="wechat/web", asn="64501")
    assert sum(row["measurements"] for row in rows if row["state"] == "blocked") == 36
    assert [row["hour"] for row in rows] == sorted(row["hour"] for row in rows)
    hour = rows[0]["hour"]
    assert (await get(web, f"timeline?until={hour}"))["timeline"] == []


async def test_a_timeline_of_which_only_the_end_is_given_has_the_week_before_it(site: Site) -> None:
    async with client(replace(site, clock=lambda: NOW + 30 * 24 * HOUR)) as web:
        assert (await get(web, f"timeline?until={rfc3339(NOW)}"))["timeline"]
        assert (await get(web, "timeline"))["timeline"] == []


async def test_places_and_services(web: Client) -> None:
    countries = {row["country"]: row for row in (await get(web, "countries"))["countries"]}
    assert set(countries) == {"DE", "FR", "RU"}
    assert countries["RU"]["vantages"] == {"online": 4, "total": 5}
    assert countries["FR"]["vantages"] == {"online": 1, "total": 2}
    assert countries["DE"]["vantages"] == {"online": 0, "total": 1}
    assert set(countries["RU"]["open_events"]) == {world.CONFIRMED, world.LIKELY}
    networks = (await get(web, "networks?country=RU"))["networks"]
    assert [row["asn"] for row in networks] == [64501, 64502]
    assert networks[1]["open_events"] == []
    services = (await get(web, "services?service=wechat"))["services"]
    assert [row["id"] for row in services] == ["wechat"]
    assert services[0]["open_events"] == [world.SINGLE, world.CONFIRMED]
    assert services[0]["states_total"] == len(services[0]["states"]) > 1
    states = {(s["target"], s["asn"]): s["state"] for s in services[0]["states"]}
    assert states["wechat/web", 64501] == "blocked"
    assert states["wechat/messaging", 64501] == "ok"
    assert len((await get(web, "services?target=zulip/web"))["services"]) == 1


async def test_of_many_states_the_worst_are_listed(
    web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MAX_STATES", 1)
    listed = {row["id"]: row for row in (await get(web, "services"))["services"]}
    assert [state["state"] for state in listed["wechat"]["states"]] == ["blocked"]
    assert listed["wechat"]["states_total"] > 1
    (alone,) = (await get(web, "services?service=wechat"))["services"]
    assert len(alone["states"]) == alone["states_total"]


async def test_vantages_have_a_status_and_no_address(web: Client) -> None:
    rows = {row["id"]: row for row in (await get(web, "vantages"))["vantages"]}
    status = {id: row["status"] for id, row in rows.items()}
    assert status[world.PEOPLE[0].id] == status[world.PEOPLE[7].id] == "online"
    assert status[world.PEOPLE[4].id] == "degraded"  # its clock is 45 s ahead
    assert status[world.OFFLINE] == "degraded"
    assert status[world.SLEEPING] == "silent"
    assert status[world.GONE] == "revoked"
    assert "127.0.0.1" not in json.dumps(rows)


@pytest.mark.parametrize("name", LISTS)
async def test_csv_has_a_fixed_header_and_the_same_pages(web: Client, name: str) -> None:
    answer = await web.get(f"/api/v1/{name}?format=csv&limit=2")
    assert answer.status == 200
    assert answer.content_type == "text/csv"
    assert f"reachwatch-{name}.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(await answer.text())))
    assert tuple(rows[0]) == COLUMNS[name]
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(COLUMNS[name])}
    following = answer.headers.get("X-Next")
    assert following == (await get(web, f"{name}?limit=2"))["next"]


@pytest.mark.parametrize("name", LISTS)
async def test_an_empty_store_gives_empty_lists(empty: Site, name: str) -> None:
    async with world.client(empty) as web:
        page = await get(web, name)
        assert page["next"] is None
        assert page[name] == [] or name == "services"
        answer = await web.get(f"/api/v1/{name}?format=csv")
        assert (await answer.text()).startswith(",".join(COLUMNS[name])[:10])


BAD = [
    "asn=x",
    "asn=-1",
    "asn=12345678901",
    "asn=٣",
    "country=RUS",
    "country=ру",
    "country=",
    "service=We%00Chat",
    "service=%27;drop",
    "target=../x",
    "since=yesterday",
    "since=1e9",
    "until=2026-13-01",
    "since=2026-01-02&until=2026-01-01",
    "limit=0",
    "limit=1001",
    "limit=-1",
    "limit=ten",
    "limit=٣",
    "limit=",
    "after=x",
    "after=1",
    "after=1-zz",
    "after=99999999999999999999-00",
    "format=xml",
    "format=",
]


@pytest.mark.parametrize("query", BAD)
async def test_a_bad_parameter_is_named_in_one_line(web: Client, query: str) -> None:
    for name in ("events", "timeline", "vantages"):
        said = await get(web, f"{name}?{query}", 400)
        assert set(said) == {"error"}
        assert said["error"].startswith(query.partition("=")[0] + ":")
        assert "\n" not in said["error"]
        assert len(said["error"]) < 200


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01T00:00:00%2B23:59",
        "since=9999-12-31T23:59:59-23:59",
        "since=999999999w",
        "until=9999-12-31",
        "since=2026-05-04T08:10:00%2B02:00",
        "since=2026-05-04T08:10:00+02:00",
        "since=",
        "after=",
        "after=999999999999999-0000000000000000",
    ],
)
async def test_extreme_times_are_accepted(web: Client, query: str) -> None:
    await get(web, f"events?{query}")


async def test_whoami_tells_the_caller_and_logs_nothing(
    web: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        assert await get(web, "whoami") == {"address": "127.0.0.1"}
    assert "127.0.0.1" not in caplog.text
    assert "whoami" not in caplog.text


_text = st.text(st.characters(codec="utf-8"), max_size=40)
_names = st.sampled_from(["service", "target", "country", "asn", "since", "until", "format",
                          "limit", "after", "state", "q", "x"])  # fmt: skip


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(LISTS), query=st.dictionaries(_names, _text, max_size=4))
def test_no_garbage_is_an_error_of_ours(world: Path, name: str, query: dict[str, str]) -> None:
    async def ask() -> str:
        database = await open_database(await migrated(world))
        try:
            app = make_app(site_of(database))
            path = str(URL(f"/api/v1/{name}").with_query(query))
            request = make_mocked_request("GET", path, app=app)
            try:
                answer = await dict(api.LISTS)[name](request)
            except BadParameterError as error:
                return str(error)
            return str(answer.status)
        finally:
            await database.close()

    said = asyncio.run(ask())
    assert said == "200" or ("\n" not in said and ": " in said)


async def test_a_token_gives_credentials_once_and_they_can_be_given_back(
    site: Site, web: Client
) -> None:
    kept, text = enrolment.new_token("https://reach.example", "vantage", "ada", 1, NOW + HOUR, NOW)
    await site.database.registry.add_token(kept)
    token = parse_token(text)
    body = {"token_id": token.id, "secret": token.secret}
    answer = await web.post("/api/v1/enrol", json=body)
    assert answer.status == 201
    said = await answer.json()
    assert said["broker"] == ["mqtts://reach.example:8883"]
    assert (said["role"], said["owner"]) == ("vantage", "ada")
    probe = await site.database.registry.probe(said["probe"])
    assert probe is not None
    assert probe.enrolled == NOW
    again = await web.post("/api/v1/enrol", json=body)
    assert again.status == 403
    assert set(await again.json()) == {"error"}
    wrong = {"probe": said["probe"], "secret": "not it"}
    assert (await web.post("/api/v1/leave", json=wrong)).status == 403
    mine = {"probe": said["probe"], "secret": said["secret"]}
    assert (await web.post("/api/v1/leave", json=mine)).status == 200
    probe = await site.database.registry.probe(said["probe"])
    assert probe is not None
    assert probe.revoked == NOW


async def test_malformed_bodies_are_refused_in_one_line(web: Client) -> None:
    for path in ("/api/v1/enrol", "/api/v1/key", "/api/v1/leave"):
        for body in (b"", b"[]", b"\xff", b'{"token_id": 1}', b"[" * 10_000):
            answer = await web.post(path, data=body)
            assert answer.status == 400
            assert "\n" not in (await answer.json())["error"]
        assert (await web.get(path)).status == 405


async def test_an_enrolment_keeps_where_it_came_from_and_no_address(
    site: Site, tmp_path: Path
) -> None:
    source = tmp_path / "table.tsv"
    source.write_text("127.0.0.0\t127.255.255.255\t64501\tRU\tloopback\n")
    update(source, tmp_path)
    with GeoTable(tmp_path / FILE_NAME) as table:
        async with TestClient(TestServer(make_app(replace(site, geo=table)))) as client:
            kept, text = enrolment.new_token("https://x.example", "vantage", "a", 1, NOW + 1, NOW)
            await site.database.registry.add_token(kept)
            token = parse_token(text)
            body = {"token_id": token.id, "secret": token.secret}
            said = await (await client.post("/api/v1/enrol", json=body)).json()
    probe = await site.database.registry.probe(said["probe"])
    assert probe is not None
    assert (probe.seen_country, probe.seen_asn) == ("RU", 64501)
    assert probe.is_elsewhere("FR", 64501)
    assert probe.is_elsewhere("RU", 64502)
    assert not probe.is_elsewhere("RU", 64501)


async def test_the_timeline_by_network_is_built_on_events(web: Client) -> None:
    rows = (await get(web, "timeline?by=network&service=wechat"))["timeline"]
    russia = [row for row in rows if row["country"] == "RU"]
    assert [row["day"] for row in russia] == ["2027-01-15T00:00:00Z"]
    assert russia[0]["networks"] == {"blocked": 1, "watched": 2}
    assert russia[0]["share"] == 0.5
    assert russia[0]["asns"] == [64501]
    (france,) = [row for row in rows if row["country"] == "FR"]
    assert france["share"] == 0.0
    answer = await web.get("/api/v1/timeline?by=network&country=RU&format=csv")
    table = list(csv.DictReader(io.StringIO(await answer.text())))
    assert {row["service"]: row["networks.blocked"] for row in table}["wechat"] == "1"
    assert {row["service"]: row["share"] for row in table}["signal"] == "0.0"
    for bad in ("by=network", "by=week", "by=network&service=wechat&asn=1"):
        await get(web, f"timeline?{bad}", 400)


async def test_what_the_demonstration_exports_says_that_it_is_simulated(
    site: Site, web: Client
) -> None:
    lists = [f"/api/v1/{name}" for name, _ in api.LISTS]
    async with client(replace(site, demo="Everything is simulated.")) as shown:
        history = "/history.json?service=wechat&range=24h"
        for path in (*lists, f"/api/v1/events/{world.CONFIRMED}", history):
            assert (await (await shown.get(path)).json())["simulated"] is True, path
            assert "simulated" not in await (await web.get(path)).json(), path
        saved = await shown.get("/api/v1/events?format=csv")
    assert 'filename="reachwatch-demonstration-events.csv"' in saved.headers["Content-Disposition"]


async def test_networks_have_a_condition(web: Client) -> None:
    networks = {row["asn"]: row for row in (await get(web, "networks"))["networks"]}
    heard, unheard = networks[64501], networks[64520]
    assert (heard["condition"], heard["onset"]) == ("ok", None)
    assert (unheard["condition"], unheard["tier"]) == ("unheard", "unconfirmed")
    assert unheard["onset"] == rfc3339(world.NOW - 4 * world.HOUR)
    assert unheard["witnesses"] == {"heard": 0, "offline": 0, "ways_fail": 0, "no_word": 1}
    past = (await get(web, f"networks?as_of={rfc3339(world.NOW)}"))["networks"]
    assert {row["condition"] for row in past} == {"ok", "unheard"}
