# SPDX-License-Identifier: Apache-2.0
"""Words for states, techniques, places and times, the same on every page. They are written for
journalists; pages show the id beside them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from babel import Locale

from monitor.detection.all_rules import rule_named
from monitor.detection.model import ClosedGate, State, Tier
from monitor.web.text.certificates import safe_text
from monitor.web.text.language import (
    _,
    country_names,
    current,
    date_text,
    grouped,
    is_english,
    n_,
)

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
TIER_KINDS = {Tier.CONFIRMED: "blocked", Tier.LIKELY: "likely", Tier.UNCONFIRMED: "single"}
"""How the mark of an event looks, by tier."""
UNCONFIRMED = {
    State.BLOCKED: "fails, not confirmed",
    State.IMPAIRED: "partly fails, not confirmed",
    State.THROTTLED: "slow, not confirmed",
}
"""Words for states that only an event may call blocked."""
_ALONE = {
    State.BLOCKED: "fails",
    State.IMPAIRED: "partly fails",
    State.THROTTLED: "slow",
}
"""The same of one measurement."""
TECHNIQUES = {
    "dns.nxdomain": "the resolver says that the name does not exist",
    "dns.refused": "the resolver refuses to answer for this name",
    "dns.servfail": "the resolver answers with an error for this name",
    "dns.empty": "the resolver gives no address for this name",
    "dns.timeout": "the resolver does not answer for this name",
    "dns.injection.bogon": "the answer to the name is an address that cannot be on the internet",
    "dns.injection.blockpage": "the resolver answers with a block page’s address",
    "dns.injection.other": "the answer to the name is another party’s address",
    "tcp.timeout": "no reply from the service’s addresses",
    "tcp.reset": "connections to its addresses are reset",
    "tcp.refused": "connections to its addresses are refused",
    "tcp.unreachable": "its addresses are reported as unreachable",
    "tls.reset.sni": "connections are cut when the service’s name appears",
    "tls.timeout.sni": "no reply once a connection names the service",
    "tls.eof.sni": "connections are closed when the service’s name appears",
    "tls.alert.sni": "connections are refused with a TLS alert when the service’s name appears",
    "tls.reset.other": "encrypted connections to its addresses are cut, whatever name they give",
    "tls.timeout.other": "no reply to encryption at its addresses, whatever name is given",
    "tls.eof.other": "encrypted connections to its addresses are closed, whatever name they give",
    "tls.alert.other": "encrypted connections to its addresses are refused, whatever the name",
    "tls.mitm.self_signed": "another party answers with a self-signed certificate",
    "tls.mitm.ca_signed": "another party answers with a certificate of an unexpected authority",
    "tls.http_response": "unencrypted HTTP is answered in place of the encrypted service",
    "http.blockpage": "a block page is shown in place of the service",
    "http.redirect": "visitors are sent to another site",
    "http.451": "the answer says: unavailable for legal reasons",
    "http.reset.host": "web requests are cut when the service’s name appears",
    "http.timeout.host": "no reply to web requests that name the service",
    "throttle.sni": "connections that name the service run at a tenth of the usual speed or less",
    "throttle.address": "connections to its addresses run at a tenth of the usual speed or less",
    "throttle.freeze": "connections stall after the first kilobytes",
    "quic.timeout.sni": "no reply to QUIC connections that name the service",
    "quic.timeout": "no reply to QUIC from the service’s addresses",
    "udp.timeout": "no reply over UDP from the service’s servers",
    "app.reset": "connections are cut when the app’s protocol begins",
    "app.timeout": "no reply once the app’s protocol begins",
}
FAILURES = {
    "dns_nxdomain_error": "the name does not exist",
    "dns_refused_error": "refused to answer",
    "dns_servfail_error": "server failure",
    "dns_no_answer": "no address",
    "dns_server_misbehaving": "an answer that cannot be read",
    "dns_reply_with_wrong_query_id": "an answer to another question",
    "connection_aborted": "aborted",
    "network_down": "the network is down",
    "permission_denied": "this machine forbids it",
    "address_not_available": "this machine has no such address",
    "http_request_failed": "the answer is no HTTP",
    "quic_incompatible_version": "no QUIC version in common",
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
EVIDENCE = {
    "after_trigger": "shown soon after a connection with the service's name had failed there",
    "allow_list_network": "only listed addresses get through in this network",
    "answer_lacks": "the answer lacks what the control is shown",
    "answer_contradicted": "TLS works at an address that the run's own resolver did not give",
    "asked_once": "the resolver was not asked again from another port",
    "background_fails": "in this round such a failure comes by chance at this vantage",
    "blockpage_abroad": "a block page that is known from another country",
    "by_authority": "the name's own servers answer so from there",
    "by_service": "the service itself says so, with its own certificate",
    "captive_portal": "a sign-in page (captive portal) intercepts connections",
    "certificate_dates": "the certificate is outside its dates by the vantage's clock",
    "clear_http": "a page in clear text came in place of the app's answer",
    "clock_wrong": "the vantage's clock is wrong",
    "closed": "the far side closed the connection",
    "control_fails": "the control fails as well",
    "dns_unproven": "the answer could not be proved right or wrong",
    "foreign_answer": "something answers that is not the app's server",
    "foreign_certificate": "somebody else's certificate was shown",
    "http_differs": "the answer differs from the control's",
    "known_key": "the server names a key of the service's",
    "large_answer": "large packets of the server's answer are lost on the way",
    "large_hello": "only the full-length ClientHello fails",
    "local_refusal": "the vantage's own machine refuses",
    "local_resolver": "it may be a filter in the volunteer's home network",
    "lying_resolver": "the resolver itself lies",
    "helper_reaches": "OONI's test helper reached the site at the same time",
    "icmp_after_reply": "an ICMP error came after the answer",
    "malformed": "an answer that cannot be read came",
    "no_control": "no control measured it at the same time",
    "no_edns": "the resolver knows no EDNS",
    "no_liveness": "nothing shows that the vantage was online",
    "no_quic_here": "QUIC does not work in this network at all",
    "no_udp_here": "no other host was seen to answer over UDP either",
    "not_dialled": "the address was not dialled",
    "on_path": "forged on the path, not by the far end",
    "one_family_unanswered": "one address family is not answered",
    "partial:addresses": "some addresses are cut off, others work",
    "partial:endpoints": "some endpoints are cut off, others work",
    "partial:flows": "some connections die, others pass",
    "partial:ipv4": "IPv4 alone is cut off",
    "partial:ipv6": "IPv6 alone is cut off",
    "partial:protocol": "one protocol is cut off, another works",
    "residual_possible": "blocking may still have been active after our first attempt",
    "resolver_limits": "the resolver failed a harmless name as well",
    "resolver_dead": "the resolver answers for no name",
    "run_unproven": "nothing in the whole run was answered: the device may have been offline",
    "sent_again": "it was sent more than once",
    "sent_again_answered": "the first query was answered too, late",
    "some_failed": "some endpoints failed, most work",
    "starttls": "the server offers TLS",
    "system_root": "valid only under a root of the vantage's own system",
    "tcp_fails_too": "the address is cut off over TCP as well",
    "tcp_works": "over TCP the same address works",
    "tls_fails_too": "TLS over TCP fails there as well",
    "transfer_died": "the connections of the speed test died",
    "tls_interception": "every connection shows somebody else's certificate",
    "transient": "it worked when tried again",
    "udp_refused": "ICMP refuses, as firewalls do that let no UDP through",
    "short": "fewer bytes came than were wanted: the pages are small",
    "time_over": "the time was over while bytes were still coming",
    "slow": "slow, and no measurement shows the cause",
    "slow_elsewhere": "our own host is slow from there as well",
    "slow_for_control_too": "as slow for the control",
    "slow_for_every_name": "slow whatever the name shown",
    "weak_sign": "evidence too weak to prove anything",
    "went_offline": "the vantage went offline meanwhile",
    "whatever_name": "whatever the name shown",
    "vpn": "it was measured through a VPN",
    "wrong_id": "an answer to another question came",
}
PREFIXES = {
    "acts_at_hop": "hops to the point of interference: %(value)s",
    "hop": "the router there calls itself %(value)s",
    "endpoint": "cut off: endpoint %(value)s",
    "address": "cut off: address %(value)s",
    "protocol": "cut off: protocol %(value)s",
}
"""Evidence remarks with a value after a colon."""
GATES: Mapping[str, str] = {
    ClosedGate.ASN_DARK: "most vantages of the network are offline, so nothing can be said of one "
    "service",
    ClosedGate.COUNTRY_DARK: "most vantages of the country are offline, so nothing can be said of "
    "one service",
    ClosedGate.ENDPOINT_STALE: "the same address fails from several countries and from their "
    "controls",
    ClosedGate.SERVICE_DOWN: "the service fails from the control or in other countries too",
}
"""Why failures do not count (`monitor.detection.sequence.gates`)."""
VANTAGE_OUTCOMES = {
    "": "sent nothing",
    "failed": "failed",
    "worked": "worked",
    "unproven": "failed, and the control did not pass",
    "offline": "was offline",
    "unseen": "failed, and nothing shows that it was online",
}
NO_VOTES = {
    "young": "enrolled too recently to count",
    "elsewhere": "enrolled from another place than it claims, does not count",
    "unlocated": "country or network unknown, does not count",
    "chronic": "fails too often to count",
    "lone": "alone for too long to count",
    "silent": "no recent measurement, does not count",
    "recovering": "reaches the service again, no longer counts",
}
"""Why what a vantage holds does not count (`monitor.detection.sequence.explain.NO_VOTE`)."""
_IN_A_SENTENCE = {
    "AE": "the United Arab Emirates",
    "CD": "DR Congo",
    "CG": "the Congo",
    "GB": "the United Kingdom",
    "HK": "Hong Kong",
    "MM": "Myanmar",
    "MO": "Macao",
    "NL": "the Netherlands",
    "PH": "the Philippines",
    "PS": "Palestine",
    "TR": "Turkey",
    "US": "the United States",
}
"""Names that need an article after "in", and short names where CLDR adds a qualifier."""
_NO_COUNTRIES = frozenset(
    ["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"]
)
"""Codes of CLDR that are not assigned in ISO 3166-1."""
COUNTRIES: dict[str, str] = {
    code: name
    for code, name in Locale("en").territories.items()
    if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES
} | _IN_A_SENTENCE
"""Short English names by ISO 3166-1 code (Unicode CLDR), to be used after "in"; Kosovo has the
user-assigned code XK."""
_SOURCE = re.compile(r"\s*\((?:fit|typed|low)\b[^()]*\)")
"""The source of a rule's weight, which pages leave out."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


