"""The OpenAPI document is what the running application does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.store.days import PRUNED
from monitor.web.api import endpoints as api
from monitor.web.api.openapi import describe
from monitor.web.app import make_app
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import CONFIRMED, Client, client

DOCUMENT = describe("https://reach.example")
METHODS = ("get", "post")


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    ]


def test_its_shape_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert DOCUMENT["servers"] == [{"url": "https://reach.example"}]
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations():
        assert path.startswith("/api/v1/")
        assert method in METHODS
        assert operation["summary"]
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d", status)
            assert response["description"]
            for content in response["content"].values():
                assert content["schema"]["type"] in ("object", "string")
        names = re.findall(r"\{(\w+)\}", path)
        inside = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
        assert names == inside
        for parameter in operation.get("parameters", []):
            assert parameter["in"] in ("path", "query")
            assert parameter["schema"]["type"] in ("string", "integer")
            assert parameter["in"] == "query" or parameter["required"]


def test_bodies_have_schemas_that_any_validator_can_read() -> None:
    bodies = {
        path: content["schema"]
        for path, _, operation in operations()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if content["schema"].get("properties")
    }
    required = {path.rpartition("/")[2]: schema["required"] for path, schema in bodies.items()}
    assert required == {
        "notes": ["text"],
        "enrol": ["token_id", "secret"],
        "key": ["probe", "secret", "public_key", "signature"],
        "leave": ["probe", "secret"],
    }
    assert "\\\\Z" not in json.dumps(bodies)
    assert "$ref" not in json.dumps(bodies)


async def test_it_names_every_route_of_the_api_and_no_other(site: Site) -> None:
    routes = {
        (route.method.lower(), re.sub(r"\{(\w+):.*?\}$", r"{\1}", route.resource.canonical))
        for route in make_app(site).router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/")
    }
    routes = {(method, path) for method, path in routes if method != "head"}
    described = {(method, path) for path, method, _ in operations()}
    assert routes - described == {("get", "/api/v1/openapi.json")}
    assert described <= routes


async def test_what_was_dropped_is_documented_where_it_is_told(site: Site) -> None:
    await site.database.conclusions.set_cursor(PRUNED, world.NOW)
    async with client(site) as web:
        for name, _endpoint in api.LISTS:
            (media,) = [
                operation["responses"]["200"]["content"]["application/json"]
                for path, _, operation in operations()
                if path == f"/api/v1/{name}"
            ]
            body = await (await web.get(f"/api/v1/{name}")).json()
            assert set(body) <= set(media["schema"]["properties"]), name
            assert ("dropped_before" in body) == (name == "measurements")


async def test_the_application_answers_as_documented(web: Client) -> None:
    document = await (await web.get("/api/v1/openapi.json")).json()
    assert document == DOCUMENT
    ids = {"/api/v1/events/{id}": world.CONFIRMED}
    for path, method, operation in operations():
        if method == "post":
            answer = await web.post(path, data=b"{}")
        else:
            id = ids.get(path, world.events()[0].witnesses[0])
            answer = await web.get(path.replace("{id}", id))
            assert answer.status == 200
        assert str(answer.status) in operation["responses"]
        content = operation["responses"][str(answer.status)]["content"]
        assert answer.content_type in content
        body = await answer.json()
        schema = content["application/json"]["schema"]
        assert isinstance(body, dict)
        assert set(schema.get("required", [])) <= set(body)


@pytest.mark.parametrize(("path", "operation"), [(p, o) for p, m, o in operations() if m == "get"])
async def test_every_described_parameter_is_understood(
    web: Client, path: str, operation: dict[str, Any]
) -> None:
    good = {
        "service": "wechat", "target": "wechat/web", "country": "RU", "asn": "AS64501",
        "since": "24h", "until": "2030-01-01", "format": "json", "limit": "5", "after": "",
        "state": "open", "as_of": "2027-01-15T10:00:09Z",
        "by": "state", "event": CONFIRMED,
        "technique": "tls.reset.sni", "rule": "tls.ok", "counted": "no", "source": "own",
    }  # fmt: skip
    if path == "/api/v1/measurements":
        good["state"] = "blocked"
    query = {p["name"]: good[p["name"]] for p in operation["parameters"] if p["in"] == "query"}
    if query:
        address = path.replace("{id}", CONFIRMED)
        assert (await web.get(address, params=query)).status == 200
        wrong = {"limit": "none"} if "limit" in query else {"as_of": "none"}
        assert (await web.get(address, params=query | wrong)).status == 400


@given(st.from_regex(r"\A(AS)?[0-9]{1,10}\Z"))
def test_the_pattern_of_networks_is_the_one_in_use(text: str) -> None:
    (asn,) = [p for p in DOCUMENT["paths"]["/api/v1/events"]["get"]["parameters"]
              if p["name"] == "asn"]  # fmt: skip
    assert re.search(asn["schema"]["pattern"], text)
    assert dict(api.LISTS)
