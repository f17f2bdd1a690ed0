# SPDX-License-Identifier: Apache-2.0
"""Query parameters of pages and API: filters, times, limit, and the key of the next page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from aiohttp import web
from msgspec.structs import replace
from yarl import URL

from monitor.detection.judge.sources import SOURCES
from monitor.detection.model import OWN_SOURCE, State
from monitor.store.records import Filter
from monitor.web.site import SITE
from probes.runtime.options import OptionError, duration, moment
from probes.wire.countries import COUNTRIES

MAX_LIMIT = 1000
MAX_ASN = 2**32 - 1
OF_VERDICT = ("state", "technique", "rule", "counted")
"""Parameters by which lists of measurements choose what verdicts say."""
_COUNTED = {"yes": True, "no": False}
NAMED_SOURCES = {"own": OWN_SOURCE} | {name: name for name in SOURCES}
"""Values of the parameter `source`: as events name them, and `own` for our own."""


YEAR_9999_MS = 253_402_300_800_000
"""Databases and calendars end somewhere; nothing was measured before 1970."""


def parse_time(text: str, now: int) -> int:
    """Unix milliseconds; `now` too. Raises OptionError."""
    try:
        # A plus sign in a query string arrives as a blank.
        at = moment(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        try:
            # A number alone is a year or Unix time by mistake, and not so many seconds ago.
            at = now - 1000 * duration(text)
        except ValueError:
            raise OptionError(str(error)) from None
    return max(0, min(at, YEAR_9999_MS))


class BadParameterError(Exception):
    """A query parameter that cannot be used; the text is one line."""


def without_empty(request: web.Request) -> None:
    """Redirect to the page without empty parameters, which forms send. Raises HTTPFound."""
    kept = [(name, value) for name, value in request.query.items() if value.strip()]
    if len(kept) < len(request.query):
        raise web.HTTPFound(str(URL(request.path).with_query(kept)))


def chosen(request: web.Request) -> Filter:
    """The filters of a request. Raises BadParameterError."""
    query = request.query
    asn, country = query.get("asn"), query.get("country")
    since, until = time_of(request, "since"), time_of(request, "until")
    if since is not None and until is not None and since >= until:
        raise BadParameterError("since: must be before until")
    return Filter(
        service=_word(query, "service"),
        target=_word(query, "target"),
        country=None if country is None else country_code(country),
        asn=None if asn is None else network_number(asn),
        source=_source(query),
        since=since,
        until=until,
    )


def country_code(text: str) -> str:
    """The code of a country, or UNKNOWN_COUNTRY, in capitals. Raises BadParameterError: an empty
    list for a country that does not exist would read as "not blocked"."""
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise BadParameterError(f"country: must be two letters, not {text[:40]!r}")
    code = text.upper()
    if code not in COUNTRIES:
        hint = "; did you mean GB?" if code == "UK" else ""
        raise BadParameterError(f"country: no country has the code {code}{hint}")
    return code


def network_number(text: str) -> int:
    """The number of a network, also with `AS` before it. Raises BadParameterError."""
    if not re.fullmatch(r"(AS)?[0-9]{1,10}", text, re.IGNORECASE | re.ASCII):
        raise BadParameterError(f"asn: must be an AS number, not {text[:40]!r}")
    asn = int(text.upper().removeprefix("AS"))
    if asn > MAX_ASN:
        raise BadParameterError(f"asn: must be at most {MAX_ASN}, not {asn}")
    return asn


def chosen_verdicts(request: web.Request) -> Filter:
    """The filters of a list of measurements, which may choose by verdict. Raises
    BadParameterError."""
    query = request.query
    state, counted = query.get("state"), query.get("counted")
    if state is not None and state not in tuple(State):
        raise BadParameterError(f"state: must be {', '.join(State)}, not {state[:40]!r}")
    if counted is not None and counted not in _COUNTED:
        raise BadParameterError(f"counted: must be yes or no, not {counted[:40]!r}")
    return replace(
        chosen(request),
        state=state,
        technique=_id(query, "technique"),
        rule=_id(query, "rule"),
        counted=None if counted is None else _COUNTED[counted],
    )


def refuse_unknown(
    request: web.Request, known: Collection[str], repeated: Collection[str] = ()
) -> None:
    """Raise BadParameterError for a parameter that the address does not have (a filter with a
    slip would otherwise select everything), and for one of two values, of which one would count,
    unless it may be `repeated`."""
    for name in request.query:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}"
            raise BadParameterError(f"{name[:40]}: is no parameter here{hint if known else ''}")
        if name not in repeated and len(request.query.getall(name)) > 1:
            raise BadParameterError(f"{name}: given more than once")


def _word(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and not re.fullmatch(r"[a-z0-9/-]{1,90}", value):
        raise BadParameterError(f"{name}: must be an id such as wechat, not {value[:40]!r}")
    return value


def _source(query: Mapping[str, str]) -> str | None:
    value = query.get("source")
    if value is not None and value not in NAMED_SOURCES:
        raise BadParameterError(f"source: must be {' or '.join(NAMED_SOURCES)}, not {value[:40]!r}")
    return None if value is None else NAMED_SOURCES[value]


def _id(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and not re.fullmatch(r"[a-z0-9_.-]{1,90}", value):
        raise BadParameterError(f"{name}: must be an id such as tls.reset.sni, not {value[:40]!r}")
    return value


def time_of(request: web.Request, name: str) -> int | None:
    """The time in a parameter, Unix milliseconds; None where it is missing or empty. Raises
    BadParameterError."""
    value = request.query.get(name)
    if not value:
        return None
    try:
        return parse_time(value, request.app[SITE].clock())
    except OptionError as error:
        raise BadParameterError(f"{name}: {error}") from None


def limit_of(request: web.Request) -> int:
    """Rows a page: 1 to 1000, 100 by default. Raises BadParameterError."""
    value = request.query.get("limit", "100")
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= MAX_LIMIT:
        raise BadParameterError(f"limit: must be 1 to {MAX_LIMIT}, not {value[:40]!r}")
    return int(value)


def after_of(request: web.Request, key: str = "[0-9a-f]{16}") -> tuple[int, str] | None:
    """The key of the last row seen, from `next` of the page before; `key` is the pattern of
    its second part. Raises BadParameterError."""
    value = request.query.get("after")
    if not value:
        return None
    found = re.fullmatch(rf"([0-9]{{1,15}})-({key})", value)
    if found is None:
        raise BadParameterError(f"after: must be a `next` of an earlier page, not {value[:40]!r}")
    return int(found[1]), found[2]


def text_after(request: web.Request) -> tuple[int, str] | None:
    """As `after_of`, for lists whose rows are told apart by text. Raises BadParameterError."""
    after = after_of(request, "(?:[0-9a-f]{2}){1,400}")
    if after is None:
        return None
    try:
        text = bytes.fromhex(after[1]).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadParameterError("after: must be a `next` of an earlier page")
    return after[0], text


def text_key(number: int, text: str) -> str:
    """What `text_after` reads."""
    return f"{number}-{text.encode().hex()}"
