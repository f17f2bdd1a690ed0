# SPDX-License-Identifier: Apache-2.0
"""Whether a measurement may enter the store: its probe, id and time. Pure.

Only the envelope is read. Observations that are not valid are left out by whoever reads them:
decoding them here as well would cost more than everything else that the collector does.

The topic tells which probe sent it, because the broker lets a probe write only there; role, owner
and enrolment come from the registry, never from the payload. Names
that a probe may choose become rows, labels and topics, so they come from closed lists: targets from
the monitor's catalogue, countries from ISO 3166.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from enum import StrEnum
from functools import lru_cache

import msgspec

from monitor.detection.model import NEVER, VOUCHED
from monitor.store.records import Probe
from probes.wire.codec import Envelope, EnvelopeVantage
from probes.wire.countries import COUNTRIES
from probes.wire.measurement import (
    LIVENESS,
    LIVENESS_TARGETS,
    MOST_INTERVAL_MS,
    Role,
    measurement_id,
    round_grid_ms,
    service_of,
)


class QuarantineReason(StrEnum):
    """Every reason for quarantine: a closed list, because it is a label of a metric."""

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
    TOO_MANY_SPOOLS = "too_many_spools"
    RESERVED_TARGET = "reserved_target"
    UNKNOWN_TARGET = "unknown_target"
    UNKNOWN_COUNTRY = "unknown_country"
    OVER_QUOTA = "over_quota"
    """Of a whole batch, which is not acknowledged: its probe keeps it for the next day."""
    CONFLICTING_ID = "conflicting_id"
    """Known id, other bytes: detected by the store, which keeps the first."""


_ROLES = frozenset(role.value for role in Role)
MAX_AHEAD_MS = 5 * 60_000
"""A clock further ahead is wrong: its rounds would be in the future."""
MAX_AGE_MS = 90 * 86_400_000
"""Older than any spool that is still useful (and than a clock at 1970)."""
ROUND_MS = 86_400_000
"""A measurement this far from the start of its round belongs to another round."""
LEAST_INTERVAL_MS = 100
"""Of a daemon in a laboratory. There is a longest one too: a measurement with a claimed interval of
years would stay fresh for years."""
SINGLE_ROUND_MS = 1000
"""Rounds of a measurement without an interval begin on whole seconds. All others begin on the grid
of their interval, so a probe cannot make a round of its own for every measurement."""
BEFORE_ENROLMENT_MS = 86_400_000
"""How much older than its probe a measurement may be; beyond that the clock is wrong. A new probe
cannot rewrite the past."""
MAX_NETWORKS = 8
"""Networks that one probe may be in on one day: home, work, phone and others."""
MAX_SPOOLS = 20
"""Spools of which one probe may send on one day: a damaged one is replaced, and what was left of it
is sent; the store keeps a row for each and day."""
MAX_TARGETS = 500
"""Targets that one probe may measure on one day; the store keeps a row for each."""


class Rejection(msgspec.Struct, frozen=True):
    """Why a measurement goes to quarantine."""

    reason: QuarantineReason
    detail: str


def admit(
    envelope: Envelope,
    probe: Probe | None,
    topic_probe: str,
    now: int,
    known_targets: Container[str] | None = None,
) -> Rejection | None:
    """Check one measurement; None when it is admitted. `probe` is the registry's record of
    `topic_probe`, None without one; `now` is the time of arrival, Unix milliseconds;
    `known_targets` are those of the catalogue, None where any is accepted."""
    if envelope.probe != topic_probe:
        return Rejection(QuarantineReason.FOREIGN_PROBE, f"the measurement names {envelope.probe}")
    if probe is None:
        return Rejection(QuarantineReason.UNKNOWN_PROBE, "not enrolled here")
    if probe.revoked is not None:
        return Rejection(QuarantineReason.REVOKED_PROBE, "revoked")
    if probe.role not in _ROLES:
        return Rejection(QuarantineReason.UNKNOWN_ROLE, f"role {probe.role[:40]!r}")
    expected = measurement_id(envelope.probe, envelope.epoch, envelope.sequence)
    if envelope.id != expected:
        return Rejection(
            QuarantineReason.WRONG_ID, f"id {envelope.id}, its epoch and sequence give {expected}"
        )
    if service_of(envelope.target) == LIVENESS and envelope.target not in LIVENESS_TARGETS:
        return Rejection(QuarantineReason.RESERVED_TARGET, f"{envelope.target} is a reserved name")
    if envelope.vantage.country not in COUNTRIES:
        return Rejection(QuarantineReason.UNKNOWN_COUNTRY, f"country {envelope.vantage.country}")
    if (
        known_targets is not None
        and envelope.target not in known_targets
        and envelope.target not in LIVENESS_TARGETS
    ):
        return Rejection(
            QuarantineReason.UNKNOWN_TARGET, f"{envelope.target} is not in this catalogue"
        )
    return _time_error(envelope, probe.enrolled, now)


def is_ahead_of_this_clock(envelope: Envelope, now: int) -> bool:
    """Whether the measurement is in the future, and also by the dates that hosts sent to its probe:
    by what they say it is the clock of this machine that is behind. `now` is Unix milliseconds."""
    in_future = max(envelope.round, envelope.started) - now > MAX_AHEAD_MS
    if envelope.clock_offset_ms is None or not in_future:
        return False
    wall_clock = envelope.started + envelope.clock_corrected_ms
    return wall_clock - envelope.clock_offset_ms - now > MAX_AHEAD_MS


def is_of_wrong_clock(rejection: Rejection | None, clock_offset_ms: int | None) -> bool:
    """Whether a measurement is rejected only because the clock of its probe is wrong, so that it
    can be admitted later or corrected. `clock_offset_ms` is by how much it is ahead of this clock,
    None if the probe does not say."""
    if rejection is None:
        return False
    if rejection.reason is QuarantineReason.TOO_OLD:
        return clock_offset_ms is not None and clock_offset_ms < -MAX_AHEAD_MS
    return rejection.reason is QuarantineReason.CLOCK_AHEAD


def votes_from(probe: Probe, envelopes: Iterable[Envelope]) -> int:
    """The time of enrolment that counts for the measurements of a batch: NEVER when any of them
    claims another place than the probe enrolled from, VOUCHED where the operator vouches for its
    owner."""
    places = {(each.vantage.country, each.vantage.asn) for each in envelopes}
    if any(probe.is_elsewhere(*place) for place in places):
        return NEVER
    return VOUCHED if probe.vouched else probe.enrolled


def _time_error(measurement: Envelope, enrolled: int, now: int) -> Rejection | None:
    """An impossible time. The clock of the probe is wrong; NTP corrects it."""
    round, started = measurement.round, measurement.started
    earliest, latest = (round, started) if round <= started else (started, round)
    if latest - now > MAX_AHEAD_MS:
        return Rejection(QuarantineReason.CLOCK_AHEAD, f"{(latest - now) // 1000} s in the future")
    if now - earliest > MAX_AGE_MS:
        return Rejection(QuarantineReason.TOO_OLD, f"{(now - earliest) // 86_400_000} days old")
    # Enrolled in the future: this machine's clock was ahead, and the time says nothing.
    if enrolled <= now and earliest < enrolled - BEFORE_ENROLMENT_MS:
        return Rejection(QuarantineReason.TOO_OLD, "more than a day before the probe was enrolled")
    if fault := _round_error(round, measurement.interval_ms):
        return Rejection(QuarantineReason.WRONG_ROUND, fault)
    if latest - earliest > ROUND_MS + measurement.interval_ms:
        return Rejection(QuarantineReason.WRONG_ROUND, f"started {started}, round {round}")
    return None


@lru_cache(maxsize=4096)
def _round_error(round: int, interval: int) -> str:
    if interval and not LEAST_INTERVAL_MS <= interval <= MOST_INTERVAL_MS:
        return f"interval of {interval} ms"
    grid = round_grid_ms(interval) if interval else SINGLE_ROUND_MS
    if grid < LEAST_INTERVAL_MS:
        return f"interval of {interval} ms"
    if round % grid:
        return f"round {round} is not a multiple of {grid} ms"
    return ""


def within_networks(named: set[tuple[str, int]], place: EnvelopeVantage) -> Rejection | None:
    """Add the network of a probe; reject it once there are too many."""
    network = place.country, place.asn
    if network not in named:
        if len(named) >= MAX_NETWORKS:
            return Rejection(
                QuarantineReason.TOO_MANY_NETWORKS, f"more than {MAX_NETWORKS} networks a day"
            )
        named.add(network)
    return None


def within_spools(named: set[str], spool: str) -> Rejection | None:
    """Add a spool of a probe; reject it once there are too many."""
    if spool not in named:
        if len(named) >= MAX_SPOOLS:
            return Rejection(QuarantineReason.TOO_MANY_SPOOLS, f"more than {MAX_SPOOLS} spools")
        named.add(spool)
    return None


def within_targets(named: set[str], target: str) -> Rejection | None:
    """Add a target of a probe; reject it once there are too many."""
    if target not in named:
        if len(named) >= MAX_TARGETS:
            return Rejection(QuarantineReason.TOO_MANY_TARGETS, f"more than {MAX_TARGETS} targets")
        named.add(target)
    return None
