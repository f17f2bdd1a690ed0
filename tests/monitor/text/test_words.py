"""Every state, technique, failure and remark has its words, and none of them leaks our trade."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.judge import imported_run as verdict
from monitor.detection.layers.imported_run import IMPORT_RULES
from monitor.detection.model import State, Technique, Tier
from monitor.text import language, words
from probes.wire.failure import Failure

DETECTION = Path(words.__file__).parents[1] / "detection"
FORBIDDEN = re.compile(r"\b(anomaly|censored|score)\b", re.I)


def test_every_state_tier_technique_and_failure_has_words() -> None:
    assert set(words.STATES) == set(State)
    assert set(words.TIERS) == {*Tier, "few", "one_owner"}
    assert set(words.TECHNIQUES) == {str(each) for each in Technique}
    assert set(words.FAILURES) == {str(each) for each in Failure}


def test_no_forbidden_word_is_used() -> None:
    for said in (words.STATES, words.TIERS, words.UNCONFIRMED, words.TECHNIQUES, words.EVIDENCE):
        for text in said.values():
            assert not FORBIDDEN.search(text)
            assert "blocked" not in text or said in (words.STATES, words.TIERS)


def test_a_technique_is_called_a_block_page_only_where_each_rule_knows_one() -> None:
    """Of a page that merely differs nobody knows who made it."""
    told = {id for id, text in words.TECHNIQUES.items() if "block page" in text}
    named = [rule for rule in ALL_RULES if rule.technique in told]
    assert named
    differs = re.compile("another page|no known block page", re.I)
    assert not [rule.id for rule in named if differs.search(rule.comment)]


def test_every_remark_of_a_rule_has_words() -> None:
    remarks = {remark for rule in ALL_RULES for remark in rule.evidence}
    assert remarks
    assert remarks <= set(words.EVIDENCE)
    assert words.evidence("on_path") == "forged on the path, not by the far end"
    assert words.evidence("never_heard_of") == "never heard of"
    assert words.evidence("partial:ipv6") == "IPv6 alone is cut off"
    assert words.evidence("acts_at_hop:4") == "hops to the point of interference: 4"
    assert words.evidence("endpoint:a.example:443/tls") == "cut off: endpoint a.example:443/tls"
    assert words.evidence("tls:other") == "tls:other"


def test_remarks_that_the_judge_adds_have_words() -> None:
    interface = """allow_list_network clock_wrong lying_resolver no_control no_quic_here on_path
        system_root tls_interception"""
    assert set(interface.split()) <= set(words.EVIDENCE)
    added: set[str] = set()
    for path in DETECTION.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "evidence":
                parts = [n for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
                added |= {str(n.value) for n in parts if isinstance(n.value, str)}
    added |= {verdict.ALONE, verdict.CONTRADICTED, verdict.HELPER}
    assert {"vpn", "no_liveness"} <= added
    assert added <= set(words.EVIDENCE)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.id)
def test_comments_of_rules_come_without_remarks_on_weights(rule: object) -> None:
    said = words.rule_comment(rule.id)  # type: ignore[attr-defined]
    assert said
    assert "(fit" not in said
    assert "typed)" not in said
    assert said.endswith((".", "!", "?"))


@pytest.mark.parametrize("code", [code for code in language.LANGUAGES if code != language.SOURCE])
def test_every_rule_is_in_the_language_of_the_page(code: str) -> None:
    rules = (*ALL_RULES, *IMPORT_RULES)
    english = {rule.id: words.rule_comment(rule.id) for rule in rules}
    language.use(code)
    try:
        own = {rule.id: words.rule_comment(rule.id) for rule in rules}
    finally:
        language.use(language.SOURCE)
    assert {id for id, text in english.items() if own[id] == text} == set()
    # What tells two rules apart in English does so in the other language.
    assert len(set(own.values())) == len(set(english.values()))


def test_a_rule_of_another_version_has_no_comment() -> None:
    assert words.rule_comment("tls.from.the.future") == ""


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (-5, "0 s"),
        (89_000, "89 s"),
        (90_000, "1 min"),
        (89 * 60_000, "89 min"),
        (134 * 60_000, "2 h 14 min"),
        (120 * 60_000, "2 h"),
        (48 * 3_600_000, "2 d"),
        (76 * 3_600_000, "3 d 4 h"),
    ],
)
def test_lengths(milliseconds: int, said: str) -> None:
    assert words.duration_text(milliseconds) == said


def test_times_name_their_zone() -> None:
    at = 1_777_882_205_000
    assert words.when(at) == "4 May 2026, 08:10 UTC"
    assert words.exactly(at) == "2026-05-04 08:10:05 UTC"
    assert words.between(at, at + 60_000) == "from 4 May 2026, 08:10 to 08:11 UTC"
    assert words.between(at, at + 86_400_000) == (
        "from 4 May 2026, 08:10 UTC to 5 May 2026, 08:10 UTC"
    )
    assert words.between(at - 16 * 86_400_000, at + 10 * 86_400_000).count("UTC") == 2
    assert words.machine(at) == "2026-05-04T08:10:05Z"
    assert words.when(None) == words.exactly(None) == ""


def test_numbers_and_names() -> None:
    assert [words.number(n) for n in (0, 1, 10, 11)] == ["no", "one", "ten", "11"]
    assert words.number(9, True) == "Nine"
    assert words.plural(1, "country") == "1 country"
    assert words.plural(12_345, "measurement") == "12\u202f345 measurements"
    assert words.country("RU") == "Russia"
    assert words.country("ZZ") == "an unknown country"
    assert words.country("QQ") == "QQ"
    assert words.country("XK") == "Kosovo"
    assert words.sentence("the Netherlands") == "The Netherlands"
    assert words.failure(None) == ""
    assert words.failure("unknown_failure: x_y") == "unknown failure: x y"
    assert words.technique(None) == ""
    assert words.technique("new.way") == "new.way"


def test_names_of_countries_fit_after_in_and_are_unique() -> None:
    assert len(words.COUNTRIES) == 250
    assert len(set(words.COUNTRIES.values())) == 250
    assert not {"ZZ", "EU", "UN"} & words.COUNTRIES.keys()
    assert [name for name in words.COUNTRIES.values() if " SAR" in name or " - " in name] == []


def test_one_measurement_never_calls_anything_blocked() -> None:
    assert words.measurement_mark(None) is None
    for state in State:
        mark = words.measurement_mark(state)
        assert mark is not None
        assert "block" not in mark[1]
    assert words.measurement_mark("blocked") == ("inconclusive", "fails")
    assert words.measurement_mark("impaired") == ("inconclusive", "partly fails")
    assert words.measurement_mark("ok") == ("ok", "reachable")


def test_a_share_is_nothing_or_all_only_where_it_is() -> None:
    shares = [words.share(n, 1000) for n in (0, 1, 5, 80, 996, 1000)]
    assert shares == ["0 %", "< 1 %", "< 1 %", "8 %", "> 99 %", "100 %"]
