"""How states, techniques, places and times are said on every page: the same words everywhere,
words that a journalist can use, with the id beside them for experts (look.md of the design).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from monitor.detection.model import Event, EventState, State, Tier
from monitor.detection.rules import rule_named
from monitor.web.countries import NAMES

STATES = {
    State.OK: "reachable",
    State.BLOCKED: "blocked",
    State.IMPAIRED: "impaired",
    State.THROTTLED: "throttled",
    State.DOWN: "service down",
    State.VANTAGE_OFFLINE: "vantage offline",
    State.INCONCLUSIVE: "cause unclear",
    State.INSUFFICIENT: "no data",
}
TIERS = {
    Tier.CONFIRMED: "blocked (confirmed)",
    Tier.LIKELY: "likely blocked",
    Tier.UNCONFIRMED: "seen from one vantage only",
}
TECHNIQUES = {
    "dns.nxdomain": "the resolver says that the name does not exist",
    "dns.refused": "the resolver refuses to answer for this name",
    "dns.servfail": "the resolver answers with an error for this name",
    "dns.empty": "the resolver gives no address for this name",
    "dns.timeout": "the resolver does not answer for this name",
    "dns.injection.bogon": "the answer to the name is an address that cannot be on the internet",
    "dns.injection.blockpage": "the resolver answers with a block page's address",
    "dns.injection.other": "the answer to the name is somebody else's address",
    "tcp.timeout": "packets to its addresses disappear",
    "tcp.reset": "connections to its addresses are reset",
    "tcp.refused": "connections to its addresses are refused",
    "tcp.unreachable": "its addresses are reported as unreachable",
    "tls.reset.sni": "connections are reset as soon as they name the service",
    "tls.timeout.sni": "connections go dead as soon as they name the service",
    "tls.eof.sni": "connections are closed as soon as they name the service",
    "tls.alert.sni": "connections are refused with an alert as soon as they name the service",
    "tls.reset.other": "encrypted connections to its addresses are reset, whatever they name",
    "tls.timeout.other": "encrypted connections to its addresses go dead, whatever they name",
    "tls.eof.other": "encrypted connections to its addresses are closed, whatever they name",
    "tls.alert.other": "encrypted connections to its addresses are refused, whatever they name",
    "tls.mitm.self_signed": "somebody else answers with a certificate that they signed themselves",
    "tls.mitm.ca_signed": "somebody else answers with a certificate for another purpose",
    "tls.http_response": "somebody answers in clear text in place of the encrypted service",
    "http.blockpage": "a block page is shown in place of the service",
    "http.redirect": "visitors are sent to another site",
    "http.451": "the answer says: unavailable for legal reasons",
    "http.reset.host": "web requests are reset as soon as they name the service",
    "http.timeout.host": "web requests go dead as soon as they name the service",
}
FAILURES = {
    "dns_nxdomain_error": "the name does not exist",
    "dns_refused_error": "refused to answer",
    "dns_servfail_error": "server failure",
    "dns_no_answer": "no address",
    "generic_timeout_error": "no answer in time",
    "connection_reset": "reset",
    "connection_refused": "refused",
    "eof_error": "closed without an answer",
    "host_unreachable": "host unreachable",
    "network_unreachable": "network unreachable",
    "ssl_unknown_authority": "certificate from an unknown authority",
    "ssl_invalid_hostname": "certificate for another name",
    "ssl_invalid_certificate": "invalid certificate",
    "ssl_failed_handshake": "handshake refused",
    "dns_bogon_error": "an address that cannot be on the internet",
}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def technique(id: str | None) -> str:
    """How it is blocked, in words; the id itself where no words exist."""
    return TECHNIQUES.get(id or "", id or "")


def rule_comment(id: str) -> str:
    """The rule in words; empty for a rule that this version does not have."""
    found = rule_named(id)
    return found.comment if found else ""


def failure(text: str | None) -> str:
    """A failure in words."""
    return "" if text is None else FAILURES.get(text, text.replace("_", " "))


def country(code: str) -> str:
    """The short English name of a country; the code where it has none."""
    return NAMES.get(code, "an unknown country" if code == "ZZ" else code)


def number(n: int, capital: bool = False) -> str:
    """`three`, from eleven on `11`."""
    word = _NUMBERS[n] if 0 <= n < len(_NUMBERS) else str(n)
    return word[:1].upper() + word[1:] if capital else word


def plural(n: int, one: str, many: str | None = None) -> str:
    """`1 vantage`, `4 vantages`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}".replace(",", "\u202f")


def when(milliseconds: int | None) -> str:
    """`4 May, 08:10 UTC`; with the year when it is not this one's business (over 300 days)."""
    if milliseconds is None:
        return ""
    at = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return f"{at.day} {at:%B}, {at:%H:%M} UTC"


def exactly(milliseconds: int | None) -> str:
    """`2026-05-04 08:10:00 UTC`, for tables and on hover."""
    if milliseconds is None:
        return ""
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def lasted(milliseconds: int) -> str:
    """`9 s`, `4 min`, `2 h 14 min`, `3 d 4 h`."""
    seconds = max(0, milliseconds) // 1000
    if seconds < 90:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def sureness(event: Event) -> str:
    """`confirmed: 4 of 4 vantages, control fine`."""
    control = "control fine" if event.control == "ok" else "no control"
    tier = {"confirmed": "confirmed", "likely": "likely", "unconfirmed": "not confirmed"}
    return f"{tier[event.tier]}: {event.agreeing} of {plural(event.total, 'vantage')}, {control}"


def headline(event: Event, service: str) -> str:
    """The event in one sentence."""
    where = f"{number(len(event.asns))} network{'s' if len(event.asns) != 1 else ''}"
    place = f"in {where} in {country(event.country)}"
    match event.state, event.tier:
        case EventState.RETRACTED, _:
            return f"{service} was called blocked {place} by mistake; that is withdrawn."
        case EventState.CLOSED, _:
            return f"{service} is reachable again {place}."
        case _, Tier.CONFIRMED if event.extent == "partial":
            return f"A part of {service} is blocked {place}."
        case _, Tier.CONFIRMED:
            return f"{service} is blocked {place}."
        case _, Tier.LIKELY:
            return f"{service} is likely blocked {place}."
        case _:
            return f"{service} seems blocked {place}, seen from one vantage only."


def overview(
    confirmed: Sequence[Event], names: Sequence[str], online: int, countries: int, age: str
) -> str:
    """The sentence at the top of the first page. `names` are those of the blocked services."""
    watching = (
        f"{number(online, True)} vantage{'s' if online != 1 else ''} in "
        f"{number(countries)} countr{'ies' if countries != 1 else 'y'} "
        f"{'are' if online != 1 else 'is'} watching"
    )
    if not confirmed:
        return f"No confirmed block. {watching}; the last measurement came {age} ago."
    places = {(event.country, asn) for event in confirmed for asn in event.asns}
    lands = sorted({event.country for event in confirmed})
    networks = f"{number(len(places))} network{'s' if len(places) != 1 else ''}"
    where = (
        f"{networks} in {country(lands[0])}"
        if len(lands) == 1
        else f"{networks} of {number(len(lands))} countries"
    )
    if len(names) == 1:
        return f"{names[0]} is blocked in {where}."
    return f"{number(len(names), True)} services are blocked in {where}."
