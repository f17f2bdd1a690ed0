# SPDX-License-Identifier: Apache-2.0
"""Whether two pages in clear text are the same page, by title, words, headers and length.

Sites change their pages all the time, so one thing in common is enough. Only what has nothing in
common is another page (as in OONI's web_connectivity, ooni/spec ts-017, read 2026-11).
"""

from __future__ import annotations

import re

from probes.wire.observation import HTTPExchange, PageShape, TitleShape
from probes.wire.page_facts import title_shape

_NO_TITLE = TitleShape()
_LONG_WORD = re.compile(r"\w{5,}")
_HASH_BYTES = 4
_LEAST_SHARED = 3
"""Of ten hashes of words: pages from one template share more, in any language."""
_LEAST_LENGTH = 7
"""Of ten: OONI's body_proportion."""


def alike(page: HTTPExchange, other: HTTPExchange) -> bool:
    """Whether two answers may be the same page; true when one of them was not described."""
    a, b = page.shape, other.shape
    if a is None or b is None:
        return True
    if _titles_agree(page, other) or _hashes(a.headers) & _hashes(b.headers):
        return True
    words = _resemblance(a, b)
    if words is not None:
        return words
    return min(a.size, b.size) * 10 > max(a.size, b.size) * _LEAST_LENGTH or a.size == b.size


def same_title(page: HTTPExchange, other: HTTPExchange) -> bool:
    """Whether both have a title, and it is the same."""
    if page.title and other.title:
        return page.title == other.title
    a, b = _shape_of_title(page), _shape_of_title(other)
    return bool(a.letters) and (a.length, a.letters) == (b.length, b.letters)


def _titles_agree(page: HTTPExchange, other: HTTPExchange) -> bool:
    if same_title(page, other):
        return True
    if page.title and other.title:
        mine, theirs = (set(_LONG_WORD.findall(p.title.lower())) for p in (page, other) if p.title)
        return bool(mine & theirs)
    return bool(_hashes(_shape_of_title(page).words) & _hashes(_shape_of_title(other).words))


def _shape_of_title(page: HTTPExchange) -> TitleShape:
    return title_shape(page.title) if page.title else page.title_shape or _NO_TITLE


def _resemblance(page: PageShape, other: PageShape) -> bool | None:
    """Whether enough words are common to both; None when a page has none."""
    a, b = _hashes(page.words), _hashes(other.words)
    if not a or not b:
        return None
    least = sorted(a | b)[: max(len(a), len(b))]
    shared = sum(word in a and word in b for word in least)
    return shared * 10 >= _LEAST_SHARED * len(least)


def _hashes(sample: bytes) -> set[bytes]:
    return {sample[start : start + _HASH_BYTES] for start in range(0, len(sample), _HASH_BYTES)}
