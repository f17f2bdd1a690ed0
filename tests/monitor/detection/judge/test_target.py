"""The judge by tables: each row is what a probe saw, and what may be said of it."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.all_rules import rule_named
from monitor.detection.judge.target import judge
from monitor.detection.model import Layer, Share, State, Technique, Verdict
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import LIVENESS_HOST, AnyObservation, Certificate, Contrast
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    BELOW,
    BESIDE,
    DNS,
    FORGED,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    REPEAT,
    SILENT,
    TCP,
    TLS,
    V6,
    alive,
    contrast,
    control,
    dns,
    endpoint,
    foreign,
    http,
    measured,
    reference,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import (
    BLOCKED,
    CONTROL_DNS,
    CONTROL_TCP,
    FORGED_TLS,
    GOOD_DNS,
    HANDSHAKE,
    OK,
    OK_TCP,
    RESET,
    TIMEOUT,
    both,
    liveness_with,
    pages_at_hosts,
    verdict,
)
from tests.monitor.detection.throttle_scenes import THROTTLED


def test_every_technique_has_its_row() -> None:
    throttled = {technique for technique, _, _ in THROTTLED.values()}
    assert set(BLOCKED) | throttled == set(Technique)


@pytest.mark.parametrize("technique", list(BLOCKED))
def test_blocked(technique: Technique) -> None:
    seen, given = BLOCKED[technique]
    said = verdict(*seen, **given)
    assert (said.state, said.technique) == (State.BLOCKED, technique)
    assert said.layer == technique.partition(".")[0]
    assert said.endpoints == Share(1, 1)
    rule = rule_named(said.rule)
    assert rule is not None
    assert rule.technique is technique
    deepest = said.findings[-1]
    assert deepest.blocked
    assert (deepest.rule, deepest.weight) == (said.rule, rule.weight)
    assert deepest.weight > 0


@pytest.mark.parametrize("technique", list(BLOCKED))
def test_without_a_control_it_is_named_and_not_accused(technique: Technique) -> None:
    seen, given = BLOCKED[technique]
    said = verdict(*seen, **{**given, "beside": []})
    assert said.state is State.INCONCLUSIVE
    assert said.layer == technique.partition(".")[0]
    assert said.technique is technique
    assert "no_control" in said.evidence
    assert not any(finding.blocked for finding in said.findings)


@pytest.mark.parametrize("technique", list(BLOCKED))
def test_an_offline_control_does_not_count(technique: Technique) -> None:
    seen, given = BLOCKED[technique]
    online = given.get("beside", [control()])[0][0]
    for liveness in ([], alive(international=(False, False, True))):
        said = verdict(*seen, **{**given, "beside": [(online, liveness)]})
        assert said.state is State.INCONCLUSIVE
        assert "no_control" in said.evidence


@pytest.mark.parametrize("technique", list(BLOCKED))
def test_what_fails_alike_from_the_control_is_not_blocked(technique: Technique) -> None:
    seen, given = BLOCKED[technique]
    same = control(*seen, endpoints=given.get("endpoints", (TLS,)))
    said = verdict(*seen, **{**given, "beside": [same]})
    if technique.startswith("dns.injection") or technique in (
        Technique.HTTP_BLOCKPAGE,
        Technique.HTTP_REDIRECT,
        Technique.HTTP_451,
    ):
        assert said.state in (State.OK, State.DOWN, State.INSUFFICIENT)
    else:
        assert said.state is State.DOWN
    assert not any(finding.blocked for finding in said.findings)


@pytest.mark.parametrize(
    ("liveness", "state", "remark"),
    [
        (alive(international=(False, False, True)), State.VANTAGE_OFFLINE, None),
        (
            alive(international=(False, False), domestic=(True, True)),
            State.INCONCLUSIVE,
            "allow_list_network",
        ),
        (alive(international=(False,), domestic=(False,)), State.VANTAGE_OFFLINE, None),
        (
            alive(international=(False,), names_answer=False),
            State.VANTAGE_OFFLINE,
            "resolver_dead",
        ),
        ([], State.INCONCLUSIVE, "no_liveness"),
        (alive(clock_offset_ms=7_200_000), State.INCONCLUSIVE, "clock_wrong"),
    ],
)
@pytest.mark.parametrize("technique", list(BLOCKED))
def test_vantages_that_cannot_accuse(
    technique: Technique, liveness: list[Measurement], state: State, remark: str | None
) -> None:
    seen, given = BLOCKED[technique]
    said = verdict(*seen, **{**given, "liveness": liveness})
    assert said.state is state
    assert remark is None or remark in said.evidence
    assert not any(finding.blocked for finding in said.findings)
    if remark != "no_liveness":
        assert (said.layer, said.technique) == (None, None)
        assert said.rule.startswith("vantage.")


def test_intercepted_liveness_is_not_blocking() -> None:
    hosts = [endpoint("tls", f"l{n}.example") for n in (1, 2)]
    shown = [o for h in hosts for o in (tcp("14.0.0.1", at=h), foreign("14.0.0.1", at=h))]
    said = verdict(
        GOOD_DNS, *OK_TCP, foreign(A1), foreign(A2), liveness=liveness_with(shown, at=hosts)
    )
    assert said.state is State.INCONCLUSIVE
    assert said.evidence == ("tls_interception",)


def test_a_clock_outside_all_certificates_is_not_blocking() -> None:
    hosts = [endpoint("tls", f"l{n}.example") for n in (1, 2)]
    shown = [o for h in hosts for o in (tcp("14.0.0.1", at=h), foreign("14.0.0.1", 9, at=h))]
    said = verdict(
        GOOD_DNS, *OK_TCP, foreign(A1, 9), foreign(A2, 9), liveness=liveness_with(shown, at=hosts)
    )
    assert said.state is State.INCONCLUSIVE
    assert "clock_wrong" in said.evidence


def test_a_captive_portal_is_offline() -> None:
    hosts = [endpoint("http", "l1.example", 80), endpoint("tls", "l2.example")]
    shown = [
        http("14.0.0.1", at=hosts[0], status=302, location="http://login.hotel.net/"),
        tls("14.0.0.2", HANDSHAKE, at=hosts[1], plain_http=True),
    ]
    seen = both(HANDSHAKE, plain_http=True)
    said = verdict(*seen, liveness=liveness_with(shown, at=hosts))
    assert said.state is State.VANTAGE_OFFLINE
    assert said.evidence == ("captive_portal",)


@pytest.mark.parametrize("case", list(OK))
def test_ok(case: str) -> None:
    seen, given, remarks = OK[case]
    said = verdict(*seen, **given)
    assert said.state is State.OK, said
    assert (said.layer, said.technique) == (None, None)
    assert remarks <= set(said.evidence)
    assert not any(finding.blocked for finding in said.findings)
    assert said.findings


def test_empty_is_insufficient() -> None:
    said = judge(measured(endpoints=()), [], [])
    assert (said.state, said.endpoints) == (State.INSUFFICIENT, Share(0, 0))
    assert judge(measured(), alive(), [control()]).state is State.INSUFFICIENT
    assert judge(measured(GOOD_DNS, *OK_TCP), alive(), [control()]).state is State.INSUFFICIENT


def test_what_is_down_for_the_control_is_down_whatever_is_known_of_the_vantage() -> None:
    seen = (GOOD_DNS, tcp(A1, Failure.TIMEOUT), tcp(A2, Failure.TIMEOUT))
    said = verdict(*seen, liveness=[], beside=[control(*seen)])
    assert said.state is State.DOWN


def test_down_when_the_control_fails_alike() -> None:
    expired = (GOOD_DNS, *OK_TCP, foreign(A1, 10), foreign(A2, 10))
    said = verdict(*expired, beside=[control(*expired)])
    assert (said.state, said.technique) == (State.DOWN, None)
    assert said.rule == "tls.control_fails_too"


def test_a_control_that_fails_in_another_way_leaves_it_open() -> None:
    said = verdict(
        *both(RESET), tls(A1, **INNOCUOUS), beside=[control(GOOD_DNS, tcp(A1), tls(A1, TIMEOUT))]
    )
    assert said.state is State.INCONCLUSIVE
    assert "control_fails" in said.evidence


def test_only_the_nearest_round_of_controls_counts() -> None:
    seen, _ = BLOCKED[Technique.TCP_TIMEOUT]
    down, up = control(*seen), control(round=1_799_999_940_000)
    assert verdict(*seen, beside=[down, up]).state is State.DOWN
    assert verdict(*seen, beside=[down, control()]).state is State.BLOCKED


def test_the_same_leaf_at_the_control_means_a_clock() -> None:
    leaf = (Certificate(sha256="a" * 64),)
    beside = [control(dns(A1), tcp(A1), tls(A1, chain=leaf))]
    said = verdict(dns(A1), tcp(A1), foreign(A1, 9, chain=leaf), beside=beside)
    assert said.state is State.INCONCLUSIVE
    assert "clock_wrong" in said.evidence
    # Another leaf, of the right authority and name: an old certificate, which is the service's own.
    said = verdict(dns(A1), tcp(A1), foreign(A1, 10), beside=beside)
    assert (said.state, said.technique) == (State.INCONCLUSIVE, None)
    assert "certificate_dates" in said.evidence


@pytest.mark.parametrize(
    ("seen", "remark"),
    [
        ((dns(FORGED, later=[[A1]]), tcp(FORGED, TIMEOUT)), "on_path"),
        ((dns(FORGED), reference(FORGED, **SILENT), tcp(FORGED, TIMEOUT)), "on_path"),
        ((dns(FORGED), reference(FORGED), *FORGED_TLS), "on_path"),
        ((dns(FORGED), reference(A1), *FORGED_TLS), "lying_resolver"),
        ((dns(failure=Failure.DNS_NXDOMAIN, later=[[A1]]),), "on_path"),
        ((dns(failure=Failure.DNS_NXDOMAIN), reference(A1)), "lying_resolver"),
    ],
)
def test_where_a_forged_answer_is_from(seen: tuple[AnyObservation, ...], remark: str) -> None:
    said = verdict(*seen)
    assert said.state is State.BLOCKED
    assert said.layer is Layer.DNS
    assert remark in said.evidence
    assert len({"on_path", "lying_resolver"} & set(said.evidence)) == 1


def test_where_it_is_from_is_said_of_what_is_forged_alone() -> None:
    gone = dns(failure=Failure.DNS_NXDOMAIN)
    public = reference(failure=Failure.DNS_NXDOMAIN)
    origins = {"on_path", "lying_resolver"}
    # It exists nowhere: nobody forges anything.
    everywhere = verdict(gone, public, beside=[control(gone)])
    assert (everywhere.state, everywhere.evidence) == (State.DOWN, ())
    # Two resolvers deny the name; that someone on the path does needs one who cannot be forged.
    assert not origins & set(verdict(gone, public).evidence)
    assert "on_path" in verdict(gone, public, reference(A1, transport="doh")).evidence
    # The same public resolver has an answer for the control.
    beside = [control(dns(A1), reference(A1), tcp(A1), tls(A1))]
    assert "on_path" in verdict(gone, public, beside=beside).evidence
    # Who says nothing does not lie.
    silent = dns(failure=Failure.TIMEOUT, evidence=("sent_again",))
    assert not origins & set(verdict(silent, reference(A1)).evidence)


def test_of_several_the_most_specific_technique_names() -> None:
    """As many of each: neither the order of the alphabet nor that of the addresses decides."""
    for one, other in ((A1, A2), (A2, A1)):
        shown = (foreign(one, 18), foreign(other, 20), foreign(REFLECTOR, 18, **OWN_HOST))
        said = verdict(GOOD_DNS, *OK_TCP, *shown)
        assert said.technique is Technique.TLS_MITM_SELF_SIGNED
        page = (tls(REFLECTOR, **OWN_HOST), tls(one, RESET), tls(other, TIMEOUT))
        innocuous = (tls(one, **INNOCUOUS), tls(other, TIMEOUT, **INNOCUOUS))
        said = verdict(GOOD_DNS, *OK_TCP, *page, *innocuous)
        assert said.technique is Technique.TLS_RESET_SNI
    # One address had its contrast, of the others the cause is not known.
    many = ("11.0.0.1", "11.0.0.2", "11.0.0.3")
    seen = [o for a in many for o in (tcp(a), tls(a, RESET))]
    said = verdict(dns(*many), *seen, tls(many[1], **INNOCUOUS))
    assert (said.technique, said.rule) == (Technique.TLS_RESET_SNI, "tls.reset.sni")


def test_a_dead_answer_while_the_others_work() -> None:
    seen = (dns(FORGED), tcp(FORGED, TIMEOUT), tcp(A1), tls(A1))
    # It may be a server for this region, or one that the service has left.
    assert verdict(*seen).state is State.INCONCLUSIVE
    nobody = reference(failure=Failure.DNS_NXDOMAIN, **BELOW)
    forged = verdict(*seen, dns(FORGED, **BELOW), nobody)
    alike = verdict(*seen, reference(FORGED), reference(A1, transport="doh"))
    assert (forged.rule, alike.rule) == ("dns.forged_below", "dns.dead_answer")
    for said in (forged, alike):
        assert (said.state, said.technique) == (State.BLOCKED, Technique.DNS_INJECTION_OTHER)
        assert said.addresses == Share(2, 1)


def test_a_trusted_certificate_for_another_name() -> None:
    # Encrypted resolvers give this address here, and no control saw it.
    near = (dns(A3), reference(A3, transport="doh"), tcp(A3), foreign(A3, code=62))
    said = verdict(*near)
    assert (said.state, said.technique) == (State.INCONCLUSIVE, Technique.TLS_MITM_CA_SIGNED)
    assert (said.rule, said.evidence) == ("tls.other_name", ("unseen_address",))
    for seen in (
        (*near[:3], foreign(A3, code=20)),  # nobody trusts the authority
        (*near, tcp(A1), foreign(A1, code=62)),  # where the control sees the service's own
        (GOOD_DNS, tcp(A1), foreign(A1, code=62)),
    ):
        assert verdict(*seen).rule == "tls.certificate_untold"
        said = verdict(*seen, foreign(REFLECTOR, code=20, **OWN_HOST))
        assert (said.state, said.rule) == (State.BLOCKED, "tls.mitm.ca_signed")


def test_geographic_address_filtered_by_name_is_tls() -> None:
    said = verdict(dns(A3), tcp(A3), tls(A3, RESET), tls(A3, **INNOCUOUS))
    assert said.technique is Technique.TLS_RESET_SNI


def test_the_deepest_blocked_layer_names() -> None:
    said = verdict(
        dns(failure=Failure.DNS_NXDOMAIN),
        *OK_TCP,
        *(tls(a, RESET) for a in (A1, A2)),
        *(tls(a, **INNOCUOUS) for a in (A1, A2)),
    )
    assert said.technique is Technique.TLS_RESET_SNI
    assert [(f.layer, f.blocked) for f in said.findings] == [
        (Layer.DNS, True),
        (Layer.TCP, False),
        (Layer.TLS, True),
    ]


def test_no_contrast_names_no_technique() -> None:
    said = verdict(*both(RESET))
    assert (said.state, said.layer, said.technique) == (State.BLOCKED, Layer.TLS, None)


def test_bare_dns_timeouts_need_a_resolver_that_answers_others() -> None:
    lost = (dns(failure=TIMEOUT), dns(failure=TIMEOUT, **REPEAT))
    assert verdict(*lost).technique is Technique.DNS_TIMEOUT
    once = verdict(dns(failure=TIMEOUT, evidence=("sent_again",)))
    assert (once.state, once.evidence) == (State.INCONCLUSIVE, ("asked_once",))
    shaky = alive()
    shaky[0] = measured(
        *shaky[0].observations,
        endpoints=(*shaky[0].endpoints, endpoint("tls", "l9.example")),
        target=shaky[0].target,
    )
    assert verdict(*lost, liveness=shaky).state is State.INCONCLUSIVE


def hosts(count: int) -> list[Any]:
    return [endpoint("tls", f"h{n}.srv.example") for n in range(count)]


@pytest.mark.parametrize(
    ("count", "blocked", "how", "state"),
    [
        (10, 9, "any_of", State.BLOCKED),
        (10, 8, "any_of", State.IMPAIRED),
        (10, 1, "any_of", State.IMPAIRED),
        (10, 0, "any_of", State.OK),
        (2, 1, "any_of", State.IMPAIRED),
        (2, 1, "all_of", State.BLOCKED),
        (2, 0, "all_of", State.OK),
        (3, 3, "all_of", State.BLOCKED),
    ],
)
def test_endpoints_combine(count: int, blocked: int, how: str, state: State) -> None:
    refs = hosts(count)
    fine = [o for ref in refs for o in (dns(A1, at=ref), tcp(A1, at=ref), tls(A1, at=ref))]
    seen: list[AnyObservation] = []
    for number, ref in enumerate(refs):
        seen += [dns(A1, at=ref), tcp(A1, at=ref)]
        if number < blocked:
            seen += [tls(A1, RESET, at=ref), tls(A1, at=ref, **INNOCUOUS)]
        else:
            seen.append(tls(A1, at=ref))
    beside = [control(*fine, endpoints=refs)]
    said = verdict(*seen, endpoints=refs, combine=how, beside=beside)
    assert said.state is state
    assert said.endpoints == Share(count, blocked)
    assert said.addresses == Share(count, blocked)


def test_one_address_or_family_blocked_is_impaired() -> None:
    beside = [
        control(dns(A1, A2), dns(V6, qtype="AAAA"), *OK_TCP, tls(A1), tls(A2), tcp(V6), tls(V6))
    ]
    names = (GOOD_DNS, dns(V6, qtype="AAAA"))
    family = (*names, *OK_TCP, tls(A1), tls(A2), tcp(V6, TIMEOUT))
    dead = (tcp(A2, TIMEOUT), tcp(A2, TIMEOUT, **REPEAT))
    one = (*names, tcp(A1), tls(A1), tcp(V6), tls(V6), *dead)
    for seen in (family, one):
        said = verdict(*seen, beside=beside)
        assert (said.state, said.technique) == (State.IMPAIRED, Technique.TCP_TIMEOUT)
        assert said.endpoints == Share(1, 0)
        assert said.addresses == Share(3, 1)


def test_literal_addresses_need_no_name() -> None:
    ref = endpoint("tcp", "11.0.0.7")
    seen = tcp("11.0.0.7", Failure.HOST_UNREACHABLE, at=ref)
    beside = [control(tcp("11.0.0.7", at=ref), endpoints=(ref,))]
    said = verdict(seen, endpoints=(ref,), beside=beside)
    assert said.technique is Technique.TCP_UNREACHABLE


def test_a_machine_that_lost_its_route_accuses_nobody() -> None:
    """Its addresses were reached by liveness before, and no ICMP came: the lease has run out, or
    the machine changes networks."""

    def said(*hosts: AnyObservation, **told: int) -> Verdict:
        lost = {"failure": Failure.NETWORK_UNREACHABLE, "errno": 101, **told}
        return verdict(GOOD_DNS, *(tcp(A1, **lost, **more) for more in ({}, REPEAT)), *hosts)

    assert said().rule == "tcp.local"
    assert said(icmp_type=3, icmp_code=0).technique is Technique.TCP_UNREACHABLE
    gone = [
        again(address, Failure.NETWORK_UNREACHABLE, errno=101)
        for address in ("14.0.0.1", "15.0.0.1")
    ]
    assert said(*gone).rule == "vantage.went_offline"


def test_icmp_is_evidence() -> None:
    seen, given = BLOCKED[Technique.TCP_UNREACHABLE]
    said = verdict(*seen, **given)
    assert {"icmp:3/3", "icmp_from:11.9.9.9"} <= set(said.evidence)


def again(address: str, failure: str | None = None, **more: int) -> AnyObservation:
    """A host that liveness had reached, while the target's addresses were tried again."""
    return tcp(address, failure, evidence=(LIVENESS_HOST,), **BESIDE, **more)


