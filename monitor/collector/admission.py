# SPDX-License-Identifier: Apache-2.0
"""Whether a decoded measurement may enter the store: its probe, id and time. Pure.

The topic tells which probe sent it, because the broker lets a probe write only there; role, owner
and enrolment come from the registry, never from the payload. Names
that a probe may choose become rows, labels and topics, so they come from closed lists: targets from
the monitor's catalogue, countries from ISO 3166.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from monitor.collector.countries import COUNTRIES
from monitor.detection.model import Stored
from monitor.store.records import Admitted, Probe
from probes.wire.measurement import (
    LIVENESS_TARGETS,
    Measurement,
    Role,
    Vantage,
    measurement_id,
    round_grid_ms,
)

MALFORMED_BATCH = "malformed_batch"
MALFORMED_LINE = "malformed_line"
MALFORMED_STATUS = "malformed_status"
UNKNOWN_PROBE = "unknown_probe"
REVOKED_PROBE = "revoked_probe"
FOREIGN_PROBE = "foreign_probe"
UNKNOWN_ROLE = "unknown_role"
WRONG_ID = "wrong_id"
CLOCK_AHEAD = "clock_ahead"
TOO_OLD = "too_old"
WRONG_ROUND = "wrong_round"
TOO_MANY_TARGETS = "too_many_targets"
TOO_MANY_NETWORKS = "too_many_networks"
RESERVED_TARGET = "reserved_target"
UNKNOWN_TARGET = "unknown_target"
UNKNOWN_COUNTRY = "unknown_country"
OVER_QUOTA = "over_quota"
"""Of a whole batch, which is not acknowledged: its probe keeps it for the next day."""
CONFLICTING_ID = "conflicting_id"
"""Known id, other bytes: detected by the store, which keeps the first."""
REASONS = (
    MALFORMED_BATCH,
    MALFORMED_LINE,
    MALFORMED_STATUS,
    UNKNOWN_PROBE,
    REVOKED_PROBE,
    FOREIGN_PROBE,
    UNKNOWN_ROLE,
    WRONG_ID,
    CLOCK_AHEAD,
    TOO_OLD,
    WRONG_ROUND,
    TOO_MANY_TARGETS,
    TOO_MANY_NETWORKS,
    RESERVED_TARGET,
    UNKNOWN_TARGET,
    UNKNOWN_COUNTRY,
    OVER_QUOTA,
    CONFLICTING_ID,
)
"""Every reason for quarantine: a closed list, because it is a label of a metric."""

MAX_AHEAD_MS = 5 * 60_000
"""A clock further ahead is wrong: its rounds would be in the future."""
MAX_AGE_MS = 90 * 86_400_000
"""Older than any spool that is still useful (and than a clock at 1970)."""
ROUND_MS = 86_400_000
"""A measurement this far from the start of its round belongs to another round."""
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 100, 86_400_000
"""Of a daemon; the least is for laboratories. A claimed interval of years would stay fresh for
years."""
SINGLE_ROUND_MS = 1000
"""Rounds of a measurement without an interval begin on whole seconds. All others begin on the grid
of their interval, so a probe cannot make a round of its own for every measurement."""
BEFORE_ENROLMENT_MS = 86_400_000
"""How much older than its probe a measurement may be; beyond that the clock is wrong. A new probe
cannot rewrite the past."""
MAX_NETWORKS = 8
"""Networks that one probe may be in on one day: home, work, phone and others."""
MAX_TARGETS = 500
"""Targets that one probe may measure on one day; the store keeps a row for each."""


class Rejection(msgspec.Struct, frozen=True):
    """Why a measurement goes to quarantine."""

    reason: str
    """One of REASONS."""
    detail: str


def admit(
    measurement: Measurement,
    line: bytes,
    probe: Probe | None,
    topic_probe: str,
    now: int,
    known_targets: Container[str] | None = None,
) -> Admitted | Rejection:
    """Check one measurement. `probe` is the registry's record of `topic_probe`, None without one;
    `now` is the time of arrival, Unix milliseconds; `known_targets` are those of the catalogue,
    None where any is accepted."""
    if measurement.probe != topic_probe:
        return Rejection(FOREIGN_PROBE, f"the measurement names {measurement.probe}")
    match _role_of(probe):
        case Rejection() as rejection:
            return rejection
        case (probe, role):
            pass
    expected = measurement_id(measurement.probe, measurement.epoch, measurement.sequence)
    if measurement.id != expected:
        return Rejection(WRONG_ID, f"id {measurement.id}, its epoch and sequence give {expected}")
    if _uses_reserved_name(measurement.target):
        return Rejection(RESERVED_TARGET, f"{measurement.target} is a reserved name")
    if measurement.vantage.country not in COUNTRIES:
        return Rejection(UNKNOWN_COUNTRY, f"country {measurement.vantage.country}")
    if (
        known_targets is not None
        and measurement.target not in known_targets
        and measurement.target not in LIVENESS_TARGETS
    ):
        return Rejection(UNKNOWN_TARGET, f"{measurement.target} is not in this catalogue")
    if (wrong := _time_error(measurement, probe.enrolled, now)) is not None:
        return wrong
    return Admitted(
        stored=Stored(
            measurement=measurement,
            owner=probe.owner,
            role=role,
            enrolled=probe.enrolled,
            received=now,
        ),
        line=line,
        received=now,
    )


def _role_of(probe: Probe | None) -> tuple[Probe, Role] | Rejection:
    if probe is None:
        return Rejection(UNKNOWN_PROBE, "not enrolled here")
    if probe.revoked is not None:
        return Rejection(REVOKED_PROBE, "revoked")
    try:
        return probe, Role(probe.role)
    except ValueError:
        return Rejection(UNKNOWN_ROLE, f"role {probe.role[:40]!r}")


def _uses_reserved_name(target: str) -> bool:
    """Whether it uses the reserved name of liveness without being it."""
    names = {each.partition("/")[0] for each in LIVENESS_TARGETS}
    return target.partition("/")[0] in names and target not in LIVENESS_TARGETS


def _time_error(measurement: Measurement, enrolled: int, now: int) -> Rejection | None:
    """An impossible time. The clock of the probe is wrong; NTP corrects it."""
    ahead = max(measurement.started, measurement.round) - now
    if ahead > MAX_AHEAD_MS:
        return Rejection(CLOCK_AHEAD, f"{ahead // 1000} s in the future")
    age = now - min(measurement.started, measurement.round)
    if age > MAX_AGE_MS:
        return Rejection(TOO_OLD, f"{age // 86_400_000} days old")
    if min(measurement.started, measurement.round) < enrolled - BEFORE_ENROLMENT_MS:
        return Rejection(TOO_OLD, "more than a day before the probe was enrolled")
    if fault := _round_error(measurement):
        return Rejection(WRONG_ROUND, fault)
    if abs(measurement.started - measurement.round) > ROUND_MS + measurement.interval_ms:
        return Rejection(WRONG_ROUND, f"started {measurement.started}, round {measurement.round}")
    return None


def _round_error(measurement: Measurement) -> str:
    round, interval = measurement.round, measurement.interval_ms
    if interval and not LEAST_INTERVAL_MS <= interval <= MOST_INTERVAL_MS:
        return f"interval of {interval} ms"
    grid = round_grid_ms(interval) if interval else SINGLE_ROUND_MS
    if grid < LEAST_INTERVAL_MS:
        return f"interval of {interval} ms"
    if round % grid:
        return f"round {round} is not a multiple of {grid} ms"
    return ""


def within_networks(named: set[tuple[str, int]], place: Vantage) -> Rejection | None:
    """Add the network of a probe; reject it once there are too many."""
    network = place.country, place.asn
    if network not in named:
        if len(named) >= MAX_NETWORKS:
            return Rejection(TOO_MANY_NETWORKS, f"more than {MAX_NETWORKS} networks a day")
        named.add(network)
    return None


def within_targets(named: set[str], target: str) -> Rejection | None:
    """Add a target of a probe; reject it once there are too many."""
    if target not in named:
        if len(named) >= MAX_TARGETS:
            return Rejection(TOO_MANY_TARGETS, f"more than {MAX_TARGETS} targets")
        named.add(target)
    return None
