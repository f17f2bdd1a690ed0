"""What of a page stays on the machine where nobody agreed to send it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from probes.privacy.withheld import without_quotations
from probes.wire.codec import encode
from probes.wire.measurement import Measurement
from probes.wire.observation import AppExchange, HTTPExchange, PageHead, PageShape
from probes.wire.page_facts import title_shape
from tests.probes.delivery.test_spool import draft

PLACE = {"endpoint": "e", "address": "192.0.2.1", "port": 80}
SECRET = "you are 93 [.] 184 [.] 216 [.] 34"
"""In a form that no removal knows."""


def page(**more: object) -> HTTPExchange:
    values = {"title": SECRET, "excerpt": SECRET.encode(), "status": 403} | more
    return HTTPExchange(**PLACE, host="a", **values)  # type: ignore[arg-type]


def withheld(*seen: HTTPExchange | AppExchange) -> Measurement:
    return without_quotations(replace(draft(), observations=seen))


@pytest.mark.parametrize(
    "seen",
    [
        page(),
        page(location=f"http://deny.test/{SECRET}", server=f"Squid/{SECRET}"),
        page(tls=True, shape=PageShape(size=3), body_sha256="7" * 64),
        AppExchange(**PLACE, protocol="xmpp", excerpt=SECRET.encode(), page=PageHead(status=403)),  # type: ignore[arg-type]
    ],
    ids=["title and beginning", "link and server", "despite the certificate", "app"],
)
def test_nothing_that_a_page_says_is_sent(seen: HTTPExchange | AppExchange) -> None:
    (kept,) = withheld(seen).observations
    assert "184" not in repr(kept)
    assert b"7777" not in encode(replace(draft(), observations=(kept,)))
    assert getattr(kept, "status", 403) == 403
    assert kept.page == seen.page if isinstance(kept, AppExchange) else True  # type: ignore[union-attr]


def test_what_pages_are_compared_by_is_sent() -> None:
    seen = page(
        location="https://deny.test:8443/x?u=1",
        server="nginx/1.2 (host)",
        shape=PageShape(size=9, words=b"abcd"),
        body_bytes=9,
    )
    (kept,) = withheld(seen).observations
    assert isinstance(kept, HTTPExchange)
    assert (kept.location, kept.server) == ("https://deny.test:8443/", "nginx")
    assert (kept.title_shape, kept.shape, kept.body_bytes) == (title_shape(SECRET), seen.shape, 9)


def test_the_title_of_a_known_block_page_stays() -> None:
    (kept,) = withheld(page(title="Site Blocked", known_pages=("en.blocked_title",))).observations
    assert isinstance(kept, HTTPExchange)
    assert (kept.title, kept.title_shape, kept.excerpt) == ("Site Blocked", None, b"")


def test_a_page_that_proved_whose_it_is_keeps_its_hash() -> None:
    seen = HTTPExchange(**PLACE, host="a", tls=True, status=200, body_sha256="1" * 64)  # type: ignore[arg-type]
    unchanged = replace(draft(), observations=(seen,))
    assert without_quotations(unchanged) is unchanged
