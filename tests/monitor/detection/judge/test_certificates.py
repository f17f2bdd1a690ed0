"""Certificates compared across countries: what several owners are shown is the service's."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import State, Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import Measurement, Role, Vantage
from probes.wire.observation import Certificate
from tests.monitor.detection.scenes import A1, ROUND, alive, control, dns, foreign, measured, tcp

NEW, ANOTHER = "a" * 64, "b" * 64
Shown = tuple[str, str, str]
"""Country, owner, and the certificate's hash."""


def rules(shown: Iterable[Shown]) -> list[str]:
    """What is said of each vantage's measurement, in their order."""
    seen, liveness = control()
    given = [stored(m, "c", Role.CONTROL) for m in (seen, *liveness)]
    for number, (country, owner, leaf) in enumerate(shown, 1):
        probe = f"p-{number:016x}"
        chain = (Certificate(sha256=leaf),)
        mine = measured(
            *(dns(A1), tcp(A1), foreign(A1, chain=chain)),
            probe=probe,
            vantage=Vantage(country=country, asn=64500 + number),
        )
        given += [stored(m, owner) for m in (mine, *alive(probe=probe))]
    facts = facts_of(given, ROUND, Policy())
    assert {fact.verdict.state for fact in facts} == {State.INCONCLUSIVE}
    return [fact.verdict.rule for fact in sorted(facts, key=lambda fact: fact.probe)]


def stored(measurement: Measurement, owner: str, role: Role = Role.VANTAGE) -> Stored:
    return Stored(measurement=measurement, owner=owner, role=role, enrolled=7)


OWN, UNTOLD = "tls.own_certificate", "tls.certificate_untold"


@pytest.mark.parametrize(
    ("elsewhere", "first"),
    [
        ([("FR", "a", NEW), ("DE", "b", NEW), ("US", "c", NEW)], OWN),
        ([("FR", "a", NEW), ("DE", "b", NEW)], UNTOLD),
        ([("FR", "a", NEW), ("DE", "a", NEW), ("US", "a", NEW)], UNTOLD),
        ([("FR", "a", ANOTHER), ("DE", "b", ANOTHER), ("US", "c", ANOTHER)], UNTOLD),
        ([("RU", "a", NEW), ("RU", "b", NEW), ("RU", "c", NEW)], UNTOLD),
    ],
    ids=["several owners", "two", "one owner", "another certificate", "the same country"],
)
def test_several_owners_of_other_countries_tell(elsewhere: list[Shown], first: str) -> None:
    assert rules([("RU", "o", NEW), *elsewhere])[0] == first


def test_the_remark_says_so() -> None:
    everywhere = [("RU", "o", NEW), ("FR", "a", NEW), ("DE", "b", NEW), ("US", "c", NEW)]
    assert rules(everywhere) == [OWN] * 4
