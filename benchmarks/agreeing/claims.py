# SPDX-License-Identifier: Apache-2.0
"""What the answers of the monitor claim about events, and what the list of events of the API lets
expect of each. Both are dictionaries with the same keys. Pure.

The pages are read in English, as a visitor sees them: by their words, links and times.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

Form = Mapping[str, Any]
"""An event as the API gives it."""
Events = Mapping[str, Form]
"""By id."""
Claims = Mapping[tuple[str, ...], object]
ATOM = "{http://www.w3.org/2005/Atom}"
NONE = "none"
_SENTENCES = (
    ("No measurements yet", NONE),
    ("No conclusions about", NONE),
    ("what is blocked now is not known", NONE),
    ("becoming reachable again", "clearing"),
    ("blocked again", "confirmed"),
    ("likely blocked", "likely"),
    ("seems blocked", "unconfirmed"),
    ("may be blocked", "not confirmed"),
    ("that is likely", "likely"),
    ("that are likely", "likely"),
    ("No confirmed block.", NONE),
    ("No vantage is online", NONE),
    ("No known blocks", NONE),
    ("is reachable again", "closed"),
    ("was blocked", "closed"),
    ("is blocked", "confirmed"),
    ("are blocked", "confirmed"),
)
"""What a headline says, by its words; the first that it contains decides."""
_MARKS = (
    ("clearing", "clearing"),
    ("blocked (confirmed)", "confirmed"),
    ("likely blocked", "likely"),
    ("seen from", "unconfirmed"),
    ("blocked in", "confirmed"),
    ("reachable again", "closed"),
)
"""What a mark or a badge says; anything else calls nothing blocked."""
_CHANGES = {
    "first alarm": "opened",
    "likely blocked": "likely",
    "blocked (confirmed)": "confirmed",
    "clearing": "clearing",
    "reopened": "again",
    "reachable again": "closed",
    "retracted": "retracted",
}


def sentence(text: str) -> str:
    """What a headline calls the state of what it is about."""
    return next((word for part, word in _SENTENCES if part in text), f"? {text}")


def marked(text: str) -> str:
    """What a mark calls it."""
    return next((word for part, word in _MARKS if text.startswith(part)), NONE)


def standing(event: Form) -> bool:
    """Whether an event of the API is open and called a block."""
    return event["state"] in ("open", "clearing") and (
        event["inhibited_by"] is None or event["tier"] == "confirmed"
    )


def word_of(event: Form) -> str:
    """What the API calls an event, in the words of `sentence` and `marked`."""
    if event["state"] != "open":
        return str(event["state"])
    return str(event["tier"]) if standing(event) else NONE


def worst(events: Iterable[Form]) -> str:
    """What a place with these events is called, in one word."""
    words = {word_of(event) for event in events if standing(event)}
    order = ("confirmed", "clearing", "likely", "unconfirmed")
    return next((word for word in order if word in words), NONE)


def text_of(markup: str) -> str:
    """What is read of some markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def first_heading(page: str) -> str:
    """The headline of a page."""
    found = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)
    return text_of(found[1]) if found else ""


class Source(msgspec.Struct, frozen=True):
    """One answer of the monitor that is compared."""

    name: str
    path: str
    read: Callable[[str], Claims]
    expect: Callable[[Events], Claims]