SILENT_TWICE = (GOOD_DNS, *(tcp(a, TIMEOUT, **more) for a in (A1, A2) for more in ({}, REPEAT)))


def test_silence_at_a_vantage_that_went_offline_accuses_nobody() -> None:
    said = verdict(*SILENT_TWICE, again("14.0.0.1", TIMEOUT), again("15.0.0.1", TIMEOUT))
    assert (said.state, said.rule) == (State.VANTAGE_OFFLINE, "vantage.went_offline")


@pytest.mark.parametrize("failure", [RESET, Failure.HOST_UNREACHABLE])
def test_a_line_that_refuses_everything_for_a_moment_accuses_nobody(failure: str) -> None:
    told = {} if failure == RESET else {"icmp_type": 3, "icmp_code": 1}
    seen = GOOD_DNS, *(tcp(A1, failure, errno=104, **told, **more) for more in ({}, REPEAT))
    hosts = again("14.0.0.1", failure), again("15.0.0.1", failure)
    assert verdict(*seen, *hosts).rule == "vantage.went_offline"
    assert verdict(*seen, hosts[0], again("15.0.0.1")).state is State.BLOCKED
    assert verdict(*seen, hosts[0], again("15.0.0.1", TIMEOUT)).state is State.BLOCKED


@pytest.mark.parametrize(
    "hosts",
    [
        (),  # nothing was asked beside it
        (again("14.0.0.1", TIMEOUT),),  # one may be lost by chance
        (again("14.0.0.1", TIMEOUT), again("15.0.0.1")),
        (again("14.0.0.1", TIMEOUT), again("15.0.0.1", RESET)),
    ],
)
def test_silence_at_a_vantage_that_is_online_accuses(hosts: tuple[AnyObservation, ...]) -> None:
    said = verdict(*SILENT_TWICE, *hosts)
    assert (said.state, said.technique) == (State.BLOCKED, Technique.TCP_TIMEOUT)


