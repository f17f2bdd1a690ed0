"""Where a false answer or denial was made: signs that only the comparison with others gives."""

from __future__ import annotations

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.dns_origin import FAULTS, SAID
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Vantage
from probes.wire.observation import AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    A3,
    BELOW,
    FORGED,
    REPEAT,
    alive,
    control,
    dns,
    measured,
    reference,
    tcp,
    tls,
)

DENIED = {"failure": Failure.DNS_NXDOMAIN}
ZONE = {"evidence": ("authority_soa",)}
SIGNS = {"others_answer", "made_up", "denied_without_zone", "zones_kept"}
NOBODYS = BELOW | {"name": "f6a7b8c9d0.harmless.example"} | DENIED


def signs(*seen: AnyObservation, vantage: Vantage | None = None) -> set[str]:
    of: dict[str, Vantage] = {} if vantage is None else {"vantage": vantage}
    whole: Measurement = measured(*seen, **of)
    said = judge(whole, alive(), [control()])
    assert said.state == "blocked", said
    return SIGNS.intersection(said.evidence)


def test_a_denial_beside_a_resolver_that_gives_what_the_control_got() -> None:
    assert signs(dns(**DENIED, **ZONE), reference(A1)) == {"others_answer"}
    assert signs(dns(**DENIED, **ZONE)) == set(), "nobody else was asked"
    assert signs(dns(**DENIED, **ZONE), reference(A3)) == set(), "nothing shows that it is right"


def test_what_others_give_is_right_where_it_proves_itself_here() -> None:
    near = (reference(A3), tcp(A3), tls(A3))
    assert signs(dns(**DENIED, **ZONE), *near) == {"others_answer"}
    sealed = reference(A3, transport="doh")
    assert signs(dns(**DENIED, **ZONE), sealed) == {"others_answer"}
    dead = (reference(A3), tcp(A3), tls(A3, Failure.RESET))
    assert signs(dns(**DENIED, **ZONE), *dead) == set()


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [({}, {}, True), (ZONE, {}, False), ({}, ZONE, False), (ZONE, ZONE, False)],
    ids=["never a zone", "at first", "asked again", "each time"],
)
def test_a_denial_that_never_has_a_zone_is_none_of_its_servers(
    first: dict[str, tuple[str]], second: dict[str, tuple[str]], told: bool
) -> None:
    seen = dns(**DENIED, **first), dns(**DENIED, **second, **REPEAT)
    assert ("denied_without_zone" in signs(*seen, reference(A1))) is told


NO_MORE, MADE_UP_DENIAL = {"denied_without_zone"}, {"denied_without_zone", "zones_kept"}


@pytest.mark.parametrize(
    ("usual", "below", "told"),
    [
        pytest.param((ZONE, ZONE), ZONE, MADE_UP_DENIAL, id="it keeps zones; a list of names"),
        pytest.param((ZONE, ZONE), {}, MADE_UP_DENIAL, id="it keeps zones; and names below"),
        pytest.param((ZONE, {}), {}, MADE_UP_DENIAL, id="not what it kept; a new name below"),
        pytest.param((ZONE, {}), ZONE, set(), id="not what it kept; it may have kept this"),
        pytest.param(({}, {}), {}, set(), id="it drops zones"),
        pytest.param(({}, ZONE), ZONE, set(), id="it drops some"),
        pytest.param((ZONE,), ZONE, NO_MORE, id="asked once, no answer to the second"),
        pytest.param((), {}, NO_MORE, id="nothing else was denied"),
    ],
)
def test_a_resolver_is_compared_with_its_other_denials(
    usual: tuple[dict[str, tuple[str]], ...], below: dict[str, tuple[str]], told: set[str]
) -> None:
    others = [dns(**NOBODYS | zone) for zone in usual]
    seen = dns(**DENIED), reference(A1), dns(**DENIED | BELOW | below), *others
    assert signs(*seen) == told | {"others_answer"}
    honest = dns(**DENIED, **ZONE), *seen[1:]
    assert signs(*honest) == {"others_answer"}, "this one has its zone"


@pytest.mark.parametrize("word", SAID)
def test_what_the_resolver_says_of_itself_is_quoted_and_judges_nothing(word: str) -> None:
    quiet, loud = dns(**DENIED, **ZONE), dns(**DENIED, evidence=("authority_soa", word))
    plain, told = (judge(measured(seen), alive(), [control()]) for seen in (quiet, loud))
    assert (told.state, told.rule) == (plain.state, plain.rule)
    assert set(told.evidence) - set(plain.evidence) == {word}


@pytest.mark.parametrize("word", FAULTS)
def test_a_fault_that_the_resolver_reports_accuses_nobody(word: str) -> None:
    told = {"failure": Failure.DNS_SERVFAIL, "evidence": (word,)}
    once = dns(**told), reference(A1)
    silent = {"failure": Failure.DNS_SERVFAIL}
    for again, rule in ((told, "dns.reported_fault"), (silent, "dns.servfail")):
        said = judge(measured(*once, dns(**again, **REPEAT)), alive(), [control()])
        assert said.rule == rule
        assert (said.evidence == ("reported_fault",)) is (again is told)
    # Who forges it on the way, for public resolvers too, may write any word.
    on_path = reference(failure=Failure.DNS_SERVFAIL), reference(A1, transport="dot")
    forged = judge(measured(dns(**told), dns(**told, **REPEAT), *on_path), alive(), [control()])
    assert (forged.state, forged.rule) == ("blocked", "dns.servfail")


@pytest.mark.parametrize("failure", [Failure.DNS_REFUSED, Failure.DNS_SERVFAIL])
def test_a_failure_that_denies_nothing_has_no_zone(failure: Failure) -> None:
    seen = dns(failure=failure), dns(failure=failure, **REPEAT)
    assert signs(*seen, reference(A1)) == {"others_answer"}


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param((dns("0.0.0.0"),), id="an address that nobody has"),
        pytest.param((dns(FORGED, later=[[A1]]),), id="a second answer"),
    ],
)
def test_an_answer_that_its_servers_cannot_have_given(seen: tuple[AnyObservation, ...]) -> None:
    tried = (tcp(FORGED, Failure.TIMEOUT), reference(A1), tcp(A1), tls(A1))
    assert signs(*seen, *tried) == {"others_answer", "made_up"}


def test_who_took_a_domain_over_answers_for_all_names_below_as_a_censor_does() -> None:
    seen = dns(FORGED), dns(FORGED, **BELOW), reference(**DENIED, **BELOW)
    tried = (tcp(FORGED, Failure.TIMEOUT), reference(A1), tcp(A1), tls(A1))
    assert signs(*seen, *tried) == {"others_answer"}
