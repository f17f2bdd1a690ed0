# SPDX-License-Identifier: Apache-2.0
"""Whether a decoded measurement may enter the store: who, which id, how old. Pure.

The probe id of the topic is the authority, because the broker lets a probe write only there;
role, owner and enrolment come from the registry, never from the payload. Targets of other
catalogue versions are welcome, in bounds. Decoding and storing are not known here.
"""

from __future__ import annotations

import msgspec

from monitor.detection.model import Stored
from monitor.store.records import Admitted, Probe
from probes.wire.measurement import (
    LIVENESS_TARGETS,
    Measurement,
    Role,
    Vantage,
    measurement_id,
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
CONFLICTING_ID = "conflicting_id"
"""Known id, other bytes: found by the store, which keeps the first."""
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
    CONFLICTING_ID,
)
"""Every reason for quarantine: a closed list, because it is a metric's label."""

AHEAD_MS = 5 * 60_000
"""A clock further ahead is wrong: its rounds would be of the future."""
OLD_MS = 90 * 86_400_000
"""Older than the spool of any probe that we still want to hear (and than a clock at 1970)."""
ROUND_MS = 86_400_000
"""A measurement this far from the start of its round is of another round."""
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 100, 86_400_000
"""Of a daemon, the least in a laboratory. Whoever claims years would be fresh for years."""
SINGLE_MS = 1000
"""Rounds of a measurement without an interval begin on whole seconds. All others begin on
multiples of the interval, so nobody can make a round of its own of every measurement."""
BEFORE_MS = 86_400_000
"""Only by so much may a measurement be older than the probe: then its clock is wrong. A new
probe cannot rewrite a past that it has not seen."""
MAX_NETWORKS = 8
"""Networks that one probe may name a day: home, work, phone and what lies between."""
MAX_TARGETS = 500
"""Targets that one probe may name; the store keeps a row for each."""


class Refused(msgspec.Struct, frozen=True):
    """Why a measurement goes to quarantine."""

    reason: str
    """One of REASONS."""
    detail: str


def admit(
    measurement: Measurement, line: bytes, probe: Probe | None, topic_probe: str, now: int
) -> Admitted | Refused:
    """Judge one measurement. `probe` is the registry's record of `topic_probe`, None when it
    has none; `now` is the moment of arrival, Unix milliseconds."""
    if measurement.probe != topic_probe:
        return Refused(FOREIGN_PROBE, f"it says {measurement.probe}")
    match _standing(probe):
        case Refused() as refused:
            return refused
        case (probe, role):
            pass
    expected = measurement_id(measurement.probe, measurement.epoch, measurement.sequence)
    if measurement.id != expected:
        return Refused(WRONG_ID, f"id {measurement.id}, its epoch and sequence give {expected}")
    if _reserved(measurement.target):
        return Refused(RESERVED_TARGET, f"{measurement.target} is no target of ours")
    if latest := _misplaced(measurement, probe.enrolled, now):
        return latest
    return Admitted(
        stored=Stored(
            measurement=measurement, owner=probe.owner, role=role, enrolled=probe.enrolled
        ),
        line=line,
        received=now,
    )


def _standing(probe: Probe | None) -> tuple[Probe, Role] | Refused:
    if probe is None:
        return Refused(UNKNOWN_PROBE, "not enrolled here")
    if probe.revoked is not None:
        return Refused(REVOKED_PROBE, "revoked")
    try:
        return probe, Role(probe.role)
    except ValueError:
        return Refused(UNKNOWN_ROLE, f"role {probe.role[:40]!r}")


def _reserved(target: str) -> bool:
    """Whether it has the name of liveness and is not it."""
    names = {each.partition("/")[0] for each in LIVENESS_TARGETS}
    return target.partition("/")[0] in names and target not in LIVENESS_TARGETS


def _misplaced(measurement: Measurement, enrolled: int, now: int) -> Refused | None:
    """A time that cannot be. The clock at fault is the probe's; a day of NTP mends it."""
    ahead = max(measurement.started, measurement.round) - now
    if ahead > AHEAD_MS:
        return Refused(CLOCK_AHEAD, f"{ahead // 1000} s in the future")
    age = now - min(measurement.started, measurement.round)
    if age > OLD_MS:
        return Refused(TOO_OLD, f"{age // 86_400_000} days old")
    if min(measurement.started, measurement.round) < enrolled - BEFORE_MS:
        return Refused(TOO_OLD, "more than a day before the probe was enrolled")
    if fault := _off_grid(measurement):
        return Refused(WRONG_ROUND, fault)
    if abs(measurement.started - measurement.round) > ROUND_MS + measurement.interval_ms:
        return Refused(WRONG_ROUND, f"started {measurement.started}, round {measurement.round}")
    return None


def _off_grid(measurement: Measurement) -> str:
    round, interval = measurement.round, measurement.interval_ms
    if interval and not LEAST_INTERVAL_MS <= interval <= MOST_INTERVAL_MS:
        return f"interval of {interval} ms"
    if round % (interval or SINGLE_MS):
        return f"round {round} is no multiple of {interval or SINGLE_MS} ms"
    return ""


def within_networks(named: set[tuple[str, int]], place: Vantage) -> Refused | None:
    """Note a network that a probe says it is in; refuse once it named too many."""
    network = place.country, place.asn
    if network not in named:
        if len(named) >= MAX_NETWORKS:
            return Refused(TOO_MANY_NETWORKS, f"more than {MAX_NETWORKS} networks a day")
        named.add(network)
    return None


def within_targets(named: set[str], target: str) -> Refused | None:
    """Note a target that a probe named; refuse once it named too many different ones."""
    if target not in named:
        if len(named) >= MAX_TARGETS:
            return Refused(TOO_MANY_TARGETS, f"more than {MAX_TARGETS} targets")
        named.add(target)
    return None
