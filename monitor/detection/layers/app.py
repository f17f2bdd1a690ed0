# SPDX-License-Identifier: Apache-2.0
"""Rules over the first exchange of an app's own protocol, once TCP has connected.

There is no innocuous twin to compare with: what speaks is the control, which was answered, and a
repeat from a fresh port, which was not.
"""

from __future__ import annotations

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.app_facts import AppFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.rule import Rule

_APP = Layer.APP

APP_RULES: tuple[Rule[AppFacts], ...] = (
    Rule(
        "app.answer_accused",
        _APP,
        lambda f: f.accused,
        State.INSUFFICIENT,
        "The address comes from a forged DNS answer: it is the DNS that is judged.",
    ),
    Rule(
        "app.answer_lacks",
        _APP,
        lambda f: f.kind is Kind.OK and bool(f.lacks),
        State.INCONCLUSIVE,
        "It speaks, and its answer lacks what the control is shown: a key of the service's, or the "
        "offer of TLS. Someone in between would look so.",
        evidence=("answer_lacks",),
    ),
    Rule(
        "app.spoke",
        _APP,
        lambda f: f.kind is Kind.OK,
        State.OK,
        "A server of the app's own protocol answered. Whose it is, such an answer does not prove.",
    ),
    Rule(
        "app.repeat_spoke",
        _APP,
        lambda f: f.repeated,
        State.OK,
        "A second attempt from a fresh port was answered: loss, not a block.",
        evidence=("transient",),
    ),
    Rule(
        "app.control_fails_too",
        _APP,
        lambda f: f.reach is Reach.SAME,
        State.DOWN,
        "The control fails in the same way, or is answered by something else as well: the service "
        "is down, or no longer speaks this protocol there.",
    ),
    Rule(
        "app.page",
        _APP,
        lambda f: f.kind is Kind.OTHER and f.web,
        State.INCONCLUSIVE,
        "A page in clear text answers in place of the app's server, and it is no block page that "
        "we know.",
        evidence=("clear_http",),
    ),
    Rule(
        "app.foreign",
        _APP,
        lambda f: f.kind is Kind.OTHER,
        State.INCONCLUSIVE,
        "Something answers that does not speak the app's protocol.",
        evidence=("foreign_answer",),
    ),
    Rule(
        "app.reset",
        _APP,
        lambda f: f.kind is Kind.RESET,
        State.BLOCKED,
        "The connection dies by RST after the app's first bytes, twice, where the control is "
        "answered. (fit: tls reset, halved)",
        Technique.APP_RESET,
        2_400_000,
    ),
    Rule(
        "app.timeout",
        _APP,
        lambda f: f.kind is Kind.TIMEOUT,
        State.BLOCKED,
        "The connection comes about and the app's first bytes are met with silence, twice, where "
        "the control is answered. (low)",
        Technique.APP_TIMEOUT,
        700_000,
    ),
    Rule(
        "app.closed",
        _APP,
        lambda f: f.kind is Kind.EOF,
        State.INCONCLUSIVE,
        "The connection is closed in an orderly way after the app's first bytes, where the control "
        "is answered: servers that are asked too often do so.",
        evidence=("closed",),
    ),
    Rule(
        "app.unclear",
        _APP,
        lambda _: True,
        State.INCONCLUSIVE,
        "The exchange failed in a way that these rules do not know.",
    ),
)
