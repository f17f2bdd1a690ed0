"""Phrases of block pages. Which pages have them: tests/monitor/detection/fingerprints."""

from __future__ import annotations

import time

from probes.wire.block_pages import phrases, phrases_in


def test_a_page_may_have_several_phrases_in_title_and_beginning() -> None:
    body = "<p>Доступ к сайту ограничен, eais.rkn.gov.ru".encode()
    assert phrases_in("Website blocked", body) == (
        "en.blocked_title", "ru.access_restricted", "ru.registry",
    )  # fmt: skip
    assert phrases_in("", b"") == ()


def test_no_page_keeps_a_probe_busy() -> None:
    words = (b"blocked ", b"this site ", b"access to this ", b"page is ", b"url a ", b"<iframe ")
    began = time.process_time()
    for word in words:
        phrases_in("", (word * 2048)[:2048])
    assert time.process_time() - began < 0.5
    assert len({phrase.id for phrase in phrases()}) == len(phrases())
