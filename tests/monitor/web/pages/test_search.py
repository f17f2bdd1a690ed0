from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.web.pages import search
from monitor.web.pages.search import MOST, Match, shortened
from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import CONFIRMED, Client


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("WeChat", "/s/wechat"),
        (" web.wechat.test ", "/s/wechat"),
        ("zuli", "/s/zulip"),
        (CONFIRMED.upper(), f"/e/{CONFIRMED}"),
        ("0" * 32, f"/m/{'0' * 32}"),
        ("russia", "/c/RU"),
        ("FR", "/c/FR"),
        ("the netherlands", "/c/NL"),
        ("AS64503", "/as/64503"),
        ("as 64503", "/as/64503"),
        ("8359", "/as/8359"),
        ("p-0000000000000001", "/v/p-0000000000000001"),
        ("tls.reset.sni", "/method#technique-tls.reset.sni"),
    ],
)
async def test_a_single_match_redirects(web: Client, word: str, place: str) -> None:
    answer = await web.get("/search", params={"q": word}, allow_redirects=False)
    assert answer.status == 302
    assert answer.headers["Location"] == place


@pytest.mark.parametrize(
    ("word", "heading", "listed"),
    [
        ("at", "Three matches for “at”", ("/c/AT", "/s/wechat")),
        ("test", "matches for “test”", ("/s/wechat", "/s/signal", "/s/telegram", "/s/zulip")),
        ("pjsc megafon", "matches for", ("/as/31133",)),
        ("mts", "matches for “mts”", ("/as/8359",)),
        ("block page", "Two matches", ("/method#technique-http.blockpage",)),
        ("no such thing at all", "Nothing matches “no such thing at all”.", ()),
        ("", "Search", ()),
    ],
)
async def test_several_matches_are_listed(
    web: Client, word: str, heading: str, listed: tuple[str, ...]
) -> None:
    answer = await web.get("/search", params={"q": word})
    assert answer.status == 200
    page = await answer.text()
    assert heading in text_of(page)
    assert "What the search understands" in page
    for address in listed:
        assert f'href="{address}"' in page


async def test_networks_have_names_on_pages_and_in_the_api(web: Client) -> None:
    assert "Registered as MTS PJSC." in text_of(await (await web.get("/as/8359")).text())
    assert "IP Geolocation by DB-IP" in await (await web.get("/")).text()
    rows = (await (await web.get("/api/v1/networks")).json())["networks"]
    assert all("name" in row for row in rows)


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("微信", "/s/wechat"),
        ("Вичат", "/s/wechat"),
        ("телеграм", "/s/telegram"),
        ("telegramm", "/s/telegram"),
        ("singal", "/s/signal"),
    ],
)
async def test_services_are_found_by_other_names_and_with_a_slip(
    web: Client, word: str, place: str
) -> None:
    answer = await web.get("/search", params={"q": word}, allow_redirects=False)
    assert (answer.status, answer.headers.get("Location")) == (302, place)


async def test_a_list_that_is_cut_says_so(web: Client) -> None:
    text = text_of(await (await web.get("/search", params={"q": "telecom"})).text())
    assert "More than 20 matches for “telecom”" in text
    assert "Twenty" not in text


@pytest.mark.parametrize(
    ("word", "most", "kinds"),
    [
        ("test", 3, ["/s/"]),
        ("name", 5, ["/method#"]),
        ("isl", 7, ["/c/"]),
        ("telecom", 9, ["/as/"]),
        ("at", 1, ["/c/", "/s/"]),
    ],
)
async def test_no_kind_fills_the_page(
    web: Client, monkeypatch: pytest.MonkeyPatch, word: str, most: int, kinds: list[str]
) -> None:
    monkeypatch.setattr(search, "MOST", most)
    page = await (await web.get("/search", params={"q": word})).text()
    for kind in kinds:
        assert page.count(f'<li><a href="{kind}') == most
    listed = page.count("<li><a href=")
    assert f"More than {listed} matches for “{word}”" in text_of(page)


def test_what_is_open_is_not_cut() -> None:
    many = [Match(f"/as/{asn}", "", "network") for asn in range(2 * MOST)]
    last = replace(many[-1], state="WeChat is blocked.")
    listed = shortened([Match("/c/AT", "", "country"), *many[:-1], last])
    assert len(listed) == 1 + MOST
    assert listed[1] == last


async def test_a_match_says_what_is_open_there(web: Client) -> None:
    text = text_of(await (await web.get("/search", params={"q": "test"})).text())
    assert "WeChat service WeChat's web client is blocked in one network in Russia." in text
