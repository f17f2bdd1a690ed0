"""Which part is blocked, in words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.judge.target import judge
from monitor.detection.model import Verdict
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef
from probes.wire.observation import AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    A2,
    V6,
    alive,
    control,
    dns,
    endpoint,
    http,
    measured,
    tcp,
    tls,
)

ONE, TWO = endpoint("tls"), endpoint("tls", host="other.example")
WEB = endpoint("http", port=80)
SIX = {"qtype": "AAAA"}


def good(ref) -> list[AnyObservation]:  # type: ignore[no-untyped-def]
    seen = [dns(A1, A2, at=ref), dns(V6, at=ref, **SIX)]
    for address in (A1, A2, V6):
        seen += [tcp(address, at=ref)]
        seen += [http(address, at=ref)] if ref.protocol == "http" else [tls(address, at=ref)]
    return seen


def said(*seen, endpoints=(ONE,), how="any_of") -> Verdict:  # type: ignore[no-untyped-def]
    beyond = control(*(o for ref in endpoints for o in good(ref)), endpoints=endpoints)
    return judge(measured(*seen, endpoints=endpoints, combine=how), alive(), [beyond])


def cut(ref, *addresses):  # type: ignore[no-untyped-def]
    kept = [o for o in good(ref) if getattr(o, "address", None) not in addresses]
    return [*kept, *(tcp(a, Failure.RESET, errno=111, at=ref) for a in addresses)]


def test_some_addresses_by_name() -> None:
    verdict = said(*cut(ONE, A1))
    assert verdict.state == "impaired"
    assert verdict.evidence == (f"address:{A1}", "partial:addresses")


def test_one_family() -> None:
    assert said(*cut(ONE, V6)).evidence == ("partial:ipv6",)
    assert said(*cut(ONE, A1, A2)).evidence == ("partial:ipv4",)


def test_one_family_weighs_less_than_the_whole() -> None:
    def weight(verdict: Verdict) -> int:
        return next(finding.weight for finding in verdict.findings if finding.blocked)

    whole, part = said(*cut(ONE, A1, A2, V6)), said(*cut(ONE, V6))
    assert (whole.state, part.state) == ("blocked", "impaired")
    assert weight(whole) == 2 * weight(part) > 0
    assert weight(said(*cut(ONE, A1))) == weight(whole)


FOUR_LITERAL, SIX_LITERAL = (
    EndpointRef(id=id, protocol="tcp") for id in (f"{A1}:443/tcp", f"[{V6}]:443/tcp")
)


@pytest.mark.parametrize(
    ("how", "failing", "state", "evidence"),
    [
        ("any_of", V6, "impaired", "partial:ipv6"),
        ("any_of", A1, "impaired", "partial:ipv4"),
        ("all_of", V6, "blocked", "partial:endpoints"),
    ],
)
def test_a_family_that_has_endpoints_of_its_own(
    how: str, failing: str, state: str, evidence: str
) -> None:
    refs = (FOUR_LITERAL, SIX_LITERAL)
    works = [tcp(A1, at=FOUR_LITERAL), tcp(V6, at=SIX_LITERAL)]
    dies = [
        replace(o, failure=Failure.TIMEOUT) if o.address == failing else o
        for o in works
        for _ in range(2)
    ]
    beyond = control(*works, endpoints=refs)
    verdict = judge(measured(*dies, endpoints=refs, combine=how), alive(), [beyond])
    assert verdict.state == state
    assert evidence in verdict.evidence
    assert ("partial:ipv6" in verdict.evidence) == (how == "any_of" and failing == V6)


def test_the_names_of_one_family() -> None:
    seen = [dns(failure=Failure.DNS_NXDOMAIN), *good(ONE)[1:]]
    seen = [o for o in seen if getattr(o, "address", V6) == V6]
    verdict = said(*seen)
    assert (verdict.state, verdict.technique) == ("impaired", "dns.nxdomain")
    assert "partial:ipv4" in verdict.evidence


def test_some_endpoints_by_name() -> None:
    verdict = said(*cut(ONE, A1, A2, V6), *good(TWO), endpoints=(ONE, TWO))
    assert verdict.state == "impaired"
    assert verdict.evidence == (f"endpoint:{ONE.id}", "partial:endpoints")


def test_one_that_is_needed_blocks_and_the_part_is_told() -> None:
    verdict = said(*cut(ONE, A1, A2, V6), *good(TWO), endpoints=(ONE, TWO), how="all_of")
    assert verdict.state == "blocked"
    assert "partial:endpoints" in verdict.evidence


def test_one_protocol_of_the_same_host() -> None:
    verdict = said(*cut(WEB, A1, A2, V6), *good(ONE), endpoints=(ONE, WEB))
    assert verdict.evidence == (
        f"endpoint:{WEB.id}",
        "partial:endpoints",
        "partial:protocol",
        "protocol:http",
    )


OLD = endpoint("tls", port=5222)
"""The same host as ONE's, at another port."""


def gone(*refs):  # type: ignore[no-untyped-def]
    return [o for ref in refs for o in cut(ref, A1, A2, V6)]


def test_one_port_of_hosts_that_answer_at_another() -> None:
    assert "partial:port" in said(*gone(OLD), *good(ONE), endpoints=(OLD, ONE)).evidence
    third = endpoint("tls", host="other.example", port=5222)
    both = said(*gone(OLD, third), *good(ONE), *good(TWO), endpoints=(OLD, third, ONE, TWO))
    assert "partial:port" in both.evidence


@pytest.mark.parametrize(
    ("blocked", "working"),
    [
        ((ONE,), (TWO,)),
        ((OLD,), (TWO,)),
        ((OLD, endpoint("tls", host="other.example", port=5222)), (ONE,)),
        ((OLD,), (ONE, endpoint("tls", host="other.example", port=5222))),
        ((OLD, ONE), (endpoint("tls", port=8080),)),
    ],
    ids=["another host", "no other port", "one host of two", "a host still answers", "two ports"],
)
def test_what_is_no_closed_port(blocked, working) -> None:  # type: ignore[no-untyped-def]
    seen = [*gone(*blocked), *(o for ref in working for o in good(ref))]
    assert "partial:port" not in said(*seen, endpoints=(*blocked, *working)).evidence


def test_a_host_that_is_blocked_at_two_ports() -> None:
    assert "other_port_fails" in said(*gone(ONE, OLD), endpoints=(ONE, OLD)).evidence


def test_the_same_port_or_a_name_that_is_denied_tells_nothing_of_other_ports() -> None:
    hosts = (ONE, TWO)
    assert "other_port_fails" not in said(*gone(*hosts), endpoints=hosts).evidence
    assert "other_port_fails" not in said(*gone(ONE), *good(OLD), endpoints=(ONE, OLD)).evidence
    denied = [dns(failure=Failure.DNS_NXDOMAIN, at=ref) for ref in (ONE, OLD)]
    assert "other_port_fails" not in said(*denied, endpoints=(ONE, OLD)).evidence


def test_all_of_it_is_no_part() -> None:
    assert said(*cut(ONE, A1, A2, V6)).evidence == ()
    assert said(*good(ONE)).evidence == ()
