# SPDX-License-Identifier: Apache-2.0
"""Phrases by which a block page is recognised, at the probe that got it: `block_pages.toml`.

What a probe tells of a page is the ids of the phrases in it. A monitor finds the phrases itself
where a probe sent the beginning of the page.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Phrase:
    """A text that only block pages show."""

    id: str
    pattern: re.Pattern[str]
    source: str


@functools.cache
def phrases() -> tuple[Phrase, ...]:
    """Return all phrases. They are compiled when the first unexpected page comes."""
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["phrase"]
    return tuple(
        Phrase(
            row["id"],
            re.compile("".join(row["pattern"]), re.IGNORECASE | re.MULTILINE),
            row["source"],
        )
        for row in rows
    )


@functools.lru_cache(maxsize=1024)
def phrases_in(title: str, beginning: bytes) -> tuple[str, ...]:
    """Return the ids of the phrases in the title and the beginning of a page. Most pages are one of
    a few."""
    text = f"{title}\n{beginning.decode('utf-8', 'replace')}"
    return tuple(phrase.id for phrase in phrases() if phrase.pattern.search(text))
