# SPDX-License-Identifier: Apache-2.0
"""The verdict on one target in one imported run: pure and total.

An endpoint works when one of its addresses passes every step that was tried. The target has failed
when half or more of its tried endpoints have failed: real blocks miss some addresses (Kenya 2024:
true in 93 % of measurements during the block and in 0.2 % outside), and one failure among a dozen
endpoints means nothing. IPv6 counts only in runs in which some IPv6 worked. OONI's own conclusions
are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.layers.imported_run import IMPORT_RULES, OTHER_PAGES, RunFacts
from monitor.detection.model import Layer, LayerFinding, Share, State, Verdict
from monitor.detection.observed.imported_endings import (
    DOWN,
    Ending,
    EndpointObservations,
    NameObservations,
    RunContext,
    ending,
)
from monitor.detection.observed.imported_run import VPN, Helper, RunRecord, record_of
from monitor.detection.observed.page_in_place import SAME, PageInPlace, page_in_place
from monitor.detection.observed.relay_networks import is_relay
from monitor.detection.rule import first
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)
from probes.wire.protocol import Transport, protocol

STRONG = 2_000_000
"""Micro-nats of a rule that names interference; what weighs less also happens by itself."""
HALF_PER_MILLE = 500
"""From this share of failed endpoints on, the target has failed."""
WORKS = "imported.works"
EMPTY = "imported.insufficient"
ALONE = "run_unproven"
"""Evidence: nothing in the whole run was answered, so the device may have been offline."""


OVER_VPN = "imported.vpn"
DOWN_TOO = "imported.down"
HELPER = "helper_reaches"
"""Evidence: OONI's helper reached the site at the same time."""
DIFFERS = "page_differs"
"""Evidence: in clear text, another page came than OONI's helper got."""
CONTRADICTED = "answer_contradicted"
"""Evidence: TLS passed at an address that the run's own resolver did not give."""


def judge(measurement: Measurement, fingerprints: Fingerprints = OWN) -> Verdict:
    """The verdict on one imported measurement. Never raises."""
    record = record_of(measurement.observations)
    if record.network_type == VPN or is_relay(measurement.vantage.asn):
        # Its traffic leaves from another network than the one that the run names, or from a
        # tunnel inside it: whatever it saw is not what the network does.
        return Verdict(
            target=measurement.target, state=State.INSUFFICIENT, rule=OVER_VPN, evidence=("vpn",)
        )
    helper, country = record.helper or Helper(), measurement.vantage.country
    context = RunContext(
        record.own_authority,
        country,
        fingerprints,
        helper,
        page_in_place(record, fingerprints, country),
        record.page.via if record.page is not None else "",
    )
    endings = _endings(measurement, context)
    tried = [end for end in endings if end.kind != DOWN]
    failed = [end for end in tried if end.layer is not None]
    share = Share(len(tried), len(failed))
    if not tried:
        state, rule = (State.DOWN, DOWN_TOO) if endings else (State.INSUFFICIENT, EMPTY)
        return Verdict(target=measurement.target, state=state, rule=rule)
    if len(failed) * 1000 >= HALF_PER_MILLE * len(tried):
        return _failed(measurement.target, failed, share, record, context.page)
    layers = {layer for end in tried if end.layer is None for layer in end.passed}
    return Verdict(
        target=measurement.target,
        state=State.OK,
        rule=WORKS,
        endpoints=share,
        evidence=("some_failed",) if failed else (),
        page=SAME if context.page.kind == SAME else "",
        findings=_passed(layers),
    )


def method(observations: Iterable[object]) -> str:
    """Name and version of the test that measured."""
    return record_of(observations).method


def _endings(measurement: Measurement, context: RunContext) -> list[Ending]:
    """How far the run got at each endpoint that it tried."""
    observations = [
        observation
        for observation in measurement.observations
        if not isinstance(observation, Unrecognised)
    ]
    hosts = {ref.id: ref.host for ref in measurement.endpoints}
    # Imported runs connect over TCP only: of these endpoints only the name can be judged.
    named = {
        ref.id
        for ref in measurement.endpoints
        if protocol(ref.protocol).transport is not Transport.TCP
    }
    return [
        end
        for id, endpoint in _sorted(observations, hosts).items()
        if (end := ending(endpoint, context)) is not None
        # A name that resolves means nothing for an endpoint that was not tried.
        and (end.layer is not None or end.passed != (Layer.DNS,) or id in named)
    ]


def _failed(
    target: str, failed: Sequence[Ending], share: Share, record: RunRecord, page: PageInPlace
) -> Verdict:
    ways = Counter((end.layer, end.kind) for end in failed if end.layer is not None)
    layer, kind = max(ways, key=lambda way: (ways[way], list(Layer).index(way[0]), way[1]))
    contradicted = any(e.contradicted for e in failed if (e.layer, e.kind) == (layer, kind))
    rule = first(IMPORT_RULES, RunFacts(layer, kind, contradicted))
    assert rule is not None, "the last rule matches everything"
    before = {
        passed
        for end in failed
        if end.layer is layer
        for passed in end.passed
        if passed is not layer
    }
    helped = record.helper is not None and record.helper.reaches()
    words = {
        HELPER if helped else "no_control": True,
        ALONE: record.passed == 0,
        CONTRADICTED: contradicted,
        DIFFERS: rule.id in OTHER_PAGES,
    }
    finding = LayerFinding(layer=layer, blocked=True, rule=rule.id, weight=rule.weight)
    return Verdict(
        target=target,
        # The helper is a control of the site, in another country; a weak sign still may be chance.
        state=State.BLOCKED if helped and rule.weight >= STRONG else State.INCONCLUSIVE,
        layer=layer,
        technique=rule.technique,
        rule=rule.id,
        endpoints=share,
        evidence=tuple(sorted(word for word, holds in words.items() if holds)),
        findings=(*_passed(before), finding),
        page=page.mark if rule.id in OTHER_PAGES else "",
    )


def _passed(layers: Iterable[Layer]) -> tuple[LayerFinding, ...]:
    known = set(layers)
    return tuple(
        LayerFinding(layer=layer, blocked=False, rule=WORKS) for layer in Layer if layer in known
    )


def _sorted(
    observations: Sequence[Known], hosts: dict[str, str]
) -> dict[str, EndpointObservations]:
    """Observations by endpoint, each with those of its name."""
    endpoints: dict[str, EndpointObservations] = {}
    names: dict[str, NameObservations] = {}
    over_six = list(map(_six, observations))
    if True in over_six and all(o.failure for o in compress(observations, over_six)):
        # No IPv6 worked in this run: the network may have none.
        observations = [o for o, six in zip(observations, over_six, strict=True) if not six]
    for observation in observations:
        # A name that several endpoints share is looked up once, and counts for all of them.
        name = names.setdefault(
            hosts.get(observation.endpoint) or observation.endpoint, NameObservations()
        )
        name.add(observation)
        if observation.purpose is Purpose.SUBJECT:
            endpoints.setdefault(observation.endpoint, EndpointObservations(name)).add(observation)
    return endpoints


def _six(observation: Known) -> bool:
    return (
        isinstance(observation, TCPConnect | TLSHandshake | HTTPExchange)
        and ":" in observation.address
    )
