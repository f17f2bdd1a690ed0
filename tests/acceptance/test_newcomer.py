"""A newcomer's path leads to every answer within four clicks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.newcomer import Walk, table
from tests.monitor.web.browsing import served
from tests.world import site as world
from tests.world.browser import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.rest,
    pytest.mark.needs("chromium", "chromium-driver", "fonts-dejavu-core"),
]


def test_a_newcomer_finds_every_answer(tmp_path: Path) -> None:
    file = world.make_file(tmp_path / "world.sqlite")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    with served(file, tmp_path) as address, chromium() as browser, browser.tab() as tab:
        tab.look(1280)
        answers = Walk(tab, address, downloads).go(world.CONFIRMED)
    said = {one.question: one.said for one in answers}
    assert (
        said["Is WeChat blocked in Russia?"]
        == "WeChat's web client is blocked in one network in Russia."
    )
    assert said["Which function?"] == "web client"
    assert "AS64501" in said["In which networks?"]
    assert "15 January 2027, 09:00 UTC" in said["Since when?"]
    assert "blocked (confirmed)" in said["How sure?"]
    assert "between 2027-01-15 08:55:00 UTC" in said["When was it last different?"]
    assert "Accessed 15 January 2027" in said["How do I cite it?"]
    assert "reachwatch-demonstration-events.csv" in said["Where are the data?"]
    assert said["What did a probe see?"].startswith('{"v":1,')
    assert [one.clicks for one in answers] == [0, 0, 0, 0, 0, 1, 1, 2, 4]
    assert table(answers).count("\n") == len(answers) + 1
