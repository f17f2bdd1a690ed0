"""The first exchange of an app's protocol: what is read, and the order of the rules."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.layers.app import (
    APP_RULES,
    AppFacts,
    ClearPage,
    app_facts,
    clear_page,
    page_facts,
)
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.endpoint_context import Reach, endpoint_context
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import vantage_status
from monitor.detection.observed.view import view
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.app_scenes import (
    CALLS,
    CHAT,
    CONTROL_CHAT,
    ON_CALLS,
    ON_CHAT,
    PAGE,
    app,
    calls,
    chat,
    foreign,
    twice,
    with_udp,
)
from tests.monitor.detection.scenes import (
    A1,
    A2,
    FORGED,
    REPEAT,
    V6,
    alive,
    control,
    dns,
    endpoint,
    measured,
    reference,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import pages_at_hosts, verdict

RESET, TIMEOUT = Failure.RESET, Failure.TIMEOUT
ICMP = {"icmp_type": 3, "icmp_code": 3, "icmp_from": "11.9.9.9"}


@pytest.mark.parametrize(
    ("seen", "given", "state", "rule", "remark"),
    [
        (chat(app()), ON_CHAT, State.OK, "app.spoke", None),
        (chat(app()), {"endpoints": (CHAT,), "beside": [], "liveness": []}, State.OK, "app.spoke",
         None),
        (chat(app(A1, RESET), app(**REPEAT)), ON_CHAT, State.OK, "app.repeat_spoke", "transient"),
        (chat(*twice(Failure.EOF)), ON_CHAT, State.INCONCLUSIVE, "app.closed", "closed"),
        (chat(foreign()), ON_CHAT, State.INCONCLUSIVE, "app.foreign", "foreign_answer"),
        (chat(foreign(b"HTTP/1.1 200 OK\r\n\r\nhello")), ON_CHAT, State.INCONCLUSIVE, "app.page",
         "clear_http"),
        (chat(), ON_CHAT, State.INSUFFICIENT, "target.insufficient", None),
        (calls(app(at=CALLS)), ON_CALLS, State.OK, "udp.answered", None),
        (calls(*twice(TIMEOUT, at=CALLS)), {**ON_CALLS, "liveness": with_udp(passes=False)},
         State.INCONCLUSIVE, "udp.no_udp_here", "no_udp_here"),
        (calls(*twice(TIMEOUT, at=CALLS)), {**ON_CALLS, "liveness": alive()},
         State.INCONCLUSIVE, "udp.no_udp_here", "no_udp_here"),
        (calls(*twice(TIMEOUT, at=CALLS)), {**ON_CALLS, "liveness": with_udp(port=19302)},
         State.INCONCLUSIVE, "udp.no_udp_here", "no_udp_here"),
        (calls(*twice(Failure.REFUSED, at=CALLS, **ICMP)), ON_CALLS,
         State.INCONCLUSIVE, "udp.told", "icmp:3/3"),
    ],
)  # fmt: skip
def test_nobody_is_accused(
    seen: tuple[AnyObservation, ...],
    given: dict[str, Any],
    state: State,
    rule: str,
    remark: str | None,
) -> None:
    said = verdict(*seen, **given)
    assert (said.state, said.rule, said.technique) == (state, rule, None)
    assert remark is None or remark in said.evidence
    assert not any(finding.blocked for finding in said.findings)


def test_a_known_block_page_in_its_place_is_https_to_judge() -> None:
    said = verdict(*chat(foreign(PAGE)), **ON_CHAT)
    assert (said.state, said.layer) == (State.BLOCKED, Layer.HTTP)
    assert said.technique is Technique.HTTP_BLOCKPAGE
    assert any(remark.startswith("blockpage:") for remark in said.evidence)
    portal = verdict(*chat(foreign(PAGE)), **ON_CHAT | {"liveness": pages_at_hosts(2)})
    assert (portal.state, portal.rule) == (State.INCONCLUSIVE, "http.any_host")
    alike = control(*chat(foreign(PAGE)), endpoints=(CHAT,))
    assert verdict(*chat(foreign(PAGE)), endpoints=(CHAT,), beside=[alike]).state is State.DOWN
    none = verdict(*chat(foreign(PAGE)), endpoints=(CHAT,), beside=[])
    assert (none.state, none.technique) == (State.INCONCLUSIVE, Technique.HTTP_BLOCKPAGE)


def test_another_server_of_the_target_shows_that_udp_passes() -> None:
    other = endpoint("stun", "two.example", 3478)
    both = (CALLS, other)
    there = control(*calls(app(at=CALLS)), dns(A2, at=other), app(A2, at=other), endpoints=both)
    silent = calls(*twice(TIMEOUT, at=CALLS))
    answered = (dns(A2, at=other), app(A2, at=other))
    said = verdict(*silent, *answered, endpoints=both, beside=[there], liveness=alive())
    assert (said.state, said.technique) == (State.IMPAIRED, Technique.UDP_TIMEOUT)
    neither = (dns(A2, at=other), app(A2, TIMEOUT, at=other))
    said = verdict(*silent, *neither, endpoints=both, beside=[there], liveness=alive())
    assert (said.state, said.technique) == (State.INCONCLUSIVE, None)


def test_one_address_family_says_nothing_of_the_other() -> None:
    six = (dns(V6, at=CALLS, qtype="AAAA"), app(V6, TIMEOUT, at=CALLS))
    there = control(*calls(app(at=CALLS)), dns(V6, at=CALLS, qtype="AAAA"), app(V6, at=CALLS),
                    endpoints=(CALLS,))  # fmt: skip
    given = {**ON_CALLS, "beside": [there]}
    assert verdict(*calls(app(at=CALLS)), *six, **given).state is State.OK
    said = verdict(*six, *calls(app(at=CALLS)), **{**given, "liveness": with_udp(v6=False)})
    assert said.state is State.OK


def test_an_answer_does_not_prove_an_address() -> None:
    seen = (
        dns(FORGED, at=CHAT),
        reference(A1, at=CHAT, transport="doh"),
        tcp(FORGED, at=CHAT),
        app(FORGED),
    )
    said = verdict(*seen, **ON_CHAT)
    assert "dns_unproven" in said.evidence


def test_a_dead_answer_is_forged_where_the_right_one_speaks() -> None:
    seen = (
        dns(FORGED, at=CHAT),
        reference(FORGED, at=CHAT),
        reference(A1, at=CHAT, transport="doh"),
        tcp(FORGED, at=CHAT),
        app(FORGED, RESET),
        tcp(A1, at=CHAT),
        app(A1),
    )
    said = verdict(*seen, **ON_CHAT)
    assert said.layer is Layer.DNS
    assert said.technique is Technique.DNS_INJECTION_OTHER


@pytest.mark.parametrize(
    ("excerpt", "status", "title", "location"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://x.example/a\r\n\r\n", 302, None,
         "http://x.example/a"),
        (b"HTTP/1.0 200 OK\r\n\r\n<title> No </title>", 200, "No", None),
        (b"<HTML><title>No</title>", None, "No", None),
    ],
)  # fmt: skip
def test_pages(excerpt: bytes, status: int | None, title: str | None, location: str | None) -> None:
    page = clear_page(foreign(excerpt), "srv.example")
    assert page is not None
    assert (page.status, page.title, page.location) == (status, title, location)
    assert page.host == "srv.example"


def test_what_is_no_page() -> None:
    assert clear_page(app(), "") is None
    assert clear_page(foreign(b"\x15\xf1\x04\x00\x02"), "") is None
    assert clear_page(foreign(b"HTTP/1.1 weird"), "") is None


def test_facts() -> None:
    seen = view(measured(*chat(*twice(RESET)), endpoints=(CHAT,)))[CHAT.id]
    there = view(CONTROL_CHAT[0])[CHAT.id]
    case = endpoint_context(seen, [seen], [there], vantage_status(alive()))
    (place,) = seen.addresses.values()
    facts = app_facts(case, place, accused=False)
    assert facts is not None
    assert (facts.kind, facts.reach, facts.here) == (Kind.RESET, Reach.PASSED, True)
    assert page_facts(facts) is None
    place.app.subject = None
    assert app_facts(case, place, accused=False) is None


def test_within_tls_a_page_is_the_services_own() -> None:
    home = endpoint("matrix")
    certified = (dns(A1, at=home), tcp(A1, at=home), tls(A1, at=home))
    there = control(*certified, app(at=home, transport="tls"), endpoints=(home,))
    given = {"endpoints": (home,), "beside": [there]}
    assert verdict(*certified, app(at=home, transport="tls"), **given).state is State.OK
    page = foreign(PAGE, at=home, transport="tls")
    said = verdict(*certified, page, **given)
    assert (said.state, said.rule) == (State.INCONCLUSIVE, "app.foreign")
    dead = verdict(*certified, *twice(RESET, at=home, transport="tls"), **given)
    assert (dead.state, dead.technique) == (State.BLOCKED, Technique.APP_RESET)


def test_an_answer_that_lacks_what_the_control_is_shown() -> None:
    def said(evidence: tuple[str, ...], reply: str = "res_pq") -> Any:
        there = control(*chat(app(evidence=("known_key",))), endpoints=(CHAT,))
        seen = chat(app(evidence=evidence, reply=reply))
        return verdict(*seen, endpoints=(CHAT,), beside=[there])

    assert said(("known_key",)).state is State.OK
    assert said((), "transport_error").state is State.OK
    lacking = said(())
    assert (lacking.state, lacking.rule) == (State.INCONCLUSIVE, "app.answer_lacks")
    assert {"answer_lacks", "lacks:known_key"} <= set(lacking.evidence)


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "app.spoke"),
        (Kind.OK, {"lacks": ("starttls",)}, "app.answer_lacks"),
        (Kind.OK, {"accused": True}, "app.answer_accused"),
        (Kind.RESET, {"repeated": True}, "app.repeat_spoke"),
        (Kind.RESET, {"reach": Reach.SAME}, "app.control_fails_too"),
        (Kind.OTHER, {"reach": Reach.SAME}, "app.control_fails_too"),
        (Kind.OTHER, {"page": ClearPage(None, 200)}, "app.page"),
        (Kind.OTHER, {}, "app.foreign"),
        (Kind.RESET, {}, "app.reset"),
        (Kind.RESET, {"reach": Reach.DIFFERENT}, "app.reset"),
        (Kind.TIMEOUT, {}, "app.timeout"),
        (Kind.EOF, {}, "app.closed"),
        (Kind.LOCAL, {}, "app.unclear"),
        (Kind.LATE, {}, "app.machine_late"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(APP_RULES, AppFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule
