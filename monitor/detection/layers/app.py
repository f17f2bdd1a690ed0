# SPDX-License-Identifier: Apache-2.0
"""The first exchange of an app's own protocol: what is read (over TCP or UDP), the rules for TCP.

No answer of these protocols proves who gave it (see the files of `probes.protocols`). So only a
certificate confirms a DNS answer. There is no innocuous name to compare with: a failure counts when
the control was answered, a repeat from a fresh port was not, and bytes that no app sends do not end
so at our own host.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.detection.layers.http import HTTPAnswer, HTTPFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step, resent
from monitor.detection.observed.by_chance import attempts_by_chance
from monitor.detection.observed.endpoint_context import EndpointContext, StepFacts
from monitor.detection.observed.kinds import Kind, app_kind, icmp_evidence
from monitor.detection.observed.same_port import any_bytes_end
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import (
    Rule,
    background_fails,
    forged_answer,
    line_unseen,
    machine_late,
)
from probes.wire.observation import AppExchange, HTTPExchange
from probes.wire.page_facts import clear_text

UDP = "udp"
QUIC_PORT = 443


class ClearPage(msgspec.Struct, frozen=True, gc=False):
    """A page in clear text that answered in place of the app's server."""

    known: str | None
    """Its fingerprint, when it is a known block page."""
    status: int
    for_any_host: bool = False
    """Several innocuous hosts get a page as well."""


class AppFacts(StepFacts, frozen=True, kw_only=True):
    """One address, as far as the app's first exchange goes."""

    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    page: ClearPage | None = None
    family_dead: bool = False
    """No liveness host was reached over this address family."""
    udp_passes: bool = False
    """Another host answered over UDP, over this address family and at this port."""
    udp_at_times: bool = False
    """While it was tried again, no host that had answered over UDP did so at the first request."""
    lossy_there: bool = False
    """A control was answered over UDP as well, but only to a second request."""
    only_listed: bool = False
    """None of many services was reached over TCP: only listed hosts may be, over UDP as well."""
    lacks: tuple[str, ...] = ()
    """What the control's answers of the same kind contain and this one does not: a key of the
    service, the offer of TLS."""
    icmp: tuple[str, ...] = ()
    any_bytes: bool = False
    """Somebody does the same at our own host, to bytes that no app sends."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a verdict quotes."""
        return (*self.icmp, *(f"lacks:{missing}" for missing in self.lacks))


def app_facts(context: EndpointContext, address: AddressView, accused: bool) -> AppFacts | None:
    """Return the facts of the first exchange at one address; None when it was not made."""
    exchange = address.app.subject
    if exchange is None:
        return None
    kind = app_kind(exchange)
    here = [p for p in context.at_controls(address) if p.app.tried]
    once = exchange.transport == "tls"  # at one address of the endpoint
    proof = once or kind in (Kind.OK, Kind.OTHER)
    there = here or [p for p in context.compared(address, proof) if p.app.tried]
    return AppFacts(
        kind=kind,
        reach=context.reach(kind, (Kind.OK if p.app.passed else p.app.kind for p in there)),
        here=any(p.app.passed for p in here),
        repeated=address.app.repeated,
        by_chance=attempts_by_chance(
            context, kind, _step(exchange), address, lambda p: p.app.kinds
        ),
        line_unseen=kind is Kind.TIMEOUT
        and context.line_unseen(address.family, address.app.unanswered),
        accused=accused,
        page=_page(context, exchange),
        family_dead=context.family_dead(address),
        udp_passes=_udp_passes(context, address),
        udp_at_times=context.udp_at_times(address),
        lossy_there=any(p.app.passed and _lost(p.app.every) for p in there),
        only_listed=context.vantage.background.only_listed,
        lacks=_lacks(exchange, [p.app.subject for p in there if p.app.subject is not None]),
        icmp=icmp_evidence(exchange),
        any_bytes=kind is not Kind.OK and _any_bytes(context, exchange, kind),
    )


def _any_bytes(context: EndpointContext, exchange: AppExchange, kind: Kind) -> bool:
    if exchange.transport != "tcp":
        return False
    if kind is not Kind.OTHER:
        return any_bytes_end(context, kind)
    ours = context.endpoint.reflector.app
    theirs = [control.reflector.app for control in context.controls if control.reflector.app]
    return (
        ours is not None
        and all(clear_page(answer, "") is not None for answer in (exchange, ours))
        and bool(theirs)
        and all(clear_page(answer, "") is None for answer in theirs)
    )


def _lost(exchanges: Sequence[AppExchange]) -> bool:
    """Whether a request over UDP, or the answer to it, was lost."""
    sent = [exchange for exchange in exchanges if exchange.transport == UDP]
    return any(app_kind(exchange) is Kind.TIMEOUT or resent(exchange) for exchange in sent)


def _step(exchange: AppExchange) -> Step:
    return Step.DATAGRAM if exchange.transport == UDP else Step.PAYLOAD


def _page(context: EndpointContext, exchange: AppExchange) -> ClearPage | None:
    page = clear_page(exchange, context.endpoint.ref.host)
    if page is None:
        return None
    several = context.vantage.portal_for_several
    return ClearPage(context.page(page), page.status or 0, several)


def _lacks(exchange: AppExchange, others: Sequence[AppExchange]) -> tuple[str, ...]:
    """Only what every control with the same kind of answer received."""
    alike = [
        set(other.evidence) for other in others if other.spoke and other.reply == exchange.reply
    ]
    if not exchange.spoke or not alike:
        return ()
    return tuple(sorted(set.intersection(*alike) - set(exchange.evidence)))


