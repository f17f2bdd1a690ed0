# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document of `/api/v1/`, generated from its endpoints."""

from __future__ import annotations

from typing import Any

from aiohttp import web

import monitor
from monitor.web.answers import json_answer
from monitor.web.api import endpoints as api
from monitor.web.api.params import MAX_LIMIT
from monitor.web.pages import notes
from monitor.web.site import SITE

_FILTERS = {
    "service": ("Id of a service, e.g. `wechat`.", {"type": "string"}),
    "target": ("Id of a target, e.g. `wechat/messaging`.", {"type": "string"}),
    "country": ("ISO 3166-1 alpha-2 code.", {"type": "string", "pattern": "^[A-Za-z]{2}$"}),
    "asn": ("Number of the network.", {"type": "string", "pattern": "^(AS)?[0-9]{1,10}$"}),
    "since": (
        "RFC 3339 time, date, or how long ago (`24h`). Events count when they were open at some "
        "time from then on, measurements when their round is not earlier.",
        {"type": "string"},
    ),
    "until": ("As `since`, and not included.", {"type": "string"}),
    "format": ("`json` or `csv`.", {"type": "string", "enum": ["json", "csv"]}),
    "limit": ("Rows a page.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
    "after": ("`next` of the page before.", {"type": "string"}),
}


def describe(base: str) -> dict[str, Any]:
    """Return the document; `base` is the public URL of the site."""
    error = {
        "description": "What is wrong, in one line.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "string"}}}
            }
        },
    }
    paths: dict[str, Any] = {}
    for name, endpoint in api.LISTS:
        paths[f"/api/v1/{name}"] = {
            "get": {
                "operationId": name,
                "summary": (endpoint.__doc__ or "").strip(),
                "parameters": [_parameter(n) for n in _FILTERS] + _EXTRA.get(name, []),
                "responses": {
                    "200": {
                        "description": "The rows, and in `next` the key of the next page or null.",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": [name, "next"],
                                    "properties": {
                                        name: {"type": "array", "items": {"type": "object"}},
                                        "next": {"type": ["string", "null"]},
                                    },
                                }
                            },
                            "text/csv": {"schema": {"type": "string"}},
                        },
                    },
                    "400": error,
                    "503": error,
                },
            }
        }
    for path, endpoint in (
        ("/api/v1/events/{id}", api.one_event),
        ("/api/v1/measurements/{id}", api.one_measurement),
        ("/api/v1/whoami", api.whoami),
    ):
        digits = 16 if "events" in path else 32
        parameters = [_id(digits)]
        paths[path] = {
            "get": {
                "operationId": endpoint.__name__,
                "summary": (endpoint.__doc__ or "").strip(),
                "parameters": parameters if "{id}" in path else [],
                "responses": {
                    "200": {
                        "description": "The object.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **({"404": error} if "{id}" in path else {}),
                    "503": error,
                },
            }
        }
    for path, endpoint, done in (
        ("/api/v1/events/{id}/notes", notes.from_api, "201"),
        ("/api/v1/enrol", api.enrol_probe, "201"),
        ("/api/v1/leave", api.leave, "200"),
    ):
        body = {"application/json": {"schema": {"type": "object"}}}
        paths[path] = {
            "post": {
                "operationId": ("write_note" if "{id}" in path else endpoint.__name__),
                "summary": (endpoint.__doc__ or "").strip(),
                "parameters": [_id(16)] if "{id}" in path else [],
                "requestBody": {"required": True, "content": body},
                "responses": {
                    done: {"description": "Done.", "content": body},
                    "400": error,
                    "403": error,
                    **({"404": error, "409": error} if "{id}" in path else {}),
                    "503": error,
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reachwatch",
            "version": monitor.__version__,
            "description": "Which messaging services are blocked, in which network, since when, "
            "how, and how sure we are.",
        },
        "servers": [{"url": base}],
        "paths": paths,
    }


def _id(digits: int) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^[0-9a-f]{{{digits}}}$"}
    return {"name": "id", "in": "path", "required": True, "schema": schema}


def _parameter(name: str) -> dict[str, Any]:
    text, schema = _FILTERS[name]
    return {"name": name, "in": "query", "description": text, "schema": schema}


_STATE = {
    "name": "state",
    "in": "query",
    "description": "Only events in this state.",
    "schema": {"type": "string", "enum": ["open", "clearing", "closed", "retracted"]},
}


_BY = {
    "name": "by",
    "in": "query",
    "description": "`network`: by day, in how many of the networks that were measured a confirmed "
    "event was open; needs `service` or `country`.",
    "schema": {"type": "string", "enum": ["state", "network"]},
}
_EXTRA: dict[str, list[dict[str, Any]]] = {"events": [_STATE], "timeline": [_BY]}


async def document(request: web.Request) -> web.Response:
    """Serve the document."""
    return json_answer(describe(request.app[SITE].public_url))
