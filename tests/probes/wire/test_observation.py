"""Laws over the sum type."""

from __future__ import annotations

import msgspec

from probes.wire import observation
from probes.wire.observation import DNSLookup, DNSReply


def test_every_kind_is_known_by_its_step() -> None:
    assert len(set(map(observation.step_of, observation.KNOWN))) == len(observation.KNOWN)
    assert observation.step_of(DNSLookup) == "dns"


def test_answers_are_those_of_the_first_reply() -> None:
    first, second = (
        DNSReply(after_us=1, rcode=0, answers=(a,)) for a in ("192.0.2.1", "192.0.2.2")
    )
    lookup = DNSLookup(endpoint="e", name="n", qtype="A", resolver="r", replies=(first, second))
    assert lookup.answers == ("192.0.2.1",)
    assert DNSLookup(endpoint="e", name="n", qtype="A", resolver="r").answers == ()


def test_defaults_do_not_travel() -> None:
    lookup = DNSLookup(endpoint="e", name="n", qtype="A", resolver="system")
    assert set(msgspec.to_builtins(lookup)) == {"step", "endpoint", "name", "qtype", "resolver"}