OVER_TCP = contrast(Contrast.INNOCUOUS_NAME)


@pytest.mark.parametrize(
    ("cut", "passes", "technique"),
    [
        (RESET, True, Technique.TLS_RESET_OTHER),
        # It may be the name, for minutes: it died at our own host too, or was not shown there.
        (RESET, False, None),
        # Residual blocking does not end as the handshake did.
        (TIMEOUT, True, None),
        (None, True, None),
    ],
)
def test_an_address_that_is_reset_at_the_first_acknowledgment(
    cut: str | None, passes: bool, technique: Technique | None
) -> None:
    """The connect is told of the RST or the handshake is, and no other name is ever sent."""
    seen = [tls(a, RESET, at_us=1) for a in (A1, A2)]
    before = [tcp(a, cut, at_us=2, **OVER_TCP) for a in (A1, A2)]
    ours = (tls(REFLECTOR, **OWN_HOST),) if passes else ()
    said = verdict(GOOD_DNS, *OK_TCP, *seen, *before, *ours)
    assert (said.state, said.technique) == (State.BLOCKED, technique)


def portal(*ports: int) -> list[Measurement]:
    hosts = [endpoint("tls", f"l{n}.example") for n in ports]
    shown = [tls("14.0.0.2", HANDSHAKE, at=host, plain_http=True) for host in hosts]
    return liveness_with(shown, at=hosts)


