"""Which of OONI's flags speak of which target, and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.interop.ooni.conclusions import FUNCTIONS, conclusions, kept_run
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import TESTS, measurements
from probes.wire.measurement import Measurement
from tests.monitor.interop.samples import connect, document, query, request, targets_by_name

DC = "149.154.167.51"


def run(name: str, **keys: Any) -> list[Measurement]:
    made = document(name, **keys) | {"input": "https://web.telegram.org/"}
    return measurements(run_of(made, targets_by_name()), targets_by_name())


def telegram(**flags: Any) -> list[Measurement]:
    web = query("web.telegram.org", "149.154.167.99")
    return run("telegram", queries=[web], tcp_connect=[connect(DC, 443)], **flags)


def test_every_test_that_is_read_has_functions() -> None:
    assert set(FUNCTIONS) == set(TESTS)


def test_flags_are_found_whichever_measurement_of_the_run_keeps_them() -> None:
    made = telegram(telegram_tcp_blocking=True, telegram_web_status="ok")
    backwards = conclusions(map(kept_run, reversed(made)))
    assert [(each.function.name, each.accuses) for each in backwards] == [
        ("data centres", True),
        ("web", False),
    ]
    assert backwards[0].flags == {"telegram_tcp_blocking": True}


@pytest.mark.parametrize(
    ("flags", "accuses"),
    [
        ({"telegram_tcp_blocking": False, "telegram_http_blocking": False}, False),
        ({"telegram_tcp_blocking": False, "telegram_http_blocking": True}, True),
        ({"telegram_tcp_blocking": None, "telegram_http_blocking": False}, False),
        ({"telegram_tcp_blocking": None}, None),
        ({"telegram_tcp_blocking": ["odd"]}, None),
        ({}, None),
    ],
)
def test_any_of_the_flags_of_a_function_accuses(flags: dict[str, Any], accuses: object) -> None:
    assert conclusions(map(kept_run, telegram(**flags)))[0].accuses is accuses


@pytest.mark.parametrize(
    ("blocking", "accuses"), [(False, False), ("dns", True), ("http-diff", True), (None, None)]
)
def test_web_connectivity_names_a_layer(blocking: object, accuses: object) -> None:
    keys = {"requests": [request("https://web.telegram.org/")], "blocking": blocking}
    (site,) = conclusions(map(kept_run, run("web_connectivity", **keys, accessible=False)))
    assert site.accuses is accuses
    assert site.flags == {"blocking": blocking, "accessible": False}
    assert site.function.speaks_of("telegram/web")


def test_of_facebook_only_the_hosts_with_a_fault_are_named() -> None:
    flags = {
        "facebook_dns_blocking": True,
        "facebook_tcp_blocking": False,
        "facebook_edge_reachable": True,
        "facebook_star_dns_consistent": False,
    }
    made = run("facebook_messenger", queries=[query("star.c10r.facebook.com", DC)], **flags)
    (service,) = conclusions(map(kept_run, made))
    assert "facebook_edge_reachable" not in service.flags
    assert service.flags["facebook_star_dns_consistent"] is False


def test_a_measurement_without_a_record_is_of_no_run() -> None:
    first = telegram()[0]
    assert conclusions([]) == []
    bare = replace(first, observations=first.observations[:-1])
    assert kept_run(bare).key == ("", "", "")