def sources(events: Events, names: Mapping[str, str]) -> list[Source]:
    """Every answer that tells of these events; `names` are those of services by id."""
    services = sorted({event["service"] for event in events.values()})
    countries = sorted({event["country"] for event in events.values()})
    networks = sorted({asn for event in events.values() for asn in event["asns"]})
    made = [
        Source("overview", "/", read_overview, expect_overview),
        Source("changes", "/changes", read_changes, expect_changes),
        Source("feed", "/feed.atom", read_feed, expect_feed),
        Source("metrics", "/metrics", read_metrics, expect_metrics),
        Source("services", "/s", read_matrix_list, _by_place),
        *(
            Source(f"api {name}", f"/api/v1/{name}", _open_in(name), _opened_by(name))
            for name in ("services", "countries", "networks")
        ),
    ]
    for service in services:
        made.append(_place(f"service {service}", f"/s/{service}", "service", service))
        made.append(_badge(service, None))
        made += [_badge(service, country) for country in countries]
    made += [_place(f"country {code}", f"/c/{code}", "country", code) for code in countries]
    made += [_place(f"network {asn}", f"/as/{asn}", "asn", asn) for asn in networks]
    for id in sorted(events):
        made.append(Source(f"event {id}", f"/e/{id}", read_event(id), _only(id)))
        made.append(Source(f"api event {id}", f"/api/v1/events/{id}", _read_one, _whole(id)))
    return made


def _in(events: Events, key: str, value: object) -> list[Form]:
    if key == "asn":
        return [event for event in events.values() if value in event["asns"]]
    return [event for event in events.values() if event[key] == value]


def _place(name: str, path: str, key: str, value: object) -> Source:
    """A page of a service, a country or a network."""

    def expect(events: Events) -> Claims:
        here = [event for event in _in(events, key, value) if standing(event)]
        word = worst(here)
        doubtful = word in ("likely", "unconfirmed") and (key == "service" or len(here) > 1)
        return {("headline",): "not confirmed" if doubtful else word}

    def read(page: str) -> Claims:
        return {("headline",): sentence(first_heading(page))}

    return Source(name, path, read, expect)


def _badge(service: str, country: str | None) -> Source:
    path = f"/badge/{service}.svg" if country is None else f"/badge/{service}/{country}.svg"

    def read(picture: str) -> Claims:
        said = ET.fromstring(picture).get("aria-label", "").partition(": ")[2]
        word, _, scope = said.partition(": ")
        claims: dict[tuple[str, ...], object] = {("word",): marked(word)}
        if country is not None and marked(word) != NONE:
            claims["networks",] = scope_networks(scope)
        return claims

    def expect(events: Events) -> Claims:
        here = _in(events, "service", service)
        here = [event for event in here if country in (None, event["country"])]
        claims: dict[tuple[str, ...], object] = {("word",): worst(here)}
        live = [event for event in here if standing(event)]
        if country is not None and live:
            claims["networks",] = _networks(live[0])
        return claims

    return Source(f"badge {service} {country or 'everywhere'}", path, read, expect)


def scope_networks(scope: str) -> str:
    """`1/2` of what a badge or a cell says of networks; empty where it is about all."""
    found = re.search(r"(\d+) of (\d+) networks", scope)
    return f"{found[1]}/{found[2]}" if found else ""


def _networks(event: Form) -> str:
    scope = event["scope"]["networks"]
    partly = scope["watched"] > scope["blocked"]
    return f"{scope['blocked']}/{scope['watched']}" if partly else ""


def read_overview(page: str) -> Claims:
    """The headline, and each row of an open event; the cells of the matrix."""
    claims: dict[tuple[str, ...], object] = {("headline",): sentence(first_heading(page))}
    for row in re.findall(r'<div class="row" role="row">(.*?)</div>', page, re.DOTALL):
        cells = re.findall(r'<span role="cell"[^>]*>(.*?)</span>\n', row, re.DOTALL)
        id = re.findall(r'href="/e/([0-9a-f]{16})"', cells[0])[0]
        claims[id, "word"] = marked(text_of(cells[4]))
        claims[id, "vantages"] = vantages_in(text_of(cells[4]))
        claims[id, "networks"] = scope_networks(text_of(cells[1]))
        claims[id, "technique"] = text_of(re.findall(r'class="id">(.*?)<', cells[2])[0])
        claims[id, "onset"] = re.findall(r'datetime="([^"]*)"', cells[3])[0]
    return claims | read_matrix_list(page)


