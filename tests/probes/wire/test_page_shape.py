"""What of a page leaves the machine to be compared."""

from __future__ import annotations

from probes.wire.page_shape import MOST_HASHES, page_shape

HEADERS = [(b"Server", b"x"), (b"X-Edge-Id", b"7"), (b"Content-Type", b"text/html")]


def test_a_page_is_described_by_hashes_that_fit_the_wire() -> None:
    body = b"<p>" + b" ".join(b"word" + bytes((97 + n % 26, 97 + n // 26)) for n in range(500))
    shape = page_shape(HEADERS, body)
    assert shape.size == len(body)
    assert len(shape.words) == 4 * MOST_HASHES
    assert len(shape.headers) == 4  # the common ones say nothing
    assert b"word" not in shape.words + shape.headers


def test_order_case_and_repetition_do_not_matter() -> None:
    one, other = page_shape([], b"Alpha beta beta GAMMA"), page_shape([], b"gamma alpha Beta")
    assert one.words == other.words
    assert page_shape([], b"").words == b""
    assert page_shape([], b"\x00 a b 203.0.113.77 2001:db8::7").words == b""
