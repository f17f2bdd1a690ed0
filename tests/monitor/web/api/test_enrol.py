"""Enrolment over HTTP: a token once, a refusal in one line, leaving."""

from __future__ import annotations

from monitor import enrolment
from monitor.web.site import Site
from tests.world.site import HOUR, NOW, Client


async def test_a_token_gives_credentials_once_and_they_can_be_given_back(
    site: Site, web: Client
) -> None:
    kept, text = enrolment.new_token("https://reach.example", "vantage", "ada", 1, NOW + HOUR, NOW)
    await site.database.registry.add_token(kept)
    token = enrolment.parse_token(text)
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


async def test_garbage_is_refused_in_one_line(web: Client) -> None:
    for path in ("/api/v1/enrol", "/api/v1/leave"):
        for body in (b"", b"[]", b"\xff", b'{"token_id": 1}', b"[" * 10_000):
            answer = await web.post(path, data=body)
            assert answer.status == 400
            assert "\n" not in (await answer.json())["error"]
        assert (await web.get(path)).status == 405
