"""A lookup that several wait for."""

from __future__ import annotations

import asyncio

import pytest

from probes.net.pending_lookup import PendingLookup
from probes.wire.observation import DNSLookup, DNSReply

EARLY = DNSLookup(endpoint="", name="a.example", qtype="A", resolver="system", replies=(
    DNSReply(after_us=1, rcode=0, answers=("192.0.2.1",)),
))  # fmt: skip
LATE = DNSLookup(
    endpoint="",
    name="a.example",
    qtype="A",
    resolver="system",
    replies=(*EARLY.replies, DNSReply(after_us=9, rcode=0, answers=("192.0.2.2",))),
)


async def test_who_waits_for_the_first_answer_need_not_wait_for_the_last() -> None:
    pending = PendingLookup()
    async with asyncio.TaskGroup() as group:
        early = [group.create_task(pending.first()) for _ in range(3)]
        late = group.create_task(pending.finish())
        await asyncio.sleep(0)
        pending.settle(EARLY)
        assert [await task for task in early] == [EARLY] * 3
        assert not late.done()
        pending.end(LATE)
        assert await late == LATE
    assert await pending.first() == LATE


async def test_an_end_settles_as_well() -> None:
    pending = PendingLookup()
    pending.end(LATE)
    assert await pending.first() == await pending.finish() == LATE


async def test_one_that_gives_up_leaves_the_others_waiting() -> None:
    pending = PendingLookup()
    async with asyncio.TaskGroup() as group:
        patient = group.create_task(pending.first())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await pending.first()
        pending.settle(EARLY)
        assert await patient == EARLY
