"""What the daemon serves: metrics, health, the local page, each if asked for."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.probes.daemon.in_process import agent_here
from tests.probes.test_metrics import ask

HERE = ("127.0.0.1", 0)


async def test_metrics_and_page_answer_from_the_same_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = agent_here(tmp_path / "s", metrics=HERE, local_page=HERE)
    agent._keeper.set(country="FR", asn=64503)
    async with AsyncExitStack() as stack:
        await agent._serving.open(stack)
        log = capsys.readouterr().err
        metrics, page = (int(port) for port in re.findall(r'(?:"port":|127.0.0.1:)(\d+)', log))
        assert (
            b"reachprobe_rounds_total 0"
            in (await ask(metrics, b"GET /metrics HTTP/1.1\r\n\r\n"))[1]
        )
        assert (await ask(metrics, b"GET /healthz HTTP/1.1\r\n\r\n"))[1] == b"ok\n"
        request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert b"FR AS64503" in (await ask(page, request))[1]
    await agent._spool.close()


async def test_nothing_is_served_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = agent_here(tmp_path / "s")
    async with AsyncExitStack() as stack:
        await agent._serving.open(stack)
    assert capsys.readouterr().err == ""
    await agent._spool.close()
