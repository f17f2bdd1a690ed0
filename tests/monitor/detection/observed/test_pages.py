"""The same page, or another one."""

from __future__ import annotations

import pytest

from monitor.detection.observed.pages import alike
from probes.wire.observation import HTTPExchange
from probes.wire.page_shape import page_shape
from tests.monitor.detection.scenes import http

SITE = "<html><div class='main wrapper'><script src='/static/app.js'></script><nav id='menu'>"
SITE += "<a href='/help'>{}</a><a href='/login'>{}</a></nav><footer class='small'>{}</footer>"
EDGE = [(b"X-Edge-Id", b"1")]


def page(
    body: str,
    title: str | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> HTTPExchange:
    return http(title=title, shape=page_shape(headers or [], body.encode()))


ENGLISH = page(SITE.format("Help", "Sign in", "All rights reserved"), "Welcome to Service")
NOTICE = "<html><body><h1>Notice 4711</h1>Kindly contact the operator of this line."


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ENGLISH, True),
        # Another language, another day, another length.
        (page(SITE.format("Hilfe", "Anmelden", "Impressum"), "Willkommen"), True),
        (page(SITE.format("x", "y", "z") + "<p>News of today</p>" * 40, "Other"), True),
        (page(NOTICE, "Welcome back to Service"), True),
        # Nothing in common; the length alone is chance.
        (page(NOTICE, "Notice"), False),
        (page(NOTICE.ljust(ENGLISH.shape.size if ENGLISH.shape else 0), "Notice"), False),
        (page(NOTICE), False),
        # Not described: a valid certificate proved whose it is.
        (http(title="Notice"), True),
    ],
)
def test_alike(other: HTTPExchange, same: bool) -> None:
    assert alike(ENGLISH, other) is same
    assert alike(other, ENGLISH) is same


def test_an_uncommon_header_of_the_site_is_enough() -> None:
    assert alike(page(NOTICE, headers=EDGE), page("<p>Another error page</p>", headers=EDGE))
    assert not alike(page(NOTICE, headers=EDGE), page("<p>Another error page</p>"))


def test_without_words_the_length_decides() -> None:
    assert alike(page(""), page(""))
    assert not alike(page(""), page("some words of a page"))
    assert alike(page("- - -"), page("- - - -"))
