# SPDX-License-Identifier: Apache-2.0
"""From TOML tables to the values of `probes.wire.target`.

One function for each kind of entry. What is wrong goes to the table's findings, so that one
pass serves both the probe, which stops at the first fault, and the linter, which lists all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from probes.catalogue import names
from probes.catalogue.fields import Table
from probes.wire.protocol import PROTOCOLS, Protocol, Transport, protocol
from probes.wire.target import (
    COMBINE,
    Endpoint,
    LivenessHost,
    Resolver,
    Service,
    SilentAddress,
    SNIContrast,
    Target,
)

RESERVED_SERVICES = ("liveness",)
"""`liveness/…` are the targets of the vantage's own reachability."""
RESERVED_RESOLVERS = ("system", "silent")
"""Words that an observation uses in place of a resolver's id."""
MAX_ENDPOINTS = 128
"""Endpoints of one target, the bound of the wire format."""

_ID = r"[a-z0-9][a-z0-9-]{0,39}"
_ID_MEANING = "1 to 40 of a-z 0-9 -"
_TOKEN = r"[A-Za-z0-9._:+-]{1,64}"

TrustReader = Callable[[Table, str], str]
"""Returns the PEM text of the file that a key of a table names, empty without the key."""
_Entry = TypeVar("_Entry")


def service(table: Table, trust: TrustReader) -> Service:
    """Return a service with its targets."""
    found = Service(
        id=table.word("id", _ID, _ID_MEANING),
        name=table.text("name"),
        targets=tuple(target(inner, trust) for inner in table.tables("target", at_least=1)),
    )
    if found.id in RESERVED_SERVICES:
        table.fault("id", f"{found.id} is reserved")
    for index, each in enumerate(found.targets):
        if each.id and found.id and each.id.partition("/")[0] != found.id:
            table.fault(f"target[{index}].id", f"expected {found.id}/…, got {each.id}")
    table.close()
    return found


def target(table: Table, trust: TrustReader) -> Target:
    """Return one function of a service."""
    inner = table.tables("endpoint", at_least=1)
    found = Target(
        id=table.word("id", f"{_ID}/{_ID}", "service/function"),
        combine=table.choice("combine", COMBINE, "any_of"),
        endpoints=tuple(endpoint(each, trust) for each in inner),
    )
    if len(found.endpoints) > MAX_ENDPOINTS:
        table.fault("endpoint", f"{len(found.endpoints)} entries, at most {MAX_ENDPOINTS}")
    refuse_repeats(inner, found.endpoints, lambda each: each.id, "")
    table.close()
    return found


def endpoint(table: Table, trust: TrustReader) -> Endpoint:
    """Return what is dialled."""
    name, known = _protocol(table)
    resolved = known.transport is Transport.NONE
    host, address = table.has("host"), table.has("address")
    if host and address:
        table.fault("address", "host or address, not both")
    elif not host and not address:
        table.fault("host", "host or address is missing")
    elif address and resolved:
        table.fault("address", f"protocol {name} resolves a name: write host")
    elif address and known.tls and not table.has("sni"):
        table.fault("sni", f"is missing: {name} to an address needs a name to show")
    source, verified, confidence = _provenance(table)
    if verified is None:
        table.gap("verified", "is missing: the date on which the fact was read or seen")
    found = Endpoint(
        host=table.text("host", "", names.host),
        address=table.text("address", "", names.address),
        port=table.port(default=known.port, lowest=0 if resolved else 1),
        protocol=name,
        sni=table.text("sni", "", names.host),
        alpn=table.texts("alpn", _alpn),
        path=table.text("path", "/", names.path),
        trust=trust(table, "trust"),
        source=source,
        verified=verified,
        confidence=confidence,
    )
    table.close()
    return found


