"""Everyday networks that are strict, poor or odd for everybody. In none of them is a service
blocked; where every connection suffers, some may not work."""

from __future__ import annotations

from tests.lab.cases.benign import CHANCE
from tests.lab.cases.case import ANY, TLS, WORKS, Case


def _works(how: str, protocols: tuple[str, ...] = ANY) -> Case:
    """Everything works all the same."""
    return Case(f"everyday.{how}", "ok", WORKS, None, protocols, everyone=True)


def _may_work(how: str, *rules: str, protocols: tuple[str, ...] = ANY) -> Case:
    """Chance, or the network, decides what works."""
    return Case(
        f"everyday.{how}",
        "ok",
        (*CHANCE, *rules),
        None,
        protocols,
        or_state="inconclusive",
        everyone=True,
    )


CASES: tuple[Case, ...] = (
    *(
        Case(
            f"everyday.hotspot_{how}",
            "inconclusive",
            (
                *("tls.any_name", "http.any_name", "http.any_host"),
                *("tls.background", "http.background"),
            ),
            None,
            ANY,
            everyone=True,
        )
        for how in ("resets", "drops", "closes")
    ),
    Case(
        "everyday.listed_only",
        "inconclusive",
        ("tcp.port_shut",),
        None,
        ANY,
        evidence=("port_shut",),
        by_round=True,
        everyone=True,
    ),
    Case(
        "everyday.listed_udp",
        "inconclusive",
        ("udp.only_listed", "udp.told"),
        None,
        ("stun",),
        by_round=True,
        everyone=True,
    ),
    Case(
        "everyday.no_tls13",
        "inconclusive",
        ("tls.any_host",),
        None,
        TLS,
        evidence=("any_host",),
    ),
    _works("dns_redirect"),
    _works("own_resolver_only"),
    _works("upper_case"),
    _works("no_edns"),
    Case(
        "everyday.clock_behind",
        "inconclusive",
        ("vantage.clock_wrong",),
        None,
        TLS,
        evidence=("clock_wrong",),
        clock="-9y",
        everyone=True,
    ),
    Case(
        "everyday.small_packets",
        "vantage_offline",
        ("vantage.offline", *WORKS, "tls.large_hello"),
        None,
        ANY,
        or_state="ok",
        or_bystander="vantage_offline",
        everyone=True,
    ),
    _may_work("v6_small_packets"),
    _may_work("v6_only"),
    _may_work("crawl"),
    _may_work("shaped_plan"),
    _may_work("satellite"),
    _may_work("blackouts"),
    _may_work("reorder"),
    _may_work("connection_limit"),
    _may_work("host_limit"),
    _may_work("loss"),
    _may_work("bursts"),
    _may_work("roams"),
    *(
        Case(
            f"everyday.{how}",
            "ok",
            (*CHANCE, "vantage.went_offline", "vantage.offline"),
            None,
            ANY,
            or_state="vantage_offline",
            or_bystander="inconclusive",
            everyone=True,
        )
        for how in ("flaps", "reset_spells")
    ),
    Case(
        "everyday.logs_out",
        "vantage_offline",
        (
            *("vantage.captive_portal", "vantage.went_offline"),
            *("tls.http_any_host", "http.any_host"),
            *CHANCE,
        ),
        None,
        ANY,
        or_state="inconclusive",
        everyone=True,
    ),
)
