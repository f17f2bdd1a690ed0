"""Streams that are closed, full, or cannot show a language."""

import asyncio
import sys
from pathlib import Path

import pytest

from probes.words import say
from tests.world.ports import free_port
from tests.world.tiny import (
    environment,
    reachprobe,
    write_catalogue,
)

pytestmark = pytest.mark.slow


async def test_streams_that_are_closed_or_full_are_no_traceback(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m probes consent"
    for redirected, status, words in (
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "reachprobe: output: No space left on device\n"),
    ):
        process = await asyncio.create_subprocess_shell(
            f"{command} {redirected}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        _, err = await process.communicate()
        assert (process.returncode, err.decode()) == (status, words)


async def test_words_are_english_where_the_output_cannot_show_others(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", free_port(), free_port())
    words = ["once", "--catalogue", str(catalogue), "--allow-private"]
    for encoding, language in (("utf-8", "zh"), ("ascii", "en")):
        code, out, _ = await reachprobe(words, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
        assert code == 0
        assert say(language, "offline") in out