def resolver(table: Table, trust: TrustReader) -> Resolver:
    """Return a resolver with at least one way to ask it."""
    if not any(table.has(key) for key in ("udp", "doh", "dot")):
        table.fault("udp", "udp, doh or dot is missing")
    for needs, needed in (("doh_address", "doh"), ("doh_trust", "doh"), ("dot_name", "dot"),
                          ("dot_trust", "dot")):  # fmt: skip
        if table.has(needs) and not table.has(needed):
            table.fault(needs, f"means nothing without {needed}")
    found = Resolver(
        id=table.word("id", _TOKEN, "1 to 64 letters, digits or . _ : + -"),
        udp=table.text("udp", "", names.address_with_port),
        doh=table.text("doh", "", names.https_url),
        doh_address=table.text("doh_address", "", names.address),
        doh_trust=trust(table, "doh_trust"),
        dot=table.text("dot", "", names.address_with_port),
        dot_name=table.text("dot_name", "", names.host),
        dot_trust=trust(table, "dot_trust"),
        role=table.choice("role", ("reference", "subject"), "reference"),
        source=_dated_source(table),
    )
    if found.id in RESERVED_RESOLVERS:
        table.fault("id", f"{found.id} is reserved")
    table.close()
    return found


def silent_address(table: Table) -> SilentAddress:
    """Return an address that runs no DNS."""
    found = SilentAddress(
        address=table.text("address", None, names.address_with_port), source=_dated_source(table)
    )
    table.close()
    return found


def liveness_host(table: Table, trust: TrustReader) -> LivenessHost:
    """Return a host that tells whether the vantage is online."""
    name, known = _protocol(table)
    scope = table.choice("scope", ("international", "domestic"))
    country = ""
    if scope == "domestic":
        country = table.word("country", r"[A-Z]{2}", "two capital letters")
    elif table.has("country"):
        table.fault("country", "belongs to scope domestic")
    found = LivenessHost(
        host=table.text("host", None, names.host_or_address),
        port=table.port(default=known.port),
        protocol=name,
        scope=scope,
        country=country,
        trust=trust(table, "trust"),
        path=table.text("path", "/", names.path),
        source=_dated_source(table),
    )
    table.close()
    return found


def sni_contrast(table: Table, trust: TrustReader) -> SNIContrast:
    """Return the harmless name and, when there is one, our reflector."""
    found = SNIContrast(
        innocuous=table.text("innocuous", "", names.host),
        address=table.text("address", "", names.address_with_port),
        trust=trust(table, "trust"),
    )
    if table.has("source") or table.has("verified") or table.has("confidence"):
        _provenance(table)
    table.close()
    return found


def refuse_repeats(
    tables: list[Table], entries: tuple[_Entry, ...], identity: Callable[[_Entry], str], key: str
) -> None:
    """Note as a fault every entry whose identity an earlier one has."""
    first: dict[str, Table] = {}
    for table, entry in zip(tables, entries, strict=True):
        name = identity(entry)
        if name in first:
            table.fault(key, f"{name} is already in {first[name].where()}")
        elif name:
            first[name] = table


def _protocol(table: Table) -> tuple[str, Protocol]:
    name = table.word("protocol", r"[a-z][a-z0-9-]{0,19}", "a word in small letters")
    if name and name not in PROTOCOLS:
        table.unknown("protocol", f"unknown protocol {name}, skipped")
    return name, protocol(name)


def _provenance(table: Table) -> tuple[str, dt.date | None, str]:
    """Where a fact is from, when it was read, how far it is believed."""
    source = table.text("source", "")
    if not table.has("source"):
        table.gap("source", "is missing")
    confidence = table.text("confidence", "high")
    if confidence not in ("high", "low"):
        table.unknown("confidence", f"expected high or low, got {names.shown(confidence)}")
    return source, table.date("verified"), confidence


def _dated_source(table: Table) -> str:
    source, verified, _ = _provenance(table)
    if verified is None:
        table.advise("verified", "is missing: the date on which the fact was read or seen")
    return source


def _alpn(value: str) -> str:
    names.text(value)
    if not value.isascii() or len(value) > 255:
        raise ValueError(f"expected 1 to 255 ASCII characters, got {names.shown(value)}")
    return value
