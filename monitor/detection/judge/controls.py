# SPDX-License-Identifier: Apache-2.0
"""What the measurements of some rounds are judged beside: the liveness of their vantages, and the
valid measurements of controls.

A control measurement is valid in its own round, and a scheduled one until the control's next is
due. When the next one is lost, nothing is known of its time: an older, better one does not replace
it. All valid ones count; one that passes a step is enough. Retests have no schedule. For a retest
these are valid: measurements of its own round, retests so shortly before that the control could not
be asked again, and scheduled ones of the same minute, because a control refuses a retest shortly
before its own round.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from monitor.detection.judge.elsewhere import ControlSighting, endings_at_control
from monitor.detection.judge.recognised import Recognised, digest, recognised_in
from monitor.detection.judge.target import Control
from monitor.detection.model import Stored
from monitor.detection.observed.background import NO_BACKGROUND
from monitor.detection.observed.liveness import (
    Hosts,
    VantageStatus,
    control_view,
    hosts_by_scope,
    hosts_reached,
    vantage_status,
)
from monitor.detection.observed.view import EndpointView
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role

ProbeRound = tuple[str, int]
NOTHING_KNOWN = VantageStatus()


class VantageRound(NamedTuple):
    """A vantage in one round, as its liveness shows it."""

    status: VantageStatus
    key: bytes
    """Digest of the status without the background."""
    hosts: Hosts
    """The liveness hosts that it reached."""


class Controls:
    """The valid controls' measurements of a target in a round."""

    def __init__(self, chosen: Sequence[tuple[Measurement, VantageRound]]) -> None:
        self._chosen = chosen
        missed = [frozenset(vantage.hosts.failed) for _, vantage in chosen]
        self.missed = frozenset[str]().union(*missed[:1]).intersection(*missed)
        """Liveness hosts that no control reaches: they are out of service themselves."""
        bare = ((recognised_in(control) or control, vantage) for control, vantage in chosen)
        self.key = digest(
            *((look.endpoints, look.observations, vantage.key) for look, vantage in bare)
        )
        """Digest of what the rules read of them: a view holds only endpoints and observations, so a
        control that sees the same in the next round is the same."""

    def __bool__(self) -> bool:
        return bool(self._chosen)

    @functools.cached_property
    def views(self) -> Sequence[dict[str, EndpointView]]:
        """What each of them saw. Most verdicts are known without it."""
        return [control_view(control, vantage.status) for control, vantage in self._chosen]


