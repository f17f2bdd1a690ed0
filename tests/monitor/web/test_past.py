"""The present of a moment of the past."""

from __future__ import annotations

from monitor.web.past import PastReader
from monitor.web.site import Site
from tests.world import site as world
from tests.world.scenery import INTERVAL, NOW


async def test_states_and_vantages_are_those_of_then(site: Site) -> None:
    at = world.START + 10 * INTERVAL
    past = PastReader(site.database, at, at - 4 * INTERVAL)
    then = await past.get()
    now = await site.present.get()
    assert {row.round for row in then.states()} <= {world.START + n * INTERVAL for n in range(10)}
    assert max(row.round for row in now.states()) > at
    # Nothing had been published: all of it is dated NOW.
    assert then.opened == []
    assert {event.id for event in now.opened} >= {world.CONFIRMED}
    later = PastReader(site.database, NOW, NOW - 4 * INTERVAL)
    assert {event.id for event in (await later.get()).opened} >= {world.CONFIRMED}
    seen = {row.id: row.last_seen for row in then.vantages}
    assert all(when is None or when <= at for when in seen.values())
    assert await past.get() is then
