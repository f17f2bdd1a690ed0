# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange: what is read, and the rules.

Over TLS with a valid certificate every answer is the service's own; in clear text anyone on the
path may have written it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from monitor.detection.fingerprints import redirect_host
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.by_chance import attempts_by_chance
from monitor.detection.observed.endpoint_context import EndpointContext, StepFacts
from monitor.detection.observed.kinds import DEATHS, Kind, http_kind, innocuous_passes, partial_loss
from monitor.detection.observed.liveness import foreign_host
from monitor.detection.observed.pages import alike, same_title
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import (
    Rule,
    background_fails,
    forged_answer,
    line_unseen,
    machine_late,
)
from probes.wire.observation import HTTPExchange


class HTTPAnswer(msgspec.Struct, frozen=True, gc=False):
    """What an answer is, and how it compares with those that controls got."""

    proven: bool = False
    """It came over TLS with a valid certificate: it is the service's own."""
    status: int = 0
    page: str | None = None
    """The known block page that it is."""
    page_abroad: str | None = None
    """The same, known from another country only."""
    foreign_redirect: bool = False
    same: bool = False
    """A control got the same status (and the same redirect host, and no block page)."""
    for_any_host: bool = False
    """At our own host, which serves no pages, somebody gives the same to a name that nobody has."""
    other: bool = False
    """A control got an answer, but another one: another status and title, or another page."""


NO_ANSWER = HTTPAnswer()


class HTTPFacts(StepFacts, frozen=True, kw_only=True):
    """One address, as far as HTTP goes."""

    accused: bool = False
    answer: HTTPAnswer = NO_ANSWER
    innocuous: Kind | None = None
    any_name: bool = False
    """A Host that nobody has ends in the same way, and another is answered after it."""
    some_flows: bool = False
    """As with handshakes: many of several requests failed so."""


def http_facts(context: EndpointContext, address: AddressView, accused: bool) -> HTTPFacts | None:
    """Return the facts of HTTP at one address; None when it was not tried."""
    exchange = address.http.subject
    if exchange is None:
        return None
    kind = http_kind(exchange)
    here = _exchanges(context.at_controls(address))
    there = here or _exchanges(context.control_addresses)
    by_chance = attempts_by_chance(context, kind, Step.PAYLOAD, address, lambda p: p.http.kinds)
    return HTTPFacts(
        kind=kind,
        reach=context.reach(kind, map(http_kind, there)),
        here=any(http_kind(control) is Kind.OK for control in here),
        repeated=address.http.repeated,
        by_chance=by_chance,
        line_unseen=kind is Kind.TIMEOUT
        and context.line_unseen(address.family, address.http.unanswered),
        accused=accused,
        answer=_answer(context, exchange, exchange.tls and address.proven, there),
        innocuous=address.http.innocuous_kind,
        any_name=kind in DEATHS and _any_name(address.http.every_innocuous, kind),
        some_flows=not exchange.tls and not by_chance and _some_flows(context, address, kind),
    )


def _exchanges(addresses: Iterable[AddressView]) -> list[HTTPExchange]:
    return [p.http.subject for p in addresses if p.http.subject is not None]


def _answer(
    context: EndpointContext, exchange: HTTPExchange, proven: bool, there: Iterable[HTTPExchange]
) -> HTTPAnswer:
    """`there`: the exchanges of controls."""
    same, other = _compared(context, exchange, there)
    ours = context.endpoint.reflector.http
    # Over TLS that proved itself the page is the service's own, whatever it says.
    page = None if proven else context.page(exchange)
    abroad = None if proven else context.page_abroad(exchange)
    away = _redirects_away(exchange)
    at_ours = ours is not None and http_kind(ours) is Kind.OK and _same(context, exchange, ours)
    in_place = page is not None or abroad is not None or away
    return HTTPAnswer(
        proven=proven,
        status=exchange.status or 0,
        page=page,
        page_abroad=abroad,
        foreign_redirect=away,
        same=same,
        for_any_host=not proven
        and (at_ours or (in_place and not same and context.vantage.portal_for_several)),
        other=other,
    )


def _compared(
    context: EndpointContext, exchange: HTTPExchange, there: Iterable[HTTPExchange]
) -> tuple[bool, bool]:
    """Whether a control got the same answer, and whether those that got one all got another."""
    good = [control for control in there if http_kind(control) is Kind.OK]
    return (
        any(_same(context, exchange, control) for control in good),
        bool(good) and all(_differs(exchange, control) for control in good),
    )


