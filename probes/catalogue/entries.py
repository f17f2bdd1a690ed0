# SPDX-License-Identifier: Apache-2.0
"""From TOML tables to the values of `probes.wire.target`.

msgspec checks the types (`probes.catalogue.table`), this file what msgspec cannot say: names,
addresses, ranges, and keys that depend on each other.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from probes.catalogue import syntax
from probes.catalogue.syntax import quoted
from probes.catalogue.table import Check, Table
from probes.wire.measurement import LIVENESS, service_of
from probes.wire.protocol import PROTOCOLS, UNKNOWN, Protocol, Transport, protocol
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

RESERVED_RESOLVERS = ("system", "silent")
"""Words that an observation uses where there is no resolver's id."""
MAX_ENDPOINTS = 128
"""Endpoints of one target, the bound of the wire format."""

_PROTOCOL = r"[a-z][a-z0-9-]{0,19}"
_ID = r"[a-z0-9][a-z0-9-]{0,39}"
_UNDATED = "is missing: the date on which the fact was read or seen"
_Entry = TypeVar("_Entry")


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fact is from, when it was read, and how reliable it is."""

    source: str = ""
    verified: dt.date | None = None
    confidence: str = "high"


def _provenance(table: Table) -> Provenance:
    found = table.struct(Provenance)
    if not table.has("source"):
        table.note(table.findings.gaps, "source", "is missing")
    if found.confidence not in ("high", "low"):
        reason = f"expected high or low, got {quoted(found.confidence)}"
        table.note(table.findings.unknown, "confidence", reason)
    return found


def _source(table: Table) -> str:
    """The source of facts that should have a date but are usable without."""
    found = _provenance(table)
    if found.verified is None:
        table.note(table.findings.advice, "verified", _UNDATED)
    return found.source


TrustReader = Callable[[Table, str], str]
"""Returns the PEM text of the file that a key of a table names, empty without the key."""


def _matches(pattern: str, meaning: str) -> Check:
    """A check for words; `meaning` says in a message what is expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"expected {meaning}, got {quoted(value)}")
        return value

    return check


def _one_of(*words: str) -> Check:
    return _matches("|".join(words), " or ".join(words))


def _port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise ValueError(f"expected 1..65535, got {quoted(value)}")
    return value


