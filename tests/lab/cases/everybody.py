"""Nobody's fault, or everybody's."""

from __future__ import annotations

from tests.lab.cases.case import ANY, DOWN, WORKS, Case

CASES: tuple[Case, ...] = (
    Case("certificate_expired", "down", ("tls.control_fails_too",)),
    Case("service_silent", "down", DOWN, None, ANY),
    Case("name_gone", "down", ("dns.failure_everywhere",), None, ANY),
    Case("law_everywhere", "ok", ("http.same_answer",), None, ("https", "http")),
    Case("private_everywhere", "ok", WORKS, None, ANY),
)
