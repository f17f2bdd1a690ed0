"""Why OONI's conclusion and our verdicts differ: each reason by a made-up run that has it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from monitor.interop.ooni.differences import REASONS, Accord, ComparedFunction, compare
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements
from tests.monitor.interop.samples import (
    DC,
    connect,
    document,
    handshake,
    query,
    request,
    targets_by_name,
)

WEB, ADDRESS = "web.telegram.org", "203.0.114.9"
URL = f"https://{WEB}/"
TIMEOUT = "generic_timeout_error"
EDGE = "edge-mqtt.facebook.com"


def functions(name: str, **keys: Any) -> list[ComparedFunction]:
    kind, url = keys.pop("network_type", "wifi"), keys.pop("url", URL)
    made = document(name, **keys) | {"annotations": {"network_type": kind}}
    run = run_of(made | {"input": url if name == "web_connectivity" else None}, targets_by_name())
    return list(compare(measurements(run, targets_by_name())))


def centres(failing: int, of: int = 3, **keys: Any) -> ComparedFunction:
    """A run at so many of Telegram's data centres."""
    tried = [connect(a, 443, TIMEOUT if n < failing else None) for n, a in enumerate(DC[:of])]
    flags = {"telegram_tcp_blocking": False, "telegram_http_blocking": False}
    return functions("telegram", **(flags | {"tcp_connect": tried} | keys))[0]


def site(**keys: Any) -> ComparedFunction:
    """A run of web_connectivity in which every step passes, but for what is given."""
    steps: dict[str, Any] = {
        "queries": [query(WEB, ADDRESS)],
        "tcp_connect": [connect(ADDRESS, 443)],
        "tls_handshakes": [handshake(WEB, ADDRESS)],
        "requests": [request(URL)],
    }
    return functions("web_connectivity", **(steps | keys))[0]


def in_clear(title: str, **keys: Any) -> ComparedFunction:
    """A visit in clear text that is answered, while OONI's helper got a page called Telegram."""
    there = {"status_code": 200, "title": "Telegram", "body_length": 9000}
    answer = request(f"http://{WEB}/", body=f"<title>{title}</title>")
    more = {"control_failure": None, "control": {"http_request": there}, "url": f"http://{WEB}/"}
    dialled = {"tcp_connect": [connect(ADDRESS, 80)], "tls_handshakes": [], "requests": [answer]}
    return site(**(dialled | more | keys))


def messenger(**keys: Any) -> ComparedFunction:
    steps = {"queries": [query(EDGE, ADDRESS)], "tcp_connect": [connect(ADDRESS, 443)]}
    return functions("facebook_messenger", **(steps | keys))[0]


def chat(failure: str | None, **keys: Any) -> ComparedFunction:
    shaken = handshake("chat.signal.org", ADDRESS, failure)
    passed = {"queries": [query("chat.signal.org", ADDRESS)]} | keys
    return functions("signal", tls_handshakes=[shaken], **passed)[0]


HELPER_FAILS = {
    "control_failure": None,
    "control": {
        "dns": {"failure": None, "addrs": [ADDRESS]},
        "tcp_connect": {f"{ADDRESS}:443": {"status": False, "failure": TIMEOUT}},
        "http_request": {"failure": TIMEOUT, "status_code": -1},
    },
}
FAILS = {
    "tcp_connect": [connect(ADDRESS, 443, TIMEOUT)],
    "tls_handshakes": [],
    "requests": [request(URL, TIMEOUT)],
}
SIX = [connect(f"2001:67c:4e8::{n}", 443, TIMEOUT) for n in (1, 2)]
CASES: dict[tuple[Accord, str], Callable[[], ComparedFunction]] = {
    (Accord.BOTH, ""): lambda: centres(3, telegram_tcp_blocking=True),
    (Accord.NEITHER, ""): lambda: centres(0),
    (Accord.OONI_ALONE, "vpn"): lambda: centres(3, telegram_tcp_blocking=True, network_type="vpn"),
    (Accord.OONI_ALONE, "down"): lambda: site(blocking="tcp_ip", **FAILS, **HELPER_FAILS),
    (Accord.OONI_ALONE, "own_certificate"): lambda: chat(
        "ssl_unknown_authority", signal_backend_status="blocked"
    ),
    (Accord.OONI_ALONE, "names_differ"): lambda: messenger(
        facebook_dns_blocking=True, facebook_tcp_blocking=False
    ),
    (Accord.OONI_ALONE, "same_page"): lambda: in_clear("Telegram", blocking="http-diff"),
    (Accord.OURS_ALONE, "other_page"): lambda: in_clear("Contenu bloque", blocking=False),
    (Accord.OONI_ALONE, "page_differs"): lambda: site(blocking="http-diff"),
    (Accord.OONI_ALONE, "answered"): lambda: functions(
        "whatsapp",
        requests=[request("https://web.whatsapp.com/", code=400)],
        whatsapp_web_status="blocked",
        whatsapp_web_failure="http_unexpected_status_code",
    )[0],
    (Accord.OONI_ALONE, "few_endpoints"): lambda: centres(1, telegram_tcp_blocking=True),
    (Accord.OONI_ALONE, "only_ipv6"): lambda: site(
        blocking="tcp_ip",
        queries=[query(WEB, ADDRESS, "2001:67c:4e8::1", "2001:67c:4e8::2")],
        tcp_connect=[connect(ADDRESS, 443), *SIX],
    ),
    (Accord.OONI_ALONE, "other_address"): lambda: site(
        blocking="tcp_ip",
        queries=[query(WEB, ADDRESS, "203.0.114.10")],
        tcp_connect=[connect(ADDRESS, 443), connect("203.0.114.10", 443, TIMEOUT)],
    ),
    (Accord.OONI_ALONE, "elsewhere"): lambda: chat(
        None,
        signal_backend_status="blocked",
        queries=[query("chat.signal.org", ADDRESS), query("uptime.signal.org", failure=TIMEOUT)],
    ),
    (Accord.OONI_ALONE, "insufficient"): lambda: centres(
        0, tcp_connect=[connect(DC[0], 443, "network_unreachable")], telegram_tcp_blocking=True
    ),
    (Accord.OURS_ALONE, "half_failed"): lambda: centres(2),
    (Accord.OURS_ALONE, "resolver"): lambda: messenger(
        queries=[query(EDGE, failure="dns_nxdomain_error")],
        tcp_connect=[],
        facebook_dns_blocking=False,
    ),
    (Accord.OURS_ALONE, "secure_step"): lambda: site(
        blocking=False,
        tls_handshakes=[handshake(WEB, ADDRESS, "connection_reset")],
        requests=[request(URL, "connection_reset")],
    ),
    (Accord.OURS_ALONE, "other_address"): lambda: site(blocking=False, **FAILS),
    (Accord.NO_FLAG, "not_kept"): lambda: functions("telegram", tcp_connect=[connect(DC[0], 443)])[
        0
    ],
    (Accord.NO_FLAG, "no_conclusion"): lambda: site(blocking=None),
}


@pytest.mark.parametrize(("agreement", "reason"), CASES)
def test_each_difference_has_its_reason(agreement: Accord, reason: str) -> None:
    compared = CASES[agreement, reason]()
    found = compared.reason.id if compared.reason else ""
    assert (compared.agreement, found) == (agreement, reason)


def test_no_reason_is_without_its_case() -> None:
    known = {(how, reason.id) for how, reasons in REASONS.items() for reason in reasons}
    missing = known - CASES.keys()
    assert {reason for _, reason in missing} == {"unexplained"}


def test_a_function_that_was_not_measured_is_not_compared() -> None:
    (only,) = functions(
        "telegram", tcp_connect=[connect(DC[0], 443)], telegram_web_status="blocked"
    )
    assert only.conclusion.function.name == "data centres"