NOUNS = {
    "address": "addresses",
    "control": "controls",
    "country": "countries",
    "duplicate": "duplicates",
    "endpoint": "endpoints",
    "failure": "failures",
    "function": "functions",
    "measurement": "measurements",
    "network": "networks",
    "other": "others",
    "round": "rounds",
    "service": "services",
    "target": "targets",
    "vantage": "vantages",
}
"""What `plural` and `counted` count."""


def technique(id: str | None) -> str:
    """A technique in words; its id when there are none."""
    return _(TECHNIQUES[id]) if id in TECHNIQUES else id or ""


def rule_comment(id: str) -> str:
    """A rule in words; empty for an unknown rule."""
    found = rule_named(id)
    if found is None:
        return ""
    text = _SOURCE.sub("", found.comment).strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def state_mark(state: State) -> tuple[str, str]:
    """(kind of mark, word) of a state that no event confirms: nothing is called blocked."""
    if state in UNCONFIRMED:
        return "inconclusive", _(UNCONFIRMED[state])
    return str(state), _(STATES[state])


def measurement_mark(state: str | None) -> tuple[str, str] | None:
    """The same for one measurement, in fewer words; None where there is no verdict."""
    if state is None:
        return None
    if state in UNCONFIRMED:
        return "inconclusive", _(_ALONE[State(state)])
    return state_mark(State(state))