def _some_flows(context: EndpointContext, address: AddressView, kind: Kind) -> bool:
    return (
        kind in DEATHS
        and partial_loss(kind, address.http.kinds)
        and innocuous_passes(kind, address.http.innocuous_kinds)
        and not context.any_name_at_times(
            kind, lambda p: p.http.kinds, lambda p: p.http.innocuous_kinds
        )
        and not context.control_fails(kind, lambda p: p.http.kinds)
    )


def _any_name(others: Sequence[HTTPExchange], kind: Kind) -> bool:
    """Whether a Host always ended in this way here, and another was answered after it: who is on no
    list is cut off. No server of the service knows either of them."""
    ends: dict[str, set[Kind]] = {}
    for exchange in others:
        ends.setdefault(exchange.host, set()).add(http_kind(exchange))
    died = [exchange.at_us for exchange in others if ends[exchange.host] == {kind}]
    answered = [exchange.at_us for exchange in others if http_kind(exchange) is Kind.OK]
    return bool(died) and any(min(died) < at_us for at_us in answered)


def _redirects_away(answer: HTTPExchange) -> bool:
    if not (answer.status and 300 <= answer.status < 400 and answer.location):
        return False
    return foreign_host(redirect_host(answer.location), answer.host)


def _same(context: EndpointContext, answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status != control.status:
        return False
    if _known(context, answer) != _known(context, control):
        return False
    if redirect_host(answer.location or "") != redirect_host(control.location or ""):
        return False
    return _redirects(answer) or answer.tls or alike(answer, control)


def _known(context: EndpointContext, answer: HTTPExchange) -> str | None:
    return context.page(answer) or context.page_abroad(answer)


def same_as_control(context: EndpointContext, address: AddressView) -> bool | None:
    """Whether the answer in clear text at an address is a control's page; None when there is
    nothing to compare."""
    answer = address.http.subject
    if answer is None or answer.tls or http_kind(answer) is not Kind.OK:
        return None
    same, other = _compared(context, answer, _exchanges(context.control_addresses))
    return True if same else False if other else None


def _redirects(answer: HTTPExchange) -> bool:
    return answer.status is not None and 300 <= answer.status < 400


def _differs(answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status == control.status:
        return not (_redirects(answer) or answer.tls or alike(answer, control))
    return not same_title(answer, control)


LEGAL = 451
"""Unavailable for legal reasons, RFC 7725."""
FORBIDDEN = (403, 410, 429, 503)
"""Statuses with which servers refuse a client."""


_CUT = (Kind.RESET, Kind.EOF)


def _by_host(facts: HTTPFacts) -> bool:
    """In clear text, and another host name is answered at the same address."""
    return not facts.answer.proven and facts.innocuous is Kind.OK


def _untold(facts: HTTPFacts) -> bool:
    """In clear text, and no other host name was compared."""
    return not facts.answer.proven and facts.innocuous is None


HTTP_RULES: tuple[Rule[HTTPFacts], ...] = (
    forged_answer(Layer.HTTP),
    Rule(
        "http.same_answer",
        lambda exchange: exchange.kind is Kind.OK and exchange.answer.same,
        State.OK,
        "The control gets the same answer, whatever it is.",
    ),
    Rule(
        "http.repeat_answered",
        lambda exchange: (
            exchange.kind is not Kind.OK and exchange.repeated and not exchange.some_flows
        ),
        State.OK,
        "A second attempt from a fresh port was answered: loss, not a block.",
        evidence=("transient",),
    ),
    machine_late(Layer.HTTP),
    Rule(
        "http.control_fails_too",
        lambda exchange: exchange.kind is not Kind.OK and exchange.reach.fails_too,
        State.DOWN,
        "The control fails in the same way, or before.",
    ),
    Rule(
        "http.any_host",
        lambda exchange: exchange.kind is Kind.OK and exchange.answer.for_any_host,
        State.INCONCLUSIVE,
        "In clear text, what somebody answers at our own host too, which serves no pages, for a "
        "name that nobody has, or a block page or redirect while several innocuous hosts get a "
        "page: a sign-in page, or a notice in place of every page.",
        evidence=("captive_portal",),
    ),
    Rule(
        "http.blockpage",
        lambda exchange: exchange.kind is Kind.OK and exchange.answer.page is not None,
        State.BLOCKED,
        "A known block page, or a redirect to a known block host, that the control does not get. "
        "(typed)",
        Technique.HTTP_BLOCKPAGE,
        4_700_000,
    ),
    Rule(
        "http.blockpage_abroad",
        lambda exchange: exchange.kind is Kind.OK and exchange.answer.page_abroad is not None,
        State.BLOCKED,
        "A block page that is known from another country, and that the control does not get: "
        "traffic may leave through a network there. (typed, halved)",
        Technique.HTTP_BLOCKPAGE,
        2_000_000,
        evidence=("blockpage_abroad",),
    ),
    Rule(
        "http.451",
        lambda exchange: exchange.answer.status == LEGAL,
        State.BLOCKED,
        "Status 451 (blocked for legal reasons), which the control does not get. (typed)",
        Technique.HTTP_451,
        3_100_000,
    ),
    Rule(
        "http.served_otherwise",
        lambda exchange: (
            exchange.kind is Kind.OK
            and exchange.answer.proven
            and exchange.answer.other
            and exchange.answer.status in FORBIDDEN
        ),
        State.OK,
        "Over TLS with the service's own certificate another answer than the control's: the "
        "service itself refuses clients from here.",
        evidence=("by_service",),
    ),
    Rule(
        "http.redirect",
        lambda exchange: (
            exchange.kind is Kind.OK
            and exchange.answer.foreign_redirect
            and not exchange.answer.proven
        ),
        State.BLOCKED,
        "In clear text, a redirect to a foreign host that the control does not get. (typed, "
        "halved: services redirect by country)",
        Technique.HTTP_REDIRECT,
        2_000_000,
    ),
    Rule(
        "http.differs",
        lambda exchange: (
            exchange.kind is Kind.OK
            and not exchange.answer.proven
            and exchange.answer.other
            and exchange.answer.status // 100 != 3
        ),
        State.INCONCLUSIVE,
        "In clear text, another page than the control's: another status and title, or nothing in "
        "common of title, words, headers and length; no redirect within the site, and no known "
        "block page. A page of an error or of another region looks the same.",
        Technique.HTTP_BLOCKPAGE,
        evidence=("http_differs",),
    ),
    Rule(
        "http.answered",
        lambda exchange: exchange.kind is Kind.OK,
        State.OK,
        "An answer without any sign of blocking.",
    ),
    background_fails(Layer.HTTP),
    line_unseen(Layer.HTTP),
    Rule(
        "http.any_name",
        lambda exchange: exchange.any_name,
        State.INCONCLUSIVE,
        "A host name that nobody has ends in the same way at this address, and a well-known one is "
        "answered: a sign-in page or an office that lets only listed names through.",
        evidence=("any_name",),
    ),
    Rule(
        "http.reset.host",
        lambda exchange: exchange.kind in _CUT and _by_host(exchange),
        State.BLOCKED,
        "Clear-text HTTP is cut after this host name, and another one is answered at the same "
        "address. (fit: tls reset, halved)",
        Technique.HTTP_RESET_HOST,
        2_400_000,
    ),
    Rule(
        "http.reset.untold",
        lambda exchange: exchange.kind in _CUT and _untold(exchange),
        State.BLOCKED,
        "Clear-text HTTP is cut, and no other host name was compared: whether by name or by "
        "address is not known, so no technique is named. (fit: tls reset, halved)",
        None,
        1_900_000,
    ),
    Rule(
        "http.timeout.host",
        lambda exchange: exchange.kind is Kind.TIMEOUT and _by_host(exchange),
        State.BLOCKED,
        "Clear-text HTTP gets no answer after this host name, and another one is answered at the "
        "same address. (low)",
        Technique.HTTP_TIMEOUT_HOST,
        1_000_000,
    ),
    Rule(
        "http.timeout.untold",
        lambda exchange: exchange.kind is Kind.TIMEOUT and _untold(exchange),
        State.BLOCKED,
        "Clear-text HTTP gets no answer, and no other host name was compared: whether by name or "
        "by address is not known, so no technique is named. (low)",
        None,
        500_000,
    ),
    Rule(
        "http.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The exchange failed after a valid handshake, or for every name.",
    ),
)
