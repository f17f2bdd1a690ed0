"""What is told of a page in place of the page."""

from __future__ import annotations

import pytest

from probes.wire.observation import PageHead
from probes.wire.page_facts import page_head, place, title_shape


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("http://deny.test/?u=192.0.2.7&c=1", "http://deny.test/"),
        ("https://user:pw@Deny.test:8443/a#b", "https://deny.test:8443/"),
        ("//deny.test/x", "//deny.test/"),
        ("http://[2001:db8::1]/x", "http://[2001:db8::1]/"),
        ("/login?mac=00:11", "/"),
        ("http://[broken", ""),
        ("http://a:99999999/", ""),
    ],
)
def test_of_a_redirect_scheme_and_host_are_told(location: str, told: str) -> None:
    assert place(location) == told


def test_a_titles_hashes_hide_its_numbers() -> None:
    here, there = title_shape("Blocked for 192.0.2.7"), title_shape("Blocked for 203.0.1.9")
    assert here == there
    assert here != title_shape("Blocked by 192.0.2.7")
    assert title_shape("403").letters == title_shape("403").words == b""
    assert len(title_shape(" ".join(f"{'a' * n} {'б' * n}" for n in range(5, 30))).words) == 32


@pytest.mark.parametrize(
    ("received", "head"),
    [
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://deny.test/?u=me\r\n\r\n",
            PageHead(status=302, location="http://deny.test/"),
        ),
        (
            b"HTTP/1.0 200 OK\r\n\r\n<title>Site Blocked</title>",
            PageHead(status=200, known_pages=("en.blocked_title",)),
        ),
        (b"\r\n<HTML>hello", PageHead()),
        (b"220 mail.example", None),
        (b"", None),
    ],
)
def test_the_head_of_a_page_in_place_of_an_apps_answer(
    received: bytes, head: PageHead | None
) -> None:
    assert page_head(received) == head
