"""What is known, from other places, of addresses that failed at a vantage."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from monitor.detection.judge.elsewhere import Endings, endings_at_control, endings_of
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import NOT_KNOWN, Answer, Elsewhere, Fact, State, Stored
from monitor.detection.observed.view import view
from monitor.detection.policy import Policy
from probes.wire.failure import Failure
from probes.wire.measurement import Role, Vantage
from probes.wire.observation import HANDED_OVER, AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    A3,
    CONTROL_PROBE,
    FORGED,
    HTTP,
    INNOCUOUS,
    ROUND,
    TCP,
    TLS,
    V6,
    alive,
    dns,
    foreign,
    http,
    measured,
    tcp,
    tls,
)

TIMEOUT, RESET = Failure.TIMEOUT, Failure.RESET
MARK = {"evidence": (HANDED_OVER,)}
HERE, NEXT_DOOR, ABROAD = ("RU", 64501), ("RU", 64502), ("NL", 64510)
OWN = (dns(A1), tcp(A1), tls(A1))
DEAD = (dns(A3), tcp(A3, TIMEOUT))
ALIVE = (dns(A3), tcp(A3), tls(A3))
ANSWERS, DIES = (tcp(A3, **MARK), tls(A3, **MARK)), (tcp(A3, TIMEOUT, **MARK),)


def vantage(
    number: int,
    *seen: AnyObservation,
    place: tuple[str, int] = HERE,
    owner: str = "",
    after: int = 2_000,
    v6: bool = True,
) -> list[Stored]:
    probe, (country, asn) = f"p-{number:016x}", place
    subject = measured(*seen, probe=probe, vantage=Vantage(country=country, asn=asn))
    subject = replace(subject, started=ROUND + after)
    return [
        Stored(measurement=m, owner=owner or f"o-{number}", role=Role.VANTAGE, enrolled=7)
        for m in (subject, *alive(probe=probe, v6=v6))
    ]


def a_control(*seen: AnyObservation, round: int = ROUND, retest: bool = False) -> list[Stored]:
    at = {"round": round, "probe": CONTROL_PROBE}
    place = Vantage(country="NL", asn=64510, role=Role.CONTROL)
    subject = measured(*seen, interval_ms=300_000, retest=retest, vantage=place, **at)
    subject = replace(subject, started=round + 2_000)
    return [
        Stored(measurement=m, owner="centre", role=Role.CONTROL, enrolled=7)
        for m in (subject, *alive(**at))
    ]


def known(*groups: list[Stored]) -> Fact:
    """The fact of the first vantage in the round."""
    facts = facts_of([stored for group in groups for stored in group], ROUND, Policy())
    return next(fact for fact in facts if fact.probe == f"p-{1:016x}")


@pytest.mark.parametrize(
    ("seen", "ended"),
    [
        pytest.param(ALIVE, Endings(proven=((TLS.id, A3),)), id="valid certificate"),
        pytest.param((*DEAD,), Endings(failed=((TLS.id, A3),)), id="no connection"),
        pytest.param((dns(A3), tcp(A3), tls(A3, RESET)), Endings(failed=((TLS.id, A3),)), id="cut"),
        pytest.param((dns(A3), tcp(A3)), Endings(), id="handshake not tried"),
        pytest.param(
            (dns(A3), tcp(A3), foreign(A3)), Endings(failed=((TLS.id, A3),)), id="foreign"
        ),
        pytest.param((dns(A1), tcp(A3, TIMEOUT)), Endings(), id="of another resolver"),
        pytest.param(
            (dns(A3), tcp(A3, Failure.PERMISSION_DENIED)), Endings(), id="refused by this machine"
        ),
        pytest.param(
            (dns(A3, at=TCP), tcp(A3, at=TCP)), Endings(reached=((TCP.id, A3),)), id="connect alone"
        ),
        pytest.param(
            (dns(A3, at=HTTP), tcp(A3, at=HTTP), http(A3, TIMEOUT)),
            Endings(reached=((HTTP.id, A3),)),
            id="plain http",
        ),
        pytest.param((dns(A3), *ANSWERS), Endings(), id="mark of a vantage"),
    ],
)
def test_how_addresses_end(seen: tuple[AnyObservation, ...], ended: Endings) -> None:
    refs = tuple(ref for ref in (TLS, TCP, HTTP) if seen[0].endpoint == ref.id)
    assert endings_of(view(measured(*seen, endpoints=refs))) == ended


def test_a_control_shows_what_was_handed_over_as_well() -> None:
    ended = endings_at_control(view(measured(*OWN, *ANSWERS)))
    assert ended == Endings(proven=((TLS.id, A1), (TLS.id, A3)))


@pytest.mark.parametrize(
    ("handed_over", "state", "elsewhere"),
    [
        pytest.param(
            ANSWERS,
            State.BLOCKED,
            Elsewhere((Answer(A3, "NL", 64510, ROUND + 2_000, True),)),
            id="answered",
        ),
        pytest.param(DIES, State.DOWN, Elsewhere(dead=1), id="dead there too"),
        pytest.param((), State.INCONCLUSIVE, NOT_KNOWN, id="not tried"),
    ],
)
def test_a_control_tells_path_from_server(
    handed_over: tuple[AnyObservation, ...], state: State, elsewhere: Elsewhere
) -> None:
    fact = known(vantage(1, *DEAD), a_control(*OWN, *handed_over))
    assert (fact.verdict.state, fact.elsewhere) == (state, elsewhere)
    assert fact.untried == (() if handed_over else ((TLS.id, A3),))


def test_what_a_control_saw_last_counts_and_only_for_some_minutes() -> None:
    window = Policy().rounds.control_window_seconds * 1000
    times = {"earlier": ROUND - 60_000, "last": ROUND - window, "long ago": ROUND - window - 60_000}

    def control_at(when: str, *seen: AnyObservation) -> list[Stored]:
        return a_control(*OWN, *seen, round=times[when], retest=True)

    def elsewhere(*controls: list[Stored]) -> Elsewhere:
        return known(vantage(1, *DEAD), *controls).elsewhere

    assert elsewhere(control_at("last", *ANSWERS), control_at("earlier", *DIES)).dead == 1
    assert elsewhere(control_at("last", *DIES), control_at("earlier", *ANSWERS)).answered
    assert elsewhere(control_at("last", *ANSWERS)).answered
    assert elsewhere(control_at("long ago", *ANSWERS)) == NOT_KNOWN


def test_a_control_that_is_offline_says_nothing() -> None:
    subject, *_ = a_control(*OWN, *DIES)
    offline = [
        replace(subject, measurement=m)
        for m in alive(probe=CONTROL_PROBE, international=(False, False, False))
    ]
    assert known(vantage(1, *DEAD), [subject, *offline]).elsewhere == NOT_KNOWN


OTHERS = {
    "two owners next door": (((2, NEXT_DOOR, ""), (3, NEXT_DOOR, "")), ["RU"]),
    "two owners in two places": (((2, NEXT_DOOR, ""), (3, ABROAD, "")), ["NL", "RU"]),
    "one owner twice": (((2, ABROAD, "x"), (3, NEXT_DOOR, "x")), []),
    "one other, and the one who fails": (((2, ABROAD, "x"), (3, ABROAD, "o-1")), []),
    "the same network": (((2, HERE, ""), (3, HERE, "")), []),
    "an unknown network": (((2, ("ZZ", 0), ""), (3, ("ZZ", 0), "")), []),
}


@pytest.mark.parametrize(("others", "countries"), OTHERS.values(), ids=OTHERS)
def test_vantages_of_other_networks_say_it_when_two_owners_do(
    others: tuple[tuple[int, tuple[str, int], str], ...], countries: list[str]
) -> None:
    there = [vantage(number, *ALIVE, place=place, owner=who) for number, place, who in others]
    said = known(vantage(1, *DEAD), a_control(*OWN), *there).elsewhere
    assert sorted(answer.country for answer in said.answered) == countries
    assert not any(answer.control for answer in said.answered)
    assert said.dead == 0


def test_vantages_elsewhere_never_say_that_a_server_is_dead() -> None:
    there = [vantage(n, *DEAD, place=ABROAD) for n in (2, 3, 4)]
    assert known(vantage(1, *DEAD), a_control(*OWN), *there).elsewhere == NOT_KNOWN


def test_the_order_of_arrival_changes_nothing() -> None:
    groups = [
        vantage(1, *DEAD),
        a_control(*OWN),
        *(vantage(n, *ALIVE, place=ABROAD, after=997 * n % 60_000) for n in range(2, 9)),
        *(vantage(n, *ALIVE, place=ABROAD, owner="o-4", after=n) for n in (10, 11)),
    ]
    first, rng = known(*groups), random.Random(7)
    assert first.elsewhere.answered
    for _ in range(10):
        rng.shuffle(groups)
        assert known(*groups) == first


def test_a_forged_answer_is_no_address_of_the_service() -> None:
    forged = (dns(FORGED), tcp(FORGED, TIMEOUT))
    fact = known(
        vantage(1, dns(FORGED), tcp(FORGED), foreign(FORGED)),
        a_control(*OWN, tcp(FORGED, TIMEOUT, **MARK)),
    )
    assert (fact.untried, fact.elsewhere) == ((), NOT_KNOWN)
    assert endings_of(view(measured(*forged))).failed, "only the verdict tells"


def test_an_address_family_that_does_not_work_here_proves_nothing() -> None:
    seen = (dns(A3), dns(V6, qtype="AAAA"), tcp(A3, TIMEOUT), tcp(V6, TIMEOUT))
    there = a_control(*OWN, *DIES, tcp(V6, **MARK), tls(V6, **MARK))
    assert known(vantage(1, *seen, v6=False), there).elsewhere == Elsewhere(dead=1)
    works = known(vantage(1, *seen, v6=True), there).elsewhere
    assert ([answer.address for answer in works.answered], works.dead) == ([V6], 1)


def test_what_works_asks_nothing() -> None:
    fact = known(vantage(1, *OWN), a_control(*OWN, *ANSWERS))
    assert (fact.untried, fact.elsewhere) == ((), NOT_KNOWN)


def test_an_address_that_the_control_was_given_itself_needs_no_request() -> None:
    by_name = (dns(A1), tcp(A1), tls(A1, RESET), tls(A1, **INNOCUOUS))
    fact = known(vantage(1, *by_name), a_control(*OWN))
    assert [answer.address for answer in fact.elsewhere.answered] == [A1]
