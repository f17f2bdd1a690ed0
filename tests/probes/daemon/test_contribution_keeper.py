"""When the events of a country are asked for, and that the status keeps what they told."""

from __future__ import annotations

from pathlib import Path

from probes.daemon.contribution_keeper import AGAIN_MS, ContributionKeeper
from probes.delivery.spool import SpoolCounts
from probes.status import after_restart
from probes.wire.measurement import measurement_id
from tests.probes.daemon.in_process import Desk
from tests.probes.delivery.test_spool import PROBE
from tests.probes.test_contributions import published


def test_an_event_that_names_this_probe_is_kept_over_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.spool.counts = SpoolCounts(epoch="e9", sequence=12)
    keeper = ContributionKeeper(PROBE, desk.spool, desk.keeper, lambda: 0)
    keeper.offer(published(measurement_id(PROBE, "e9", 13)))
    assert desk.keeper.status.contributions == (), "not measured yet"
    keeper.offer(published(measurement_id(PROBE, "e9", 12)))
    (told,) = desk.keeper.status.contributions
    assert told.first
    assert after_restart(desk.keeper.status)["contributions"] == (told,)


def test_events_are_asked_for_twice_a_day_whatever_the_clock_does(tmp_path: Path) -> None:
    desk, now = Desk(tmp_path), 10 * AGAIN_MS
    keeper = ContributionKeeper(PROBE, desk.spool, desk.keeper, lambda: now)
    assert keeper.wanted()
    assert not keeper.wanted()
    now += AGAIN_MS - 1
    assert not keeper.wanted()
    now += 1
    assert keeper.wanted()
    now -= 5 * AGAIN_MS
    assert keeper.wanted(), "set back"
