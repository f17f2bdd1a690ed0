"""The status that is held, saved and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import status
from probes.config import AgentConfig
from probes.daemon.status_keeper import keeper_of_last_run
from probes.delivery.sqlite_file import DiskError
from probes.wire.codec import encode_message
from tests.probes.daemon.in_process import Desk, agent_here
from tests.probes.delivery.test_spool import PROBE, draft
from tests.probes.test_status import NOW, probe_status


async def test_a_save_copies_from_spool_delivery_and_budget(tmp_path: Path) -> None:
    desk = Desk(tmp_path, last_ack_ms=3)
    await desk.spool.put(draft())
    desk.stats.transport, desk.stats.refused, desk.spent = "mqtts+5", 2, 700
    desk.keeper.set(next_round_ms=9)
    await desk.keeper.save()
    saved = status.load(tmp_path)
    assert saved == desk.keeper.status
    assert saved is not None
    assert (saved.taken, saved.spool_rows, saved.next_round_ms) == (1, 1, 9)
    assert (saved.transport, saved.refused, saved.last_ack_ms) == ("mqtts+5", 2, 3)
    assert (saved.month_spent_bytes, saved.updated_ms, saved.stopped) == (700, NOW, False)
    desk.stats.last_ack_ms = 4
    await desk.keeper.save(stopped=True)
    assert (desk.keeper.status.last_ack_ms, desk.keeper.status.stopped) == (4, True)
    await desk.spool.close()


async def test_whoever_asks_sees_that_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    desk.now += 200_000
    assert status.problem(desk.keeper.status, desk.now).startswith("not running")
    assert desk.keeper.problem() == ""

    async def full(*_: object) -> None:
        raise DiskError("disk full")

    monkeypatch.setattr(type(desk.spool._spool), "counts", full)
    await desk.keeper.save()
    assert desk.keeper.problem() == "disk full"
    await desk.spool.close()


async def test_the_message_and_the_metrics_are_of_now(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    await desk.spool.put(draft(NOW - 60_000))
    await desk.spool.count()
    desk.stats.transport = "mqtt+5"
    message = desk.keeper.message("hello", "b", "c")
    assert (message.state, message.boot, message.consent, message.taken) == ("hello", "b", "c", 1)
    assert message.transport == "mqtt+5"
    desk.keeper.message("lost", "b", "c")
    assert desk.keeper.status.sent_status.encode() == encode_message(message)
    values = desk.keeper.metrics(rounds=2, retests=3)
    assert (values["reachprobe_rounds_total"], values["reachprobe_retests_total"]) == (2, 3)
    oldest = desk.spool.counts.oldest_ms
    assert oldest is not None
    assert message.spool_oldest_seconds == max(0, NOW - oldest) // 1000
    await desk.spool.close()


@pytest.mark.parametrize(("probe", "kept"), [(PROBE, True), ("p-" + "1" * 16, False)])
async def test_a_restart_keeps_what_this_probe_saved(
    tmp_path: Path, probe: str, kept: bool
) -> None:
    desk = Desk(tmp_path)
    agent = agent_here(tmp_path / "s")
    earlier = probe_status(probe=probe, measured_ms=5, revoked=True, metered=True)
    status.save(tmp_path, earlier)
    setup = agent._runner.setup
    config = AgentConfig(directory=tmp_path, interval_ms=60_000)
    keeper = keeper_of_last_run(config, setup, None, desk.spool, desk.stats, lambda: 0.0, desk.log)
    assert (keeper.status.measured_ms, keeper.status.revoked) == ((5, True) if kept else (0, False))
    assert not keeper.status.metered, "that is asked again"
    assert (keeper.status.probe, keeper.status.interval_ms) == (PROBE, 60_000)
    for spool in (desk.spool, agent._spool):
        await spool.close()
