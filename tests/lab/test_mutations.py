"""Each repair of the judgement is broken, one at a time, and the cases that need it fail: by what
was measured in them (`tests.lab.golden`), judged again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from monitor.detection.judge import address as address_judge
from monitor.detection.judge import beside_control, endpoint, target
from monitor.detection.judge.address import AddressJudgement
from monitor.detection.judge.beside_control import Outcome
from monitor.detection.layers import dns_answer, dns_forgery, throttle, tls_contrasts
from monitor.detection.layers import http as http_layer
from monitor.detection.layers import quic as quic_layer
from monitor.detection.model import Layer, State
from monitor.detection.observed import background, by_chance
from monitor.detection.observed.background import AttemptTally
from monitor.detection.observed.endpoint_context import EndpointContext, reach
from monitor.detection.observed.view import AddressView, view
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.lab.cases import BY_NAME
from tests.lab.golden import load
from tests.monitor.detection.scenes import (
    A1,
    A2,
    CONTROL_PROBE,
    FORGED,
    HTTPS,
    V6,
    alive,
    control,
    dns,
    http,
    reference,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import verdict

_OUTCOME = beside_control.outcome_of
_WITHOUT_UNSEEN = address_judge.without_unseen_accusations
_TRANSFER_FACTS = throttle.transfer_facts
Break = Callable[[pytest.MonkeyPatch], None]


def _without(*rules: str) -> Break:
    def broken(patch: pytest.MonkeyPatch) -> None:
        for module in (endpoint, address_judge):
            for name in [name for name in vars(module) if name.endswith("_RULES")]:
                left = [rule for rule in getattr(module, name) if rule.id not in rules]
                patch.setattr(module, name, tuple(left))

    return broken


def _set(of: object, name: str, value: object) -> Break:
    return lambda patch: patch.setattr(of, name, value)


def _both(*breaks: Break) -> Break:
    """Where two repairs hold, each alone, both must be broken."""

    def broken(patch: pytest.MonkeyPatch) -> None:
        for each in breaks:
            each(patch)

    return broken


def _by_alphabet(pool: Sequence[Outcome]) -> Outcome:
    deepest = max(target.DEPTH[o.layer] for o in pool)
    pool = [o for o in pool if target.DEPTH[o.layer] == deepest]
    count = Counter(o.rule for o in pool)
    return max(pool, key=lambda o: (count[o.rule], o.technique or ""))


def _with_origin(rules: Any, layer: Layer, facts: Any, *more: Any) -> Outcome:
    said = _OUTCOME(rules, layer, facts, *more)
    origin = endpoint._origin(facts) if layer is Layer.DNS else ()
    return replace(said, evidence=(*said.evidence, *origin))


def _two_of_its_own(context: EndpointContext, address: AddressView, accused: bool) -> Any:
    facts = _TRANSFER_FACTS(context, address, accused)
    own = sum(t.contrast is None for t in address.transfers)
    if facts is None:
        return None
    innocuous = facts.innocuous
    two = msgspec.structs.replace(innocuous, as_slow=innocuous.as_slow and own >= 2)
    return msgspec.structs.replace(facts, innocuous=two)


def _without_any_unseen(judged: tuple[AddressJudgement, ...]) -> tuple[AddressJudgement, ...]:
    return tuple(each for a in judged for each in _WITHOUT_UNSEEN((a,)))


BROKEN: dict[str, tuple[Break, tuple[str, ...]]] = {
    "the background of the round is not read": (
        _both(
            _set(by_chance, "explains", lambda *_: False),
            _set(by_chance, "one_may_die", lambda *_: False),
        ),
        ("benign.full_table", "benign.overload", "benign.handshakes"),
    ),
    "packets that were sent again explain nothing": (
        _set(AttemptTally, "swamped", property(lambda _: False)),
        ("benign.swamped",),
    ),
    "what is sent again was lost": (
        _set(background, "resent", lambda seen: background.SENT_AGAIN in seen.evidence),
        ("trap.slow_line", "trap.late_data"),
    ),
    "small answers show a speed": (
        _set(throttle, "small_answers", lambda _: False),
        ("pace.thinks",),
    ),
    "an address is throttled by two transfers with the service's name alone": (
        _set(address_judge, "transfer_facts", _two_of_its_own),
        ("throttle.jammed",),
    ),
    "a transfer that was reset is a slow one": (
        _set(throttle, "_cut", lambda _: False),
        ("pace.at_times",),
    ),
    "the innocuous name beside is not read": (
        _without("dns.resolver_limits"),
        ("benign.limits", "benign.hush"),
    ),
    "a family that no control tried accuses": (
        _both(
            _set(EndpointContext, "compared", lambda self, *_: list(self.control_addresses)),
            _set(address_judge, "STRONG", 1_799_999),
        ),
        ("benign.broken_v6",),
    ),
    "a reset is strong enough where no control tried": (
        _set(address_judge, "STRONG", 1_799_999),
        ("benign.closed_replica",),
    ),
    "that a control passed elsewhere speaks for an address that none saw": (
        _set(EndpointContext, "unseen", lambda *_: False),
        ("benign.near_closed", "benign.near_silent"),
    ),
    "an address that no control saw is accused by nothing": (
        _set(address_judge, "STRONG", 10_000_000),
        ("trap.near_name", "trap.near_residual"),
    ),
    "our own host tells of a name where it fails for every name": (
        _set(EndpointContext, "reflector_fails", lambda *_: False),
        ("benign.near_broken",),
    ),
    "our own host tells of no name": (
        _set(EndpointContext, "reflector_fails", lambda *_: True),
        ("trap.residual", "trap.near_residual", "quic.residual"),
    ),
    "an address that no control saw is not accused beside one that a control passed": (
        _set(endpoint, "without_unseen_accusations", _without_any_unseen),
        ("tcp.near_and_far",),
    ),
    "that a datagram passed says that others do, later": (
        _set(EndpointContext, "udp_at_times", lambda *_: False),
        ("benign.udp_limit", "quic.few"),
    ),
    "the dead are slow": (
        _set(throttle, "dead", lambda _: False),
        ("tls.late_reset", "tls.late_eof", "tls.late_drop", "benign.hangs_up_there"),
    ),
    "what dies after the handshake is not compared": (
        _without("tls.reset.sni_late", "tls.eof.sni_late", "tls.timeout.sni_late"),
        ("tls.late_reset", "tls.late_eof", "tls.late_drop"),
    ),
    "every page is the same": (_set(http_layer, "alike", lambda *_: True), ("http.unknown_page",)),
    "no page is the same": (
        _set(http_layer, "alike", lambda *_: False),
        ("benign.edition", "private_everywhere", "trap.twice"),
    ),
    "a connection is all that an address needs": (
        _set(address_judge, "needed_layer", lambda _: Layer.TCP),
        ("quic.family", "quic.loss"),
    ),
    "ties are broken by the alphabet": (
        _set(target, "_leading", _by_alphabet),
        ("trap.two_boxes",),
    ),
    "known block pages are not known": (
        _set(EndpointContext, "page", lambda *_: None),
        ("http.block_page", "app.page", "dns.blockpage"),
    ),
    "large answers that are lost are silence": (_without("tls.large_answer"), ("benign.mtu_hole",)),
    "an old certificate is someone else's": (_without("tls.dates"), ("benign.old_replica",)),
    "a control that failed before is none": (
        _set(EndpointContext, "reach", lambda _, kind, control: reach(kind, control)),
        ("benign.search_page", "benign.accelerator"),
    ),
    "hosts that are silent beside a repeat are not read": (
        _set(target, "during", lambda here, *_: here),
        ("benign.outage",),
    ),
    "what public resolvers give in clear text is an address of the service": (
        _set(endpoint, "_unconfirmed", lambda _: frozenset()),
        ("dns.pool",),
    ),
    "other connects of a control are not read": (
        _both(
            _set(EndpointContext, "control_fails", lambda *_: False),
            _set(by_chance, "_at_controls", lambda *_: []),
        ),
        ("benign.balancer",),
    ),
    "what the resolver says of itself is not read": (
        _without("dns.reported_fault"),
        ("benign.zone_faulty",),
    ),
    "that every name dies at our own host is not seen": (
        _set(tls_contrasts, "_any_host", lambda *_: False),
        ("everyday.no_tls13",),
    ),
    "a name that a server hangs up on has not reached it": (
        _set(tls_contrasts, "_HANGS_UP", ()),
        ("trap.hangs_up",),
    ),
    "QUIC with our own host shows nothing": (
        _set(quic_layer, "_elsewhere", lambda *_: None),
        ("quic.residual",),
    ),
    "who intercepts TLS has a certificate of a trusted authority, for another name": (
        _without("tls.other_name"),
        ("benign.near_default",),
    ),
    "a denial says nothing of where it is from": (
        _set(dns_forgery, "_denied_without_soa", lambda *_: False),
        ("dns.exact",),
    ),
    "names below are not asked for": (
        _without("dns.forged_below"),
        ("dns.sinkhole",),
    ),
    "where an answer comes from is said of those that are not forged too": (
        _set(endpoint, "outcome_of", _with_origin),
        ("benign.limits",),
    ),
}


@pytest.mark.parametrize("repair", BROKEN)
def test_without_a_repair_its_cases_fail(repair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, cases = BROKEN[repair]
    broken(monkeypatch)
    for name in cases:
        entry, stored = load(name)
        promised, said = BY_NAME[name], stored.verdict()
        as_promised = (
            said.state in (promised.state, promised.or_state)
            and said.technique == promised.technique
            and said.rule in promised.rules
            and sorted(said.evidence) == sorted(entry["verdict"].get("evidence", ()))
        )
        assert not as_promised, name


CONTROL_WITHOUT_SIX = (
    control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6, Failure.TIMEOUT))[0],
    alive(probe=CONTROL_PROBE, v6=False),
)
DEAD_AND_GIVEN_BY_OTHERS = (
    *(dns(FORGED), reference(FORGED), reference(A1, transport="doh")),
    *(tcp(FORGED), tls(FORGED, Failure.TIMEOUT), tcp(A1), tls(A1)),
)
BY_HAND: dict[str, tuple[Break, State, tuple[AnyObservation, ...], dict[str, Any]]] = {
    "a connection counts as works": (
        _set(dns_answer, "works", lambda address, _: address.tcp.passed),
        State.BLOCKED,
        DEAD_AND_GIVEN_BY_OTHERS,
        {},
    ),
    "an address that was only connected to excuses an answer": (
        _set(dns_answer, "_untried", lambda address: address.tcp.passed),
        State.BLOCKED,
        DEAD_AND_GIVEN_BY_OTHERS,
        {},
    ),
    "a resolver that was asked once accuses": (
        _without("dns.asked_once"),
        State.INCONCLUSIVE,
        (dns(failure=Failure.DNS_REFUSED),),
        {},
    ),
    "a control speaks of a family that it does not have": (
        _set(target, "control_view", lambda measurement, _: view(measurement)),
        State.BLOCKED,
        (
            *(dns(A1), dns(V6, qtype="AAAA")),
            *(tcp(A1, Failure.REFUSED, errno=111), tcp(V6, Failure.TIMEOUT)),
        ),
        {"beside": [CONTROL_WITHOUT_SIX]},
    ),
    "an address at which nothing was tried works": (
        _set(AddressJudgement, "tried", property(lambda _: True)),
        State.INSUFFICIENT,
        (
            *(dns(A1, at=HTTPS), tcp(A1, at=HTTPS)),
            *(tcp(A2, at=HTTPS), tls(A2, at=HTTPS), http(A2, at=HTTPS)),
        ),
        {"endpoints": (HTTPS,)},
    ),
}
"""Repairs that no case of the laboratory needs, and measurements that do."""


@pytest.mark.parametrize("repair", BY_HAND)
def test_without_a_repair_a_measurement_is_judged_otherwise(
    repair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, state, seen, given = BY_HAND[repair]
    before = verdict(*seen, **given)
    assert before.state is state
    broken(monkeypatch)
    assert verdict(*seen, **given) != before