class SharedEvidence:
    """Liveness and the controls' measurements, of the control window before the first round on."""

    def __init__(self, shared: Iterable[Stored], policy: Policy, *, pending: bool = False) -> None:
        """`pending`: the rounds are not complete, so until a control has reported its last
        measurement is used."""
        self._policy, self._pending = policy, pending
        ordered = sorted(
            shared, key=lambda stored: (stored.measurement.started, stored.measurement.id)
        )
        self._liveness = _liveness(stored.measurement for stored in ordered)
        self._by_target: dict[str, list[Measurement]] = defaultdict(list)
        for stored in ordered:
            measurement = stored.measurement
            if stored.role is Role.CONTROL and measurement.target not in LIVENESS_TARGETS:
                self._by_target[measurement.target].append(measurement)
        self._vantages: dict[ProbeRound, VantageRound] = {}
        self._controls: dict[tuple[str, int], Controls] = {}
        self._sightings: dict[tuple[str, int], Sequence[ControlSighting]] = {}
        self._sighting: dict[str, ControlSighting] = {}
        """By measurement."""

    def has_liveness(self, probe: str, round: int) -> bool:
        """Whether anything is known of a probe's vantage in a round."""
        return (probe, round) in self._liveness

    def vantage(self, probe: str, round: int) -> VantageRound:
        """A probe's vantage in a round."""
        key = probe, round
        if (vantage := self._vantages.get(key)) is None:
            liveness = self._liveness.get(key)
            by_scope = hosts_by_scope(liveness or ())
            status = NOTHING_KNOWN if liveness is None else vantage_status(liveness, by_scope)
            vantage = self._vantages[key] = VantageRound(
                status,
                digest(replace(status, background=NO_BACKGROUND)),
                hosts_reached(by_scope),
            )
        return vantage

    def controls(self, measured: Measurement | Recognised) -> Controls:
        """The online controls that are valid for a measurement. `pending`: without one, those of
        the nearest round."""
        if measured.retest:  # which are valid depends on when it began
            return self._chosen(measured)
        key = measured.target, measured.round
        if (controls := self._controls.get(key)) is None:
            controls = self._controls[key] = self._chosen(measured)
        return controls

    def sightings(self, target: str, round: int) -> Sequence[ControlSighting]:
        """How a target's addresses ended at online controls within the control window up to a
        round, in order of time: on request or in their own rounds."""
        key = target, round
        if (sightings := self._sightings.get(key)) is None:
            oldest = round - self._policy.ms(self._policy.rounds.control_window_seconds)
            sightings = self._sightings[key] = [
                self._sighting.get(control.id) or self._seen(control)
                for control in self._by_target.get(target, ())
                if oldest <= control.round <= round
                and self.vantage(control.probe, control.round).status.online
            ]
        return sightings

    def _seen(self, control: Measurement) -> ControlSighting:
        status = self.vantage(control.probe, control.round).status
        ended = endings_at_control(control_view(control, status))
        sighting = ControlSighting(control.probe, control.vantage, control.started, ended)
        self._sighting[control.id] = sighting
        return sighting

    def _chosen(self, measured: Measurement | Recognised) -> Controls:
        window = self._policy.ms(self._policy.rounds.control_window_seconds)
        online = [
            control
            for control, _ in nearest_controls(
                measured, self._by_target.get(measured.target, ()), {}, window
            )
            if self.vantage(control.probe, control.round).status.online
        ]
        chosen = [control for control in online if is_valid(control, measured, self._policy)]
        if self._pending and not chosen:
            chosen = [control for control in online if control.round == online[0].round]
        return Controls(
            [(control, self.vantage(control.probe, control.round)) for control in chosen]
        )


def _liveness(measurements: Iterable[Measurement]) -> dict[ProbeRound, list[Measurement]]:
    """Liveness measurements by probe and round."""
    by_round: dict[ProbeRound, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        if measurement.target in LIVENESS_TARGETS:
            by_round[measurement.probe, measurement.round].append(measurement)
    return by_round


def is_valid(control: Measurement, measured: Measurement | Recognised, policy: Policy) -> bool:
    """Whether a control measurement of the same target is valid for a measurement."""
    age = measured.round - control.round
    if age <= 0:
        return age == 0
    if measured.retest and not control.retest:
        apart = abs(measured.started - control.started)
        return apart <= policy.ms(policy.retests.retest_round_seconds)
    if control.retest is not measured.retest:
        return False
    if control.retest:
        # Whoever fails is asked no earlier, less the lengths of both rounds.
        return age < policy.ms(policy.rounds.residual_seconds - policy.retests.retest_round_seconds)
    return age < control.interval_ms and age <= policy.ms(policy.rounds.control_window_seconds)


def nearest_controls(
    measured: Measurement | Recognised,
    controls: Iterable[Measurement],
    liveness: dict[ProbeRound, list[Measurement]],
    window_ms: int,
    later: bool = False,
) -> list[Control]:
    """Return the controls' measurements of the same target within the window, nearest first.

    `later`: rounds after the measurement's own count as well, as for files. Whether they are still
    valid is not checked: see `is_valid`.
    """
    near = [
        control
        for control in controls
        if control.target == measured.target
        and abs(control.round - measured.round) <= window_ms
        and (later or control.round <= measured.round)
    ]
    near.sort(
        key=lambda control: (
            abs(control.round - measured.round),
            control.round,
            control.started,
            control.id,
        )
    )
    return [(control, liveness.get((control.probe, control.round), [])) for control in near]
