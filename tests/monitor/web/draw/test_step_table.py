"""Ladders: what happened in a sentence, and nothing called a failure that is none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.web.draw.step_table import CONTRASTS, ObservationLine, endpoint_steps, observation_line
from probes.wire.failure import Failure
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Contrast,
    PathHop,
    PathTrace,
    Purpose,
    Unrecognised,
)
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    CLASSICAL,
    HOST,
    INNOCUOUS,
    OWN_HOST,
    REPEAT,
    SILENT,
    V6,
    dns,
    foreign,
    http,
    measured,
    reference,
    tcp,
    tls,
)


def lines(*seen: AnyObservation) -> dict[str, tuple[ObservationLine, ...]]:
    (endpoint,) = endpoint_steps(measured(*seen))
    return {row.step: row.lines for row in endpoint.steps}


def step_ok(step: str, *seen: AnyObservation) -> bool:
    (endpoint,) = endpoint_steps(measured(*seen))
    return next(row.ok for row in endpoint.steps if row.step == step)


def test_a_name_without_an_ipv6_address_is_no_failure() -> None:
    a, aaaa = lines(dns(A1), dns(qtype="AAAA"))["dns"]
    assert (a.outcome, aaaa.outcome) == ("answered", "")
    assert aaaa.sentence == f"{HOST} has no IPv6 address"
    assert step_ok("dns", dns(A1), dns(qtype="AAAA"))
    only6 = lines(dns(), dns(V6, qtype="AAAA"))["dns"]
    assert only6[0].sentence == f"{HOST} has no IPv4 address"


def test_a_name_without_any_address_fails() -> None:
    a, aaaa = lines(dns(), dns(qtype="AAAA"))["dns"]
    assert (a.outcome, aaaa.outcome) == ("fails", "fails")
    assert not step_ok("dns", dns(), dns(qtype="AAAA"))


def test_another_resolver_does_not_excuse_this_one() -> None:
    said = lines(dns(qtype="AAAA"), reference(A1))["dns"]
    assert said[0].outcome == "fails"


def test_a_vantage_without_ipv6_does_not_fail() -> None:
    four, six = lines(dns(A1), tcp(A1), tcp(V6, Failure.NETWORK_UNREACHABLE))["tcp"]
    assert four.outcome == "works"
    assert (six.outcome, six.sentence) == ("", "this vantage has no IPv6")
    describe_observation = tcp(V6, Failure.NETWORK_UNREACHABLE, icmp_type=1, icmp_code=0)
    assert lines(dns(A1), describe_observation)["tcp"][0].outcome == "fails"
    mixed = lines(tcp(V6), tcp("2400::2", Failure.NETWORK_UNREACHABLE))["tcp"]
    assert mixed[1].outcome == "fails"


def test_a_silent_address_that_stays_silent_is_as_it_should_be() -> None:
    (endpoint,) = endpoint_steps(measured(dns(A1), dns(failure=Failure.TIMEOUT, **SILENT)))
    (comparisons,) = endpoint.steps[0].comparisons
    assert comparisons.outcome == ""
    assert "as it should be" in comparisons.sentence
    (endpoint,) = endpoint_steps(measured(dns(A1), dns(A2, **SILENT)))
    (comparisons,) = endpoint.steps[0].comparisons
    assert comparisons.outcome == "fails"
    assert "given on the path" in comparisons.sentence


def test_an_answer_that_anybody_may_have_given_is_not_said_to_work() -> None:
    """A forged address and a block page are answers as well."""
    spoken = AppExchange(endpoint="e", address=A1, port=443, protocol="mtproto", spoke=True)
    answers = (dns("192.168.7.222"), http(status=200), replace(spoken, spoke=False))
    assert {observation_line(each).outcome for each in answers} == {"answered"}
    assert {observation_line(each).outcome for each in (tcp(A1), tls(A1), spoken)} == {"works"}
    assert step_ok("dns", dns("192.168.7.222"))


def test_a_lookup_by_the_operating_system_does_not_tell_what_it_asked() -> None:
    (line,) = lines(dns(A1, qtype="ANY"))["dns"]
    assert (line.where, line.sentence) == ("this network's resolver", f"{HOST} is {A1}")


def test_a_failed_step_has_a_sentence() -> None:
    died = tls(A1, Failure.RESET, took_us=12_000)
    (said,) = lines(died, tls(A1, **INNOCUOUS))["tls"]
    assert said.outcome == "fails"
    assert said.sentence == (
        f"reset 12 ms after our TLS ClientHello for {HOST}; no reply; "
        "with harmless.example the same server answered"
    )
    elsewhere = lines(died, tls(A2, **INNOCUOUS))["tls"][0].sentence
    assert "same server" not in elsewhere


def test_a_rung_works_when_one_address_does() -> None:
    assert step_ok("tcp", tcp(A1, Failure.TIMEOUT), tcp(A2))
    assert not step_ok("tcp", tcp(A1, Failure.TIMEOUT))


def test_contrasts_are_beside_their_step() -> None:
    seen = (tls(A1), tls(A1, **INNOCUOUS), tls(A1, **OWN_HOST), tls(A1, **REPEAT))
    (endpoint,) = endpoint_steps(measured(*seen, tls(A1, **CLASSICAL)))
    (row,) = endpoint.steps
    assert len(row.lines) == 1
    assert [each.contrast for each in row.comparisons] == [
        "with a harmless name",
        "the same name to a server of ours",
        "once more",
        "with a shorter ClientHello",
    ]
    assert set(CONTRASTS) == set(Contrast)
    assert observation_line(reference(A1)).contrast == "another resolver"
    assert observation_line(tcp(A1, **BESIDE)).contrast == "over another transport"


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (dns(A1, A2), f"{HOST} (A) is {A1}, {A2}"),
        (dns(failure=Failure.DNS_NXDOMAIN), "name does not exist"),
        (dns(A1, later=[(A2,)]), f"a second answer came under 1 ms after the question: {A2}"),
        (dns(A1, later=[()]), "after the question: no address"),
        (tcp(A1), "connected"),
        (tcp(A1, Failure.HOST_UNREACHABLE, icmp_type=3, icmp_code=13), "by an administrator)"),
        (
            tcp(A1, Failure.HOST_UNREACHABLE, icmp_type=3, icmp_code=13, icmp_from="192.0.2.1"),
            "(ICMP: prohibited by an administrator, from 192.0.2.1)",
        ),
        (tcp(A1, Failure.REFUSED, icmp_type=9, icmp_code=9), "(ICMP: ICMP 9/9)"),
        (tls(A1, version="TLSv1.3"), f"completed (TLSv1.3) after our TLS ClientHello for {HOST}"),
        (tls(A1, Failure.TIMEOUT, sni="", received_bytes=7), "without a name; 7 bytes back"),
        (tls(A1, Failure.SSL_FAILED_HANDSHAKE, alert=40), "alert 40 under 1 ms after our TLS"),
        (tls(A1, Failure.SSL_FAILED_HANDSHAKE, plain_http=True), "clear-text HTTP in place of TLS"),
        (foreign(A1), "certificate from an unknown authority (code 20)"),
        (http(A1), f"GET http://{HOST}/: status 200"),
        (http(A1, status=302, location="https://x/", title="T"), "status 302, to https://x/, “T”"),
        (http(A1, Failure.RESET), f"GET http://{HOST}/: reset"),
    ],
)  # fmt: skip
def test_sentences(seen: AnyObservation, sentence: str) -> None:
    assert not isinstance(seen, Unrecognised)
    assert sentence in observation_line(seen).sentence


def test_certificates_of_a_failed_handshake_are_shown() -> None:
    (said,) = lines(foreign(A1))["tls"]
    assert [each.sha256 for each in said.certificates] == ["f" * 64]
    assert observation_line(tls(A1)).certificates == ()


def test_direction_and_control_characters_from_the_network_are_spelled_out() -> None:
    said = observation_line(http(A1, title="a\u202eb\x1b[31m")).sentence
    assert "\u202e" not in said
    assert "\\u202e" in said
    assert "\x1b" not in said


def test_an_endpoint_and_a_failure_are_text_of_strangers_too() -> None:
    strange = replace(tcp(A1, failure="x\u202ey_z"), endpoint="a\u2066b")
    (endpoint,) = (each for each in endpoint_steps(measured(strange)) if each.steps)
    assert endpoint.endpoint == "a\\u2066b"
    assert endpoint.steps[0].lines[0].sentence == "x\\u202ey z"


def test_a_trace_of_the_path_is_neither_a_success_nor_a_comparison() -> None:
    hops = (PathHop(ttl=1, hello="silence"), PathHop(ttl=2, hello="reset"))
    trace = PathTrace(
        endpoint=measured().endpoints[0].id, purpose=Purpose.CONTRAST, address=A1, port=443,
        sni=HOST, hops=hops,
    )  # fmt: skip
    (endpoint,) = endpoint_steps(measured(trace))
    (row,) = endpoint.steps
    assert row.ok
    assert row.comparisons == ()
    (said,) = row.lines
    assert said.outcome == ""
    assert said.sentence.endswith("1: silence; 2: reset")


def test_steps_unknown_to_this_version_are_left_out_and_endpoints_stay() -> None:
    odd = Unrecognised(step="warp", raw=b'{"step":"warp"}')
    (endpoint,) = endpoint_steps(measured(odd))
    assert endpoint.steps == ()
    strange = tcp(A1, at=measured().endpoints[0])
    made = endpoint_steps(measured(strange, endpoints=()))
    assert [each.endpoint for each in made] == [strange.endpoint]
    assert made[0].steps[0].lines[0].outcome == "works"
    assert strange.purpose == Purpose.SUBJECT
