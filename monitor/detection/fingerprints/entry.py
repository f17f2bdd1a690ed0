# SPDX-License-Identifier: Apache-2.0
"""One fingerprint as data: what it looks like, where it counts, and who says so.

Knows nothing of files: whoever reads one makes these, and `problem` says what is wrong with one.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

SCOPES = ("isp", "nat", "prod", "inst", "vbw", "fp", "injb", "prov", "br", "")
"""As OONI and the Citizen Lab use them (blocking-fingerprints and filtering-annotations, read
2026-11-25); some rows say none."""
ACCUSING = ("isp", "nat")
"""Scopes that speak of a provider or a country. A product's page (`prod`: a family filter, an
office's firewall), an institution's, a vague word or a harmless injection accuses nobody."""
VETO = "fp"
"""Scope of what is known to be mistaken for a block page."""
LOCATIONS = ("dns", "body", "header.location", "header.server")
"""What a probe records: other headers of an answer are not looked at."""
WAYS = ("full", "prefix", "contains", "regexp")
MAX_PATTERN = 1024
LEAST_PATTERN = 4
"""A shorter text is found in pages of every kind."""
_NAME = re.compile(r"[A-Za-z0-9_.:#-]{1,120}")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A text, header or address by which something that blocks is recognised."""

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
    """Say what is wrong with a fingerprint, naming the field; None when nothing is."""
    if not _NAME.fullmatch(one.id):
        return f"name: {shown(one.id)}: letters, digits and ._:#- only, at most 120"
    if one.scope not in SCOPES:
        return f"scope: {shown(one.scope)}: must be one of {', '.join(filter(None, SCOPES))}"
    if one.how not in WAYS:
        return f"pattern_type: {shown(one.how)}: must be one of {', '.join(WAYS)}"
    if one.where not in ("dns", "body") and not one.where.startswith("header."):
        return f"location_found: {shown(one.where)}: must be dns, body or header.NAME"
    if not one.pattern:
        return "pattern: empty"
    if len(one.pattern) > MAX_PATTERN:
        return f"pattern: {len(one.pattern)} characters, at most {MAX_PATTERN}"
    bad = next((c for c in one.countries if not re.fullmatch(r"[A-Z]{2}", c)), None)
    if bad is not None:
        return f"expected_countries: {shown(bad)}: must be two capital letters"
    return None


def unusable(one: Fingerprint) -> str | None:
    """Say why a sound fingerprint cannot be matched against what probes record; else None."""
    if one.where not in LOCATIONS:
        return f"{shown(one.where)} is not recorded by probes"
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


def shown(text: str) -> str:
    """A value from outside, short and without control characters, for a line of text."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
