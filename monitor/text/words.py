# SPDX-License-Identifier: Apache-2.0
"""Words for states, techniques, places and times, the same on every page. They are written for
journalists; pages show the id beside them.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from babel import Locale

from monitor.detection.all_rules import ALL_RULES, rule_named
from monitor.detection.layers.imported_run import IMPORT_RULES
from monitor.detection.model import ClosedGate, State, Tier
from monitor.text.certificates import safe_text
from monitor.text.language import (
    _,
    country_names,
    current,
    date_text,
    grouped,
    is_english,
    n_,
)

TABLES: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)
"""Texts by id, as tables that `words.toml` describes."""
STATES, TIERS, UNCONFIRMED = TABLES["states"], TABLES["tiers"], TABLES["unconfirmed"]
TECHNIQUES, FAILURES = TABLES["techniques"], TABLES["failures"]
EVIDENCE, PREFIXES = TABLES["evidence"], TABLES["prefixes"]
GATES, NO_VOTES = TABLES["gates"], TABLES["no_votes"]
REFUSALS = TABLES["refusals"]
TIER_KINDS = {Tier.CONFIRMED: "blocked", Tier.LIKELY: "likely", Tier.UNCONFIRMED: "single"}
"""How the mark of an event looks, by tier."""
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
UNKNOWN_COUNTRY = "ZZ"
"""That of vantages which did not state their country."""
_NO_COUNTRIES = frozenset(
    ["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", UNKNOWN_COUNTRY]
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


def rule_comment(id: str, *, control: bool = True) -> str:
    """A rule in words; empty for an unknown rule, and where no `control` passed for one whose words
    say that one did."""
    found = rule_named(id)
    if found is None or (not control and "control" in found.comment):
        return ""
    return _(_rule_text(found.comment))


def _rule_text(comment: str) -> str:
    text = _SOURCE.sub("", comment).strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def rule_texts() -> Iterator[str]:
    """The English words of every rule."""
    for rule in (*ALL_RULES, *IMPORT_RULES):
        yield _rule_text(rule.comment)


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
        return "inconclusive", _(TABLES["alone"][state])
    return state_mark(State(state))


def evidence(remark: str) -> str:
    """A remark of a verdict in words."""
    kind, _sep, named = remark.partition(":")
    if remark not in EVIDENCE and named and kind in PREFIXES:
        return _(PREFIXES[kind], value=named)
    return _(EVIDENCE[remark]) if remark in EVIDENCE else remark.replace("_", " ")


def not_counted(reason: str) -> str:
    """In words why a measurement does not count, as `gates.not_counted` gives it."""
    return _(STATES[reason]) if reason in STATES else evidence(reason)


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
        return _("an unknown country") if code == UNKNOWN_COUNTRY else code
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


def counted(n: int, noun: str) -> str:
    """`one network`, `three networks`."""
    return n_(f"%(n)s {noun}", f"%(n)s {NOUNS[noun]}", n, n=number(n))


def share(n: int, total: int) -> str:
    """`8 %`. None and all are 0 and 100 %, and nothing else is: `< 1 %`, `> 99 %`."""
    percent = round(100 * n / total)
    if percent == 0 and n:
        return "< 1 %"
    return "> 99 %" if percent == 100 and n < total else f"{percent} %"


def when(milliseconds: int | None) -> str:
    """`4 May 2026, 08:10 UTC`."""
    return "" if milliseconds is None else _when(milliseconds, current().language)


@functools.lru_cache(maxsize=8192)
def _when(milliseconds: int, language: str) -> str:
    at = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return f"{date_text(at.date(), language)}, {at:%H:%M} UTC"


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


@functools.lru_cache(maxsize=8192)
def machine(milliseconds: int) -> str:
    """RFC 3339, for the attribute of a `time` element."""
    return f"{dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


@functools.lru_cache(maxsize=8192)
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
    return _(TABLES["vantage_outcomes"].get(text, text))


def resolver_class(text: str) -> str:
    """Whose resolver a vantage asks."""
    return _(TABLES["resolver_classes"].get(text, text))


def no_vote(reason: str) -> str:
    """Why what a vantage holds does not count."""
    return _(NO_VOTES.get(reason, reason))
