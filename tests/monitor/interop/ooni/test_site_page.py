"""What a run and OONI's helper got of a site, as far as their pages can be compared."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.observed.imported_run import SitePage, record_of
from monitor.interop.ooni import site_page
from monitor.interop.ooni.document import HelperHTTP, OONIExchange, converted
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements
from probes.wire.page_shape import page_shape
from tests.monitor.interop.samples import document, targets_by_name

SITE = "http://www.viber.com/"


def answer(
    url: str,
    body: str = "",
    code: int = 200,
    failure: str | None = None,
    address: str = "192.0.2.8:80",
    **headers: str,
) -> dict[str, Any]:
    response = {"code": code, "headers": headers, "body": body}
    return {
        "failure": failure,
        "address": address,
        "request": {"method": "GET", "url": url},
        "response": None if failure else response,
    }


def page(*answers: dict[str, Any], url: str = SITE) -> SitePage | None:
    exchanges = [converted(entry, OONIExchange) for entry in answers]
    return site_page.of_run(url, [entry for entry in exchanges if entry is not None])


NOTICE = "http://notice.example/?client=192.0.2.77"


@pytest.mark.parametrize("newest_first", [False, True])
def test_redirects_are_followed_in_any_order(newest_first: bool) -> None:
    hops = [
        answer(SITE, code=302, Location=NOTICE),
        answer(NOTICE, "<title>Not  here</title>", Server="box/2", address="192.0.2.9:80"),
    ]
    led = page(*(reversed(hops) if newest_first else hops))
    assert led is not None
    assert (led.host, led.via, led.proven, led.status) == (
        "notice.example",
        "192.0.2.8",
        False,
        200,
    )
    assert (led.title, led.server, led.shape.size) == ("Not here", "box/2", 24)


def test_a_relative_redirect_to_tls() -> None:
    led = page(
        answer(SITE, code=301, location="//www.viber.com/en"),
        answer("http://www.viber.com/en", code=301, location="https://www.viber.com/en"),
        answer("https://www.viber.com/en", "<title>Viber</title>"),
    )
    assert led is not None
    assert (led.host, led.proven) == ("www.viber.com", True)


@pytest.mark.parametrize(
    ("url", "answers"),
    [
        ("https://www.viber.com/", [answer("https://www.viber.com/", "x")]),
        (SITE, []),
        (SITE, [answer(SITE, failure="connection_reset")]),
        (SITE, [answer(SITE, code=302, Location=NOTICE)]),
        (SITE, [answer(SITE, code=302, Location=NOTICE), answer(NOTICE, failure="eof_error")]),
        (SITE, [answer(SITE, code=302, Location=SITE)]),
        (SITE, [answer(SITE, code=302, Location="http://[")]),
        (SITE, [answer(SITE, code=302, Location="weixin://open")]),
    ],
    ids=["over tls", "none", "reset", "left", "fails there", "circle", "malformed", "an app's"],
)
def test_without_a_page_nothing_is_compared(url: str, answers: list[dict[str, Any]]) -> None:
    assert page(*answers, url=url) is None


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Blocked for 198.51.100.7 at 10:30", "Blocked for … at 10:30"),
        ("Your address: 2001:db8::7.", "Your address: …"),
        ("beef cafe 1.2 dead:beef", "beef cafe 1.2 dead:beef"),
    ],
)
def test_a_title_keeps_no_address(title: str, kept: str) -> None:
    led = page(answer(SITE, f"<title>{title}</title>"))
    assert led is not None
    assert led.title == kept


def test_the_helpers_page() -> None:
    told = HelperHTTP(
        status_code=200, title="Viber", body_length=900, headers={"X-Amz-Id": "", "Server": ""}
    )
    theirs = site_page.of_helper(told)
    assert theirs is not None
    assert (theirs.status, theirs.title, theirs.shape.size) == (200, "Viber", 900)
    assert theirs.shape.headers == page_shape([(b"x-amz-id", b"")], b"").headers
    assert site_page.of_helper(HelperHTTP(status_code=-1, failure="unknown_error")) is None


def test_an_import_keeps_both_pages() -> None:
    control = {"http_request": {"status_code": 200, "title": "Viber", "body_length": 90}}
    given = document(
        "web_connectivity",
        requests=[answer(SITE, "<title>Not here</title>")],
        control=control,
        control_failure=None,
    )
    given["input"] = SITE
    (made,) = measurements(run_of(given, targets_by_name()), targets_by_name())
    record = record_of(made.observations)
    assert record.page is not None
    assert record.page.title == "Not here"
    assert record.helper is not None
    assert record.helper.page is not None
    assert record.helper.page.title == "Viber"
