"""The overview of one machine without a control."""

from __future__ import annotations

import pytest

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.events.present import PresentState
from monitor.detection.model import State
from monitor.detection.policy import Policy
from monitor.web.pages.lone import SIGNATURE, UNCLEAR, lone

POLICY = Policy()
SIGNED = next(
    rule
    for rule in ALL_RULES
    if rule.technique == "tls.reset.sni" and rule.weight >= POLICY.evidence.signature_micronats
)
BARE = next(
    rule
    for rule in ALL_RULES
    if rule.technique == "tcp.timeout" and rule.weight < POLICY.evidence.signature_micronats
)


def state(target: str, state: State, rule: str = "", technique: str | None = None) -> PresentState:
    return PresentState(
        target=target, country="RU", asn=64501, state=state, technique=technique, rule=rule,
        vantages=1, agreeing=1, round=0,
    )  # fmt: skip


OK = state("signal/chat", State.OK)
CUT = state("wechat/web", State.INCONCLUSIVE, SIGNED.id, "tls.reset.sni")
SILENT = state("telegram/dc", State.INCONCLUSIVE, BARE.id, "tcp.timeout")
OFF = state("whatsapp/chat", State.VANTAGE_OFFLINE)


def test_failures_with_a_signature_come_first_and_need_no_control() -> None:
    found = lone([OK, SILENT, CUT, OFF], {"wechat": "WeChat"}, POLICY.evidence)
    assert found is not None
    assert [(row.service, row.told) for row in found.rows] == [
        ("wechat", SIGNATURE),
        ("telegram", UNCLEAR),
        ("signal", ""),
        ("whatsapp", "This machine was offline."),
    ]
    first = found.rows[0]
    assert (first.name, first.function) == ("WeChat", "web")
    assert first.seen.startswith("Connections are cut when the service’s name appears. ")
    assert found.sentence == (
        "This machine reaches 1 of 4 functions. 1 failure has a signature that ordinary faults do "
        "not show. The cause of 1 failure cannot be told."
    )


def test_nothing_is_said_of_a_control() -> None:
    found = lone([CUT, SILENT], {}, POLICY.evidence)
    assert found is not None
    assert "an innocuous name" in found.rows[0].seen
    assert found.rows[1].seen == "No reply from the service’s addresses."


@pytest.mark.parametrize("row", [CUT, SILENT])
def test_nothing_is_called_blocked(row: PresentState) -> None:
    found = lone([row], {}, POLICY.evidence)
    assert found is not None
    assert found.rows[0].mark[0] == "inconclusive"


def test_what_is_reached_carries_no_signature_whatever_the_rule() -> None:
    found = lone([state("a/b", State.OK, SIGNED.id)], {}, POLICY.evidence)
    assert found is not None
    assert found.rows[0].told == ""
    assert found.sentence == "This machine reaches 1 of 1 function."


def test_nothing_measured_yet() -> None:
    assert lone([], {}, POLICY.evidence) is None
