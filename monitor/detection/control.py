"""Stored measurements -> Facts: each vantage's measurement judged beside its liveness and the
nearest control rounds. This is all that the detector reads; controls never become Facts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from monitor.detection.judge import Control, judge, online_controls
from monitor.detection.model import Fact, Stored
from monitor.detection.policy import Policy
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, Role

_Key = tuple[str, int]


def _liveness(stored: Iterable[Measurement]) -> dict[_Key, list[Measurement]]:
    """Liveness measurements by probe and round."""
    by_round: dict[_Key, list[Measurement]] = defaultdict(list)
    for measurement in stored:
        if measurement.target in LIVENESS_TARGETS:
            by_round[measurement.probe, measurement.round].append(measurement)
    return by_round


def nearest_controls(
    measurement: Measurement,
    controls: Iterable[Measurement],
    liveness: dict[_Key, list[Measurement]],
    window_ms: int,
    later: bool = False,
) -> list[Control]:
    """Return the controls' measurements of the same target within the window, nearest first.

    `later`: rounds after the measurement's own count as well (offline); the detector, which
    closes rounds in order, looks back only.
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


def facts_of(stored: Sequence[Stored], round: int, policy: Policy) -> list[Fact]:
    """Return the Facts of one round, sorted by (started, id).

    `stored` holds the measurements of rounds [round - control window, round], in any order and
    possibly more; both roles, liveness included.
    """
    ordered = sorted(stored, key=lambda s: (s.measurement.started, s.measurement.id))
    liveness = _liveness(s.measurement for s in ordered)
    by_target: dict[str, list[Measurement]] = defaultdict(list)
    for s in ordered:
        if s.role is Role.CONTROL and s.measurement.target not in LIVENESS_TARGETS:
            by_target[s.measurement.target].append(s.measurement)
    window = policy.ms(policy.control_window_seconds)
    facts = []
    for s in ordered:
        m = s.measurement
        if s.role is Role.CONTROL or m.round != round or m.target in LIVENESS_TARGETS:
            continue
        controls = nearest_controls(m, by_target[m.target], liveness, window)
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
                target=m.target,
                verdict=judge(m, liveness.get((m.probe, m.round), []), controls),
                control=bool(online_controls(controls)),
                source=s.source,
            )
        )
    return facts