def _alpn(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        syntax.text(value)
        if not value.isascii() or len(value) > 255:
            raise ValueError(f"expected 1 to 255 ASCII characters, got {quoted(value)}")
    return values


_SERVICE: Mapping[str, Check] = {"id": _matches(_ID, "1 to 40 of a-z 0-9 -")}
_TARGET: Mapping[str, Check] = {
    "id": _matches(f"{_ID}/{_ID}", "service/function"),
    "combine": _one_of(*COMBINE),
}
_ENDPOINT: Mapping[str, Check] = {
    "port": _port,
    "protocol": _matches(_PROTOCOL, "a word in small letters"),
    "host": syntax.host,
    "address": syntax.address,
    "sni": syntax.host,
    "alpn": _alpn,
    "path": syntax.path,
}
_LIVENESS: Mapping[str, Check] = {
    **_ENDPOINT,
    "host": syntax.host_or_address,
    "scope": _one_of("international", "domestic"),
    "country": _matches("[A-Z]{2}", "two capital letters"),
}
_RESOLVER: Mapping[str, Check] = {
    "id": _matches(r"[A-Za-z0-9._:+-]{1,64}", "1 to 64 letters, digits or . _ : + -"),
    "udp": syntax.address_with_port,
    "doh": syntax.https_url,
    "doh_address": syntax.address,
    "dot": syntax.address_with_port,
    "dot_name": syntax.host,
    "role": _one_of("reference", "subject"),
}
_SILENT: Mapping[str, Check] = {"address": syntax.address_with_port}
_SNI: Mapping[str, Check] = {"innocuous": syntax.host, "address": syntax.address_with_port}


def service(table: Table, trust: TrustReader) -> Service:
    """Return a service with its targets."""
    targets = tuple(target(inner, trust) for inner in table.tables("target", required=True))
    found = table.struct(Service, _SERVICE, targets=targets)
    if found.id == LIVENESS:  # the targets of the vantage's own reachability
        table.fault("id", f"{found.id} is reserved")
    for index, each in enumerate(found.targets):
        if each.id and found.id and service_of(each.id) != found.id:
            table.fault(f"target[{index}].id", f"expected {found.id}/…, got {each.id}")
    table.close()
    return found


def target(table: Table, trust: TrustReader) -> Target:
    """Return one function of a service."""
    inner = table.tables("endpoint", required=True)
    endpoints = tuple(endpoint(each, trust) for each in inner)
    found = table.struct(Target, _TARGET, endpoints=endpoints)
    if len(endpoints) > MAX_ENDPOINTS:
        table.fault("endpoint", f"{len(endpoints)} entries, at most {MAX_ENDPOINTS}")
    refuse_repeats(inner, endpoints, lambda each: each.id, "")
    table.close()
    return found


def endpoint(table: Table, trust: TrustReader) -> Endpoint:
    """Return what is dialled."""
    known = _protocol(table)
    source = msgspec.structs.asdict(_provenance(table))
    if source["verified"] is None:
        table.note(table.findings.gaps, "verified", _UNDATED)
    found = table.struct(
        Endpoint, _ENDPOINT, _defaults(known), trust=trust(table, "trust"), **source
    )
    _check_port(table, known)
    host, address = table.has("host"), table.has("address")
    if host and address:
        table.fault("address", "host or address, not both")
    elif not host and not address:
        table.fault("host", "host or address is missing")
    elif address and known.transport is Transport.NONE:
        table.fault("address", f"protocol {found.protocol} resolves a name: write host")
    elif address and known.tls and not table.has("sni"):
        table.fault("sni", f"is missing: {found.protocol} to an address needs a name to show")
    table.close()
    return found


def liveness_host(table: Table, trust: TrustReader) -> LivenessHost:
    """Return a host that shows whether the vantage is online."""
    known = _protocol(table)
    found = table.struct(
        LivenessHost,
        _LIVENESS,
        _defaults(known),
        trust=trust(table, "trust"),
        source=_source(table),
    )
    _check_port(table, known)
    if found.scope == "domestic" and not table.has("country"):
        table.fault("country", "is missing")
    if found.scope == "international" and table.has("country"):
        table.fault("country", "belongs to scope domestic")
    table.close()
    return found


def resolver(table: Table, trust: TrustReader) -> Resolver:
    """Return a resolver with at least one way to ask it."""
    found = table.struct(
        Resolver,
        _RESOLVER,
        doh_trust=trust(table, "doh_trust"),
        dot_trust=trust(table, "dot_trust"),
        source=_source(table),
    )
    if found.id in RESERVED_RESOLVERS:
        table.fault("id", f"{found.id} is reserved")
    if not table.has("udp", "doh", "dot"):
        table.fault("udp", "udp, doh or dot is missing")
    for key, needed in (("doh_address", "doh"), ("doh_trust", "doh"), ("dot_name", "dot"),
                        ("dot_trust", "dot")):  # fmt: skip
        if table.has(key) and not table.has(needed):
            table.fault(key, f"means nothing without {needed}")
    table.close()
    return found


def silent_address(table: Table) -> SilentAddress:
    """Return an address that runs no DNS."""
    found = table.struct(SilentAddress, _SILENT, source=_source(table))
    table.close()
    return found


def sni_contrast(table: Table, trust: TrustReader) -> SNIContrast:
    """Return the innocuous name and, when there is one, our reflector."""
    found = table.struct(SNIContrast, _SNI, trust=trust(table, "trust"))
    if table.has("source", "verified", "confidence"):
        _provenance(table)
    table.close()
    return found


def refuse_repeats(
    tables: Sequence[Table], entries: Iterable[_Entry], identity: Callable[[_Entry], str], key: str
) -> None:
    """Note as a fault every entry that has the identity of an earlier one."""
    first: dict[str, str] = {}
    for table, entry in zip(tables, entries, strict=True):
        name = identity(entry)
        if name in first:
            table.fault(key, f"{name} is already in {first[name]}")
        elif name:
            first[name] = table.where()


def _protocol(table: Table) -> Protocol:
    name = table.get("protocol")
    if not isinstance(name, str):
        return UNKNOWN
    if re.fullmatch(_PROTOCOL, name) and name not in PROTOCOLS:
        table.note(table.findings.unknown, "protocol", f"unknown protocol {name}, skipped")
    return protocol(name)


def _defaults(known: Protocol) -> Mapping[str, Any]:
    port = {} if known.port is None else {"port": known.port}
    return {"alpn": known.alpn, **port}


def _check_port(table: Table, known: Protocol) -> None:
    if table.get("port") == 0 and known.transport is not Transport.NONE:
        table.fault("port", "expected 1..65535, got 0")