def over_udp(address: AddressView) -> bool:
    """Whether the exchange was made over UDP."""
    return address.app.subject is not None and address.app.subject.transport == UDP


def _udp_passes(context: EndpointContext, address: AddressView) -> bool:
    """Whether another host of this target, a liveness host or, at its port, a QUIC server answered
    at the same port over the same address family. DNS does not count (networks may allow UDP 53 to
    their own resolver only), nor do other ports: firewalls open ports one by one."""
    way = (address.family, address.port)
    if address.port == QUIC_PORT and context.vantage.background.quic_over(address.family):
        return True
    return way in context.vantage.passage.udp or any(
        over_udp(other) and other.app.passed and (other.family, other.port) == way
        for endpoint in context.siblings
        for other in endpoint.addresses.values()
        if other.address != address.address
    )


def clear_page(exchange: AppExchange, host: str) -> HTTPExchange | None:
    """Return the page that came in place of the app's answer, as an HTTP exchange; None when it is
    no page."""
    if exchange.spoke or exchange.transport != "tcp":
        return None  # over TLS it comes from the service
    here = HTTPExchange(
        endpoint=exchange.endpoint,
        address=exchange.address,
        port=exchange.port,
        host=host or exchange.address,
    )
    if (sent := clear_text(exchange.excerpt)) is not None:
        return msgspec.structs.replace(
            here,
            status=sent.status,
            location=sent.location or None,
            title=sent.title or None,
            excerpt=sent.body,
        )
    if (page := exchange.page) is None:
        return None
    return msgspec.structs.replace(
        here, status=page.status, location=page.location, known_pages=page.known_pages
    )


def page_facts(facts: AppFacts) -> HTTPFacts | None:
    """Return a known block page as the facts of HTTP, whose rules judge it; None without one, or
    when the control is not answered by the app either."""
    page = facts.page
    if page is None or page.known is None:
        return None
    if facts.accused or facts.repeated or facts.reach.fails_too or facts.any_bytes:
        return None
    answer = HTTPAnswer(status=page.status, page=page.known, for_any_host=page.for_any_host)
    return HTTPFacts(kind=Kind.OK, reach=facts.reach, here=facts.here, answer=answer)


APP_RULES: tuple[Rule[AppFacts], ...] = (
    forged_answer(Layer.APP),
    Rule(
        "app.answer_lacks",
        lambda exchange: exchange.kind is Kind.OK and bool(exchange.lacks),
        State.INCONCLUSIVE,
        "The server speaks the protocol, but its answer lacks what the control gets: a key of the "
        "service, or the offer of TLS. A man in the middle would look so.",
        evidence=("answer_lacks",),
    ),
    Rule(
        "app.spoke",
        lambda exchange: exchange.kind is Kind.OK,
        State.OK,
        "A server of the app's own protocol answered. Such an answer does not prove whose server "
        "it is.",
    ),
    Rule(
        "app.repeat_spoke",
        lambda exchange: exchange.repeated,
        State.OK,
        "A second attempt from a fresh port was answered: loss, not a block.",
        evidence=("transient",),
    ),
    machine_late(Layer.APP),
    Rule(
        "app.control_fails_too",
        lambda exchange: exchange.reach.fails_too,
        State.DOWN,
        "The control fails in the same way, or gets another kind of answer as well: the service is "
        "down, or no longer speaks this protocol there.",
    ),
    Rule(
        "app.any_bytes",
        lambda exchange: exchange.any_bytes,
        State.INCONCLUSIVE,
        "Somebody here does the same at our own host, to bytes that no app sends, and not where "
        "the control is: a sign-in page, an antivirus or a proxy, which is there for every host.",
        evidence=("any_bytes",),
    ),
    Rule(
        "app.page",
        lambda exchange: exchange.kind is Kind.OTHER and exchange.page is not None,
        State.INCONCLUSIVE,
        "A page in clear text answers in place of the app's server, and it is no known block page.",
        evidence=("clear_http",),
    ),
    Rule(
        "app.foreign",
        lambda exchange: exchange.kind is Kind.OTHER,
        State.INCONCLUSIVE,
        "The answer is not in the app's protocol.",
        evidence=("foreign_answer",),
    ),
    background_fails(Layer.APP),
    line_unseen(Layer.APP),
    Rule(
        "app.reset",
        lambda exchange: exchange.kind is Kind.RESET,
        State.BLOCKED,
        "The connection is reset (RST) after the app's first bytes, twice, while the control gets "
        "an answer. Less than a signature: no other name was compared. (fit: tls reset, halved)",
        Technique.APP_RESET,
        1_900_000,
    ),
    Rule(
        "app.timeout",
        lambda exchange: exchange.kind is Kind.TIMEOUT,
        State.BLOCKED,
        "The connection is established, and the app's first bytes get no answer, twice, while the "
        "control gets one. (low)",
        Technique.APP_TIMEOUT,
        700_000,
    ),
    Rule(
        "app.closed",
        lambda exchange: exchange.kind is Kind.EOF,
        State.INCONCLUSIVE,
        "The connection is closed normally after the app's first bytes, while the control gets an "
        "answer: servers do so that are asked too often.",
        evidence=("closed",),
    ),
    Rule(
        "app.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The exchange failed in a way that no other rule covers.",
    ),
)