def expect_overview(events: Events) -> Claims:
    """What the rows and the headline say."""
    first = worst(events.values())
    # What is seen from one vantage alone is below the headline.
    claims: dict[tuple[str, ...], object] = {
        ("headline",): NONE if first == "unconfirmed" else first
    }
    for id, event in events.items():
        if event["state"] in ("open", "clearing"):
            claims[id, "word"] = word_of(event)
            claims[id, "vantages"] = f"{event['vantages']['agreeing']}/{event['vantages']['total']}"
            claims[id, "networks"] = _networks(event)
            claims[id, "technique"] = event["technique"]
            claims[id, "onset"] = _second(event["onset"])
    return claims | _by_place(events)


def vantages_in(text: str) -> str:
    """`3/3` of `3 of 3 vantages`."""
    found = re.search(r"(\d+) of (\d+) vantage", text)
    return f"{found[1]}/{found[2]}" if found else ""


def _second(at: str | None) -> str | None:
    """A time of the API as pages write it: without milliseconds."""
    return None if at is None else re.sub(r"\.\d+Z", "Z", at)


def read_matrix_list(page: str) -> Claims:
    """The cells with an event of a matrix or of the list of services, by event."""
    claims: dict[tuple[str, ...], object] = {}
    cell = r'<a href="/e/([0-9a-f]{16})"><span class="mark[^"]*">(.*?)</span></a>'
    for id, mark in re.findall(cell, page, re.DOTALL):
        claims["cell", id] = marked(text_of(mark))
    return claims


def _by_place(events: Events) -> Claims:
    live = [event for event in events.values() if standing(event)]
    return {("cell", event["id"]): word_of(event) for event in live}


def read_event(id: str) -> Callable[[str], Claims]:
    """Reads the page of an event."""

    def read(page: str) -> Claims:
        facts = {
            text_of(name): said
            for name, said in re.findall(
                r"<div[^>]*><dt>(.*?)</dt><dd>(.*?)</dd></div>", page, re.DOTALL
            )
        }
        over = re.search(r'<p class="over">(.*?)</p>', page, re.DOTALL)
        times = {name: re.findall(r'datetime="([^"]*)"', said) for name, said in facts.items()}
        sure = re.search(r"<strong>(?:at least )?([\d.]+)", facts.get("Confidence", ""))
        return {
            (id, "word"): marked(text_of(over[1])) if over else "",
            (id, "headline"): sentence(first_heading(page)),
            (id, "onset"): times["Onset"][0],
            (id, "opened"): times["First alarm"][0],
            (id, "confirmed"): (times.get("Confirmed") or [None])[0],
            (id, "ended"): (times.get("Ended") or [None])[0],
            (id, "confidence"): float(sure[1]) if sure else None,
        }

    return read


def _only(id: str) -> Callable[[Events], Claims]:
    def expect(events: Events) -> Claims:
        if (event := events.get(id)) is None:
            return {}
        confidence = event["confidence"]
        ended = event["ended_latest"] or event["closed"]
        return {
            (id, "word"): word_of(event),
            (id, "headline"): word_of(event),
            (id, "onset"): _second(event["onset"]),
            (id, "opened"): _second(event["opened"]),
            (id, "confirmed"): _second(event["confirmed"]),
            (id, "ended"): _second(ended) if event["state"] == "closed" else None,
            (id, "confidence"): None if confidence is None else round(100 * confidence, 1),
        }

    return expect


_MORE = ("networks", "against", "follows", "followed_by", "simulated")
"""Fields that one event has and the list has not."""


def _read_one(body: str) -> Claims:
    form = msgspec.json.decode(body, type=dict[str, Any])
    return {(name,): value for name, value in form.items() if name not in _MORE}


def _whole(id: str) -> Callable[[Events], Claims]:
    return lambda events: {(name,): value for name, value in events.get(id, {}).items()}