def evidence(remark: str) -> str:
    """A remark of a verdict in words."""
    kind, _sep, named = remark.partition(":")
    if remark not in EVIDENCE and named and kind in PREFIXES:
        return _(PREFIXES[kind], value=named)
    return _(EVIDENCE[remark]) if remark in EVIDENCE else remark.replace("_", " ")


def sentence(text: str) -> str:
    """The text with a capital first letter; the rest is unchanged."""
    return text[:1].upper() + text[1:]


def failure(text: str | None) -> str:
    """A failure in words."""
    if text is None:
        return ""
    return _(FAILURES[text]) if text in FAILURES else safe_text(text.replace("_", " "))


def country(code: str) -> str:
    """The short name of a country; the code where it has none."""
    if code not in COUNTRIES:
        return _("an unknown country") if code == "ZZ" else code
    if is_english():
        return COUNTRIES[code]
    return country_names(current().language).get(code, code)


def number(n: int, capital: bool = False) -> str:
    """`three`, from eleven on `11`; in other languages, where words for numbers have genders and
    cases, always `3`."""
    word = _NUMBERS[n] if is_english() and 0 <= n < len(_NUMBERS) else grouped(n)
    return word[:1].upper() + word[1:] if capital else word


def plural(n: int, noun: str) -> str:
    """`1 vantage`, `4 vantages`; `noun` is one of NOUNS."""
    return n_(f"%(n)s {noun}", f"%(n)s {NOUNS[noun]}", n)


