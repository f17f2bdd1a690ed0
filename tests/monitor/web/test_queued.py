"""Only the web server says since when a request waits."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application

from monitor.store.shared_transactions import Queued
from monitor.web.queued import BEHIND, queued_header, queued_of


def test_a_visitor_cannot_say_since_when_the_request_waits() -> None:
    queued, app = Queued(12.5, followed=True), Application()
    request = make_mocked_request("GET", "/", queued_header(queued), app=app)
    assert queued_of(request) is None
    app[BEHIND] = True
    assert queued_of(request) == queued
    assert queued_of(make_mocked_request("GET", "/", app=app)) is None
