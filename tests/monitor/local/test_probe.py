"""The local probe: an ordinary one, with the consent of whoever starts `up`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from monitor.local.probe import NOTICE, consent_hash
from probes.cli import consent
from tests.monitor.test_pipeline import fetch, reachwatch, wait
from tests.world.ports import free_port
from tests.world.tiny import tiny_world
from tests.world.waiting import HANG_SECONDS


async def test_the_hash_is_that_of_the_present_text() -> None:
    assert await consent_hash() == consent.digest()


async def test_up_measures_through_its_local_probe_and_says_so(tmp_path: Path) -> None:
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}"
    environment = {**os.environ, "REACHPROBE_ALLOW_PRIVATE": "1"}
    async with tiny_world(tmp_path / "catalogue") as catalogue:
        words = [
            *(
                sys.executable,
                "-m",
                "monitor.commands.main",
                "up",
                "--data",
                str(tmp_path / "data"),
            ),
            *("--http", url[7:], "--mqtt", "127.0.0.1:0", "--interval", "1"),
            *("--catalogue", str(catalogue)),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(words, stdout=out, stderr=out, env=environment)
        try:
            wait(f"{url}/readyz", process, log)
            deadline = time.monotonic() + HANG_SECONDS
            while b"reachwatch_measurements_ingested_total 0.0" in (
                body := fetch(f"{url}/metrics")[1]
            ):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            assert b"reachwatch_measurements_ingested_total" in body
            page = fetch(url)[1].decode()
            assert "nothing can be called blocked yet" in page
            assert "reachwatch token new --role control" in page
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_SECONDS) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert NOTICE.split("{")[0] in log.read_text()


def test_without_it_nothing_is_measured(tmp_path: Path) -> None:
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}"
    words = ("up", "--no-local-probe", "--data", str(tmp_path / "data"), "--http", url[7:])
    with reachwatch(log, *words, "--mqtt", "127.0.0.1:0") as process:
        wait(f"{url}/readyz", process, log)
        assert "measures from this machine" not in log.read_text()
        assert not (tmp_path / "data" / "probe").exists()
