# SPDX-License-Identifier: Apache-2.0
"""The local probe of `reachwatch up`: enrolled by a token like any other, run as a child process.

Starting `up` without `--no-local-probe` is the consent of the machine's user; `up` prints a
notice before the probe starts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from pathlib import Path

import msgspec

from monitor.enrolment import new_token
from monitor.local.children import keep_running, run_once
from monitor.store.registry import Registry
from probes.runtime.clock import wall_clock

log = logging.getLogger(__name__)
PROBE = (sys.executable, "-m", "probes")
TOKEN_LIFE_MS = 3_600_000
ENROL_ATTEMPTS = 3
"""On a machine that is busy while everything starts, the web server may answer too late."""
NOTICE = (
    "A local probe measures from this machine{often}: it contacts the messaging "
    "services in the catalogue, and anyone who monitors this connection can see that. "
    "`reachprobe consent` describes the risks; --no-local-probe turns the probe off."
)


class LocalMonitor(msgspec.Struct, frozen=True):
    """What a probe on this machine needs of the monitor in this process."""

    registry: Registry
    public_url: str
    broker_url: str


async def consent_hash() -> str:
    """The hash of the present risks text, as `reachprobe consent` prints it; empty if none."""
    process = await asyncio.create_subprocess_exec(
        *PROBE,
        "consent",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    found = re.findall(r"\b[0-9a-f]{16}\b", out.decode(errors="replace"))
    return found[-1] if found else ""


async def enrol_child(
    monitor: LocalMonitor, state: Path, role: str, owner: str, name: str, agreed: str
) -> str | None:
    """Enrol the probe whose state is in a directory, unless it is enrolled; return the error, or
    None. `agreed` is the hash of `consent_hash`: whoever started the monitor runs the probe."""
    if (state / "enrolment.json").exists():
        return None
    for _ in range(ENROL_ATTEMPTS):
        now = wall_clock()
        token, text = new_token(monitor.public_url, role, owner, 1, now + TOKEN_LIFE_MS, now)
        await monitor.registry.add_token(token)
        # Not an argument: every user of the machine can read arguments.
        environment = {"REACHPROBE_TOKEN": text, "REACHPROBE_ACCEPT_RISKS": agreed}
        status, errors = await run_once([*PROBE, "join", "--state", str(state)], environment)
        if status == 0:
            return None
    return f"{name} could not enrol: {errors.splitlines()[-1:] or status}"


async def local_probe(
    monitor: LocalMonitor,
    data: Path,
    interval: int | None,
    catalogue: Path | None,
    stop: asyncio.Event,
) -> None:
    """Run the local probe until `stop`, at its own default interval when none is given."""
    state = data / "probe"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    often = "" if interval is None else f" every {interval} s"
    print(NOTICE.format(often=often), file=sys.stderr, flush=True)
    agreed = await consent_hash()
    failed = await enrol_child(monitor, state, "vantage", "local", "the local probe", agreed)
    if failed is not None:
        log.error("%s; the monitor runs without the local probe", failed)
        await stop.wait()
        return
    command = [
        *PROBE, "run", "--state", str(state),
        "--broker", monitor.broker_url, "--accept-risks", agreed,
    ]  # fmt: skip
    if interval is not None:
        command += ["--interval", str(interval)]
    if catalogue is not None:
        command += ["--catalogue", str(catalogue)]
    async with asyncio.TaskGroup() as group:
        child = group.create_task(keep_running("the local probe", command, data / "probe.log"))
        await stop.wait()
        child.cancel()
