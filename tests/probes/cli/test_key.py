"""A probe's key from `join` to the proof that others verify, over the real web server and store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from monitor import enrolment as desk
from monitor.collector import probe_cache
from monitor.commands import verify
from monitor.commands.options import build
from probes.cli import consent
from probes.cli.main import main
from probes.delivery import enrolment, signing_key
from probes.runtime.clock import wall_clock
from tests.monitor.collector.bench import measurement
from tests.probes.delivery.test_https_session import Probe, delivering
from tests.world.waiting import eventually
from tests.world.web_monitor import WebMonitor, web_monitor

KNOWN = 0.2
"""Seconds that a collector remembers what it knows of a probe, here."""


async def reachprobe(*words: str) -> int:
    return await asyncio.to_thread(main, words)


async def joined(monitor: WebMonitor, state: Path) -> enrolment.Enrolment:
    now = wall_clock()
    kept, text = desk.new_token(monitor.url, "vantage", "ada", 1, now + 60_000, now)
    await monitor.database.registry.add_token(kept)
    agreed = ["--accept-risks", consent.digest(), "--state", str(state)]
    assert await reachprobe("join", text, *agreed) == 0
    found = enrolment.load(state)
    assert found is not None
    return found


async def delivered(probe: Probe, monitor: WebMonitor, sequence: int) -> str:
    """Put one measurement into the spool, and return its id once it is stored."""
    made = measurement(probe.probe, sequence)
    taken = await probe.spool.put(made)
    assert taken is not None
    probe.outbox.rounds_closed()
    acknowledged = probe.outbox.stats.acknowledgements
    await eventually(lambda: probe.outbox.stats.acknowledgements > acknowledged)
    return taken.id


async def test_from_joining_to_the_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe_cache.KNOWN_SECONDS < 10
    monkeypatch.setattr(probe_cache, "KNOWN_SECONDS", KNOWN)
    state = tmp_path / "state"
    async with web_monitor(tmp_path / "monitor") as monitor:
        who = await joined(monitor, state)
        assert who.key
        capsys.readouterr()
        assert await reachprobe("key", "--state", str(state)) == 0
        public = capsys.readouterr().out.strip()
        assert public.startswith(who.key)
        probe = Probe(state, who.probe, who.secret, monitor.url)
        async with delivering(probe):
            id = await delivered(probe, monitor, 0)
            found = await monitor.database.facts.measurement(id)
            assert found is not None
            proof = await _saved(monitor, id, tmp_path / "proof.json")
            given = build().read(["verify", str(proof), "--public-key", public])
            assert verify.run(given) == 0
            said = capsys.readouterr().out
            assert f"{who.probe} signed measurement {id}" in said
            assert f"with the key {public}\nwhich is the given key" in said

            # Stolen: nothing that this key signs is stored after a few seconds.
            assert await monitor.database.registry.revoke_keys(who.probe, wall_clock()) == 1
            await asyncio.sleep(2 * KNOWN)
            waiting = asyncio.create_task(delivered(probe, monitor, 1))
            await eventually(lambda: probe.outbox.stats.unverified == "revoked_key")
            assert monitor.counters.unverified["revoked_key"] >= 1
            assert await reachprobe("key", "--renew", "--state", str(state)) == 0
            renewed = capsys.readouterr().out.split()[-1]
            assert renewed != public
            assert not (state / signing_key.NEW).exists()
            await waiting
            assert probe.outbox.stats.key == renewed[:16]
        await probe.spool.close()


async def _saved(monitor: WebMonitor, id: str, file: Path) -> Path:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{monitor.url}/m/{id}/proof") as answer,
    ):
        assert answer.status == 200
        file.write_bytes(await answer.read())
    return file


async def test_a_probe_without_the_package_says_so_and_is_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> signing_key.SigningKey:
        raise signing_key.SigningKeyError(signing_key.MISSING)

    monkeypatch.setattr(signing_key, "make", missing)
    async with web_monitor(tmp_path / "monitor") as monitor:
        who = await joined(monitor, tmp_path / "state")
    assert who.key == ""
    assert "will not be signed: the package cryptography is missing" in capsys.readouterr().err
    assert await reachprobe("key", "--state", str(tmp_path / "state")) == 1


async def test_a_key_is_of_an_enrolled_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await reachprobe("key", "--state", str(tmp_path)) == 2
    assert capsys.readouterr().err == f"reachprobe: {tmp_path}: not enrolled\n"
