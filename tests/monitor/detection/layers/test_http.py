"""HTTP rules over facts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.layers.http import HTTP_RULES, HTTPFacts
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.page_shape import page_shape
from tests.monitor.detection.grouped import grouped
from tests.monitor.detection.scenes import (
    A1,
    FORGED,
    HTTP,
    HTTPS,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    REPEAT,
    control,
    dns,
    http,
    reference,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import plain, verdict


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {"status": 451, "same": True, "page": "x"}, "http.same_answer"),
        (Kind.OK, {"status": 451, "page": "x"}, "http.blockpage"),
        (Kind.OK, {"status": 451}, "http.451"),
        (Kind.OK, {"status": 451, "proven": True}, "http.451"),
        (Kind.OK, {"status": 302, "foreign_redirect": True}, "http.redirect"),
        (Kind.OK, {"status": 302, "foreign_redirect": True, "proven": True}, "http.answered"),
        (Kind.OK, {"status": 302, "other": True}, "http.answered"),
        (Kind.OK, {"status": 403, "other": True}, "http.differs"),
        (Kind.OK, {"status": 403, "other": True, "proven": True}, "http.served_otherwise"),
        (Kind.OK, {"status": 302, "other": True, "proven": True}, "http.answered"),
        (Kind.OK, {"status": 451, "other": True, "proven": True}, "http.451"),
        (Kind.OK, {"status": 200}, "http.answered"),
        (Kind.RESET, {"repeated": True}, "http.repeat_answered"),
        (Kind.RESET, {"reach": Reach.SAME}, "http.control_fails_too"),
        (Kind.RESET, {}, "http.reset.untold"),
        (Kind.RESET, {"proven": True}, "http.unclear"),
        (Kind.RESET, {"innocuous": Kind.OK}, "http.reset.host"),
        (Kind.EOF, {"innocuous": Kind.OK}, "http.reset.host"),
        (Kind.RESET, {"innocuous": Kind.RESET}, "http.unclear"),
        (Kind.RESET, {"innocuous": Kind.OK, "any_name": True}, "http.any_name"),
        (Kind.TIMEOUT, {}, "http.timeout.untold"),
        (Kind.TIMEOUT, {"innocuous": Kind.OK}, "http.timeout.host"),
        (Kind.TIMEOUT, {"innocuous": Kind.OK, "line_unseen": True}, "http.line_unseen"),
        (Kind.TIMEOUT, {"proven": True}, "http.unclear"),
        (Kind.LATE, {}, "http.machine_late"),
        (Kind.OK, {"status": 200, "accused": True}, "http.answer_accused"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(HTTP_RULES, grouped(HTTPFacts, **{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule


WELCOME = {"title": "Welcome", "shape": page_shape([], b"<p>hello dear users of this service</p>")}
NOTICE = {"title": "Notice", "shape": page_shape([], b"<h1>kindly contact your operator</h1>")}
THERE = [control(*plain(http(**WELCOME)), endpoints=(HTTP,))]
GIVEN: dict[str, Any] = {"endpoints": (HTTP,), "beside": THERE}


def test_another_page_with_the_same_status_is_not_ok() -> None:
    said = verdict(*plain(http(**NOTICE)), **GIVEN)
    assert (said.state, said.technique) == ("inconclusive", "http.blockpage")
    assert said.evidence == ("http_differs",)
    assert verdict(*plain(http(**WELCOME)), **GIVEN).state == "ok"
    # Over TLS it is the service's own page, whatever it shows.
    secure = (dns(A1, at=HTTPS), tcp(A1, at=HTTPS), tls(A1, at=HTTPS))
    beside = [control(*secure, http(at=HTTPS, **WELCOME), endpoints=(HTTPS,))]
    said = verdict(*secure, http(at=HTTPS, **NOTICE), endpoints=(HTTPS,), beside=beside)
    assert said.state == "ok"


AWAY = {"status": 302, "location": "http://portal.elsewhere.net/"}


@pytest.mark.parametrize(
    ("ours", "state"),
    [(AWAY, "inconclusive"), (NOTICE, "blocked"), ({"failure": Failure.REFUSED}, "blocked")],
    ids=["the same", "another page", "nobody answers"],
)
def test_what_our_own_host_is_answered_with_too_is_a_sign_in_page(
    ours: dict[str, Any], state: str
) -> None:
    there = http(REFLECTOR, **{"host": "0a1b2c3d4e5f.example"} | OWN_HOST | ours)
    said = verdict(*plain(http(**AWAY)), there, **GIVEN)
    assert said.state == state
    assert ("captive_portal" in said.evidence) == (state == "inconclusive")


def test_another_page_at_an_address_of_its_own_is_a_forged_answer() -> None:
    """More speaks for it: the control's address gives the control's page here as well."""
    own = (dns(FORGED, at=HTTP), reference(A1, at=HTTP, transport="doh"), tcp(FORGED, at=HTTP))
    page = http(FORGED, **NOTICE)
    said = verdict(*own, page, tcp(A1, at=HTTP), http(A1, **WELCOME), **GIVEN)
    assert (said.state, said.technique) == ("blocked", "dns.injection.other")
    # Every page is changed on the way, or nothing else was asked: the address need not be wrong.
    for more in ((tcp(A1, at=HTTP), http(A1, **NOTICE)), ()):
        said = verdict(*own, page, *more, **GIVEN)
        assert (said.state, said.technique) == ("inconclusive", "http.blockpage")
    # Geographic DNS: the same page from another address.
    said = verdict(*own, http(FORGED, **WELCOME), tcp(A1, at=HTTP), http(A1, **WELCOME), **GIVEN)
    assert said.state == "ok"


KNOWN: dict[str, Any] = INNOCUOUS | {"host": "harmless.example"}
NOBODY: dict[str, Any] = INNOCUOUS | {"host": "a1b2c3.example"}


@pytest.mark.parametrize(
    ("others", "rule"),
    [
        ([(Failure.RESET, 20, NOBODY), (None, 30, KNOWN)], "http.any_name"),
        ([(None, 20, NOBODY), (None, 30, KNOWN)], "http.reset.host"),
        ([(None, 20, KNOWN), (Failure.RESET, 30, NOBODY)], "http.reset.host"),
        ([(Failure.TIMEOUT, 20, NOBODY), (None, 30, KNOWN)], "http.reset.host"),
        ([(Failure.RESET, 20, KNOWN), (None, 30, KNOWN)], "http.reset.host"),
        ([(None, 30, KNOWN)], "http.reset.host"),
    ],
    ids=["on no list", "passes", "dies after it", "in another way", "at times", "not shown"],
)
def test_a_host_name_on_no_list(others: list[tuple[Any, int, dict[str, Any]]], rule: str) -> None:
    beside = [
        http(A1, failure, at_us=at_us, **{k: v for k, v in name.items() if k != "sni"})
        for failure, at_us, name in others
    ]
    cut = (http(A1, Failure.RESET, at_us=5), http(A1, Failure.RESET, at_us=40, **REPEAT))
    works = control(dns(A1, at=HTTP), tcp(A1, at=HTTP), http(A1), endpoints=(HTTP,))
    seen = (dns(A1, at=HTTP), tcp(A1, at=HTTP), *cut, *beside)
    said = verdict(*seen, endpoints=(HTTP,), beside=[works])
    assert said.rule == rule
