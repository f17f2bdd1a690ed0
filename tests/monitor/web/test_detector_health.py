"""What the leases of detectors tell."""

from __future__ import annotations

import pytest

from monitor.web.detector_health import LEASE_LATE_MS, DetectorCourse, detector_health

NOW = 1_800_000_000_000
HELD, LATE, GONE = NOW + 5_000, NOW - LEASE_LATE_MS, NOW - LEASE_LATE_MS - 1


@pytest.mark.parametrize(
    ("leases", "course", "option"),
    [
        ({}, DetectorCourse.NEVER, ""),
        ({"detector": HELD}, DetectorCourse.RUNS, ""),
        ({"detector": NOW}, DetectorCourse.LATE, ""),
        ({"detector": LATE}, DetectorCourse.LATE, ""),
        ({"detector": GONE}, DetectorCourse.ENDED, ""),
        ({"detector 1/2": GONE, "detector 2/2": HELD}, DetectorCourse.ENDED, " --shard 1/2"),
        ({"detector 1/2": HELD}, DetectorCourse.NEVER, " --shard 2/2"),
    ],
    ids=["never", "runs", "expired-now", "late", "ended", "one-of-two-ended", "one-of-two-never"],
)
def test_the_part_that_is_worst_off_is_told(
    leases: dict[str, int], course: DetectorCourse, option: str
) -> None:
    health = detector_health(leases, NOW)
    assert (health.course, health.option) == (course, option)


def test_how_long_it_has_been_away() -> None:
    assert detector_health({"detector": GONE}, NOW).without_ms == LEASE_LATE_MS + 1
    assert detector_health({"detector": HELD}, NOW).without_ms == 0
    assert detector_health({}, NOW).without_ms is None
