"""Log lines off a terminal are JSON, one object a line, whatever is logged."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from aiohttp import web

from monitor.logs import JSONLines, nameless
from tests.world.waiting import HANG_SECONDS


def test_one_json_object_a_line() -> None:
    record = logging.LogRecord(
        "x", logging.WARNING, "f", 1, 'a "quoted"\nsecond line %s', ("\x1b[31m",), None
    )
    text = JSONLines().format(record)
    assert "\n" not in text
    row = json.loads(text)
    assert row["message"] == 'a "quoted"\nsecond line \x1b[31m'
    assert row["level"] == "warning"
    assert row["time"].endswith("Z")


def test_an_exception_is_in_its_line() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        details = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "broken", (), details)
    assert "ValueError: no" in json.loads(JSONLines().format(record))["exception"]


async def _served(handler: object, request: bytes) -> bytes:
    """What a web server on loopback answers to these bytes."""
    app = web.Application()
    app.router.add_get("/", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), HANG_SECONDS)
        writer.close()
        return answer
    finally:
        await runner.cleanup()


async def _broken(_: web.Request) -> web.Response:
    raise ValueError("nobody thought of this")


async def test_no_failure_of_the_web_server_names_its_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = logging.getLogger("aiohttp.server")
    server.addFilter(nameless)
    try:
        odd = b"GET /?hours=\xef\xbc\x92 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await _served(_broken, odd)).startswith(b"HTTP/1.0 400 ")
        assert not caplog.records  # whoever likes could fill the log
        sound = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await _served(_broken, sound)).startswith(b"HTTP/1.1 500 ")
    finally:
        server.removeFilter(nameless)
    (record,) = caplog.records
    text = JSONLines().format(record)
    assert "nobody thought of this" in text
    assert "127.0.0.1" not in text
