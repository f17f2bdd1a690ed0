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

import msgspec

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.imported import RUN_STEP
from monitor.detection.imported.endings import Ending, EndpointObservations, RunContext, ending
from monitor.detection.imported.rules import IMPORT_RULES, RunFacts
from monitor.detection.model import Layer, LayerFinding, Share, State, Verdict
from monitor.detection.rule import first
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    DNSLookup,
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)
from probes.wire.protocol import Transport, protocol

HALF_PER_MILLE = 500
"""From this share of failed endpoints on, the target has failed."""
WORKS = "imported.works"
EMPTY = "imported.insufficient"
ALONE = "run_unproven"
"""Evidence: nothing in the whole run was answered, so the device may have been offline."""


class Record(msgspec.Struct, frozen=True):
    """What an import records of the whole run (step `ooni.run`)."""

    passed: int = -1
    """Steps that were answered, for any target; -1 when not known."""
    steps: int = 0
    own_authority: bool = False
    """The service has its own certificate authority, and old probes do not know its newer roots: an
    invalid certificate means nothing."""


_record = msgspec.json.Decoder(Record)


def record_of(observations: Iterable[AnyObservation]) -> Record:
    """The record of the whole run; empty when there is none."""
    for seen in observations:
        if isinstance(seen, Unrecognised) and seen.step == RUN_STEP:
            try:
                return _record.decode(seen.raw)
            except msgspec.DecodeError:
                break
    return Record()


def judge(measurement: Measurement, fingerprints: Fingerprints = OWN) -> Verdict:
    """The verdict on one imported measurement. Never raises."""
    record = record_of(measurement.observations)
    context = RunContext(record.own_authority, measurement.vantage.country, fingerprints)
    seen = [
        each
        for each in measurement.observations
        if not isinstance(each, Unrecognised) and each.purpose is Purpose.SUBJECT
    ]
    hosts = {ref.id: ref.host for ref in measurement.endpoints}
    # Imported runs connect over TCP only: of these endpoints only the name can be judged.
    named = {
        ref.id
        for ref in measurement.endpoints
        if protocol(ref.protocol).transport is not Transport.TCP
    }
    endings = [
        end
        for id, endpoint in _sorted(seen, hosts).items()
        if (end := ending(endpoint, context)) is not None
        # A name that resolves means nothing for an endpoint that was not tried.
        and (end.layer is not None or end.passed != (Layer.DNS,) or id in named)
    ]
    failed = [end for end in endings if end.layer is not None]
    share = Share(len(endings), len(failed))
    if not endings:
        return Verdict(target=measurement.target, state=State.INSUFFICIENT, rule=EMPTY)
    if len(failed) * 1000 < HALF_PER_MILLE * len(endings):
        layers = {layer for end in endings if end.layer is None for layer in end.passed}
        return Verdict(
            target=measurement.target,
            state=State.OK,
            rule=WORKS,
            endpoints=share,
            evidence=("some_failed",) if failed else (),
            findings=_passed(layers),
        )
    return _failed(measurement.target, failed, share, record.passed == 0)


def _failed(target: str, failed: Sequence[Ending], share: Share, alone: bool) -> Verdict:
    ways = Counter((end.layer, end.kind) for end in failed if end.layer is not None)
    layer, kind = max(ways, key=lambda way: (ways[way], list(Layer).index(way[0]), way[1]))
    rule = first(IMPORT_RULES, RunFacts(layer, kind))
    assert rule is not None, "the last rule matches everything"
    before = {
        passed
        for end in failed
        if end.layer is layer
        for passed in end.passed
        if passed is not layer
    }
    evidence = ("no_control", ALONE) if alone else ("no_control",)
    finding = LayerFinding(layer=layer, blocked=True, rule=rule.id, weight=rule.weight)
    return Verdict(
        target=target,
        state=State.INCONCLUSIVE,
        layer=layer,
        technique=rule.technique,
        rule=rule.id,
        endpoints=share,
        evidence=evidence,
        findings=(*_passed(before), finding),
    )


def _passed(layers: Iterable[Layer]) -> tuple[LayerFinding, ...]:
    known = set(layers)
    return tuple(
        LayerFinding(layer=layer, blocked=False, rule=WORKS) for layer in Layer if layer in known
    )


def _sorted(seen: Sequence[Known], hosts: dict[str, str]) -> dict[str, EndpointObservations]:
    """Observations by endpoint. A name that several endpoints share is looked up once per run, and
    counts for all of them."""
    endpoints: dict[str, EndpointObservations] = {}
    v6 = any(_six(each) and each.failure is None for each in seen)
    for each in seen:
        if _six(each) and not v6:
            # No IPv6 worked in this run: the network may have none.
            continue
        endpoints.setdefault(each.endpoint, EndpointObservations()).add(each)
    by_host: dict[str, list[DNSLookup]] = {}
    for id, endpoint in endpoints.items():
        if hosts.get(id):
            by_host.setdefault(hosts[id], []).extend(endpoint.lookups)
    for id, endpoint in endpoints.items():
        if not endpoint.lookups and hosts.get(id):
            endpoint.lookups = by_host[hosts[id]]
    return endpoints


def _six(seen: Known) -> bool:
    return isinstance(seen, TCPConnect | TLSHandshake | HTTPExchange) and ":" in seen.address
