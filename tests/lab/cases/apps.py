"""Interference with the apps' own protocols, over TCP and over UDP, and faults that are none."""

from __future__ import annotations

from tests.lab.cases.case import Case

CHATS = ("mtproto", "whatsapp")
CALLS = ("stun",)
CASES: tuple[Case, ...] = (
    Case("app.reset", "blocked", ("app.reset",), "app.reset", CHATS),
    Case("app.timeout", "blocked", ("app.timeout",), "app.timeout", CHATS),
    Case(
        "app.page",
        "blocked",
        ("http.blockpage",),
        "http.blockpage",
        CHATS,
        evidence=("blockpage:en.blocked_by_order",),
    ),
    Case("app.foreign_everywhere", "down", ("app.control_fails_too",), None, CHATS),
    Case("app.closed_everywhere", "down", ("tcp.control_fails_too",), None, CHATS),
    Case("app.address", "blocked", ("tcp.timeout",), "tcp.timeout", CHATS),
    Case("udp.drop", "blocked", ("udp.timeout",), "udp.timeout", CALLS),
    Case("udp.closed_everywhere", "down", ("udp.control_fails_too",), None, CALLS),
    Case(
        "udp.refused",
        "inconclusive",
        ("udp.told",),
        None,
        CALLS,
        evidence=("icmp:3/13", "udp_refused"),
    ),
    Case(
        "udp.dead",
        "inconclusive",
        ("udp.no_udp_here",),
        None,
        CALLS,
        evidence=("no_udp_here",),
        everyone=True,
    ),
)
