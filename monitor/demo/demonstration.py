# SPDX-License-Identifier: Apache-2.0
"""`reachwatch up --demo`: the simulated internet, ten ordinary probes in it, and scripted blocks.

The probes are child processes of the same program that volunteers run, enrolled by tokens over
HTTP and publishing over MQTT. Only the pace and their enrolment
dates differ from production.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from monitor.demo.block import parse_block
from monitor.demo.plan import SERVICES
from monitor.demo.script import OVERLAP, Act, play, single
from monitor.demo.story import Story, tell
from monitor.demo.world import DemoVantage, World
from monitor.detection.policy import Policy
from monitor.local.children import keep_running
from monitor.local.probe import PROBE, LocalMonitor, consent_hash, enrol_child
from probes.catalogue.load import load
from probes.runtime.options import OptionError, authority

log = logging.getLogger("reachwatch.demo")
PACE = 10
INTERVAL_SECONDS = 60
START_AFTER_SECONDS = 300
"""Least time before the block, divided by the pace: half a minute without a block."""
FIRST_ROUND_SECONDS = 180.0
"""Longest wait for the first round of every probe; real seconds."""
ENROLLED_BEFORE_MS = 60 * 86_400_000
ENROL_AT_ONCE = 3
"""Probes that enrol at the same time; more would compete for the processor."""


Everything = Callable[..., AbstractAsyncContextManager[LocalMonitor]]
"""`monitor.pipeline.everything`."""


async def demonstrate(
    given: argparse.Namespace,
    stop: asyncio.Event,
    everything: Everything,
    acts: Sequence[Act] = OVERLAP,
) -> None:
    """Run the demonstration until `stop`; `everything` runs the monitor, and `acts` happen unless
    a block is chosen."""
    try:
        if given.demo_block is not None:
            block = parse_block(given.demo_block)
            acts = () if block is None else single(block)
    except ValueError as error:
        raise OptionError(f"--demo-block: {error}") from None
    policy = Policy(pace=given.pace or PACE)
    interval = (given.interval or INTERVAL_SECONDS) / policy.pace
    async with World() as world, _data(given) as data:
        url = given.database or f"sqlite+aiosqlite:///{(data / 'reachwatch.db').resolve()}"
        async with everything(
            given,
            stop,
            url=url,
            policy=policy,
            catalogue=load(world.catalogue_dir),
            interval_seconds=max(1, round(interval)),
            monitor_secret=secrets.token_urlsafe(32),
            demo=True,
            enrolled_before_ms=ENROLLED_BEFORE_MS,
        ) as monitor:
            tell(f"The demonstration is running at {monitor.public_url}")
            tell("Press Ctrl+C to stop it.")
            # What happens is told; routine lines of the log would hide it.
            logging.getLogger().setLevel(logging.WARNING)
            names = {service.id: service.name for service in SERVICES}
            address = f"http://{authority(*given.http)}"
            story = Story(address, monitor.public_url, names)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_fleet(monitor, world, data, interval))]
                tasks.append(group.create_task(_run_script(world, acts, policy.pace, story)))
                tasks.append(group.create_task(story.run()))
                await stop.wait()
                for task in tasks:
                    task.cancel()


@contextlib.asynccontextmanager
async def _data(given: argparse.Namespace) -> AsyncIterator[Path]:
    """The given data directory, else a temporary one."""
    if given.data is not None:
        given.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield given.data
        return
    with tempfile.TemporaryDirectory(prefix="reachwatch-demo-") as name:
        yield Path(name)


async def _run_script(world: World, acts: Sequence[Act], pace: int, story: Story) -> None:
    """Run the script and print what it does. The first block begins when every probe has finished
    its first round: nobody's first measurement is of a block."""
    if not acts:
        tell("Nothing will be blocked.")
        return
    planned = dict.fromkeys(f"{act.block.place} ({act.block.technique})" for act in acts)
    tell(f"The probes measure once; then these are blocked: {', '.join(planned)}.")
    vantages = sum(vantage.role == "vantage" for vantage in world.vantages)
    began = asyncio.get_running_loop().time()
    targets = len(load(world.catalogue_dir).targets)
    await story.wait_for_first_round(vantages, targets, FIRST_ROUND_SECONDS)
    left = START_AFTER_SECONDS / pace - (asyncio.get_running_loop().time() - began)
    await asyncio.sleep(max(0.0, left))
    await play(world, acts, pace, story)


async def _fleet(monitor: LocalMonitor, world: World, data: Path, interval: float) -> None:
    """Enrol every probe of the world and keep it running."""
    consent = await consent_hash()
    slots = asyncio.Semaphore(ENROL_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for vantage in world.vantages:
            group.create_task(_probe(monitor, world, vantage, data, interval, consent, slots))


async def _probe(
    monitor: LocalMonitor,
    world: World,
    vantage: DemoVantage,
    data: Path,
    interval: float,
    consent: str,
    slots: asyncio.Semaphore,
) -> None:
    state = data / "probes" / vantage.label
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with slots:
        failed = await enrol_child(
            monitor, state, vantage.role, vantage.owner, vantage.label, consent
        )
    if failed is not None:
        log.error("%s", failed)
        return
    command = [
        *PROBE, "run",
        "--state", str(state),
        "--catalogue", str(world.catalogue_dir),
        "--broker", monitor.broker_url,
        "--interval", f"{interval:g}", "--full",
        "--country", vantage.country,
        "--asn", str(vantage.asn),
        "--bind", vantage.bind,
        "--resolver", vantage.resolver,
        "--accept-risks", consent,
        "--allow-private",
    ]  # fmt: skip
    await keep_running(vantage.label, command, state / "probe.log")
