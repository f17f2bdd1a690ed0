"""Harmless ways in which networks, machines and services fail, or look as if they did.

Two of them are no network's doing and still not nothing: a service that answers 451 to a country by
its own certificate says itself that the law has it blocked there, and a filter in the house is told
from one at the ISP by other vantages alone. Both carry evidence that says so.
"""

from __future__ import annotations

from tests.lab.cases.case import ANY, TLS, WORKS, Case

HOUSE = "10.1.0.1"
"""A box in the volunteer's house, which answers questions there."""
CHANCE = (
    *WORKS,
    "tls.repeat_valid",
    *(f"{layer}.background" for layer in ("dns", "tcp", "tls", "http")),
    "dns.resolver_limits",
    "http.unclear",
)
"""What may be said where connections or lookups die at random."""
CASES: tuple[Case, ...] = (
    Case(
        "benign.clock",
        "inconclusive",
        ("vantage.clock_wrong",),
        None,
        evidence=("clock_wrong",),
        clock="-12y",
        everyone=True,
    ),
    Case(
        "benign.limits",
        "inconclusive",
        ("dns.resolver_limits",),
        None,
        ANY,
        evidence=("resolver_limits",),
        everyone=True,
    ),
    Case(
        "benign.authority",
        "inconclusive",
        ("dns.authority_differs",),
        None,
        ANY,
        evidence=("by_authority",),
    ),
    Case(
        "benign.forbidden_there",
        "ok",
        ("http.served_otherwise",),
        None,
        ("https",),
        evidence=("by_service",),
    ),
    Case(
        "benign.law_there",
        "blocked",
        ("http.451",),
        "http.451",
        ("https",),
        evidence=("by_service",),
    ),
    Case(
        "benign.house_filter",
        "blocked",
        ("dns.bogon",),
        "dns.injection.bogon",
        ANY,
        evidence=("lying_resolver", "local_resolver"),
        resolver=HOUSE,
    ),
    Case("benign.edition", "ok", ("http.same_answer",), None, ("http",)),
    Case(
        "benign.hush",
        "inconclusive",
        ("dns.resolver_limits",),
        None,
        ANY,
        evidence=("resolver_limits",),
        everyone=True,
    ),
    Case(
        "benign.flows",
        "ok",
        CHANCE,
        None,
        ANY,
        or_state="inconclusive",
        everyone=True,
    ),
    Case(
        "benign.outage",
        "vantage_offline",
        ("vantage.went_offline",),
        None,
        ANY,
        evidence=("went_offline",),
        or_bystander="inconclusive",
        everyone=True,
    ),
    Case("benign.denials", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case(
        "benign.udp_limit",
        "inconclusive",
        ("udp.at_times",),
        None,
        ("stun",),
        evidence=("udp_at_times",),
    ),
    Case("benign.stale_resolver", "ok", WORKS, None, ANY),
    Case("benign.balancer", "ok", WORKS, None, ANY, evidence=("transient",)),
    Case("benign.hangs_up", "down", ("http.control_fails_too",), None, ("https",)),
    Case(
        "benign.hangs_up_there",
        "inconclusive",
        ("http.unclear",),
        None,
        ("https",),
        evidence=("transfer_died",),
    ),
    Case("benign.slow_resolver", "ok", WORKS, None, ANY, everyone=True),
    Case("benign.truncated", "ok", WORKS, None, ANY),
    Case("benign.no_aaaa", "ok", WORKS, None, ANY, everyone=True),
    Case(
        "benign.search_page", "down", ("tls.control_fails_too", "tcp.control_fails_too"), None, ANY
    ),
    Case("benign.dns_portal", "vantage_offline", ("vantage.offline",), None, ANY, everyone=True),
    Case("benign.guesses", "ok", WORKS, None, ANY),
    Case("benign.stall", "ok", WORKS, None, ANY),
    Case("benign.radio", "ok", WORKS, None, ANY, everyone=True),
    Case("benign.slow_inspection", "ok", WORKS, None, TLS),
    Case("benign.syn_limit", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case("benign.lossy", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case("benign.v6_lossy", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case("benign.far", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case("benign.resets", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case("benign.flaky_resolver", "ok", CHANCE, None, ANY, or_state="inconclusive", everyone=True),
    Case(
        "benign.mtu_hole",
        "inconclusive",
        ("tls.large_answer",),
        None,
        TLS,
        evidence=("large_answer",),
    ),
    Case("benign.accelerator", "down", ("tls.control_fails_too",), None, TLS),
    Case(
        "benign.full_table",
        "inconclusive",
        ("tcp.background",),
        None,
        ANY,
        evidence=("background_fails",),
    ),
    Case(
        "benign.swamped",
        "inconclusive",
        ("tcp.background",),
        evidence=("background_fails",),
        several="all_of",
    ),
    Case(
        "benign.overload",
        "inconclusive",
        # The second on a machine so busy that the innocuous name had to be asked again as well.
        ("dns.background", "dns.resolver_limits"),
        None,
        ANY,
        everyone=True,
    ),
    Case(
        "benign.handshakes",
        "inconclusive",
        ("tls.background",),
        None,
        TLS,
        evidence=("background_fails",),
    ),
    Case("benign.closed_v6", "ok", WORKS, None, TLS),
    Case(
        "benign.old_replica",
        "inconclusive",
        ("tls.dates",),
        None,
        TLS,
        geographic=True,
        evidence=("certificate_dates",),
    ),
    *(
        Case(
            f"benign.near_{how}",
            "inconclusive",
            (technique,),
            technique,
            geographic=True,
            evidence=("unseen_address",),
        )
        for how, technique in (("closed", "tcp.reset"), ("silent", "tcp.timeout"))
    ),
    Case(
        "benign.near_broken",
        "inconclusive",
        ("tls.reset.untold",),
        None,
        geographic=True,
        evidence=("residual_possible", "unseen_address"),
    ),
    Case(
        "benign.moved",
        "inconclusive",
        ("tcp.reset",),
        "tcp.reset",
        evidence=("unseen_address",),
    ),
    Case("benign.broken_v6", "ok", WORKS, None, TLS),
    Case("benign.closed_replica", "ok", WORKS, None, TLS),
    Case("benign.dead_address", "ok", ("tls.certificate_valid",), None, several="all_of"),
    Case("benign.strict", "ok", WORKS, None, TLS),
    Case(
        "benign.large_hello",
        "ok",
        ("tls.large_hello", *WORKS),
        None,
        TLS,
        evidence=("large_hello",),
    ),
)
