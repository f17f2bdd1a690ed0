"""The vantage's standing."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import during, foreign_host, vantage_status
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.app_scenes import with_udp
from tests.monitor.detection.scenes import (
    A1,
    REPEAT,
    V6,
    alive,
    dns,
    endpoint,
    foreign,
    http,
    measured,
    tcp,
    tls,
)

WEB = endpoint("https", "l1.example")
CLEAR = endpoint("http", "l1.example", 80)
PORT = endpoint("tcp", "l1.example")
NAME = endpoint("dns", "l1.example")


@pytest.mark.parametrize(
    ("passes", "online"),
    [
        ((True, True, True), True),
        ((True, True, False), True),
        ((True, False), False),
        ((False,), False),
        ((), None),
    ],
)
def test_most_of_the_international_scope(passes: tuple[bool, ...], online: bool | None) -> None:
    here = vantage_status(alive(international=passes, domestic=(True,)))
    assert here.international is online
    assert here.online is (online is True)
    assert here.domestic is True


def test_an_unseen_host_has_not_passed() -> None:
    (whole,) = alive()
    part = measured(
        *whole.observations[:6], endpoints=whole.endpoints, target="liveness/international"
    )
    assert vantage_status([part]).international is False


@pytest.mark.parametrize(
    ("ref", "seen", "passes"),
    [
        (PORT, [tcp(at=PORT)], True),
        (NAME, [dns("11.0.0.1", at=NAME)], True),
        (NAME, [dns(at=NAME)], False),
        (CLEAR, [http(at=CLEAR, status=204)], True),
        (CLEAR, [http(at=CLEAR, status=301, location="https://www.l1.example/")], True),
        (CLEAR, [http(at=CLEAR, status=302, location="http://login.portal.net/")], False),
        (CLEAR, [http(at=CLEAR, status=511)], False),
        (WEB, [tls(at=WEB)], False),
        (WEB, [tls(at=WEB), http(at=WEB)], True),
        (WEB, [foreign(at=WEB), http(at=WEB)], False),
    ],
)
def test_a_host_passes_by_its_protocol(ref: Any, seen: list[AnyObservation], passes: bool) -> None:
    here = vantage_status([measured(*seen, endpoints=(ref,), target="liveness/international")])
    assert here.online is passes
    assert here.portal is (not passes and ref is CLEAR)


def test_hosts_over_udp_tell_whether_udp_passes_and_have_no_vote() -> None:
    for passes in (True, False):
        here = vantage_status(with_udp(passes=passes, international=(True, False, True)))
        assert here.online
        assert here.passage.udp == ({(4, 3478)} if passes else set())
        offline = vantage_status(with_udp(passes=passes, international=(True, False)))
        assert offline.international is False


def test_families_and_resolver() -> None:
    assert vantage_status(alive()).passage.families == {4, 6}
    assert vantage_status(alive(v6=False)).passage.families == {4}
    assert vantage_status(alive()).resolver.answers
    dead = vantage_status(alive(names_answer=False, international=(False,)))
    assert dead.resolver.dead
    assert not dead.resolver.answers


def test_query_types_that_are_answered_for_no_name() -> None:
    refs = [endpoint("tls", f"l{n}.example") for n in range(3)]
    whole = {"endpoints": refs, "target": "liveness/international"}

    def unanswered(*failures: str | None, answered: int = 3) -> object:
        four = [dns("14.0.0.1", at=ref) for ref in refs[:answered]]
        six = [
            dns(*() if failure else ("2500::1",), at=ref, qtype="AAAA", failure=failure)
            for ref, failure in zip(refs, failures, strict=False)
        ]
        return vantage_status([measured(*four, *six, **whole)]).resolver.unanswered

    no_name, lost = "dns_nxdomain_error", "generic_timeout_error"
    assert unanswered(no_name, no_name, no_name) == {("AAAA", Kind.NXDOMAIN)}
    assert unanswered(no_name, lost, no_name) == {("AAAA", Kind.NXDOMAIN)}
    assert unanswered(lost, lost, lost) == {("AAAA", Kind.TIMEOUT)}
    assert unanswered(no_name, None, no_name) == set()
    assert unanswered(no_name, "dns_no_answer", no_name) == set()
    assert unanswered(no_name, no_name, no_name, answered=0) == set()


def test_a_name_that_has_an_address_exists() -> None:
    """A resolver that denies one of many such names at random contradicts itself; one that denies
    AAAA to every name, or a name with all its types, does not."""
    at, beside = endpoint("tls", "l1.example"), endpoint("tls", "l2.example")
    gone = {"qtype": "AAAA", "failure": Failure.DNS_NXDOMAIN}
    both = (dns(A1, at=beside), dns(V6, at=beside, qtype="AAAA"))

    def contradicts(*seen: AnyObservation) -> bool:
        target = "liveness/international"
        return vantage_status(
            [measured(*seen, endpoints=(at, beside), target=target)]
        ).resolver.contradicts_itself

    assert contradicts(dns(A1, at=at), dns(at=at, **gone), *both)
    assert not contradicts(
        dns(A1, at=at), dns(at=at, **gone), dns(A1, at=beside), dns(at=beside, **gone)
    )
    assert not contradicts(dns(at=at, **gone), dns(at=at, failure=Failure.DNS_NXDOMAIN), *both)
    assert not contradicts(dns(A1, at=at), dns(at=at, qtype="AAAA"), *both)
    denied = dns(at=at, failure=Failure.DNS_NXDOMAIN)
    assert contradicts(denied, dns(A1, at=at, **REPEAT), *both)
    assert not contradicts(denied, dns(at=at, failure=Failure.DNS_NXDOMAIN, **REPEAT), *both)


def test_a_resolver_that_fails_several_names_alike() -> None:
    """As one with a wrong clock fails all that is signed. One name alone may be blocked."""
    refs = [endpoint("tls", f"l{n}.example") for n in range(4)]
    whole = {"endpoints": tuple(refs), "target": "liveness/international"}
    signed, absent = Failure.DNS_SERVFAIL, Failure.DNS_NXDOMAIN

    def fails(*failures: str | None, again: str | None = "", six: str | None = "") -> object:
        seen: list[AnyObservation] = []
        for ref, failure in zip(refs, failures, strict=False):
            for asked, end in (({}, failure), (REPEAT, again or failure)):
                seen.append(dns(*() if end else (A1,), at=ref, failure=end, **asked))
            end = six or failure
            seen.append(dns(*() if end else (V6,), at=ref, qtype="AAAA", failure=end))
        return vantage_status([measured(*seen, **whole)]).resolver.fails_alike

    assert fails(signed, None, signed, None) == {Kind.SERVFAIL}
    assert fails(absent, absent, signed, None) == {Kind.NXDOMAIN}
    assert fails(signed, None, None, None) == fails(signed, absent, None, None) == set()
    assert fails(signed, signed, signed, signed) == set()  # it is dead
    # It changes its mind, or answers one question alone: told by other signs.
    assert fails(signed, signed, None, again=absent) == set()
    assert fails(None, None, None, None, six=absent) == set()


def test_special_places_where_the_world_is() -> None:
    assert vantage_status(alive()).passage.special_places == set()
    whole = {"endpoints": (PORT,), "target": "liveness/international"}
    inside = measured(tcp("198.18.0.4", at=PORT), **whole)
    (place,) = vantage_status([inside]).passage.special_places
    assert place.startswith("benchmark")
    failed = measured(tcp("10.0.0.4", "generic_timeout_error", at=PORT), **whole)
    assert vantage_status([failed]).passage.special_places == set()


def test_clock() -> None:
    assert vantage_status(alive(clock_offset_ms=-3_600_001)).clock_wrong
    assert not vantage_status(alive(clock_offset_ms=3_600_000)).clock_wrong
    assert during(vantage_status(alive()), measured(clock_offset_ms=9_999_999), ()).clock_wrong
    assert not during(vantage_status(alive()), measured(clock_offset_ms=9), ()).clock_wrong
    ref = endpoint("tls", "l1.example")
    expired = measured(foreign(at=ref, code=10), endpoints=(ref,), target="liveness/international")
    assert vantage_status([expired]).clock_wrong


def test_the_clock_is_read_with_the_international_hosts() -> None:
    both = alive(domestic=(True,), clock_offset_ms=9_999_999)
    assert vantage_status(both).clock_wrong
    assert not vantage_status(both[1:]).clock_wrong, (
        "what is lost of the other scope excuses nothing"
    )


def test_interception_needs_half_of_the_hosts() -> None:
    refs = [endpoint("tls", f"l{n}.example") for n in range(3)]
    good = [tls(f"14.0.0.{n}", at=refs[n]) for n in (1, 2)]
    one_bad = [foreign("14.0.0.0", at=refs[0]), *good]
    whole = {"endpoints": refs, "target": "liveness/international"}
    assert not vantage_status([measured(*one_bad, **whole)]).intercepted
    two_bad = [*one_bad[:2], foreign("14.0.0.2", 62, at=refs[2])]
    assert vantage_status([measured(*two_bad, **whole)]).intercepted


@pytest.mark.parametrize(
    ("other", "host", "foreign_site"),
    [
        ("", "a.example", False),
        ("www.a.example", "a.example", False),
        ("login.a.example", "www.a.example", False),
        ("portal.net", "a.example", True),
        ("www.srv.fr", "srv.com", False),
        ("srv.co.uk", "www.srv.com", False),
        ("srv.com.br", "srv.com", False),
        ("srv.blocked.ru", "srv.com", True),
        ("notice.co.uk", "srv.co.uk.com", True),
        ("localhost", "srv.com", True),
    ],
)
def test_foreign_hosts(other: str, host: str, foreign_site: bool) -> None:
    assert foreign_host(other, host) is foreign_site
