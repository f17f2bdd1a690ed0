"""The path of somebody who has never seen the pages, walked by Chromium: from the overview to
eight answers, a raw witness, the data and a citation. Clicks are counted and seconds taken.

    .venv/bin/python -m tests.acceptance.newcomer

starts a demonstration, waits until its block is confirmed and prints the path
(docs/evaluation/newcomer.md). Seconds are those of the machine and the pages. Nobody reads or looks
for anything meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.demo import Demonstration
from tests.world.browser import Tab, chromium
from tests.world.waiting import wait_until

HANG_SECONDS = 1200.0


@dataclass(frozen=True)
class Answer:
    """One question, and what the page says."""

    question: str
    said: str
    clicks: int
    """So far."""
    seconds: float
    """So far."""


class Walk:
    """One visitor in one tab."""

    def __init__(self, tab: Tab, url: str, downloads: Path) -> None:
        self._tab, self._url, self._downloads = tab, url, downloads
        self._clicks = 0
        self._began = time.monotonic()
        self.answers: list[Answer] = []

    def _ask(self, question: str, selector: str) -> None:
        self._note(question, self._tab.text(selector))

    def _note(self, question: str, said: str) -> None:
        seconds = time.monotonic() - self._began
        self.answers.append(Answer(question, said, self._clicks, seconds))

    def _follow(self, selector: str) -> None:
        self._tab.follow(selector)
        self._clicks += 1

    def go(self, event: str) -> list[Answer]:
        """Walk; `event` is the id of the event that the overview should lead to."""
        tab = self._tab
        behaviour = {"behavior": "allow", "downloadPath": str(self._downloads)}
        tab.call("Browser.setDownloadBehavior", **behaviour)
        self._began = time.monotonic()
        tab.go(self._url)
        row = f"#open ~ .rows .row:has(a[href='/e/{event}'])"
        self._ask("Is WeChat blocked in Russia?", "h1")
        self._ask("Which function?", f"{row} span:nth-child(1) small")
        self._ask("In which networks?", f"{row} span:nth-child(2) small")
        self._ask("Since when?", f"{row} span:nth-child(4)")
        self._ask("How sure?", f"{row} span.sure")
        self._follow(f"{row} a")
        self._ask("When was it last different?", "dl.facts div:has(time):nth-of-type(6)")
        self._ask("How do I cite it?", "section.cite .quote")
        tab.click("section.cite a[href*='format=csv']")
        self._clicks += 1
        wait_until(lambda: [*self._downloads.glob("*.csv")], "the file is there")
        (file,) = self._downloads.glob("*.csv")
        lines = file.read_text(encoding="utf-8").splitlines()
        self._note("Where are the data?", f"{file.name}: {len(lines) - 1} row, {lines[1][:16]}")
        self._follow("#witnesses ~ ul a[href^='/m/']")
        tab.click("details.raw summary")
        self._clicks += 1
        self._note("What did a probe see?", tab.text("details.raw pre")[:60] + " …")
        return self.answers


def table(answers: list[Answer]) -> str:
    """The path as Markdown."""
    rows = [
        f"| {one.question} | {one.said.replace('|', '/')} | {one.clicks} | {one.seconds:.1f} |"
        for one in answers
    ]
    return "\n".join(
        ("| question | what the page says | clicks | seconds |", "|---|---|---|---|", *rows)
    )


def main() -> int:
    """Walk through a demonstration."""
    with (
        tempfile.TemporaryDirectory(prefix="reachwatch-newcomer-") as name,
        Demonstration(Path(name)) as demo,
        chromium() as browser,
        browser.tab() as tab,
    ):
        demo.wait(demo.ready, HANG_SECONDS, "/readyz")

        def confirmed() -> list[str]:
            found = demo.events("?state=open")
            return [each["id"] for each in found if each["tier"] == "confirmed"]

        waited = demo.wait(confirmed, HANG_SECONDS, "a confirmed event")
        tab.look(1280)
        downloads = Path(name, "downloads")
        downloads.mkdir()
        answers = Walk(tab, demo.url, downloads).go(confirmed()[0])
        print(f"The block was confirmed {waited:.0f} s after the first page.\n")
        print(table(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
