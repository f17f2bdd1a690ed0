"""How much is measured at the same time."""

from __future__ import annotations

import asyncio

from probes.endpoint.silence import SilentWaits
from probes.rounds.places import MOST_SILENT, Places


class Guests:
    """Tasks that take a place and keep it."""

    def __init__(self, places: Places, number: int) -> None:
        self.places = places
        self.tasks = [asyncio.create_task(places.wait_for_one()) for _ in range(number)]

    async def inside(self) -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        return sum(task.done() and not task.cancelled() for task in self.tasks)


async def test_there_are_as_many_places_as_the_number_and_the_first_to_ask_are_the_first() -> None:
    guests = Guests(Places(2, SilentWaits()), 4)
    assert await guests.inside() == 2
    guests.places.give_back()
    assert await guests.inside() == 3
    assert [task.done() for task in guests.tasks] == [True, True, True, False]
    guests.tasks[-1].cancel()


async def test_who_waits_in_silence_makes_room_and_goes_on_at_once() -> None:
    silence = SilentWaits()
    guests = Guests(Places(1, silence), 4)
    silence.change(1)
    assert await guests.inside() == 2
    silence.change(-1)
    guests.places.give_back()
    assert await guests.inside() == 2, "one still has a place"
    guests.places.give_back()
    assert await guests.inside() == 3
    guests.tasks[-1].cancel()


async def test_silence_makes_room_up_to_a_limit() -> None:
    silence = SilentWaits()
    guests = Guests(Places(1, silence), MOST_SILENT + 5)
    silence.change(MOST_SILENT + 3)
    assert await guests.inside() == 1 + MOST_SILENT
    for task in guests.tasks:
        task.cancel()


async def test_who_no_longer_wants_a_place_keeps_none() -> None:
    guests = Guests(Places(1, SilentWaits()), 3)
    assert await guests.inside() == 1
    guests.tasks[1].cancel()  # while it waits
    guests.places.give_back()
    guests.tasks[2].cancel()  # while it is let in
    assert await guests.inside() == 1
    async with asyncio.timeout(5), guests.places:
        pass
