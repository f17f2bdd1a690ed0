"""Pages in every language, as the visitor chooses."""

from __future__ import annotations

import html

import pytest

from monitor.text import language, words
from monitor.text.words import REFUSALS
from monitor.web.app import COOKIE
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import Client, client, site_of

OTHERS = [code for code in language.LANGUAGES if code != language.SOURCE]
PAGES = (
    "/", "/s", "/s/wechat", "/s/wechat?range=7d", "/c", "/c/RU", "/c/FR", "/as/64501", "/v",
    f"/v/{world.PEOPLE[0].id}", f"/e/{world.CONFIRMED}", f"/e/{world.CLOSED}",
    f"/e/{world.RETRACTED}", f"/e/{world.CONFIRMED}/rounds",
    f"/m/{world.measurement(world.PEOPLE[0], 'wechat/web', 20).id}", "/m?service=wechat",
    "/changes", "/explore", "/compare?service=wechat", "/live", "/data", "/data/dictionary",
    "/search?q=nothing-like-this", "/method", "/e/ffffffffffffffff",
)  # fmt: skip


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_written_in_every_language(web: Client, path: str, code: str) -> None:
    answer = await web.get(path, headers={"Accept-Language": f"{code}-XX, en;q=0.5"})
    page = await answer.text()
    assert answer.status in (200, 404)
    assert f'<html lang="{code}" dir="ltr">' in page
    assert answer.headers["Content-Language"] == code
    assert "%(" not in page
    assert language.catalogue(code).messages["Skip to content"] in page


@pytest.mark.parametrize("code", OTHERS)
async def test_what_decided_is_in_the_language_of_the_page(web: Client, code: str) -> None:
    """The API gives the same in English to all."""
    asks = {"Accept-Language": code}
    own = language.catalogue(code).messages[words.rule_comment("tls.reset.sni")]
    assert own != words.rule_comment("tls.reset.sni")
    page = await (await web.get(f"/e/{world.CONFIRMED}", headers=asks)).text()
    assert html.escape(own) in page
    plain, other = [
        await (await web.get(f"/api/v1/events/{world.CONFIRMED}", headers=headers)).text()
        for headers in ({}, asks)
    ]
    assert plain == other


@pytest.mark.parametrize("code", OTHERS)
async def test_a_refusal_is_written_in_every_language(web: Client, code: str) -> None:
    page = await (await web.get("/nothing", headers={"Accept-Language": code})).text()
    assert f"<h1>{language.catalogue(code).messages[REFUSALS['no_page']]}</h1>" in page
    assert all(language.catalogue(code).messages[text] != text for text in REFUSALS.values())


async def test_a_choice_is_kept_and_caches_are_told(web: Client) -> None:
    answer = await web.get("/s/wechat?lang=ru&range=7d", headers={"Accept-Language": "fr"})
    page = await answer.text()
    assert '<html lang="ru"' in page
    assert {"Accept-Language", "Cookie"} <= set(answer.headers["Vary"].split(", "))
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert '<link rel="canonical" href="https://reach.example/s/wechat?range=7d">' in page
    for code in language.LANGUAGES:
        other = f"https://reach.example/s/wechat?range=7d&amp;lang={code}"
        assert f'<link rel="alternate" hreflang="{code}" href="{other}">' in page
    again = await web.get("/c", headers={"Cookie": f"{COOKIE}=ru", "Accept-Language": "fr"})
    assert '<html lang="ru"' in await again.text()
    assert "Set-Cookie" not in again.headers


async def test_no_visitor_gets_the_language_of_another_from_a_cache(site: Site) -> None:
    async with client(site_of(site.database, cache_seconds=60.0)) as web:
        for _ in range(2):
            for code in language.LANGUAGES:
                answer = await web.get("/changes", headers={"Accept-Language": code})
                assert f'<html lang="{code}"' in await answer.text()


async def test_the_page_for_operators_is_in_one_language(web: Client) -> None:
    answer = await web.get("/status", headers={"Accept-Language": "fr"})
    page = await answer.text()
    assert answer.headers["Content-Language"] == "en"
    assert '<html lang="en"' in page
    assert ">Overview</a>" in page
    assert " measurements stored" in page


async def test_programs_are_answered_in_english(web: Client) -> None:
    french = {"Accept-Language": "fr", "Cookie": f"{COOKIE}=fr"}
    for path in ("/api/v1/events", "/feed.atom", "/badge/wechat.svg", "/status.json", "/metrics"):
        plain, asked = await web.get(path), await web.get(path, headers=french)
        assert await plain.read() == await asked.read(), path
    picture = await (await web.get("/picture.svg?service=wechat&lang=ru", headers=french)).text()
    assert "Россия" in picture
