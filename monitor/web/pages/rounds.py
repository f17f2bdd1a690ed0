"""How an event came about, round by round: what each vantage added, and which gates held."""

from __future__ import annotations

from aiohttp import web

from monitor.explaining import Explanation
from monitor.store import reading
from monitor.web import rounds, telling
from monitor.web.render import render
from monitor.web.site import SITE


async def page(request: web.Request) -> web.Response:
    """Render every series of an event as a picture and as a table."""
    site = request.app[SITE]
    async with site.engine.connect() as connection:
        event = await reading.event(connection, request.match_info["id"])
    if event is None:
        raise web.HTTPNotFound(reason="There is no event with this id.")
    service = site.service(event.service)
    story = await site.stories.story(event) if site.stories else "this server does not tell it"
    told = isinstance(story, Explanation)
    values = {
        "title": f"Round by round: {service.name if service else event.service}",
        "event": event,
        "headline": telling.headline(event, service.name if service else event.service),
        "pictures": rounds.pictures(story.moments) if isinstance(story, Explanation) else [],
        "untold": story.untold if isinstance(story, Explanation) else 0,
        "why_not": "" if told else str(story),
    }
    return await render(request, "rounds.html", values)
