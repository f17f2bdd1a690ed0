"""The table of QUIC's rules: each reached by the facts it is for."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.quic_facts import QUICFacts
from monitor.detection.rules import QUIC_RULES, first

SILENCE, OK = Kind.TIMEOUT, Kind.OK


@pytest.mark.parametrize(
    ("rule", "kind", "facts"),
    [
        ("quic.answer_accused", OK, {"accused": True}),
        ("quic.certificate_valid", OK, {}),
        ("quic.repeat_valid", SILENCE, {"repeated": True}),
        ("quic.family_broken", SILENCE, {"family_dead": True, "innocuous": OK}),
        ("quic.local", Kind.LOCAL, {}),
        ("quic.control_fails_too", SILENCE, {"reach": Reach.SAME, "innocuous": OK}),
        ("quic.control_fails_too", Kind.UNREACHABLE, {"reach": Reach.SAME}),
        ("quic.icmp", Kind.UNREACHABLE, {}),
        ("quic.icmp", Kind.PROHIBITED, {"innocuous": OK}),
        ("quic.foreign_certificate", Kind.CA_SIGNED, {}),
        ("quic.foreign_certificate", Kind.DATES, {"reach": Reach.DIFFERENT}),
        # By name: whatever the reflector says, another name passes.
        ("quic.timeout.sni", SILENCE, {"innocuous": OK}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "reflector": SILENCE}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "elsewhere": False}),
        ("quic.timeout.sni", SILENCE, {"innocuous": Kind.CA_SIGNED}),
        # A censor that goes on blocking the address for a while: our name dies elsewhere too.
        (
            "quic.timeout.sni",
            SILENCE,
            {"innocuous": SILENCE, "reflector": SILENCE, "elsewhere": True},
        ),
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "reflector": OK}),
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "elsewhere": True}),
        (
            "quic.timeout",
            SILENCE,
            {"innocuous": SILENCE, "reflector": Kind.UNREACHABLE, "elsewhere": True},
        ),
        ("quic.no_quic_here", SILENCE, {"innocuous": SILENCE, "reflector": SILENCE}),
        (
            "quic.no_quic_here",
            SILENCE,
            {"innocuous": SILENCE, "reflector": SILENCE, "elsewhere": False},
        ),
        ("quic.no_quic_here", SILENCE, {"reflector": SILENCE}),
        ("quic.no_quic_here", SILENCE, {"innocuous": SILENCE, "elsewhere": False}),
        # The other name came after ours: it may be dead for our name's sake.
        ("quic.timeout", SILENCE, {"innocuous": SILENCE, "tainted": True, "reflector": OK}),
        ("quic.untold", SILENCE, {"innocuous": SILENCE, "tainted": True, "elsewhere": True}),
        ("quic.timeout.sni", SILENCE, {"innocuous": OK, "tainted": True}),
        ("quic.untold", SILENCE, {"elsewhere": True}),
        ("quic.untold", SILENCE, {"reflector": OK}),
        # Nothing else over QUIC was seen: nobody is accused.
        ("quic.unclear", SILENCE, {}),
        ("quic.unclear", SILENCE, {"innocuous": SILENCE}),
        ("quic.unclear", SILENCE, {"innocuous": SILENCE, "reflector": Kind.UNREACHABLE}),
        ("quic.unclear", Kind.ALERT, {}),
        ("quic.unclear", Kind.OTHER, {"innocuous": OK}),
    ],
)
def test_table(rule: str, kind: Kind, facts: dict[str, Any]) -> None:
    found = first(QUIC_RULES, QUICFacts(kind, **({"reach": Reach.PASSED} | facts)))
    assert found is not None
    assert found.id == rule


def test_every_rule_is_in_the_table() -> None:
    (mark,) = test_table.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == {rule.id for rule in QUIC_RULES}
