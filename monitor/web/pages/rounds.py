# SPDX-License-Identifier: Apache-2.0
"""How an event came about, round by round: what each vantage added, and which gates held."""

from __future__ import annotations

from aiohttp import web

from monitor.commands.explain import Explanation
from monitor.web.draw import round_pictures as rounds
from monitor.web.pages.event import asked
from monitor.web.render import render
from monitor.web.site import SITE
from monitor.web.text import event_text


async def page(request: web.Request) -> web.Response:
    """Render every series of an event as a picture and as a table."""
    site = request.app[SITE]
    event, _, name = await asked(request)
    story = await site.stories.story(event) if site.stories else "this server does not tell it"
    told = isinstance(story, Explanation)
    values = {
        "title": f"Round by round: {name}",
        "event": event,
        "headline": event_text.headline(event, name),
        "pictures": rounds.pictures(story.moments) if isinstance(story, Explanation) else [],
        "untold": story.untold if isinstance(story, Explanation) else 0,
        "why_not": "" if told else str(story),
    }
    return await render(request, "rounds.html", values)
