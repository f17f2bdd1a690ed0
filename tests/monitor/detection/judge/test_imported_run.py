"""One imported run judged: half of the endpoints, IPv6, Android, forged answers, old roots."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.judge.imported_run import ALONE, CONTRADICTED, judge
from monitor.detection.model import Layer, State, Technique, Verdict
from monitor.detection.observed.imported_run import SitePage, record_of
from probes.wire.measurement import EndpointRef, Measurement, Vantage
from probes.wire.observation import (
    AnyObservation,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    PageShape,
    TCPConnect,
)
from tests.monitor.detection.imported_runs import (
    ADDRESSES,
    SITE,
    connect,
    dc,
    dial,
    fetch,
    handshake,
    lookup,
    measurement,
    of_site,
    pages,
    record,
    spoken,
)

GOOD = "203.0.114.99"


def web(*seen: AnyObservation) -> Verdict:
    return judge(measurement(seen, target="telegram/web"))


@pytest.mark.parametrize("failed", range(7))
def test_half_of_the_endpoints_and_not_all_of_them(failed: int) -> None:
    verdict = judge(measurement(dc(failed)))
    assert verdict.state is (State.INCONCLUSIVE if failed >= 3 else State.OK)
    assert (verdict.endpoints.total, verdict.endpoints.failed) == (6, failed)
    if failed >= 3:
        assert (verdict.layer, verdict.technique) == (Layer.TCP, Technique.TCP_TIMEOUT)
        assert verdict.rule == "imported.tcp_timeout"
        assert verdict.evidence == ("no_control",)
    elif failed:
        assert verdict.evidence == ("some_failed",)


def test_nothing_seen_is_not_enough() -> None:
    assert judge(measurement([])).state is State.INSUFFICIENT
    assert judge(measurement([record(3)])).state is State.INSUFFICIENT


def test_connects_that_pass_and_exchanges_that_die_are_the_apps() -> None:
    seen = [connect(ADDRESSES[0]), *(spoken(a, "generic_timeout_error") for a in ADDRESSES)]
    verdict = judge(measurement(seen))
    assert (verdict.layer, verdict.technique) == (Layer.APP, Technique.APP_TIMEOUT)
    assert judge(measurement([spoken(a) for a in ADDRESSES])).state is State.OK


def test_networks_without_ipv6_do_not_fail_for_it() -> None:
    six = [dial("2001:67c:4e8:f004::9", "network_unreachable")]
    assert web(lookup(GOOD), dial(GOOD), *six).state is State.OK
    only_six = web(lookup("2001:67c:4e8:f004::9"), *six)
    assert only_six.state is State.INSUFFICIENT


def test_ipv6_counts_where_some_of_it_works() -> None:
    seen = [
        TCPConnect(endpoint=f"[2a0{n}::1]:1/tcp", address=f"2a0{n}::1", port=1, failure=failure)
        for n, failure in enumerate(("eof_error", "eof_error", None))
    ]
    assert judge(measurement(seen)).state is State.INCONCLUSIVE


def test_an_address_that_no_service_can_have_is_forged() -> None:
    verdict = web(
        lookup("192.168.7.222"), dial("192.168.7.222", "generic_timeout_error"), fetch("x")
    )
    assert verdict.technique is Technique.DNS_INJECTION_BOGON
    # The server of a block page may have such an address, and a device connects to itself.
    for forged in ("192.168.7.222", "0.0.0.0", "127.0.0.1", "::"):
        assert web(lookup(forged), dial(forged)).technique is Technique.DNS_INJECTION_BOGON
    assert web(lookup("10.0.0.7"), dial("10.0.0.7"), handshake("10.0.0.7")).state is State.OK
    assert web(lookup("192.168.7.222", GOOD), dial(GOOD, "eof_error")).layer is Layer.TCP


@pytest.mark.parametrize(
    ("failure", "technique", "rule"),
    [
        ("dns_nxdomain_error", Technique.DNS_NXDOMAIN, "imported.dns_nxdomain"),
        ("dns_refused_error", Technique.DNS_REFUSED, "imported.dns_dns_refused"),
        ("generic_timeout_error", Technique.DNS_TIMEOUT, "imported.dns_timeout"),
        ("android_dns_cache_no_data", None, "imported.dns_no_word"),
        ("dns_server_misbehaving", Technique.DNS_SERVFAIL, "imported.dns_servfail"),
        ("dns_bogon_error", Technique.DNS_INJECTION_BOGON, "imported.dns_bogon"),
        ("dns_reply_with_wrong_query_id", None, "imported.unclear"),
    ],
)
def test_what_a_resolver_says(failure: str, technique: Technique | None, rule: str) -> None:
    verdict = web(lookup(failure=failure), fetch(failure))
    assert (verdict.layer, verdict.technique, verdict.rule) == (Layer.DNS, technique, rule)


OTHER = "203.0.114.98"
"""An address that the system's resolver does not give."""


