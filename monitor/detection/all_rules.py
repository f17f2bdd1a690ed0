# SPDX-License-Identifier: Apache-2.0
"""Judgement as data: ordered tuples of rules, one a layer; the first that matches decides.

A new rule is one entry of a tuple. `RULES_VERSION` is raised with every change that can alter a
verdict, and travels with every event.
"""

from __future__ import annotations

from typing import Any

from monitor.detection.layers.app import APP_RULES
from monitor.detection.layers.dns import DNS_RULES
from monitor.detection.layers.http import HTTP_RULES
from monitor.detection.layers.imported_run import IMPORT_RULES
from monitor.detection.layers.quic import QUIC_RULES
from monitor.detection.layers.tcp import TCP_RULES
from monitor.detection.layers.throttle import THROTTLE_RULES
from monitor.detection.layers.tls import TLS_RULES
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.rule import Rule
from monitor.detection.vantage_rules import VANTAGE_RULES

RULES_VERSION = "1"
ALL_RULES: tuple[Rule[Any], ...] = (
    *VANTAGE_RULES,
    *DNS_RULES,
    *TCP_RULES,
    *TLS_RULES,
    *THROTTLE_RULES,
    *QUIC_RULES,
    *UDP_RULES,
    *HTTP_RULES,
    *APP_RULES,
)
"""Every rule, for pages that explain one and for the laws in the tests."""


def rules_version(fingerprints: str = "") -> str:
    """Return what travels with an event: the version of the rules and, when any were loaded, of
    the fingerprints that were judged with, e.g. `4+fp.9f86d081884c`."""
    return f"{RULES_VERSION}+fp.{fingerprints}" if fingerprints else RULES_VERSION


def rule_named(id: str) -> Rule[Any] | None:
    """Return the rule with an id, for explaining a verdict in words; None for an unknown id."""
    return next((rule for rule in (*ALL_RULES, *IMPORT_RULES) if rule.id == id), None)
