"""The method page, its JSON and CSV, and the texts behind them."""

from __future__ import annotations

import csv
import io
import json
import re

import msgspec

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.model import State, Technique
from monitor.detection.policy import Policy
from monitor.text import words
from monitor.web.pages import method
from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import Client


async def test_every_rule_has_its_anchor_and_no_link_is_dead(web: Client) -> None:
    page = await (await web.get("/method")).text()
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for rule in ALL_RULES:
        assert f"rule-{rule.id}" in ids
    for name in Policy().values():
        assert f"policy-{name}" in ids
    for gate in words.GATES:
        assert f"gate-{gate}" in ids
    for remark in words.EVIDENCE:
        assert f"remark-{remark}" in ids
    for link in re.findall(r'href="#([^"]+)"', page):
        assert link in ids, link


async def test_the_method_page_is_in_plain_words(web: Client) -> None:
    text = text_of(await (await web.get("/method")).text())
    assert (
        "A vantage that has failed for 2 h while others of the network reach the service is on"
        in text
    )
    assert "at most, 4 with a typical sign; an alarm needs 7" in text
    assert "At least 2 vantages and 41" in text
    assert "Never called blocking" in text
    assert "Nothing is known of any other network." in text
    assert "Connections are cut when the service’s name appears" in text


async def test_the_same_for_programs(web: Client) -> None:
    answer = await web.get("/method.json")
    assert answer.content_type == "application/json"
    said = json.loads(await answer.text())
    assert {rule["id"] for rule in said["rules"]} >= {rule.id for rule in ALL_RULES}
    table = await web.get("/method.csv")
    assert table.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(await table.text())))
    assert [row["id"] for row in rows] == [rule["id"] for rule in said["rules"]]
    assert rows[0]["layer"] == "vantage"


def test_every_rule_has_a_text() -> None:
    told = [rule for _, found in method.rules(Policy().evidence) for rule in found]
    assert {rule.id for rule in told} == {rule.id for rule in ALL_RULES} | set(method.WHOLE)
    assert len({rule.id for rule in told}) == len(told)
    for rule in told:
        assert rule.said.endswith(".")
        # Where a weight is from is for those who calibrate.
        assert "(fit" not in rule.said
        assert "(typed)" not in rule.said
        accuses = rule.state in (State.BLOCKED, State.THROTTLED)
        assert (rule.weight > 0) is accuses
        assert (rule.weight_said == "does not indicate blocking") is not accuses
    headings = [heading for heading, _ in method.rules(Policy().evidence)]
    assert headings[0] == "The vantage itself"
    assert headings[-1] == "As a whole"


def test_weights_in_words_are_ordered() -> None:
    said = [
        method.weight(n, Policy().evidence) for n in (4_700_000, 2_500_000, 1_000_000, 500_000, 0)
    ]
    assert [words.split()[0].strip(":") for words in said] == [
        "very", "strong", "fair", "weak", "does"
    ]  # fmt: skip


def test_every_technique_and_state_has_a_text() -> None:
    told = method.techniques()
    assert [each.id for each in told] == [str(technique) for technique in Technique]
    for each in told:
        assert each.said != each.id
        assert each.rules, each.id
    assert set(words.TABLES["state_meanings"]) == set(State)


def test_every_policy_value_has_a_text_and_follows_the_pace() -> None:
    told = {setting.name: setting for setting in method.settings(Policy(pace=10))}
    assert list(told) == list(Policy().values())
    assert [name for name, setting in told.items() if not setting.said] == []
    assert told["confirm_signature_seconds"].value == "24 s"
    assert told["threshold_micronats"].value == "7 nats"
    assert told["quorum_per_mille"].value == "41 %"
    assert told["p1_per_mille"].value == "10 %, 30 %, 80 %"
    assert told["pace"].value == "10"
    fast = {s.name: s.value for s in method.settings(Policy(pace=1000))}
    assert fast["round_close_seconds"] == "under 1 s"


def test_the_whole_is_json() -> None:
    whole = json.loads(msgspec.json.encode(method.everything(Policy())))
    assert len(whole["rules"]) == len(ALL_RULES) + len(method.WHOLE)
    assert whole["policy"]["pace"] == 1
    assert whole["gates"]["service_down"]
    assert whole["evidence"]["no_control"]
