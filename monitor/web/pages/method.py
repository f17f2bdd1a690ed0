# SPDX-License-Identifier: Apache-2.0
"""How verdicts arise: every rule, technique and value of the policy, as a page, JSON and CSV. All
is generated from the code that uses it; values of the policy are explained by their docstrings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from monitor.detection.all_rules import ALL_RULES, RULES_VERSION
from monitor.detection.judge import target
from monitor.detection.model import Layer, State, Technique, layer_of
from monitor.detection.policy import EvidencePolicy, Policy
from monitor.interop.csv_text import csv_text
from monitor.text import words
from monitor.text.language import _
from monitor.web.answers import PUBLIC, csv_file, json_answer
from monitor.web.moment import site_of
from monitor.web.render import render
from probes.wire.dictionary import field_meanings


async def page(request: web.Request) -> web.Response:
    """Render the method."""
    policy = site_of(request).policy
    values = {
        "title": _("Method"),
        "rules": rules(policy.evidence),
        "techniques": techniques(),
        "settings": settings(policy),
        "states": words.TABLES["state_meanings"],
        "rules_version": RULES_VERSION,
        "policy": policy,
    }
    return await render(request, "method.html", values)


async def as_json(request: web.Request) -> web.Response:
    """Rules, techniques, states and policy."""
    return json_answer(everything(site_of(request).policy), headers=PUBLIC)


async def as_csv(request: web.Request) -> web.Response:
    """One row a rule."""
    rows = (
        [" ".join(x) if isinstance(x, tuple) else x for x in msgspec.structs.astuple(rule)]
        for _heading, found in rules(site_of(request).policy.evidence)
        for rule in found
    )
    return csv_file("rules", csv_text([RuleText.__struct_fields__, *rows]), PUBLIC)


WHOLE_HEADING = "As a whole"
WHOLE = {
    target.RULE_WORKS: (State.OK, "Enough of its endpoints work."),
    target.RULE_EMPTY: (State.INSUFFICIENT, "Nothing was seen that a verdict could rest on."),
}
"""Rules of a whole target, besides those of the layers."""


class RuleText(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in words."""

    id: str
    layer: str
    state: str
    said: str
    technique: str | None
    how: str
    weight: int
    """Micro-nats."""
    weight_said: str
    evidence: tuple[str, ...]


class TechniqueText(msgspec.Struct, frozen=True, kw_only=True):
    """One technique in words."""

    id: str
    layer: str
    said: str
    rules: tuple[str, ...]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One value of the policy in words."""

    name: str
    value: str
    """Durations are divided by the pace."""
    said: str


def rules(policy: EvidencePolicy) -> Sequence[tuple[str, Sequence[RuleText]]]:
    """(heading, rules in the order in which they are tried), by layer."""
    by_layer: dict[Layer | None, list[RuleText]] = {}
    for rule in ALL_RULES:
        by_layer.setdefault(rule.layer, []).append(
            RuleText(
                id=rule.id,
                layer=str(rule.layer or "vantage"),
                state=str(rule.state),
                said=words.rule_comment(rule.id),
                technique=rule.technique and str(rule.technique),
                how=words.technique(rule.technique),
                weight=rule.weight,
                weight_said=weight(rule.weight, policy),
                evidence=rule.evidence,
            )
        )
    whole = [
        RuleText(
            id=id, layer="target", state=str(state), said=_(said), technique=None, how="",
            weight=0, weight_said=weight(0, policy), evidence=(),
        )
        for id, (state, said) in WHOLE.items()
    ]  # fmt: skip
    headings = words.TABLES["layers"]
    return [
        *((headings[layer or "vantage"], found) for layer, found in by_layer.items()),
        (WHOLE_HEADING, whole),
    ]


def weight(micronats: int, policy: EvidencePolicy) -> str:
    """How much a rule counts, in words."""
    if micronats == 0:
        return _("does not indicate blocking")
    if micronats >= policy.sample_clip_micronats:
        return _("very strong: counts for as much as one measurement may")
    if micronats >= policy.signature_micronats:
        return _("strong: a typical sign")
    if micronats * 2 >= policy.signature_micronats:
        return _("fair: must be seen more often and for longer")
    return _("weak: happens for natural reasons too")


def techniques() -> Sequence[TechniqueText]:
    """Every technique, with its rules."""
    return [
        TechniqueText(
            id=str(technique),
            layer=layer_of(technique),
            said=words.technique(technique),
            rules=tuple(rule.id for rule in ALL_RULES if rule.technique is technique),
        )
        for technique in Technique
    ]


def settings(policy: Policy) -> Sequence[Setting]:
    """Every value of the policy, in the order of the code."""
    written = policy_meanings()
    return [
        Setting(name=name, value=_value(name, value, policy), said=written[name])
        for name, value in policy.values().items()
    ]


def policy_meanings() -> Mapping[str, str]:
    """Every value of the policy by its name, in words."""
    groups = (type(getattr(Policy(), name)) for name in Policy.__struct_fields__)
    kinds = (Policy, *(group for group in groups if issubclass(group, msgspec.Struct)))
    return {name: text for kind in kinds for name, text in field_meanings(kind).items()}


def _value(name: str, value: Any, policy: Policy) -> str:
    if name.endswith("_seconds"):
        return words.duration_text(policy.ms(value)) if policy.ms(value) >= 1000 else "under 1 s"
    if name.endswith("_micronats"):
        return f"{value / 1_000_000:g} nats"
    if name.endswith("_per_mille"):
        shares = value if isinstance(value, tuple) else (value,)
        return ", ".join(f"{share / 10:g} %" for share in shares)
    return str(value)


def everything(policy: Policy) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "rules_version": RULES_VERSION,
        "rules": [rule for _, found in rules(policy.evidence) for rule in found],
        "techniques": techniques(),
        "states": words.TABLES["state_meanings"],
        "policy": policy.values(),
        "gates": words.GATES,
        "evidence": words.EVIDENCE,
    }
