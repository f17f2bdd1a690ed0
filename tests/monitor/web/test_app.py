"""The application as a whole: headers, failures, compression, HEAD, health."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import aiohttp
import pytest

from monitor.http_server import serving
from monitor.web.app import make_app
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import Client

PAGES = [
    "/",
    "/s/wechat",
    "/s/signal",
    "/s/zulip",
    f"/e/{world.CONFIRMED}",
    f"/m/{world.events()[0].witnesses[0]}",
    "/data",
    "/search",
    "/search?q=russia",
    "/s",
    "/c",
    "/c/RU",
    "/c/JP",
    "/as/64501",
    "/v",
    f"/v/{world.PEOPLE[1].id}",
    "/status",
    "/method",
]
BUDGET_BYTES = 60_000


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_small_with_security_headers_and_revalidated(
    web: Client, path: str
) -> None:
    answer = await web.get(path)
    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Language, Cookie, Accept-Encoding"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = await answer.text()
    assets = 0
    for name in ("style.css", "page.js", "icon.svg"):
        assert f"/static/{name}?" in text
        assets += len(await _raw(web, f"/static/{name}"))
    assert int(answer.headers["Content-Length"]) + assets < BUDGET_BYTES
    plain = await web.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert len(await plain.read()) == int(plain.headers["Content-Length"])


async def _raw(web: Client, path: str) -> bytes:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url = web.make_url(path)
        async with session.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
            return await answer.read()


async def test_gzip_decompresses_to_the_page(web: Client) -> None:
    packed = await _raw(web, "/api/v1/measurements?limit=1000")
    plain = await web.get("/api/v1/measurements?limit=1000", headers={"Accept-Encoding": "br"})
    assert gzip.decompress(packed) == await plain.read()
    assert len(packed) * 4 < len(gzip.decompress(packed))


@pytest.mark.parametrize(
    "path", [*PAGES, "/metrics", "/healthz", "/readyz", "/api/v1/events", "/static/style.css"]
)
async def test_head_is_get_without_body(web: Client, path: str) -> None:
    got, head = await web.get(path), await web.head(path)
    assert head.status == got.status == 200
    assert await head.read() == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/s/nosuch", "/s/%00", "/s/UPPER", "/e/xyz", f"/e/{'0' * 16}", f"/e/{'0' * 17}",
     f"/m/{'0' * 32}", "/m/", "/static/none.css", "/s/a%2Fb", "/%ff%fe", "/s/" + "a" * 5000],
)  # fmt: skip
async def test_not_found_is_a_page(web: Client, path: str) -> None:
    answer = await web.get(path)
    assert answer.status == 404
    assert answer.content_type == "text/html"
    text = await answer.text()
    assert "<h1>" in text
    assert "Not Found" not in text
    assert "To the overview" in text


async def test_failures_of_the_api_are_json(web: Client) -> None:
    for path in ("/api/v1/nothing", "/api/v1/events/xyz", "/api/v2/events"):
        answer = await web.get(path)
        assert answer.status == 404
        assert set(await answer.json()) == {"error"}
    refused = await web.post("/api/v1/events")
    assert refused.status == 405
    assert "GET" in refused.headers["Allow"]
    assert set(await refused.json()) == {"error"}
    assert (await web.delete("/")).status == 405


@pytest.mark.parametrize(
    "q", ["%00", "a" * 3000, "%F0%9F%92%A9", "<b>", "%ff", "'; DROP", "..", ""]
)
async def test_any_search_is_answered(web: Client, q: str) -> None:
    answer = await web.get(f"/search?q={q}", allow_redirects=False)
    assert answer.status in (200, 302)


async def test_health(site: Site, web: Client) -> None:
    assert await (await web.get("/healthz")).text() == "ok\n"
    assert await (await web.get("/readyz")).text() == "ready\n"


async def test_not_ready_names_its_reasons(tmp_path: Path) -> None:
    from tests.world.site import client, opened

    reasons = lambda: ("no broker", "no store")  # noqa: E731
    async with opened(None, tmp_path, unready=reasons) as site, client(site) as web:
        answer = await web.get("/readyz")
        assert answer.status == 503
        assert await answer.text() == "no broker\nno store\n"


async def test_metrics_come_from_the_store(web: Client) -> None:
    text = await (await web.get("/metrics")).text()
    assert 'reachwatch_vantages{country="RU",role="vantage",status="degraded"} 1.0' in text
    assert 'reachwatch_vantages{country="DE",role="vantage",status="silent"} 1.0' in text
    assert 'status="revoked"' not in text
    assert f'event_id="{world.CONFIRMED}"' in text
    assert f'event_id="{world.INHIBITED}"' not in text
    # No label holds a probe id or a stranger's text.
    assert "p-0000" not in text
    assert "script" not in text


async def test_a_store_that_cannot_be_read_is_503_in_one_line(
    site: Site, web: Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await site.database.close()
    (tmp_path / "site.sqlite").rename(tmp_path / "gone.sqlite")
    with caplog.at_level(logging.WARNING):
        ready = await web.get("/readyz")
        assert (ready.status, await ready.text()) == (503, "store: it cannot be read\n")
        page = await web.get("/")
        assert page.status == 503
        assert "The store cannot be read at the moment." in await page.text()
        listed = await web.get("/api/v1/events")
        assert listed.status == 503
        assert json.loads(await listed.text())["error"]
    assert "Traceback" not in caplog.text


async def test_a_large_body_is_refused(web: Client) -> None:
    assert (await web.post("/api/v1/enrol", data=b"x" * 100_000)).status == 413


async def test_no_client_address_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        async with (
            serving(make_app(site), "127.0.0.1", 0) as port,
            aiohttp.ClientSession() as session,
        ):
            for path in ("/api/v1/whoami", "/", "/api/v1/events?asn=x"):
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    await answer.read()
    assert "127.0.0.1" not in caplog.text
    assert "whoami" not in caplog.text
