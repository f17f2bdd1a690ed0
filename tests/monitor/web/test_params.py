from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.params import YEAR_9999_MS, parse_time
from probes.runtime.options import OptionError
from tests.world.site import CATALOGUE, CONFIRMED, Client, client, opened

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T01:00:01+01:00", 1_000),
        ("1970-01-01T01:00:01 01:00", 1_000),
        ("24h", NOW - 86_400_000),
        ("15m", NOW - 900_000),
        ("1900-01-01", 0),
        ("999999999w", 0),
    ],
)
def test_times(text: str, at: int) -> None:
    assert parse_time(text, NOW) == at


@given(st.text(max_size=40))
def test_anything_is_a_time_or_one_line(text: str) -> None:
    try:
        said = str(parse_time(text, NOW))
        assert 0 <= int(said) <= YEAR_9999_MS
    except OptionError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("events?contry=RU", "contry: is no parameter here; did you mean country?"),
        ("measurements?Service=wechat", "did you mean service?"),
        ("services?state=open", "state: is no parameter here"),
        ("events/0000000000000000?format=csv", "format: is no parameter here"),
        ("openapi.json?x=1", "x: is no parameter here"),
        ("measurements?source=ooney", "source: must be own or probe or ooni, not 'ooney'"),
        ("timeline?source=ooni", "source: is no parameter here"),
        ("events?country=RU&country=FR", "country: given more than once"),
        ("events?service=wehcat", "service: wehcat is not in the catalogue; did you mean wechat?"),
        ("timeline?target=wechat/mesaging", "did you mean wechat/messaging?"),
        ("events?target=wechat", "target: wechat is not in the catalogue; did you mean wechat/"),
        ("events?service=wechat/web", "service: wechat/web is not in the catalogue"),
        ("events?country=UK", "country: no country has the code UK; did you mean GB?"),
        ("networks?country=qq", "country: no country has the code QQ"),
        ("measurements?asn=4294967296", "asn: must be at most 4294967295, not 4294967296"),
        ("events?since=2026", "since: must be a time such as 2026-05-04T08:10:00Z, not '2026'"),
        ("events?since=1770000000", "since: must be a time such as"),
    ],
)
async def test_an_unknown_parameter_is_refused_with_the_nearest(
    web: Client, query: str, hint: str
) -> None:
    answer = await web.get(f"/api/v1/{query}")
    assert answer.status == 400
    assert hint in (await answer.json())["error"]


async def test_what_left_the_catalogue_is_still_answered(world: Path, tmp_path: Path) -> None:
    without = msgspec.structs.replace(CATALOGUE, services=())
    async with opened(world, tmp_path, catalogue=without) as site, client(site) as web:
        assert (await web.get("/api/v1/events?service=wechat")).status == 200
        assert (await web.get("/api/v1/events?target=wechat/messaging")).status == 200
        assert (await web.get("/api/v1/events?service=wehcat")).status == 400
        for path in (
            "/m?service=wechat",
            "/m?target=wechat/messaging",
            "/changes?service=wechat",
            "/picture.svg?service=wechat",
            "/history.csv?service=wechat&range=7d",
            "/feed.atom?service=wechat",
            "/badge/wechat.svg",
        ):
            assert (await web.get(path)).status == 200, path


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/m?service=wehcat", 400, "service: wehcat is not in the catalogue; did you mean wechat?"),
        ("/m?target=wechat/mesaging", 400, "did you mean wechat/messaging?"),
        ("/m?country=UK", 400, "country: no country has the code UK"),
        ("/m?asn=4294967296", 400, "asn: must be at most 4294967295"),
        ("/changes?service=wehcat", 400, "did you mean wechat?"),
        ("/changes?country=QQ", 400, "country: no country has the code QQ"),
        ("/picture.svg?service=wehcat", 400, "did you mean wechat?"),
        ("/history.csv?service=wehcat&range=7d", 400, "did you mean wechat?"),
        ("/explore?asn=4294967296", 400, "asn: must be at most 4294967295"),
        ("/feed.atom?country=QQ", 400, "country: no country has the code QQ"),
        ("/c/QQ/feed.atom", 404, "No country has this code."),
        ("/badge/wechat.svg?country=FR", 400, "country: is no parameter here"),
        ("/badge/wechat/RU.svg?x=1", 400, "x: is no parameter here"),
    ],
)
async def test_a_slip_on_a_page_is_refused(web: Client, path: str, status: int, said: str) -> None:
    answer = await web.get(path)
    assert answer.status == status
    assert said in await answer.text()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/events?country=ZZ",
        "/api/v1/events?country=ru",
        "/api/v1/measurements?asn=4294967295",
        "/m?country=ZZ",
        "/changes?service=&country=RU",
        "/feed.atom?country=xk",
        "/c/ru/feed.atom",
        "/c/ZZ/feed.atom",
        "/explore?country=ZZ",
        "/compare?country=zz",
        "/explore?asn=as64501",
        "/badge/wechat.svg?lang=fr",
        "/badge/wechat/RU.svg?as_of=2027-01-15T10:00Z",
    ],
)
async def test_what_exists_is_answered(web: Client, path: str) -> None:
    assert (await web.get(path)).status == 200


async def test_pages_of_other_sites_may_read_the_data_and_its_errors(web: Client) -> None:
    for path in (
        "events", f"events/{CONFIRMED}", "events/0000000000000000", "events?x=1",
        "openapi.json",
    ):  # fmt: skip
        answer = await web.get(f"/api/v1/{path}", headers={"Origin": "https://notebook.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*", path
    for path in ("/history.json?service=wechat&range=7d", "/history.csv?service=wechat&range=7d"):
        assert (await web.get(path)).headers["Access-Control-Allow-Origin"] == "*", path
    for path in ("/api/v1/whoami", "/", "/metrics"):
        assert "Access-Control-Allow-Origin" not in (await web.get(path)).headers, path
