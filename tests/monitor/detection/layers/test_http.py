"""HTTP rules over facts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.endpoint_context import Reach
from monitor.detection.facts.kinds import Kind
from monitor.detection.layers.http import HTTP_RULES, HTTPFacts
from monitor.detection.rule import first


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {"status": 451, "same_answer": True, "page": "x"}, "http.same_answer"),
        (Kind.OK, {"status": 451, "page": "x"}, "http.blockpage"),
        (Kind.OK, {"status": 451}, "http.451"),
        (Kind.OK, {"status": 451, "tls": True}, "http.451"),
        (Kind.OK, {"status": 302, "foreign_redirect": True}, "http.redirect"),
        (Kind.OK, {"status": 302, "foreign_redirect": True, "tls": True}, "http.answered"),
        (Kind.OK, {"status": 302, "other_answer": True}, "http.answered"),
        (Kind.OK, {"status": 403, "other_answer": True}, "http.differs"),
        (Kind.OK, {"status": 403, "other_answer": True, "tls": True}, "http.served_otherwise"),
        (Kind.OK, {"status": 302, "other_answer": True, "tls": True}, "http.answered"),
        (Kind.OK, {"status": 451, "other_answer": True, "tls": True}, "http.451"),
        (Kind.OK, {"status": 200}, "http.answered"),
        (Kind.RESET, {"repeated": True}, "http.repeat_answered"),
        (Kind.RESET, {"reach": Reach.SAME}, "http.control_fails_too"),
        (Kind.RESET, {}, "http.reset.host"),
        (Kind.EOF, {"innocuous": Kind.OK}, "http.reset.host"),
        (Kind.RESET, {"innocuous": Kind.RESET}, "http.unclear"),
        (Kind.TIMEOUT, {}, "http.timeout.host"),
        (Kind.TIMEOUT, {"tls": True}, "http.unclear"),
        (Kind.OK, {"status": 200, "accused": True}, "http.answer_accused"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(HTTP_RULES, HTTPFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule
