# SPDX-License-Identifier: Apache-2.0
"""Stored measurements -> Facts: each vantage's measurement, judged with its liveness and the valid
control measurements. The detector reads nothing else; controls never become Facts.

A control measurement is valid in its own round, and a scheduled one until the control's next is
due. When the next one is lost, nothing is known of its time: an older, better one does not replace
it. All valid ones count; one that passes a step is enough. Retests have no schedule. For a retest
these are valid: measurements of its own round, retests so shortly before that the control could not
be asked again, and scheduled ones of the same minute, because a control refuses a retest shortly
before its own round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from monitor.detection.facts.liveness import VantageStatus, control_view, vantage_status
from monitor.detection.facts.view import EndpointView
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.imported import verdict as imported
from monitor.detection.judge.target import Control, judge_beside
from monitor.detection.layers.quic import quic_passes
from monitor.detection.model import OWN_SOURCE, Fact, Layer, Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role
from probes.wire.protocol import protocol

_Key = tuple[str, int]
NOTHING_KNOWN = VantageStatus()


def _liveness(stored: Iterable[Measurement]) -> dict[_Key, list[Measurement]]:
    """Liveness measurements by probe and round."""
    by_round: dict[_Key, list[Measurement]] = defaultdict(list)
    for measurement in stored:
        if measurement.target in LIVENESS_TARGETS:
            by_round[measurement.probe, measurement.round].append(measurement)
    return by_round


def is_valid(control: Measurement, measurement: Measurement, policy: Policy) -> bool:
    """Whether a control measurement of the same target is valid for a measurement."""
    age = measurement.round - control.round
    if age <= 0:
        return age == 0
    if measurement.retest and not control.retest:
        apart = abs(measurement.started - control.started)
        return apart <= policy.ms(policy.retest_round_seconds)
    if control.retest is not measurement.retest:
        return False
    if control.retest:
        # Probes accept no retest earlier (`probes.rounds.retests.RESIDUAL_PART`), less the
        # lengths of both rounds.
        return age < policy.ms(policy.retest_pause_seconds - policy.retest_round_seconds)
    return age < control.interval_ms and age <= policy.ms(policy.control_window_seconds)


def nearest_controls(
    measurement: Measurement,
    controls: Iterable[Measurement],
    liveness: dict[_Key, list[Measurement]],
    window_ms: int,
    later: bool = False,
) -> list[Control]:
    """Return the controls' measurements of the same target within the window, nearest first.

    `later`: rounds after the measurement's own count as well, as for files. Whether they are still
    valid is not checked: see `is_valid`.
    """
    near = [
        c
        for c in controls
        if c.target == measurement.target
        and abs(c.round - measurement.round) <= window_ms
        and (later or c.round <= measurement.round)
    ]
    near.sort(key=lambda c: (abs(c.round - measurement.round), c.round, c.started, c.id))
    return [(c, liveness.get((c.probe, c.round), [])) for c in near]


class _RoundContext:
    """What the measurements of one call share: vantage status by probe and round, and the views of
    controls."""

    def __init__(self, ordered: Sequence[Stored]) -> None:
        self._liveness = _liveness(s.measurement for s in ordered)
        self._statuses: dict[_Key, VantageStatus] = {}
        self._controls: dict[str, list[Measurement]] = defaultdict(list)
        self._views: dict[str, dict[str, EndpointView]] = {}
        self._targets: dict[_Key, list[Measurement]] = defaultdict(list)
        for s in ordered:
            if s.measurement.target not in LIVENESS_TARGETS:
                self._targets[s.measurement.probe, s.measurement.round].append(s.measurement)
            if s.role is Role.CONTROL and s.measurement.target not in LIVENESS_TARGETS:
                self._controls[s.measurement.target].append(s.measurement)

    def vantage(self, measurement: Measurement) -> VantageStatus:
        """The status of the probe's vantage in that round."""
        key = measurement.probe, measurement.round
        if key not in self._liveness:
            return NOTHING_KNOWN
        here = self._of_round(key)
        if not any(protocol(ref.protocol).layer == Layer.QUIC for ref in measurement.endpoints):
            return here
        others = [m for m in self._targets[key] if m.target != measurement.target]
        return replace(here, quic=quic_passes(others))

    def _of_round(self, key: _Key) -> VantageStatus:
        # Computed on demand: most rounds of the window are those of other probes.
        if key not in self._statuses:
            self._statuses[key] = vantage_status(self._liveness[key])
        return self._statuses[key]

    def controls(
        self, measurement: Measurement, policy: Policy, pending: bool
    ) -> list[dict[str, EndpointView]]:
        """The views of online controls that are valid. `pending`: without one, those of the nearest
        round."""
        window = policy.ms(policy.control_window_seconds)
        online = [
            control
            for control, _ in nearest_controls(
                measurement, self._controls[measurement.target], {}, window
            )
            if self.vantage(control).online
        ]
        chosen = [control for control in online if is_valid(control, measurement, policy)]
        if pending and not chosen:
            chosen = [control for control in online if control.round == online[0].round]
        return [self._view(control) for control in chosen]

    def _view(self, control: Measurement) -> dict[str, EndpointView]:
        if control.id not in self._views:
            self._views[control.id] = control_view(control, self.vantage(control))
        return self._views[control.id]


def facts_of(
    stored: Sequence[Stored],
    round: int,
    policy: Policy,
    fingerprints: Fingerprints = OWN,
    *,
    pending: bool = False,
) -> list[Fact]:
    """Return the Facts of one round, sorted by (started, id).

    `stored` holds the measurements of rounds [round - control window, round] (more do no harm) in
    any order; both roles, liveness included. `pending`: the round is not complete, so until a
    control has reported its last measurement is used. Such facts only select retests, and are
    discarded afterwards.
    """
    ordered = sorted(stored, key=lambda s: (s.measurement.started, s.measurement.id))
    shared = _RoundContext(ordered)
    facts = []
    for s in ordered:
        m = s.measurement
        if s.role is Role.CONTROL or m.round != round or m.target in LIVENESS_TARGETS:
            continue
        controls = shared.controls(m, policy, pending)
        facts.append(
            Fact(
                id=m.id,
                probe=m.probe,
                owner=s.owner,
                country=m.vantage.country,
                asn=m.vantage.asn,
                enrolled=s.enrolled,
                round=m.round,
                started=m.started,
                interval=m.interval_ms,
                retest=m.retest,
                target=m.target,
                verdict=imported.judge(m, fingerprints)
                if s.source != OWN_SOURCE
                else judge_beside(m, shared.vantage(m), controls, fingerprints),
                control=bool(controls),
                source=s.source,
                received=s.received,
            )
        )
    return facts
