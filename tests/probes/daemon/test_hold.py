"""What holds up measuring: the volunteer, a metered connection, the operator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from probes import metered, state_directory
from probes.config import AgentConfig
from probes.daemon import hold
from probes.daemon.hold import Hold
from tests.probes.daemon.in_process import Desk
from tests.world.waiting import HANG_SECONDS


def held_by(desk: Desk, directory: Path, mode: str = "thin") -> Hold:
    config = AgentConfig(directory=directory, interval_ms=1_800_000, metered=mode)
    return Hold(config, desk.keeper, desk.log, lambda: desk.now)


@pytest.mark.parametrize(("mode", "holds"), [("thin", False), ("pause", True)])
async def test_a_metered_connection_holds_where_the_volunteer_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, holds: bool
) -> None:
    async def is_metered() -> bool:
        return True

    monkeypatch.setattr(metered, "available", lambda: True)
    monkeypatch.setattr(metered, "is_metered", is_metered)
    desk = Desk(tmp_path)
    here = held_by(desk, tmp_path, mode)
    changed = asyncio.Event()
    watching = asyncio.create_task(here.watch_metered(changed.set))
    async with asyncio.timeout(HANG_SECONDS):
        await changed.wait()
    watching.cancel()
    assert here.metered
    assert desk.keeper.status.metered
    assert here.holds() is holds
    await desk.spool.close()


async def test_a_connection_is_not_asked_about_where_it_does_not_matter(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    here = held_by(desk, tmp_path, "ignore")
    await here.watch_metered(lambda: pytest.fail("asked"))
    assert not here.metered
    await desk.spool.close()


async def test_the_volunteer_pauses_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "LOOK_SECONDS", 0.01)
    desk = Desk(tmp_path, next_round_ms=5)
    here = held_by(desk, tmp_path)
    await here.wait()  # nothing holds
    assert desk.keeper.status.resumed_ms == 0
    state_directory.set_paused(tmp_path, True)
    waiting = asyncio.create_task(here.wait())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    assert (desk.keeper.status.paused, desk.keeper.status.next_round_ms) == (True, 0)
    state_directory.set_paused(tmp_path, False)
    async with asyncio.timeout(HANG_SECONDS):
        await waiting
    assert (desk.keeper.status.paused, desk.keeper.status.resumed_ms) == (False, desk.now)
    await desk.spool.close()


async def test_a_revoked_probe_is_held_until_a_broker_accepts_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    here, stats = held_by(desk, tmp_path), desk.stats
    assert not here.holds()
    stats.refused, stats.away_ms, stats.last_ack_ms = 2, desk.now - 700_000, desk.now - 800_000
    assert here.holds()
    stats.refused = 0
    assert here.holds(), "while it is offline nothing is known"
    stats.transport, stats.away_ms = "mqtts+5", 0
    assert not here.holds()
    assert not desk.keeper.status.revoked
    await desk.spool.close()
