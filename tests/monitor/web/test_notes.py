"""Operators' notes, by form and by API, and everything that shows them."""

from __future__ import annotations

import pytest

from monitor.enrolment import new_token
from monitor.store.reading.events import list_transitions
from monitor.web.notes import checked_link, checked_text
from monitor.web.params import BadParameterError
from monitor.web.site import Site
from probes.wire.enrolment_token import parse_token
from tests.world import site as world
from tests.world.site import Client, client, site_of

API = f"/api/v1/events/{world.CONFIRMED}/notes"
FORM = f"/e/{world.CONFIRMED}/notes"
CONFIDENCE = "reachwatch_block_event_confidence{"
SCRIPT = "<script>alert(1)</script>"
LINK = 'https://news.example/a?b="c"&d=1'.replace('"', "%22")


async def token_of(site: Site, role: str = "operator", expires: int = world.NOW + 1000) -> str:
    token, text = new_token("https://reach.example", role, "", 1, expires, world.NOW - 1000)
    await site.database.registry.add_token(token)
    return text


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_retraction_by_the_form_is_told_everywhere(site: Site, web: Client) -> None:
    fields = {"token": await token_of(site), "text": f" {SCRIPT}  our filter ", "link": LINK}
    answer = await web.post(FORM, data=fields | {"kind": "retraction"}, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/e/{world.CONFIRMED}#notes")
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt; our filter"
    for path in (f"/e/{world.CONFIRMED}", "/s/wechat", "/c/RU", "/as/64501", "/changes"):
        page = await (await web.get(path)).text()
        assert SCRIPT not in page, path
        assert escaped in page, path
    page = await (await web.get(f"/e/{world.CONFIRMED}")).text()
    assert 'rel="nofollow noopener noreferrer external"' in page
    assert "Retracted because the operator of this monitor says so" in page
    assert 'value="retraction"' not in page
    feed = await (await web.get("/feed.atom")).text()
    assert "Correction: WeChat" in feed
    assert SCRIPT not in feed
    event = await (await web.get(f"/api/v1/events/{world.CONFIRMED}")).json()
    assert event["state"] == "retracted"
    assert event["notes"][0]["link"] == LINK
    assert event["notes"][0]["kind"] == "retraction"
    rows = await (await web.get("/api/v1/events?format=csv&state=retracted")).text()
    assert "our filter" in rows
    metrics = await (await web.get("/metrics")).text()
    present = [line for line in metrics.splitlines() if line.startswith(CONFIDENCE)]
    assert present
    assert not any(world.CONFIRMED in line for line in present)
    again = await web.post(FORM, data=fields | {"kind": "retraction"})
    assert again.status == 409
    assert "the event is retracted already" in await again.text()


async def test_a_note_by_the_api_leaves_the_state(site: Site, web: Client) -> None:
    token = await token_of(site)
    for text in ("first", "=second()"):
        answer = await web.post(API, json={"text": text}, headers=bearer(token))
        assert answer.status == 201
        assert (await answer.json())["text"] == text
    event = await (await web.get(f"/api/v1/events/{world.CONFIRMED}")).json()
    assert event["state"] == "open"
    assert [note["text"] for note in event["notes"]] == ["first", "=second()"]
    assert "=second()" in await (await web.get("/")).text()
    feed = await (await web.get("/s/wechat/feed.atom")).text()
    assert feed.count("Note on WeChat") == 2
    async with site.database.reading() as connection:
        assert {row.key for row in await list_transitions(connection) if row.note} == {
            "note-1",
            "note-2",
        }


async def test_notes_need_an_operators_token(site: Site, web: Client) -> None:
    late = site_of(site.database, clock=lambda: world.NOW + 2000)
    good = await token_of(site)
    for token in ("", "rch1.xx", await token_of(site, "vantage"), good[:-3] + "AAA"):
        answer = await web.post(API, json={"text": "x"}, headers=bearer(token))
        assert answer.status == 403, token
        assert "operator" in (await answer.json())["error"]
        assert (await web.post(FORM, data={"token": token, "text": "x"})).status == 403
    async with client(late) as later:
        assert (await later.post(API, json={"text": "x"}, headers=bearer(good))).status == 403
    for row in await site.database.registry.tokens():
        await site.database.registry.revoke_token(row.id, world.NOW)
    assert (await web.post(API, json={"text": "x"}, headers=bearer(good))).status == 403
    async with site.database.reading() as connection:
        assert not any(row.note for row in await list_transitions(connection))


async def test_an_operators_token_enrols_nobody(site: Site, web: Client) -> None:
    token = parse_token(await token_of(site))
    body = {"token_id": token.id, "secret": token.secret}
    assert (await web.post("/api/v1/enrol", json=body)).status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'{"text": 1}', b'{"text": "x", "more": 1}', b'{"text": "x", "kind": "y"}',
        b'{"text": " "}', b'{"text": "x", "link": "javascript:alert(1)"}', b"\xff", b"[" * 9999,
        b'{"text": "a\\u202eb"}', b'{"text": "a\\u0000b"}',
    ],
)  # fmt: skip
async def test_a_bad_note_is_refused_in_one_line(site: Site, web: Client, body: bytes) -> None:
    answer = await web.post(API, data=body, headers=bearer(await token_of(site)))
    assert answer.status == 400
    error = (await answer.json())["error"]
    assert error
    assert "\n" not in error
    assert len(error) < 300


async def test_more_than_a_request_may_have_is_refused(site: Site, web: Client) -> None:
    token = await token_of(site)
    for body in ({"text": "x" * 2001}, {"text": "x" * 20_000}):
        answer = await web.post(API, json=body, headers=bearer(token))
        assert answer.status in (400, 413)
        answer = await web.post(FORM, data=body | {"token": token, "kind": "note"})
        assert answer.status in (400, 413)
    missing = f"/api/v1/events/{'f' * 16}/notes"
    assert (await web.post(missing, json={"text": "x"}, headers=bearer(token))).status == 409


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "ftp://a.example/", "https://", "https://a@b.example/",
        "//x.example",        "https://a.example:port/", "https://[::1/", "https://a.example/ b", "http://é.example/",
        "https://a.example/" + "x" * 500, "data:text/html,x",
    ],
)  # fmt: skip
def test_links_lead_to_the_web_alone(link: str) -> None:
    with pytest.raises(BadParameterError, match="link: must be"):
        checked_link(link)


def test_what_is_accepted() -> None:
    assert checked_link(" https://a.example/b?c=%22 ") == "https://a.example/b?c=%22"
    assert checked_link("  ") == ""
    assert checked_text(" a\n b\t c ") == "a b c"
    assert checked_text("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"


async def test_the_form_says_what_a_retraction_is_about(web: Client) -> None:
    said = "holds for the networks, functions and layers that the event shows now"
    for id, told in ((world.CONFIRMED, True), (world.CLOSED, False), (world.RETRACTED, False)):
        page = await (await web.get(f"/e/{id}")).text()
        assert (said in page) is told, id
