"""The method as data: nothing that judges is missing from it."""

from __future__ import annotations

import json

import msgspec

from monitor.detection.model import State, Technique
from monitor.detection.policy import Policy
from monitor.detection.rules import ALL_RULES
from monitor.web.pages import rules_text as method


def test_every_rule_is_told() -> None:
    told = [rule for _, found in method.rules(Policy()) for rule in found]
    assert {rule.id for rule in told} == {rule.id for rule in ALL_RULES} | set(method.WHOLE)
    assert len({rule.id for rule in told}) == len(told)
    for rule in told:
        assert rule.said.endswith(".")
        # Where a weight is from is for those who calibrate.
        assert "(fit" not in rule.said
        assert "(typed)" not in rule.said
        accuses = rule.state in (State.BLOCKED, State.THROTTLED)
        assert (rule.weight > 0) is accuses
        assert (rule.weight_said == "accuses nobody") is not accuses
    headings = [heading for heading, _ in method.rules(Policy())]
    assert headings[0] == "The vantage itself"
    assert headings[-1] == "As a whole"


def test_weights_in_words_fall() -> None:
    said = [method.weight(n, Policy()) for n in (4_700_000, 2_500_000, 1_000_000, 500_000, 0)]
    assert [words.split()[0].strip(":") for words in said] == [
        "very", "strong", "fair", "weak", "accuses"
    ]  # fmt: skip


def test_every_technique_and_state_is_told() -> None:
    told = method.techniques()
    assert [each.id for each in told] == [str(technique) for technique in Technique]
    for each in told:
        assert each.said != each.id
        assert each.rules, each.id
    assert set(method.states()) == set(State)


def test_every_value_of_the_policy_is_told_and_paced() -> None:
    told = {setting.name: setting for setting in method.settings(Policy(pace=10))}
    assert list(told) == list(Policy.__struct_fields__)
    assert [name for name, setting in told.items() if not setting.said] == []
    assert told["confirm_typed_seconds"].value == "30 s"
    assert told["threshold_micronats"].value == "7 nats"
    assert told["quorum_per_mille"].value == "41 %"
    assert told["p1_per_mille"].value == "10 %, 30 %, 80 %"
    assert told["pace"].value == "10"
    assert set(method.POLICY) <= set(Policy.__struct_fields__)
    fast = {s.name: s.value for s in method.settings(Policy(pace=1000))}
    assert fast["round_close_seconds"] == "under 1 s"


def test_words_of_a_field_come_from_its_docstring() -> None:
    found = method.docstrings()
    assert found["close_good_seconds"].startswith("How long the vantages that saw a block")
    assert "baseline_seconds" not in found


def test_the_whole_is_json() -> None:
    whole = json.loads(msgspec.json.encode(method.everything(Policy())))
    assert len(whole["rules"]) == len(ALL_RULES) + len(method.WHOLE)
    assert whole["policy"]["pace"] == 1
    assert whole["gates"]["service_down"]
    assert whole["evidence"]["no_control"]
