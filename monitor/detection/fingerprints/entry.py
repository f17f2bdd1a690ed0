# SPDX-License-Identifier: Apache-2.0
"""One fingerprint as data: its pattern, the countries where it counts, and its source.

Files are read elsewhere; `problem` says what is wrong with an entry.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

SCOPES = ("isp", "nat", "prod", "inst", "vbw", "fp", "injb", "prov", "br", "")
"""The scopes of OONI and the Citizen Lab (blocking-fingerprints and filtering-annotations, read
2026-11-25); some rows have none."""
ACCUSING = ("isp", "nat")
"""Scopes of a provider or a country. A page of a product (`prod`: a family filter, an office
firewall) or of an institution, a vague text or a harmless injection does not accuse."""
VETO = "fp"
"""Scope of known false positives."""
LOCATIONS = ("dns", "body", "header.location", "header.server")
"""The parts of an answer that a probe records."""
WAYS = ("full", "prefix", "contains", "regexp")
MAX_PATTERN = 1024
LEAST_PATTERN = 4
"""A shorter text occurs in pages of every kind."""
_NAME = re.compile(r"[A-Za-z0-9_.:#-]{1,120}")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A text, header or address that identifies a block."""

    id: str
    scope: str = ""
    where: str
    """One of LOCATIONS."""
    how: str
    """One of WAYS."""
    pattern: str
    countries: tuple[str, ...] = ()
    """Where it counts, sorted; empty: everywhere."""
    source: str = ""


def problem(one: Fingerprint) -> str | None:
    """Return what is wrong with a fingerprint, with the field's name; None when it is valid."""
    if not _NAME.fullmatch(one.id):
        return f"name: {printable(one.id)}: letters, digits and ._:#- only, at most 120"
    if one.scope not in SCOPES:
        return f"scope: {printable(one.scope)}: must be one of {', '.join(filter(None, SCOPES))}"
    if one.how not in WAYS:
        return f"pattern_type: {printable(one.how)}: must be one of {', '.join(WAYS)}"
    if one.where not in ("dns", "body") and not one.where.startswith("header."):
        return f"location_found: {printable(one.where)}: must be dns, body or header.NAME"
    if not one.pattern:
        return "pattern: empty"
    if len(one.pattern) > MAX_PATTERN:
        return f"pattern: {len(one.pattern)} characters, at most {MAX_PATTERN}"
    bad = next((c for c in one.countries if not re.fullmatch(r"[A-Z]{2}", c)), None)
    if bad is not None:
        return f"expected_countries: {printable(bad)}: must be two capital letters"
    return None


def unusable(one: Fingerprint) -> str | None:
    """Return why a valid fingerprint cannot match anything that probes record; else None."""
    if one.where not in LOCATIONS:
        return f"{printable(one.where)} is not recorded by probes"
    if one.where == "dns":
        if one.how != "full":
            return "DNS answers are compared whole"
        if address_of(one.pattern) is None and name_of(one.pattern) is None:
            return "neither an address nor a host name"
    elif one.how != "full" and len(one.pattern.strip()) < LEAST_PATTERN:
        return f"shorter than {LEAST_PATTERN} characters"
    return None


def address_of(text: str) -> str | None:
    """Return an address in the form that probes report (RFC 5952); None when it is none."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return None


def name_of(text: str) -> str | None:
    """Return a host name in the form in which names are compared; None when it is none."""
    name = text.strip().lower().rstrip(".")
    return name if len(name) <= 253 and _HOST.fullmatch(name) else None


def printable(text: str) -> str:
    """A value of unknown origin, shortened and without control characters."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