def test_another_resolvers_answer_that_works_proves_that_the_systems_fails() -> None:
    failed = web(lookup(failure="dns_nxdomain_error"), dial(OTHER), handshake(OTHER))
    assert (failed.layer, failed.technique) == (Layer.DNS, Technique.DNS_NXDOMAIN)
    assert failed.rule == "imported.dns_nxdomain_contradicted"
    assert CONTRADICTED in failed.evidence
    alone = web(lookup(failure="dns_nxdomain_error"), fetch("dns_nxdomain_error"))
    assert alone.findings[-1].weight < failed.findings[-1].weight
    assert CONTRADICTED not in alone.evidence
    # Where TCP alone connects, nothing proves whose address it is.
    assert web(lookup(failure="dns_nxdomain_error"), dial(OTHER)).rule == "imported.dns_nxdomain"


def test_connections_to_other_addresses_are_not_the_apps() -> None:
    other = (dial(OTHER), handshake(OTHER))
    lied = web(lookup(GOOD), dial(GOOD), handshake(GOOD, "ssl_invalid_hostname"), *other)
    assert (lied.technique, lied.rule) == (Technique.DNS_INJECTION_OTHER, "imported.dns_foreign")
    dead = web(lookup(GOOD), dial(GOOD, "generic_timeout_error"), *other)
    assert dead.technique is Technique.TCP_TIMEOUT
    works = web(lookup(GOOD), dial(GOOD), handshake(GOOD), dial(OTHER, "connection_reset"))
    assert works.state is State.OK


@pytest.mark.parametrize(
    ("failure", "technique"),
    [
        ("connection_reset", Technique.TLS_RESET_OTHER),
        ("generic_timeout_error", Technique.TLS_TIMEOUT_OTHER),
        ("eof_error", Technique.TLS_EOF_OTHER),
        ("ssl_unknown_authority", Technique.TLS_MITM_CA_SIGNED),
    ],
)
def test_handshakes(failure: str, technique: Technique) -> None:
    verdict = web(lookup(GOOD), dial(GOOD), handshake(GOOD, failure), fetch(failure))
    assert (verdict.layer, verdict.technique) == (Layer.TLS, technique)
    assert [(f.layer, f.blocked) for f in verdict.findings] == [
        (Layer.DNS, False),
        (Layer.TCP, False),
        (Layer.TLS, True),
    ]


def test_a_request_over_tls_without_a_handshake_died_in_it() -> None:
    assert web(fetch("generic_timeout_error")).layer is Layer.TLS
    assert web(dial(GOOD), handshake(GOOD), fetch("generic_timeout_error")).layer is Layer.HTTP


def test_a_service_with_an_authority_of_its_own_is_not_accused_by_old_roots() -> None:
    seen = (lookup(GOOD), dial(GOOD), handshake(GOOD, "ssl_unknown_authority"))
    told = record(3, own_authority=True)
    assert web(*seen, fetch("ssl_unknown_authority"), told).state is State.INSUFFICIENT
    reset = (lookup(GOOD), dial(GOOD), handshake(GOOD, "connection_reset"), told)
    assert web(*reset).technique is Technique.TLS_RESET_OTHER


def test_the_devices_own_troubles_say_nothing() -> None:
    assert judge(measurement(dc(6, "network_down"))).state is State.INSUFFICIENT
    assert web(dial(GOOD, "permission_denied")).state is State.INSUFFICIENT


