# SPDX-License-Identifier: Apache-2.0
"""The data dictionary of the wire format, generated from the types and their docstrings.

`reachwatch schema --markdown docs/dictionary` writes it, a page for each group of types.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from probes.wire import codec, measurement, observation
from probes.wire.codec import Ack, BatchHeader, FailingWay, Status
from probes.wire.measurement import EndpointRef, Measurement, Software, Vantage
from probes.wire.observation import (
    AppExchange,
    Certificate,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Observation,
    PageHead,
    PageShape,
    PathHop,
    PathTrace,
    Progress,
    QUICHandshake,
    TCPConnect,
    TitleShape,
    TLSHandshake,
    Transfer,
)


class TypePage(NamedTuple):
    """A group of types that are described on one page."""

    title: str
    about: str
    types: tuple[type, ...]


PAGES: Mapping[str, TypePage] = {
    "measurement.md": TypePage(
        "Measurement",
        "What every measurement and every observation in it has. A measurement is one JSON line. "
        "Fields with their default value are omitted.",
        (
            *(Measurement, Vantage, Software, EndpointRef, Observation),
            *(measurement.Role, observation.Purpose, observation.Contrast),
        ),
    ),
    "connections.md": TypePage(
        "Lookups, connections and handshakes",
        "The observations of the steps that set up a connection.",
        (DNSLookup, DNSReply, TCPConnect, TLSHandshake, QUICHandshake, Certificate),
    ),
    "exchanges.md": TypePage(
        "Exchanges, transfers and paths",
        "The observations of the steps that use a connection, and of the path to it.",
        (
            *(HTTPExchange, PageShape, TitleShape, Transfer, Progress),
            *(AppExchange, PageHead, PathTrace, PathHop),
        ),
    ),
    "delivery.md": TypePage(
        "Delivery",
        "What probe and monitor tell each other over MQTT beside measurements.",
        (BatchHeader, Ack, Status, FailingWay),
    ),
}
_PAGE_OF = {kind.__name__: name for name, page in PAGES.items() for kind in page.types}
_MEANINGS = {
    "purpose": "Why the step was taken.",
    "contrast": "The change, if the purpose is `contrast`.",
    "address": "Address that the step was sent to.",
    "port": "Port that the step was sent to.",
    "sni": "Server name in the ClientHello.",
    "alpn": "Application protocol that was negotiated (ALPN); null if none was.",
    "errno": "Error number of the operating system, if any.",
    "sent_bytes": "Bytes sent.",
    "received_bytes": "Bytes received.",
    "icmp_type": "As in `TCPConnect`.",
    "icmp_code": "Code of the ICMP error.",
    "icmp_from": "As in `TCPConnect`.",
    "v": "Version of the format.",
}
"""Of fields that several types share and that have no description of their own."""


def pages() -> Mapping[str, str]:
    """The dictionary as Markdown, by name of the page."""
    return {name: "\n".join(_lines(page)).rstrip() + "\n" for name, page in PAGES.items()}


def _lines(page: TypePage) -> Iterator[str]:
    yield f"# {page.title}\n\n{page.about} Generated from `probes/wire/`."
    for kind in page.types:
        yield f"\n## {kind.__name__}\n\n{_words(kind)}\n"
        if issubclass(kind, msgspec.Struct):
            yield from _struct(kind)
        else:
            yield from _enumeration(kind)


def _struct(struct: type[msgspec.Struct]) -> Iterator[str]:
    general = Observation.__struct_fields__ if struct in observation.KNOWN else ()
    if general:
        yield f"In addition to the fields of {_link('Observation')}:\n"
    yield "| field | type | default | meaning |\n|---|---|---|---|"
    meanings = {**_MEANINGS, **field_meanings(struct)}
    for name, kind, default in _fields(struct):
        if name not in general:
            yield f"| `{name}` | {kind} | {default} | {_cell(meanings, name)} |"


def _enumeration(words: type) -> Iterator[str]:
    yield "| value | meaning |\n|---|---|"
    meanings = field_meanings(words)
    assert issubclass(words, StrEnum)
    yield from (f"| `{word.value}` | {_cell(meanings, word.name)} |" for word in words)


def _words(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    # The envelope is a Measurement whose observations need no tagged union.
    described = codec.Undecoded if struct is Measurement else struct
    components = msgspec.json.schema_components((described,))[1]
    shown = components[described.__name__].get("properties", {})
    for field in msgspec.structs.fields(struct):
        entry = shown.get(field.name, {})
        kinds = [_kind(part) for part in entry.get("anyOf", [entry])]
        default = "required" if field.required else f"`{_default_text(field.default)}`"
        yield field.name, " or ".join(dict.fromkeys(kinds)), default


def _kind(entry: dict[str, Any]) -> str:
    name = str(entry.get("$ref", "")).rpartition("/")[2]
    if name:
        return _link(name)
    kind = str(entry.get("type", "any"))
    return f"array of {_kind(entry['items'])}" if "items" in entry else kind


def _link(name: str) -> str:
    return f"[{name}]({_PAGE_OF[name]}#{name.lower()})"


def _default_text(default: object) -> str:
    if isinstance(default, msgspec.Struct):
        return "{}"
    if default == ():
        return "[]"
    return msgspec.json.encode(default).decode()


@functools.cache
def field_meanings(kind: type) -> Mapping[str, str]:
    """The string after each field of a class, on one line."""
    found: dict[str, str] = {}
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def _cell(meanings: Mapping[str, str], name: str) -> str:
    return meanings.get(name, "").replace("|", "\\|")
