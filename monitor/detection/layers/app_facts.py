# SPDX-License-Identifier: Apache-2.0
"""What the rules of the apps' own protocols read, over TCP and UDP: one flat value an address.

No answer of these protocols proves who gave it (the files of `probes.protocols` say what each
shows), so none rehabilitates a DNS answer: only a certificate does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.detection.facts.kinds import Kind, app_kind
from monitor.detection.facts.tcp_tls_http import Beside, HTTPFacts, Reach, reach
from monitor.detection.facts.view import AddressView
from probes.wire.observation import AppExchange, HTTPExchange

UDP = "udp"
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LOCATION = re.compile(rb"(?i)\nlocation:[ \t]*([!-~]{1,500})")
_TITLE = re.compile(rb"(?i)<title>([^<]{1,200})</title")
_PAGE_HEADS = (b"<html", b"<!doctype")


@dataclass(frozen=True)
class AppFacts:
    """One address, as far as the app's first exchange goes."""

    kind: Kind
    """OK: it speaks; OTHER: something else answers."""
    reach: Reach
    here: bool = False
    """The control was answered at this very address."""
    repeated: bool = False
    """A repeat from a fresh port was answered."""
    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    web: bool = False
    """A page came back in clear text, where no page belongs."""
    page: str | None = None
    """That page is a known block page."""
    status: int = 0
    family_dead: bool = False
    """No liveness host was reached over this address family."""
    udp_passes: bool = False
    """UDP of this family to this port was seen to pass here and come back, from another host."""
    lacks: tuple[str, ...] = ()
    """What the control's answers of the same kind show and this one does not: a key of the
    service's, the offer of TLS."""
    icmp: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a verdict quotes."""
        return (*self.icmp, *(f"lacks:{each}" for each in self.lacks))


def app_facts(case: Beside, place: AddressView, accused: bool) -> AppFacts | None:
    """Return the facts of the first exchange at one address; None when it was not made."""
    seen = place.app
    if seen is None:
        return None
    kind = app_kind(seen)
    key = (place.address, place.port)
    here = [c.places[key] for c in case.controls if key in c.places]
    here = [p for p in here if p.app is not None]
    others = here or [p for c in case.controls for p in c.places.values() if p.app is not None]
    kinds = [Kind.OK if p.app_repeated else app_kind(p.app) for p in others if p.app is not None]
    page = clear_page(seen, case.endpoint.ref.host)
    return AppFacts(
        kind=kind,
        reach=reach(kind, kinds),
        here=any(spoke(p) for p in here),
        repeated=place.app_repeated,
        accused=accused,
        web=page is not None,
        page=case.page(page) if page is not None else None,
        status=(page.status or 0) if page is not None else 0,
        family_dead=case.standing.international is not None
        and place.family not in case.standing.families,
        udp_passes=_udp_passes(case, place),
        lacks=_lacks(seen, [p.app for p in others if p.app is not None]),
        icmp=_icmp(seen),
    )


def _lacks(seen: AppExchange, others: Sequence[AppExchange]) -> tuple[str, ...]:
    """Only where every control that got such an answer is shown it."""
    alike = [set(other.evidence) for other in others if other.spoke and other.reply == seen.reply]
    if not seen.spoke or not alike:
        return ()
    return tuple(sorted(set.intersection(*alike) - set(seen.evidence)))


def spoke(place: AddressView) -> bool:
    """A server of the app's protocol answered here, by whatever attempt."""
    return place.app_repeated or (place.app is not None and app_kind(place.app) is Kind.OK)


def over_udp(place: AddressView) -> bool:
    """The exchange was made over UDP."""
    return place.app is not None and place.app.transport == UDP


def _udp_passes(case: Beside, place: AddressView) -> bool:
    """Another host of this target, or a liveness host, was asked at the same port over the same
    address family and answered. DNS is no sign (networks let UDP 53 to their own resolver alone),
    nor is another port: firewalls open ports one by one."""
    way = (place.family, place.port)
    return way in case.standing.udp or any(
        over_udp(other) and spoke(other) and (other.family, other.port) == way
        for endpoint in case.siblings
        for other in endpoint.places.values()
        if other.address != place.address
    )


def clear_page(seen: AppExchange, host: str) -> HTTPExchange | None:
    """Return the page that came in place of the app's answer, as if it had been asked for; None
    when what came is no page."""
    if seen.spoke or not seen.excerpt or seen.transport != "tcp":
        return None  # within TLS it is the service's own
    head, _, body = seen.excerpt.partition(b"\r\n\r\n")
    status = _HEAD.match(head)
    if status is None:
        head, body = b"", seen.excerpt
        if not body.lstrip().lower().startswith(_PAGE_HEADS):
            return None
    location, title = _LOCATION.search(head), _TITLE.search(body)
    return HTTPExchange(
        endpoint=seen.endpoint,
        address=seen.address,
        port=seen.port,
        host=host or seen.address,
        status=int(status[1]) if status else None,
        location=location[1].decode("ascii") if location else None,
        title=title[1].decode("utf-8", "replace").strip() if title else None,
        excerpt=body,
    )


def page_facts(facts: AppFacts) -> HTTPFacts | None:
    """Return a known block page as the facts of HTTP, whose rules judge it; None without one, or
    when the control is not answered by the app either."""
    if facts.page is None or facts.accused or facts.repeated or facts.reach is Reach.SAME:
        return None
    return HTTPFacts(Kind.OK, facts.reach, here=facts.here, status=facts.status, page=facts.page)


def _icmp(seen: AppExchange) -> tuple[str, ...]:
    if seen.icmp_type is None:
        return ()
    sender = (f"icmp_from:{seen.icmp_from}",) if seen.icmp_from else ()
    return (f"icmp:{seen.icmp_type}/{seen.icmp_code}", *sender)
