"""Which endpoints are contacted, listed and alive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from monitor.interop.ooni.drift import (
    NEWEST,
    REMARKS,
    UNLISTED,
    CatalogueDrift,
    EndpointUse,
    EveryEndpoint,
    endpoints_of,
)
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements
from probes.catalogue.load import load
from probes.wire.measurement import Measurement
from probes.wire.target import Catalogue
from tests.monitor.interop.samples import connect, document, handshake, query, request

ADDRESS, TIMEOUT = "203.0.114.9", "generic_timeout_error"
CHAT, EDGE = "chat.signal.org", "edge-mqtt.facebook.com"
CHAT_ID, EDGE_ID = f"{CHAT}:443/tls", f"{EDGE}:443/tls"


@cache
def catalogue() -> Catalogue:
    return load()


@cache
def index() -> EveryEndpoint:
    return EveryEndpoint(catalogue())


def made(
    name: str = "signal", country: str = "KE", minute: int = 0, site: str = "", **keys: Any
) -> Sequence[Measurement]:
    more = {
        "probe_cc": country,
        "input": site or None,
        "measurement_start_time": f"2026-01-01 00:{minute:02}:00",
    }
    return measurements(run_of(document(name, **keys) | more, index()), index())


def chat(failure: str | None = None, **more: Any) -> Sequence[Measurement]:
    """A run that resolves and connects, and whose handshake ends so."""
    steps = {"queries": [query(CHAT, ADDRESS)], "tcp_connect": [connect(ADDRESS, 443)]}
    return made(tls_handshakes=[handshake(CHAT, ADDRESS, failure)], **steps, **more)


def uses(*runs: Sequence[Measurement]) -> dict[str, EndpointUse]:
    drift = CatalogueDrift(catalogue())
    for run in runs:
        for measurement in run:
            drift.add(measurement, imported=True)
    return {use.endpoint: use for use in drift.uses()}


@pytest.mark.parametrize(
    ("keys", "works"),
    [
        ({"tls_handshakes": [handshake(CHAT, ADDRESS)]}, True),
        ({"tls_handshakes": [handshake(CHAT, ADDRESS, TIMEOUT)]}, False),
        ({"tls_handshakes": [handshake(CHAT, ADDRESS, "ssl_unknown_authority")]}, None),
        ({"requests": [request(f"https://{CHAT}/", "http_unexpected_status_code")]}, True),
        ({"queries": [query(CHAT, ADDRESS)]}, None),
        ({"queries": [query(CHAT, failure="dns_nxdomain_error")]}, False),
        ({"tls_handshakes": [handshake(CHAT, ADDRESS, TIMEOUT), handshake(CHAT, ADDRESS)]}, True),
    ],
    ids=["passes", "times out", "own authority", "answers", "resolves", "no name", "one of two"],
)
def test_the_last_step_says_whether_an_endpoint_works(keys: dict[str, Any], works: object) -> None:
    (only,) = made(**keys)
    assert set(endpoints_of(only).values()) == {works}


def test_a_name_is_enough_where_no_import_connects() -> None:
    (only,) = made("facebook_messenger", queries=[query("stun.fbsbx.com", ADDRESS)])
    assert endpoints_of(only) == {"stun.fbsbx.com:3478/stun": True}


def remark(*runs: Sequence[Measurement], endpoint: str = CHAT_ID) -> str:
    return uses(*runs)[endpoint].remark.id


def test_a_retired_endpoint_works_nowhere() -> None:
    gone = [chat(TIMEOUT, country=country) for country in ("KE", "UG", "BR")]
    assert remark(*gone) == "works_nowhere"
    assert remark(*gone[:2]) == "too_few"
    assert remark(*gone, chat(country="FR")) == "works_in_few"
    assert remark(*gone, *(chat(country=country) for country in ("FR", "DE", "IT"))) == "works"


def test_of_a_country_the_newest_runs_count() -> None:
    old = [chat(minute=n) for n in range(3)]
    new = [chat(TIMEOUT, minute=n) for n in range(10, 10 + NEWEST)]
    assert uses(*old, *new[1:])[CHAT_ID].whole == (1, 1)
    for order in ([*old, *new], [*new, *old]):
        use = uses(*order)[CHAT_ID]
        assert use.whole == (0, 1)
        assert use.last_worked == old[-1][0].started


def test_what_the_catalogue_lacks() -> None:
    name = "new.signal.example"
    steps = {"queries": [query(name, ADDRESS)]}
    works = made(tls_handshakes=[handshake(name, ADDRESS)], **steps)
    dies = made(tls_handshakes=[handshake(name, ADDRESS, TIMEOUT)], **steps)
    assert works[0].target == UNLISTED
    endpoint = f"{name}:443/tcp"
    assert remark(works, endpoint=endpoint) == "not_listed"
    assert remark(dies, endpoint=endpoint) == "not_listed_and_dead"
    # A former name of a target is none of its endpoints.
    former = "textsecure-service.whispersystems.org"
    found = uses(made(tls_handshakes=[handshake(former, ADDRESS)]))[f"{former}:443/https"]
    assert (found.target, found.remark.id) == ("signal/chat", "not_listed")


def test_sites_of_other_services_are_no_drift() -> None:
    steps = [request("https://t.me/"), request("https://cdn.example/")]
    assert made("web_connectivity", requests=steps) == []
    site = made("web_connectivity", site="https://t.me/", requests=steps)
    assert list(uses(site)) == ["t.me:443/https"]


def test_the_reverse_is_told_of_measured_services_alone() -> None:
    found = uses(chat())
    assert found["storage.signal.org:443/tls"].remark.id == "not_contacted"
    assert EDGE_ID not in found
    assert {use.target.partition("/")[0] for use in found.values()} == {"signal"}


def test_another_protocol_at_the_same_place_is_contacted() -> None:
    dialled = made("telegram", tcp_connect=[connect("149.154.167.51", 443)])
    found = uses(dialled)
    assert "149.154.167.51:443/mtproto" not in found
    assert "[2001:67c:4e8:f004::a]:443/mtproto" in found


def test_ours_and_theirs_are_counted_apart() -> None:
    drift = CatalogueDrift(catalogue())
    for country, failure, imported in (("KE", TIMEOUT, True), ("KE", None, False)):
        for measurement in chat(failure, country=country):
            drift.add(measurement, imported=imported)
    (use,) = (use for use in drift.uses() if use.endpoint == CHAT_ID)
    assert (use.reach(imported=True), use.reach(imported=False)) == ((0, 1), (1, 1))
    assert (use.whole, use.methods) == ((1, 1), {"signal 0.3.1"})


def test_every_endpoint_has_a_remark() -> None:
    assert REMARKS[-1].condition(EndpointUse("x:1/tcp", "x/x", listed=True))
