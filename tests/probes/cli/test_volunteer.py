"""What a volunteer is told when something is wrong: one line that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
from pathlib import Path

import msgspec
import pytest

from probes import status
from probes.delivery import enrolment
from tests.probes.test_status import probe_status
from tests.world.mosquitto import running_mosquitto
from tests.world.ports import free_port
from tests.world.tiny import reachprobe, running_probe, tiny_world, write_catalogue
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

PROBE = "p-0123456789abcdef"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("libfaketime.so.1"))


def enrolled(state: Path, broker: str) -> None:
    """A probe whose measurements were acknowledged once."""
    state.mkdir()
    given = enrolment.Enrolment(
        probe=PROBE, user=PROBE, secret="hush", broker=(broker,),
        url=f"http://127.0.0.1:{free_port()}",
    )  # fmt: skip
    enrolment.save(state, given)
    status.save(state, probe_status(probe=PROBE, stopped=True, last_ack_ms=1))


@pytest.mark.needs("mosquitto")
async def test_a_revoked_probe(tmp_path: Path) -> None:
    state = tmp_path / "s"
    here = ["--state", str(state)]
    (tmp_path / "passwords").write_text("")
    with running_mosquitto(
        tmp_path / "b", f"password_file {tmp_path}/passwords", anonymous=False
    ) as server:
        enrolled(state, server.url)
        async with (
            tiny_world(tmp_path / "c") as catalogue,
            running_probe(state, catalogue, server.url) as run,
        ):
            async with asyncio.timeout(HANG_SECONDS):
                while (answer := await reachprobe(["status", *here]))[0] == 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            assert answer[1].startswith("working        no: revoked: ask your operator\n")
            code, out, err = await reachprobe(["status", "--check", *here])
            assert (code, out, err) == (1, "", "reachprobe: revoked: ask your operator\n")
            run.terminate()
            await run.communicate()


@pytest.mark.needs("mosquitto")
async def test_a_revoked_probe_measures_nothing_until_it_is_accepted_again(tmp_path: Path) -> None:
    state, port = tmp_path / "s", free_port()
    enrolled(state, "mqtt://x")
    earlier = probe_status(probe=PROBE, stopped=True, last_ack_ms=1, revoked=True)
    status.save(state, earlier)
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(state, catalogue, f"mqtt://127.0.0.1:{port}", interval=0.1) as run,
    ):
        assert run.stdout is not None
        assert run.stderr is not None
        async with asyncio.timeout(HANG_SECONDS):
            while b"measuring has stopped" not in (line := await run.stderr.readline()):
                assert line
            assert status.REVOKED.encode() in line
            while not (found := status.load(state)) or found.updated_ms == earlier.updated_ms:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert found.taken == 0
        code, out, err = await reachprobe(["status", "--check", "--state", str(state)])
        assert (code, out, err) == (1, "", "reachprobe: revoked: ask your operator\n")
        with running_mosquitto(tmp_path / "b", port=port):
            async with asyncio.timeout(HANG_SECONDS):
                while b"connected" not in (line := await run.stderr.readline()):
                    assert b"measuring has stopped" not in line
                    assert line
                assert b"taken" in await run.stdout.readline()
            run.terminate()
            await run.communicate()
    found = status.load(state)
    assert found is not None
    assert not found.revoked


async def test_a_broker_that_is_away_is_no_fault_of_the_probe(tmp_path: Path) -> None:
    state = tmp_path / "s"
    enrolled(state, "mqtt://x")
    async with (
        tiny_world(tmp_path / "c") as catalogue,
        running_probe(state, catalogue, f"mqtt://127.0.0.1:{free_port()}") as run,
    ):
        assert run.stdout is not None
        await run.stdout.readline()
        async with asyncio.timeout(HANG_SECONDS):
            while not (found := status.load(state)) or not found.away_ms:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        run.terminate()
        await run.communicate()
    found = status.load(state)
    assert found is not None
    assert (found.refused, found.transport) == (0, "")
    later = found.away_ms + 600_000
    told = " ".join(status.notices(found, later))
    assert "the broker has been away for 10 min" in told


@pytest.mark.needs("libfaketime")
async def test_a_wrong_clock(tmp_path: Path) -> None:
    async def dated(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            date = email.utils.formatdate(usegmt=True)
            writer.write(f"HTTP/1.1 204 No Content\r\nDate: {date}\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(dated, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        catalogue = write_catalogue(tmp_path / "c", port, free_port())
        controls = catalogue / "controls.toml"
        controls.write_text(controls.read_text().replace('"tcp"', '"http"'))
        clock = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": "+3h",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        gone = f"mqtt://127.0.0.1:{free_port()}"
        async with running_probe(tmp_path / "s", catalogue, gone, variables=clock) as run:
            async with asyncio.timeout(HANG_SECONDS):
                while not (found := status.load(tmp_path / "s")) or not found.clock_offset_ms:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            code, out, _ = await reachprobe(["status", "--state", str(tmp_path / "s")], **clock)
            assert code == 0
            assert "the clock of this machine is 180 min fast: set it" in out
            run.terminate()
            await run.communicate()
    finally:
        server.close()
        await server.wait_closed()


async def test_a_restart_does_not_change_what_the_status_says(tmp_path: Path) -> None:
    state = tmp_path / "s"
    shown: list[status.ProbeStatus] = []
    async with tiny_world(tmp_path / "c") as catalogue:
        for event in (b'"round"', b'"next round"'):
            broker = f"mqtt://127.0.0.1:{free_port()}"
            async with running_probe(state, catalogue, broker, interval=3600) as run:
                assert run.stderr is not None
                async with asyncio.timeout(HANG_SECONDS):
                    while event not in (line := await run.stderr.readline()):
                        assert line, "the probe ended"
                run.terminate()
                await run.communicate()
            found = status.load(state)
            assert found is not None
            shown.append(msgspec.structs.replace(found, sent_bytes_today=1000))
            status.save(state, shown[-1])
    assert found.sent_bytes_today == 1000
    first, second = ((s.last_round_failed, s.last_round_took_ms) for s in shown)
    assert first == second
    assert first[0] == 1
