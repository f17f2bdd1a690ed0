"""DNS rules over facts, where the order of the tuple matters."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.dns import DNS_RULES
from monitor.detection.layers.dns_facts import LookupFacts
from monitor.detection.rules import first


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"proven": True, "bogon": True, "injected": True}, "dns.answer_proven"),
        ({"known": True, "bogon": True, "page": "x"}, "dns.answer_known"),
        ({"bogon": True, "page": "x"}, "dns.bogon"),
        ({"page": "x", "injected": True}, "dns.blockpage"),
        ({"bogon": True, "injected": True}, "dns.bogon"),
        ({"injected": True}, "dns.injected"),
        ({"injected": True, "by_name": True}, "dns.answer_alone"),
        ({"foreign": True}, "dns.answer_alone"),
        ({"foreign": True, "others_known": True}, "dns.foreign_certificate"),
        ({"dead": True}, "dns.dead_answer"),
        ({"dead": True, "by_name": True}, "dns.answer_alone"),
        ({"others_known": True}, "dns.answer_unmatched"),
        ({}, "dns.answer_alone"),
        ({"kind": Kind.EMPTY, "sibling": True}, "dns.no_record"),
        ({"kind": Kind.EMPTY, "reach": Reach.SAME}, "dns.no_record"),
        ({"kind": Kind.EMPTY}, "dns.empty"),
        ({"kind": Kind.NXDOMAIN, "sibling": True}, "dns.nxdomain"),
        ({"kind": Kind.NXDOMAIN, "reach": Reach.SAME}, "dns.failure_everywhere"),
        ({"kind": Kind.SERVFAIL, "sibling": True}, "dns.other_family_answered"),
        ({"kind": Kind.SERVFAIL}, "dns.servfail"),
        ({"kind": Kind.SERVFAIL, "limits": True}, "dns.resolver_limits"),
        ({"kind": Kind.TIMEOUT, "limits": True, "attempts": 2}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "limits": True}, "dns.nxdomain"),
        ({"kind": Kind.SERVFAIL, "limits": True, "sibling": True}, "dns.other_family_answered"),
        ({"kind": Kind.NXDOMAIN, "authority": True}, "dns.authority_differs"),
        ({"kind": Kind.DNS_REFUSED, "authority": True}, "dns.authority_differs"),
        ({"kind": Kind.TIMEOUT, "authority": True}, "dns.unclear"),
        ({"kind": Kind.NXDOMAIN, "authority": True, "reach": Reach.SAME}, "dns.failure_everywhere"),
        ({"kind": Kind.DNS_REFUSED}, "dns.refused"),
        ({"kind": Kind.TIMEOUT, "attempts": 2, "others": True}, "dns.timeout"),
        ({"kind": Kind.TIMEOUT, "attempts": 2}, "dns.unclear"),
        ({"kind": Kind.TIMEOUT, "others": True}, "dns.unclear"),
        ({"kind": Kind.OTHER}, "dns.unclear"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str) -> None:
    facts = LookupFacts(**{"kind": Kind.OK, "reach": Reach.PASSED} | given)
    found = first(DNS_RULES, facts)
    assert found is not None
    assert found.id == rule