@pytest.mark.parametrize(
    ("at", "seen", "state"),
    [
        (TCP, (dns(A1, at=TCP), tcp(A1, at=TCP)), State.VANTAGE_OFFLINE),
        (DNS, (dns(FORGED, at=DNS),), State.VANTAGE_OFFLINE),
        # What is confirmed, or proves itself, works whatever liveness hosts do.
        (DNS, (dns(A1, at=DNS),), State.OK),
        (TLS, (dns(A1), tcp(A1), tls(A1)), State.OK),
    ],
)
def test_behind_a_sign_in_page_a_mere_connect_or_answer_shows_nothing(
    at: EndpointRef, seen: tuple[AnyObservation, ...], state: State
) -> None:
    shown = {TCP: CONTROL_TCP, DNS: CONTROL_DNS}
    given = {"endpoints": (at,)} | ({"beside": [shown[at]]} if at in shown else {})
    assert verdict(*seen, liveness=portal(1, 2), **given).state is state
    assert verdict(*seen, **given).state is State.OK


def test_pages_at_several_innocuous_hosts_accuse_nobody() -> None:
    for technique in (Technique.TLS_HTTP_RESPONSE, Technique.HTTP_BLOCKPAGE):
        seen, given = BLOCKED[technique]
        for pages, state in ((0, State.BLOCKED), (1, State.BLOCKED), (2, State.INCONCLUSIVE)):
            said = verdict(*seen, **given | {"liveness": pages_at_hosts(pages)})
            assert said.state is state
        assert "captive_portal" in said.evidence