def test_old_words_are_understood() -> None:
    assert judge(measurement(dc(6, "connection_refused_error"))).technique is Technique.TCP_REFUSED


def test_a_run_without_any_answer_is_marked() -> None:
    assert ALONE in judge(measurement([*dc(6), record(0)])).evidence
    assert ALONE not in judge(measurement([*dc(6), record(1)])).evidence
    assert ALONE not in judge(measurement(dc(6))).evidence
    assert record_of([record(2)]).passed == 2


def test_a_name_that_is_only_resolved() -> None:
    def stun(*seen: AnyObservation) -> State:
        return judge(
            Measurement(
                v=1,
                id="0" * 32,
                probe="p-" + "0" * 16,
                target="messenger/calls",
                round=0,
                started=0,
                vantage=Vantage(country="KE", asn=1),
                endpoints=(EndpointRef(id="web.example.net:443/https", protocol="stun", host="h"),),
                observations=seen,
            )
        ).state

    # Meta's caches inside an operator's network have other addresses than elsewhere.
    assert stun(lookup("198.41.0.4")) is State.OK
    assert stun(lookup(failure="dns_nxdomain_error")) is State.INCONCLUSIVE
    assert web(lookup(GOOD)).state is State.INSUFFICIENT


def test_what_leaves_from_a_relay_says_nothing_of_that_network() -> None:
    for failed in (0, 6):
        verdict = judge(measurement(dc(failed), asn=13335))
        assert (verdict.state, verdict.rule) == (State.INSUFFICIENT, "imported.vpn")


NOTICE = SitePage(host=SITE, via=GOOD, status=200, title="Contenu bloque", shape=PageShape(size=9))
THEIRS = SitePage(status=200, title="Messenger", shape=PageShape(size=50_000))


def visit(
    shown: SitePage | None, theirs: SitePage | None, address: str = GOOD, *more: AnyObservation
) -> Verdict:
    """A visit of a site in clear text, whose page came from this address."""
    return judge(
        measurement([*more, *of_site(address, **pages(shown, theirs))], target="viber/site")
    )


def test_another_page_than_the_helpers_accuses_nobody_by_itself() -> None:
    verdict = visit(NOTICE, THEIRS)
    assert (verdict.state, verdict.rule) == (State.INCONCLUSIVE, "imported.http_differs")
    assert verdict.technique == "http.blockpage"
    assert verdict.evidence == ("helper_reaches", "page_differs")
    assert verdict.page.startswith("title ")
    away = visit(replace(NOTICE, host="notice.operator.net"), THEIRS)
    assert (away.technique, away.page) == ("http.redirect", "host notice.operator.net")
    law = visit(replace(NOTICE, status=451), THEIRS)
    assert (law.technique, law.rule) == ("http.451", "imported.http_451")


def test_a_known_block_page_behind_a_redirect() -> None:
    verdict = visit(replace(NOTICE, host="warning.rt.ru", proven=True), THEIRS)
    assert (verdict.state, verdict.rule) == (State.BLOCKED, "imported.http_blockpage")
    assert verdict.page == ""


def test_the_same_page_and_none_to_compare() -> None:
    same = visit(replace(NOTICE, title="Messenger"), THEIRS)
    assert (same.state, same.page) == (State.OK, "same_page")
    for unknown in (visit(None, THEIRS), visit(NOTICE, None)):
        assert (unknown.state, unknown.page) == (State.OK, "")


def test_a_page_from_an_address_that_the_system_did_not_give() -> None:
    """The app does not go there."""
    answers = DNSLookup(
        endpoint=f"{SITE}:80/http",
        name=SITE,
        qtype="ANY",
        resolver="system",
        replies=(DNSReply(after_us=0, rcode=0, answers=(ADDRESSES[0],)),),
    )
    right = HTTPExchange(
        endpoint=f"{SITE}:80/http", address=ADDRESSES[0], port=80, host=SITE, status=200
    )
    assert visit(NOTICE, THEIRS, GOOD, answers, right).state is State.OK
    assert visit(replace(NOTICE, via=ADDRESSES[0]), THEIRS, GOOD, answers, right).page
