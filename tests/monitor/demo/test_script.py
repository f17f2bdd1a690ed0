"""The course of the demonstration: what waits for what, and that every block ends."""

from __future__ import annotations

import asyncio

import pytest

from monitor.demo import script
from monitor.demo.block import DEFAULT, SECOND, DemoBlock
from monitor.demo.plan import SERVICES
from monitor.demo.script import OVERLAP, Act, play, single
from monitor.demo.story import Story
from tests.world.waiting import eventually

NAMES = {service.id: service.name for service in SERVICES}


class _World:
    """Says what is blocked."""

    def __init__(self) -> None:
        self.course: list[tuple[str, ...]] = []
        self._blocked: list[DemoBlock] = []

    def block(self, block: DemoBlock) -> None:
        self._blocked.append(block)
        self._note()

    def lift(self, block: DemoBlock) -> None:
        self._blocked.remove(block)
        self._note()

    def _note(self) -> None:
        self.course.append(tuple(block.service for block in self._blocked))


@pytest.fixture
def story() -> Story:
    return Story("http://127.0.0.1:9", "", NAMES, lambda line: None)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "SHOWN_SECONDS", 0.0)


def said(story: Story, service: str, stage: str) -> None:
    """The monitor's API says this of the newest event of a service."""
    scope = {"vantages": {"peak": "3/3", "now": "1/3"}}
    state = stage if stage == "closed" else "open"
    tier = "confirmed" if state == "closed" else stage
    body = {"id": service, "service": service, "asns": [64501], "state": state, "tier": tier}
    story.update(body | {"scope": scope})


async def test_two_blocks_overlap_once(story: Story) -> None:
    world = _World()
    async with asyncio.TaskGroup() as group:
        group.create_task(play(world, OVERLAP, 1, story))
        for number, (service, stage) in enumerate(
            (("wechat", "confirmed"), ("signal", "confirmed"), ("wechat", "closed")), 1
        ):
            await eventually(lambda least=number: len(world.course) >= least)  # type: ignore[misc]
            said(story, "signal", "likely")  # not what is waited for
            await asyncio.sleep(0.02)
            assert len(world.course) == number
            said(story, service, stage)
    assert world.course == [("wechat",), ("wechat", "signal"), ("signal",), ()]


async def test_a_single_block_lasts_its_time(story: Story) -> None:
    world = _World()
    said(story, "wechat", "confirmed")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await play(world, single(DEFAULT), 1, story)
    assert world.course == [("wechat",), ()]  # lifted when the demonstration ends, too


async def test_a_block_is_shown_as_long_as_its_confirmation_took(story: Story) -> None:
    """A slow machine needs longer for everything."""
    world, loop = _World(), asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        acts = (Act(DEFAULT, True, "confirmed"), Act(DEFAULT, False))
        group.create_task(play(world, acts, 1, story))
        await eventually(lambda: world.course)  # it has begun
        await asyncio.sleep(0.2)
        said(story, "wechat", "confirmed")
        at = loop.time()
    assert world.course == [("wechat",), ()]
    assert loop.time() - at >= 0.19


async def test_a_block_that_is_never_confirmed_ends(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "REACH_SECONDS", 0.01)
    world = _World()
    await play(world, OVERLAP, 1, story)
    assert world.course[-1] == ()


def test_the_blocks_are_of_two_services_in_two_countries() -> None:
    assert DEFAULT.place == "WeChat in AS64501 Demo Telecom East"
    assert SECOND.place == "Signal in AS64503 Demo Net"
