"""When addresses that a catalogue names replace the known ones."""

from probes.delivery.announced_ways import (
    TRIAL_ATTEMPTS,
    TRIAL_MS,
    AnnouncedWays,
    WayStage,
    acknowledged,
    announced,
)

OLD, NEW, NEWER = ("mqtts://old",), ("wss://new", "https://new"), ("https://newer",)
FAILED, NOT_FAILED = (TRIAL_ATTEMPTS, TRIAL_ATTEMPTS), (TRIAL_ATTEMPTS, 0)
ON_TRIAL = announced(AnnouncedWays(), 7, NEW, 1000)
IN_USE = acknowledged(ON_TRIAL, by_named=True, failures=(0, 0), now=2000)


def test_named_addresses_are_tried_before_those_of_the_enrolment() -> None:
    assert AnnouncedWays().groups() == ((),)
    assert (ON_TRIAL.stage, ON_TRIAL.serial, ON_TRIAL.since_ms) == (WayStage.ON_TRIAL, 7, 1000)
    assert ON_TRIAL.groups() == (NEW, ())


def test_one_that_works_replaces_all() -> None:
    assert (IN_USE.stage, IN_USE.since_ms) == (WayStage.IN_USE, 2000)
    assert IN_USE.groups() == (NEW,)


def test_the_earlier_ones_stay_where_the_named_ones_do_not_answer() -> None:
    late = 1000 + TRIAL_MS
    for failures, now in ((NOT_FAILED, late), (FAILED, late - 1)):
        assert acknowledged(ON_TRIAL, by_named=False, failures=failures, now=now) == ON_TRIAL
    after = acknowledged(ON_TRIAL, by_named=False, failures=FAILED, now=late)
    assert (after.stage, after.groups()) == (WayStage.SET_ASIDE, ((),))
    # Only a catalogue with others begins another trial.
    assert acknowledged(after, by_named=True, failures=(0, 0), now=late + 1) == after
    assert announced(after, 7, NEW, late) == after
    assert announced(after, 8, NEWER, late).groups() == (NEWER, ())


def test_what_was_in_use_is_what_is_returned_to() -> None:
    trial = announced(IN_USE, 8, NEWER, 3000)
    assert trial.groups() == (NEWER, NEW)
    late = 3000 + TRIAL_MS
    assert acknowledged(trial, by_named=False, failures=FAILED, now=late).groups() == (NEW,)


def test_the_same_addresses_are_not_tried_again() -> None:
    assert announced(IN_USE, 8, NEW, 3000).stage is WayStage.IN_USE
    trial = announced(IN_USE, 8, NEWER, 3000)
    assert announced(trial, 9, NEW, 4000).groups() == (NEW,)


def test_an_older_catalogue_and_one_without_addresses_change_nothing() -> None:
    for serial, urls in ((6, NEWER), (7, NEWER), (8, ())):
        assert announced(IN_USE, serial, urls, 3000) == IN_USE