def read_changes(page: str) -> Claims:
    """Which changes of which event the log tells."""
    claims: dict[tuple[str, ...], object] = {}
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td class=\"full\">(.*?)</td></tr>", page)
    for _at, mark, said in rows:
        (id,) = re.findall(r'href="/e/([0-9a-f]{16})"', said)
        claims[id, _CHANGES[text_of(mark)]] = True
    return claims


def expect_changes(events: Events) -> Claims:
    """Those of the histories of the events."""
    told = set(_CHANGES.values())
    return {
        (id, change["kind"]): True
        for id, event in events.items()
        for change in event["history"]
        if change["kind"] in told
    }


def read_feed(feed: str) -> Claims:
    """Which changes of which event the feed tells."""
    claims: dict[tuple[str, ...], object] = {}
    for entry in ET.fromstring(feed.encode()).findall(f"{ATOM}entry"):
        id = (entry.findtext(f"{ATOM}id") or "").partition("/e/")[2][:16]
        kind = entry.findall(f"{ATOM}category")[0].get("term", "")
        claims[id, kind] = True
    return claims


def expect_feed(events: Events) -> Claims:
    """What more than one vantage saw, but for first alarms."""
    sure = {id: event for id, event in events.items() if event["tier"] != "unconfirmed"}
    return {key: True for key in expect_changes(sure) if key[1] != "opened"}


_SAMPLE = re.compile(r"^reachwatch_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def read_metrics(text: str) -> Claims:
    """The gauges of events, and the counters of what was published."""
    claims: dict[tuple[str, ...], object] = {}
    for name, labels, value in _SAMPLE.findall(text):
        of = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        match name:
            case "block_event_confidence":
                claims[of["event_id"], of["asn"], "confidence"] = float(value)
                claims[of["event_id"], "tier"] = of["tier"]
                claims[of["event_id"], "technique"] = of["technique"]
            case "block_event_vantages":
                claims[of["event_id"], "vantages", of["kind"]] = int(float(value))
            case "block_events_total" if float(value):
                claims[of["service"], of["country"], of["transition"]] = int(float(value))
    return claims


def expect_metrics(events: Events) -> Claims:
    """Those of the standing events, and how many of each place passed which stage."""
    claims: dict[tuple[str, ...], object] = {}
    counted: dict[tuple[str, ...], int] = defaultdict(int)
    for id, event in events.items():
        for kind in {change["kind"] for change in event["history"]}:
            if kind in ("opened", "confirmed", "closed", "retracted"):
                counted[event["service"], event["country"], kind] += 1
        if not standing(event):
            continue
        given = event["confidence"]
        uncertain = 0.1 if event["tier"] == "unconfirmed" else 0.5
        for asn in event["asns"]:
            claims[id, str(asn), "confidence"] = uncertain if given is None else given
        claims[id, "tier"], claims[id, "technique"] = event["tier"], event["technique"]
        for kind in ("agreeing", "total"):
            claims[id, "vantages", kind] = event["vantages"][kind]
    return claims | counted


_KEYS = {"services": ("id",), "countries": ("country",), "networks": ("country", "asn")}


def _open_in(name: str) -> Callable[[str], Claims]:
    """Reads the open events of a list of the API."""

    def read(body: str) -> Claims:
        rows = msgspec.json.decode(body)[name]
        return {
            tuple(str(row[key]) for key in _KEYS[name]): sorted(row["open_events"])
            for row in rows
            if row["open_events"]
        }

    return read


def _opened_by(name: str) -> Callable[[Events], Claims]:
    def expect(events: Events) -> Claims:
        found: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, event in sorted(events.items()):
            if event["state"] not in ("open", "clearing"):
                continue
            match name:
                case "services":
                    found[event["service"],].append(id)
                case "countries":
                    found[event["country"],].append(id)
                case _:
                    for asn in event["asns"]:
                        found[event["country"], str(asn)].append(id)
        return found

    return expect
