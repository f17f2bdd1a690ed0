"""Whole runs of web_connectivity, as versions 0.4 and 0.5 write them, and what is judged from them.

The runs are made up. Each case has one fault; everything else works.
"""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.imported_run import judge
from monitor.detection.model import Verdict
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements
from tests.monitor.interop.samples import (
    connect,
    document,
    handshake,
    query,
    request,
    targets_by_name,
)

NAME, URL = "web.telegram.org", "https://web.telegram.org/"
TRUE, FALSE = "203.0.114.9", "198.41.0.66"
"""The service's address, and somebody else's."""


def helper(
    tls: bool = True,
    tcp: bool = True,
    http: bool = True,
    dns: str | None = None,
    version: str = "0.5",
    seen: tuple[str, ...] = (TRUE,),
    refused: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The helper's answer; `refused`: addresses of the run that cannot complete TLS there."""

    def status(works: bool, failure: str) -> dict[str, Any]:
        return {"status": works, "failure": None if works else failure}

    answer: dict[str, Any] = {
        "dns": {"failure": dns, "addrs": [] if dns else list(seen)},
        "tcp_connect": {f"{a}:443": status(tcp, "connection_refused_error") for a in seen},
        "http_request": {
            "failure": None if http else "unknown_error",
            "status_code": 200 if http else -1,
        },
    }
    if version == "0.5":
        answer["tls_handshake"] = {
            **{f"{a}:443": status(tls, "ssl_invalid_certificate") for a in seen},
            **{f"{a}:443": status(False, "ssl_invalid_hostname") for a in refused},
        }
    return answer


def judged(version: str = "0.5", control: dict[str, Any] | None = None, **keys: Any) -> Verdict:
    told = document(
        "web_connectivity",
        control=helper(version=version) if control is None else control,
        control_failure=None,
        **keys,
    ) | {"input": URL, "test_version": f"{version}.28"}
    (one,) = measurements(run_of(told, targets_by_name()), targets_by_name())
    return judge(one)


def udp(*answers: str, failure: str | None = None) -> dict[str, Any]:
    return query(NAME, *answers, failure=failure, engine="udp", resolver_address="8.8.4.4:53")


def doh(*answers: str) -> dict[str, Any]:
    return query(NAME, *answers, engine="doh", resolver_address="https://dns.example/dns-query")


def system(*answers: str, failure: str | None = None) -> dict[str, Any]:
    return query(NAME, *answers, failure=failure, engine="getaddrinfo", query_type="ANY")


def works(address: str) -> dict[str, Any]:
    """Version 0.5 tries every address, whoever named it."""
    return {
        "tcp_connect": [connect(address, 443)],
        "tls_handshakes": [handshake(NAME, address)],
        "requests": [request(URL) | {"address": f"{address}:443"}],
    }


def short(verdict: Verdict) -> tuple[str, str | None, str]:
    return str(verdict.state), verdict.technique, verdict.rule


def test_a_run_in_which_all_works() -> None:
    verdict = judged(queries=[system(TRUE), udp(TRUE), doh(TRUE)], **works(TRUE))
    assert short(verdict) == ("ok", None, "imported.works")


@pytest.mark.parametrize(
    ("failure", "technique", "rule"),
    [
        ("dns_nxdomain_error", "dns.nxdomain", "imported.dns_nxdomain_contradicted"),
        ("dns_refused_error", "dns.refused", "imported.dns_dns_refused_contradicted"),
        ("dns_servfail_error", "dns.servfail", "imported.dns_servfail_contradicted"),
        ("dns_server_misbehaving", "dns.servfail", "imported.dns_servfail_contradicted"),
        ("dns_no_answer", "dns.empty", "imported.dns_empty_contradicted"),
        ("generic_timeout_error", "dns.timeout", "imported.dns_timeout_contradicted"),
        ("android_dns_cache_no_data", None, "imported.dns_no_word_contradicted"),
    ],
)
def test_the_systems_resolver_fails_and_another_ones_answer_passes_tls(
    failure: str, technique: str | None, rule: str
) -> None:
    for others in ([udp(TRUE)], [doh(TRUE)], []):  # without others, the helper gave the address
        verdict = judged(queries=[system(failure=failure), *others], **works(TRUE))
        assert short(verdict) == ("blocked", technique, rule)
        assert verdict.evidence == ("answer_contradicted", "helper_reaches")
        assert verdict.findings[-1].weight >= 2_000_000


def test_the_systems_resolver_gives_somebody_elses_address() -> None:
    lied = works(TRUE)
    lied["tcp_connect"].append(connect(FALSE, 443))
    lied["tls_handshakes"].append(handshake(NAME, FALSE, "ssl_invalid_hostname"))
    verdict = judged(queries=[system(FALSE), udp(TRUE)], **lied)
    assert short(verdict) == ("blocked", "dns.injection.other", "imported.dns_foreign")


def test_an_address_that_the_helper_cannot_complete_tls_with_is_not_the_services() -> None:
    dead = {"tcp_connect": [connect(FALSE, 443, "generic_timeout_error")]}
    verdict = judged(control=helper(refused=(FALSE,)), queries=[system(FALSE)], **dead)
    assert short(verdict) == ("blocked", "dns.injection.other", "imported.dns_foreign")
    # Without its word the address may be the service's, and cut off.
    assert judged(queries=[system(FALSE)], **dead).technique == "tcp.timeout"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("forged", ["0.0.0.0", "127.0.0.1", "10.10.34.35", "::"])
def test_a_forged_address_is_forged_whatever_connects_to_it(version: str, forged: str) -> None:
    verdict = judged(
        version,
        queries=[system(forged)],
        tcp_connect=[connect(forged, 443)],
        requests=[request(URL, "connection_reset")],
    )
    assert short(verdict) == ("blocked", "dns.injection.bogon", "imported.dns_bogon")


def test_a_private_address_that_the_helper_sees_too_is_the_sites_own() -> None:
    own = query(NAME, "10.1.2.3", failure="dns_bogon_error")
    verdict = judged(
        control=helper(seen=("10.1.2.3",), tcp=False, http=False, tls=False),
        queries=[own],
        tcp_connect=[connect("10.1.2.3", 443, "generic_timeout_error")],
    )
    assert short(verdict) == ("down", None, "imported.down")
    assert judged(queries=[own]).technique == "dns.injection.bogon"


def test_the_path_to_the_systems_answer_counts_not_that_to_anothers() -> None:
    cut = works("203.0.114.10")
    cut["tcp_connect"].append(connect(TRUE, 443))
    cut["tls_handshakes"].append(handshake(NAME, TRUE, "connection_reset"))
    verdict = judged(queries=[system(TRUE), udp("203.0.114.10")], **cut)
    assert short(verdict) == ("blocked", "tls.reset.other", "imported.tls_reset")


@pytest.mark.parametrize(
    ("version", "control", "keys"),
    [
        ("0.4", {"tcp": False, "http": False}, "tcp_connect"),
        ("0.5", {"tcp": False, "tls": False, "http": False}, "tcp_connect"),
        ("0.4", {"http": False}, "tls_handshakes"),
        ("0.5", {"tls": False, "http": False}, "tls_handshakes"),
        ("0.4", {"http": False}, "requests"),
        ("0.5", {"http": False}, "requests"),
    ],
)
def test_what_fails_for_the_helper_too_is_the_sites_fault(
    version: str, control: dict[str, bool], keys: str
) -> None:
    failed = {
        "tcp_connect": [connect(TRUE, 443, "connection_refused" if keys == "tcp_connect" else None)]
    }
    if keys == "tls_handshakes":
        failed[keys] = [handshake(NAME, TRUE, "ssl_invalid_certificate")]
    if keys == "requests":
        failed[keys] = [request(URL, "eof_error")]
    told = {"queries": [system(TRUE)], **failed}
    broken = judged(version, helper(version=version, **control), **told)
    assert short(broken) == ("down", None, "imported.down")
    assert judged(version, **told).state != "down"


def test_a_name_that_nobody_resolves_is_the_sites_fault() -> None:
    told = {"queries": [system(failure="dns_nxdomain_error")]}
    gone = helper(dns="dns_name_error", http=False, seen=())
    assert short(judged(control=gone, **told)) == ("down", None, "imported.down")
    assert judged(**told).rule == "imported.dns_nxdomain"


def test_without_the_helper_nothing_is_called_blocked() -> None:
    told = document(
        "web_connectivity",
        queries=[system(failure="dns_nxdomain_error"), udp(TRUE)],
        **works(TRUE),
        control={},
        control_failure="generic_timeout_error",
    ) | {"input": URL}
    (one,) = measurements(run_of(told, targets_by_name()), targets_by_name())
    verdict = judge(one)
    assert (verdict.state, verdict.technique) == ("inconclusive", "dns.nxdomain")
    assert verdict.evidence == ("answer_contradicted", "no_control")


def test_a_run_over_a_vpn_does_not_speak_for_the_network() -> None:
    told = document("telegram", queries=[system(failure="dns_nxdomain_error")])
    told["annotations"]["network_type"] = "vpn"
    (one,) = measurements(run_of(told, targets_by_name()), targets_by_name())
    assert short(judge(one)) == ("insufficient", None, "imported.vpn")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_resolver_that_answers_for_a_name_that_does_not_exist_reaches_no_service(
    version: str,
) -> None:
    """Its page is neither the service's nor a block's, unless it is known as one."""
    nowhere = helper(http=False, dns="dns_nxdomain_error", seen=(), version=version)
    for answer, state in ((FALSE, "down"), ("0.0.0.0", "inconclusive")):
        found = judged(
            version,
            nowhere,
            queries=[system(answer)],
            tcp_connect=[connect(answer, 443)],
            requests=[request(URL, "ssl_invalid_hostname")],
        )
        assert found.state == state, answer