def counted(n: int, noun: str, capital: bool = False) -> str:
    """`one network`, `three networks`."""
    return n_(f"%(n)s {noun}", f"%(n)s {NOUNS[noun]}", n, n=number(n, capital))


def when(milliseconds: int | None) -> str:
    """`4 May 2026, 08:10 UTC`."""
    if milliseconds is None:
        return ""
    at = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return f"{date_text(at.date(), current().language)}, {at:%H:%M} UTC"


def day(milliseconds: int) -> str:
    """`4 May 2026`."""
    return date_text(_at(milliseconds).date(), current().language)


def date(iso: str) -> str:
    """`4 May 2026`, from an ISO date."""
    return day(1000 * int(dt.datetime.fromisoformat(f"{iso}T00:00:00+00:00").timestamp()))


def key(url: str) -> str:
    """What tells pages apart in a bibliography: `s-wechat`."""
    path = url.partition("//")[2].partition("/")[2]
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-") or "overview"


def between(first: int, last: int) -> str:
    """`from 4 May 2026, 08:10 to 10:24 UTC`; with both dates when there are two."""
    a, b = when(first), when(last)
    if day(first) == day(last):
        a, b = a.removesuffix(" UTC"), b.removeprefix(f"{day(last)}, ")
    return _("from %(begin)s to %(end)s", begin=a, end=b)


def ends(first: int, last: int) -> tuple[str, str]:
    """The two ends of an axis: the date once, when both are of one day."""
    a, b = when(first), when(last)
    if day(first) == day(last):
        b = b.removeprefix(f"{day(last)}, ")
    return a.removesuffix(" UTC"), b


def _at(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def machine(milliseconds: int) -> str:
    """RFC 3339, for the attribute of a `time` element."""
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def exactly(milliseconds: int | None) -> str:
    """`2026-05-04 08:10:00 UTC`, for tables and on hover."""
    if milliseconds is None:
        return ""
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration_text(milliseconds: int) -> str:
    """`9 s`, `4 min`, `2 h 14 min`, `3 d 4 h`."""
    seconds = max(0, milliseconds) // 1000
    if seconds < 90:
        return _("%(s)s s", s=seconds)
    minutes = seconds // 60
    if minutes < 90:
        return _("%(min)s min", min=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("%(h)s h %(min)s min", h=hours, min=minutes) if minutes else _("%(h)s h", h=hours)
    days, hours = divmod(hours, 24)
    return _("%(d)s d %(h)s h", d=days, h=hours) if hours else _("%(d)s d", d=days)


def gate(reason: ClosedGate | None) -> str:
    """Why failures did not count in a round."""
    return _("closed: %(why)s", why=_(GATES[reason])) if reason else _("open")


def vantage_outcome(text: str) -> str:
    """What a vantage contributed in a round."""
    return _(VANTAGE_OUTCOMES.get(text, text))


def no_vote(reason: str) -> str:
    """Why what a vantage holds does not count."""
    return _(NO_VOTES.get(reason, reason))
