# SPDX-License-Identifier: Apache-2.0
"""Look at every page over a store: `./scripts/bench look --out DIR`.

Serves the store (by default one of thirty days, `tests/world/month.py`), and has Chromium open each
page in both themes, in every language, at 320, 390 and 1280 px. Writes a picture of each, and for
each page a sheet of all its pictures side by side. Says where a page is wider than its window,
writes an error to the console, or where axe-core finds something (in English at every width and in
both themes; in other languages once). Exit 1 when anything is found and `--strict` is given.

    ./scripts/bench look --out /tmp/look
    ./scripts/bench look --out /tmp/look --database sqlite+aiosqlite:////tmp/month.sqlite
    ./scripts/bench look --out /tmp/look --only event,country --languages en,zh
"""

from __future__ import annotations

import argparse
import asyncio
import html
import importlib.util
import itertools
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import ready, serve
from monitor.store.database import migrate
from monitor.text.language import LANGUAGES, SOURCE
from tests.world.browser import Tab, chromium
from tests.world.month import HOUR, Month, fill

WIDTHS = (320, 390, 1280)
LONGEST = 6000
"""Of a longer page the picture shows the beginning."""
INTERVAL_MS = 1_800_000
AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap(
  (rule) => rule.nodes.map((node) => [rule.id, node.target.join(" "), node.html.slice(0, 120)])))"""
WIDER = """[document.documentElement.scrollWidth, document.documentElement.clientWidth]"""
SHEET = """<!doctype html><meta charset="utf-8"><title>{0}</title><style>body{{font:12px sans-serif;
background:#888;margin:8px}}figure{{display:inline-block;margin:4px;vertical-align:top}}
img{{zoom:.35;display:block}}</style><h1>{0}</h1>{1}"""


@dataclass(frozen=True)
class Look:
    """How a visitor sees a page."""

    language: str
    dark: bool
    width: int

    @property
    def name(self) -> str:
        """For files and messages."""
        return f"{self.language}-{'dark' if self.dark else 'light'}-{self.width}"

    @property
    def needs_axe(self) -> bool:
        """Whether axe-core looks as well: what it finds hardly depends on the language."""
        return self.language == SOURCE or (not self.dark and self.width == max(WIDTHS))


def asked(base: str, path: str) -> Any:
    """A list of the API."""
    with urllib.request.urlopen(f"{base}/api/v1/{path}") as answer:
        return json.load(answer)


def pages(base: str) -> dict[str, str]:
    """An address for each kind of page, and for each kind of event, vantage and measurement."""
    events = asked(base, "events?limit=1000")["events"]
    kinds = {f"event-{event['state']}-{event['tier']}": event["id"] for event in reversed(events)}
    first = events[0]
    rows = asked(base, f"measurements?event={first['id']}&limit=1000")["measurements"]
    measured = {f"measurement-{row['state']}": row["id"] for row in rows}
    vantages = {
        f"vantage-{row['role']}-{row['status']}": row["id"]
        for row in asked(base, "vantages?limit=1000")["vantages"]
    }
    service, country, asn = first["service"], first["country"], first["asns"][0]
    return {
        "overview": "/",
        "services": "/s",
        "countries": "/c",
        "vantages": "/v",
        "changes": "/changes",
        "live": "/live",
        "data": "/data",
        "dictionary": "/data/dictionary",
        "method": "/method",
        "status": "/status",
        "service": f"/s/{service}",
        "service-month": f"/s/{service}?range=30d",
        "country": f"/c/{country}",
        "country-week": f"/c/{country}?range=7d",
        "network": f"/as/{asn}",
        "network-month": f"/as/{asn}?range=30d",
        "compare": f"/compare?country={country}&range=30d",
        "explore": "/explore?range=30d",
        "explore-reasons": f"/explore?service={service}&by=rule&per=network&range=30d",
        "measurements": f"/m?service={service}",
        "search": "/search?q=te",
        "no-such-page": "/nothing-here",
        "rounds": f"/e/{first['id']}/rounds",
        "event-past": f"/e/{first['id']}?range=30d",
        "runbook": "/runbooks/ServiceBlockConfirmed.md",
        **{name: f"/e/{id}" for name, id in kinds.items()},
        **{name: f"/m/{id}" for name, id in measured.items()},
        **{name: f"/v/{id}" for name, id in vantages.items()},
    }


def look_at(tab: Tab, url: str, look: Look, axe: str, file: Path) -> Iterator[str]:
    """Take the picture of a page; what is wrong with it."""
    tab.look(look.width, dark=look.dark)
    tab.go(f"{url}{'&' if '?' in url else '?'}lang={look.language}")
    inner, outer = tab.ask(WIDER)
    if inner > outer:
        yield f"{inner} px wide"
    size = tab.call("Page.getLayoutMetrics")["cssContentSize"]
    height = min(size["height"], LONGEST)
    file.write_bytes(tab.picture({"x": 0, "y": 0, "width": look.width, "height": height}))
    for said in tab.heard("Runtime.exceptionThrown"):
        yield f"exception: {json.dumps(said['params'])[:200]}"
    for said in tab.heard("Log.entryAdded"):
        entry = said["params"]["entry"]
        if entry["level"] == "error" and "nothing-here" not in entry.get("url", ""):
            yield f"console: {entry['text'][:200]} {entry.get('url', '')}"
    if look.needs_axe:
        tab.ask(axe + "; true")
        for rule, target, source in tab.ask(AXE):
            yield f"axe: {rule}: {target}: {source}"


def sheet(out: Path, name: str, looks: Sequence[Look]) -> None:
    """Write a page of all pictures of a page."""
    figures = "".join(
        f'<figure><img src="{name}.{look.name}.png" loading="lazy"><figcaption>{look.name}'
        "</figcaption></figure>"
        for look in looks
    )
    (out / f"{name}.html").write_text(SHEET.format(html.escape(name), figures), encoding="utf-8")


def run(base: str, out: Path, only: Sequence[str], looks: Sequence[Look]) -> int:
    """Look at everything; how much is wrong."""
    origin = importlib.util.find_spec("axe_playwright_python")
    assert origin is not None
    assert origin.origin is not None
    axe = (Path(origin.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    wrong = taken = 0
    began = time.monotonic()
    with chromium() as browser, browser.tab() as tab:
        for name, path in pages(base).items():
            if only and name not in only:
                continue
            for look in looks:
                taken += 1
                file = out / f"{name}.{look.name}.png"
                for said in dict.fromkeys(look_at(tab, base + path, look, axe, file)):
                    wrong += 1
                    print(f"{name} ({path}), {look.name}: {said}", flush=True)
            sheet(out, name, looks)
    print(
        f"{taken} pictures in {time.monotonic() - began:.0f} s, {wrong} things wrong: "
        f"{'MISSED' if wrong else 'reached'}"
    )
    return wrong


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a directory for the pictures")
    parser.add_argument("--database", help="URL of a store; default: thirty days are made")
    parser.add_argument("--only", default="", help="names of pages, separated by commas")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--strict", action="store_true", help="exit 1 when something is wrong")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    looks = [
        Look(*each) for each in itertools.product(given.languages.split(","), (False, True), WIDTHS)
    ]
    only = given.only.split(",") if given.only else []
    with tempfile.TemporaryDirectory(prefix="reachwatch-look-") as temporary:
        url = given.database
        if url is None:
            url = f"sqlite+aiosqlite:///{temporary}/month.sqlite"
            now = int(time.time() * 1000)
            asyncio.run(migrate(url))
            asyncio.run(fill(url, Month(now - now % HOUR)))
        with serve(url, INTERVAL_MS) as (base, _process):
            asyncio.run(ready(base))
            wrong = run(base, given.out, only, looks)
    return 1 if given.strict and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
