# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document of `/api/v1/`, generated from its endpoints."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

import monitor
from monitor.detection.model import State
from monitor.enrolment import EnrolBody, LeaveBody
from monitor.web import notes
from monitor.web.answers import json_answer
from monitor.web.api import delivery
from monitor.web.api import endpoints as api
from monitor.web.params import MAX_LIMIT, NAMED_SOURCES
from monitor.web.site import SITE
from probes.wire import https_delivery
from probes.wire.batch_signature import NewKey

Described = tuple[str, Mapping[str, Any]]
"""A parameter in words, and its schema."""
_FILTERS: Mapping[str, Described] = {
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
_AS_OF: Mapping[str, Described] = {
    "as_of": (
        "RFC 3339 time: what was published then, with the state and confidence of then.",
        {"type": "string"},
    )
}
_ID = {"type": "string", "pattern": "^[a-z0-9_.-]{1,90}$"}
_SOURCE: Mapping[str, Described] = {
    "source": (
        "Who measured: `own` (also `probe`, as events name it) or `ooni`.",
        {"type": "string", "enum": [*NAMED_SOURCES]},
    )
}
_EXTRA: Mapping[str, Mapping[str, Described]] = {
    "measurements": {
        **_SOURCE,
        "event": (
            "Id of an event: all measurements of its functions in its networks while it lasted.",
            {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        ),
        "state": ("Verdicts of this state.", {"type": "string", "enum": [*State]}),
        "technique": ("Verdicts that name this technique, e.g. `tls.reset.sni`.", _ID),
        "rule": ("Verdicts that this rule decided.", _ID),
        "counted": (
            "Whether they are evidence of how reachable the target is; if not, `reason` says why.",
            {"type": "string", "enum": ["yes", "no"]},
        ),
    },
    "services": _AS_OF,
    "countries": _AS_OF,
    "networks": _AS_OF,
    "events": {
        **_AS_OF,
        **_SOURCE,
        "state": (
            "Only events in this state.",
            {"type": "string", "enum": ["open", "clearing", "closed", "retracted"]},
        ),
    },
    "timeline": {
        "by": (
            "`network`: by day, in how many of the networks that were measured a confirmed event "
            "was open; needs `service` or `country`.",
            {"type": "string", "enum": ["state", "network"]},
        )
    },
}
"""Of single lists."""
_POLLED = [
    {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("country", "Where the probe is, for requests to its network."),
        ("asn", "The network, as for the country."),
        ("catalogue", "SHA-256 of the signed catalogue that the probe has: it wants another."),
    )
]
_DROPPED: Mapping[str, Any] = {
    "dropped_before": {
        "type": "string",
        "description": "Present where the list reaches back to what retention dropped: of rounds "
        "before this time only evidence of events is left.",
    }
}
"""Of the list of measurements; in CSV a header."""
_OBJECT = {"application/json": {"schema": {"type": "object"}}}
_ERROR = {
    "description": "What is wrong, in one line.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}}
        }
    },
}


def parameters_of(name: str) -> Mapping[str, Described]:
    """The parameters of one of the lists."""
    return {**_FILTERS, **_EXTRA.get(name, {})}


def parameters_of_one(path: str) -> Mapping[str, Described]:
    """The parameters of a single object, by its path."""
    return _AS_OF if path.startswith("events/") else {}


def _described(parameters: Mapping[str, Described]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "description": text, "schema": schema}
        for name, (text, schema) in parameters.items()
    ]


def describe(base: str) -> dict[str, Any]:
    """Return the document; `base` is the public URL of the site."""
    paths: dict[str, Any] = {}
    for name, endpoint in api.LISTS:
        parameters = _described(parameters_of(name))
        rows = {
            "type": "object",
            "required": [name, "next"],
            "properties": {
                name: {"type": "array", "items": {"type": "object"}},
                "next": {"type": ["string", "null"]},
                "simulated": {
                    "type": "boolean",
                    "description": "Present, and true, in the demonstration alone.",
                },
                **(_DROPPED if name == "measurements" else {}),
            },
        }
        content = {
            "application/json": {"schema": rows},
            "text/csv": {"schema": {"type": "string"}},
        }
        page = _answer("The rows, and in `next` the key of the next page or null.", content)
        paths[f"/api/v1/{name}"] = {
            "get": _operation(endpoint, parameters, {"200": page}, ("400", "503"))
        }
    for path, endpoint, digits in (
        ("events/{id}", api.one_event, 16),
        ("measurements/{id}", api.one_measurement, 32),
        ("whoami", api.whoami, 0),
        ("chain", api.chain, 0),
    ):
        found = {"200": _answer("The object.", _OBJECT)}
        moment = _described(parameters_of_one(path))
        refused = (*(("400",) if moment else ()), *(("404",) if digits else ()), "503")
        operation = _operation(endpoint, _id(digits) + moment, found, refused)
        paths[f"/api/v1/{path}"] = {"get": operation}
    for path, endpoint, kind, done, also in (
        ("events/{id}/notes", notes.from_api, notes.NoteBody, "201", ("404", "409")),
        ("enrol", api.enrol_probe, EnrolBody, "201", ("429",)),
        ("key", api.renew_key, NewKey, "200", ()),
        ("leave", api.leave, LeaveBody, "200", ()),
    ):
        found = {done: _answer("Done.", _OBJECT)}
        digits = 16 if "{id}" in path else 0
        operation = _operation(endpoint, _id(digits), found, ("400", "403", *also, "503"))
        body = {"required": True, "content": {"application/json": {"schema": _schema_of(kind)}}}
        paths[f"/api/v1/{path}"] = {"post": operation | {"requestBody": body}}
    for path, endpoint, media, parameters in (
        (https_delivery.BATCHES, delivery.batches, "application/zstd", []),
        (https_delivery.POLL, delivery.poll, "application/json", _POLLED),
    ):
        refused = ("400", "401", "404", "413", "429", "503")
        operation = _operation(endpoint, parameters, {"200": _answer("Done.", _OBJECT)}, refused)
        body = {"required": True, "content": {media: {"schema": {"type": "string"}}}}
        paths[path] = {"post": operation | {"requestBody": body}}
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


def _operation(
    endpoint: api.Endpoint,
    parameters: Sequence[Mapping[str, Any]],
    answers: Mapping[str, Any],
    errors: Iterable[str],
) -> dict[str, Any]:
    name = "write_note" if endpoint is notes.from_api else endpoint.__name__
    return {
        "operationId": name,
        "summary": inspect.getdoc(endpoint) or "",
        "parameters": parameters,
        "responses": {**answers, **dict.fromkeys(errors, _ERROR)},
    }


def _answer(text: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": content}


def _id(digits: int) -> list[dict[str, Any]]:
    """The id in a path, of so many digits; nothing without."""
    schema = {"type": "string", "pattern": f"^[0-9a-f]{{{digits}}}$"}
    return [{"name": "id", "in": "path", "required": True, "schema": schema}] if digits else []


def _schema_of(kind: type) -> dict[str, Any]:
    """The schema of a body. Python's end of a text in its patterns is not that of JSON Schema."""
    _, parts = msgspec.json.schema_components((kind,))
    text = msgspec.json.encode(parts[kind.__name__])
    return msgspec.json.decode(text.replace(rb"\\Z", b"$"), type=dict[str, Any])


async def document(request: web.Request) -> web.Response:
    """Serve the document."""
    return json_answer(describe(request.app[SITE].public_url))
