"""The vantage's own trouble."""

from __future__ import annotations

from tests.lab.cases.case import ANY, GONE, TLS, WORKS, Case

CASES: tuple[Case, ...] = (
    Case("uplink_dead", "vantage_offline", GONE, None, ANY, everyone=True),
    Case("resolver_dead", "vantage_offline", GONE, None, ANY, everyone=True),
    Case("v6_broken", "ok", WORKS, None, ANY, everyone=True),
    Case("slow", "ok", WORKS, None, ANY, everyone=True),
    Case("loss", "ok", WORKS, None, ANY, everyone=True),
    Case("portal", "vantage_offline", ("vantage.captive_portal",), None, TLS, everyone=True),
    Case("interception", "inconclusive", ("vantage.tls_interception",), None, everyone=True),
    Case("allow_list", "inconclusive", ("vantage.allow_list_network",), None, everyone=True),
)
