# SPDX-License-Identifier: Apache-2.0
"""Alerts, recording rules, durations and YAML as Prometheus and Alertmanager read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from monitor.detection.policy import Policy


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert rule. Texts are templates of Prometheus."""

    name: str
    expr: str
    severity: str
    """`page` wakes somebody, `ticket` waits for the morning, `info` is only kept."""
    summary: str
    """One line."""
    description: str
    """What it means."""
    first: str
    """What to do first, in one sentence; the runbook says the rest."""
    kind: str = "system"
    """`block` for what says that a service is blocked, `closing` for what takes it back,
    `service`, `country` and `vantage` for what may explain a block away."""
    seconds: int = 0
    """How long the expression must hold (`for`)."""
    keep_seconds: int = 0
    """How long it goes on firing over gaps (`keep_firing_for`)."""
    link: str = "/"
    """Path on the site where the evidence is."""
    more: Mapping[str, str] = {}
    """Annotations of this alert alone."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording rule."""

    name: str
    expr: str


def milliseconds(policy: Policy, seconds: int) -> int:
    """A duration of the policy at its pace; nothing here is faster than a second."""
    return max(1000, policy.ms(seconds))


def duration(policy: Policy, seconds: int) -> str:
    """A duration of the policy as Prometheus and Alertmanager write it."""
    return format_duration(milliseconds(policy, seconds))


def format_duration(ms: int) -> str:
    """`90s`, or `1500ms` where seconds are too coarse."""
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


def as_yaml(document: Mapping[str, Any]) -> str:
    """A document as YAML; keys keep their order, long strings are not folded."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text
