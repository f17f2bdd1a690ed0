# SPDX-License-Identifier: Apache-2.0
"""What an event concerns, in words: the functions of a service, and where.

Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

import msgspec

from monitor.detection.events.scope_in_time import at_once
from monitor.detection.model import Event
from monitor.text.language import _, current, n_
from monitor.text.network_names import network
from monitor.text.words import TABLES, country, number, plural
from probes.wire.measurement import function_of
from probes.wire.target import Service

FUNCTIONS, _EXTENTS = TABLES["functions"], TABLES["extents"]


NAMED = 2
"""Functions named in a few words; the others are counted."""


def subject(event: Event, service: str) -> str:
    """What is concerned: the functions by name or, where more than NAMED are measured there and all
    of them fail, their number. Of functions that nobody measures nothing is known, so the service
    alone is never the subject."""
    *first, last = [function(target) for target in event.targets]
    if first or _is_plural(event.targets[0]) or service.endswith(")"):
        # "Telegram's data centres is blocked" would be wrong, and so "Matrix (matrix.org)'s site".
        its = _("%(first)s and %(last)s", first=", ".join(first), last=last) if first else last
        if all_measured(event) and len(event.targets) > NAMED:
            n = len(event.targets)
            its = n_("all %(n)s function measured", "all %(n)s functions measured", n, n=number(n))
        return _bracketed(service, its)
    return _("%(service)s's %(functions)s", service=service, functions=last)


def common_subject(events: Collection[Event], service: str) -> str:
    """The same of several events of a service, which may concern different functions."""
    subjects = {subject(event, service) for event in events}
    return subjects.pop() if len(subjects) == 1 else _bracketed(service, _("some functions"))


def _bracketed(service: str, functions: str) -> str:
    """`Signal (API and calls)`; a name with a remark of its own keeps one pair of brackets: `Matrix
    (matrix.org, Element; messaging)`."""
    if service.endswith(")"):
        return f"{service[:-1]}; {functions})"
    return _("%(service)s (%(functions)s)", service=service, functions=functions)


def all_measured(event: Event) -> bool:
    """Whether none of the service's functions that are measured there is known to work."""
    return event.targets_measured <= len(event.targets)


def _is_plural(target: str) -> bool:
    name = function_of(target)
    return FUNCTIONS.get(name, name).endswith("s")


def function(target: str) -> str:
    """What people call a function of a service, from the id of its target."""
    return _function(target, current().language)


@functools.lru_cache(maxsize=4096)
def _function(target: str, _language: str) -> str:
    name = function_of(target)
    return _(FUNCTIONS[name]) if name in FUNCTIONS else name.replace("-", " ")


def functions(event: Event) -> str:
    """What is concerned, as the catalogue calls it: `messaging, web client`."""
    return ", ".join(function(target) for target in event.targets)


def scope(event: Event, *, networks: bool = True) -> str:
    """The subject in a few words, for a cell or a badge that stands for a service in a country, or
    in one network: `web client, 1 of 2 networks`."""
    parts = [function(target) for target in event.targets[:NAMED]]
    if more := event.targets[NAMED:]:
        parts += [_("%(n)s more", n=len(more))]
        if all_measured(event):
            parts = [plural(len(event.targets), "function")]
    if networks and event.networks_measured > len(event.asns):
        parts.append(
            _("%(n)s of %(total)s networks", n=len(event.asns), total=event.networks_measured)
        )
    return ", ".join(parts)


class Reached(msgspec.Struct, frozen=True):
    """How many of the conclusive measurements of a function, in the event's networks and about its
    time, reached it."""

    reached: int = 0
    judged: int = 0


class OtherFunctions(msgspec.Struct, frozen=True):
    """The service's functions that are no part of an event, in the catalogue's order. One that
    nobody measures there is not reachable: nothing is known of it."""

    measured: tuple[tuple[str, Reached], ...] = ()
    """By what people call them."""
    not_measured: tuple[str, ...] = ()


def other_functions(
    event: Event, service: Service | None, counts: Mapping[str, Reached]
) -> OtherFunctions:
    """What is known of them; `counts` by target."""
    targets = service.targets if service is not None else ()
    apart = [target.id for target in targets if target.id not in event.targets]
    known = [id for id in apart if id in counts and counts[id].judged]
    return OtherFunctions(
        tuple((function(id), counts[id]) for id in known),
        tuple(function(id) for id in apart if id not in known),
    )


def extent(word: str) -> str:
    """How much of the service."""
    return _(_EXTENTS.get(word, word))


def of_a_part(event: Event) -> bool:
    """Whether only a part of what is concerned is blocked. That it is so for a part of a network
    alone is said by `place`."""
    return event.extent == "partial" and "network_divided" not in event.against


def place(event: Event) -> str:
    """Where: `in one network in Russia`, `in one of two networks measured in Russia`."""
    blocked, measured = len(event.asns), event.networks_measured
    where = country(event.country)
    divided = "network_divided" in event.against
    if measured > blocked:
        values = {"part": number(blocked), "n": number(measured), "country": where}
        if divided:
            return n_(
                "in a part of %(part)s of %(n)s network measured in %(country)s",
                "in a part of %(part)s of %(n)s networks measured in %(country)s",
                measured,
                **values,
            )
        return n_(
            "in %(part)s of %(n)s network measured in %(country)s",
            "in %(part)s of %(n)s networks measured in %(country)s",
            measured,
            **values,
        )
    if divided:
        return n_(
            "in a part of %(n)s network in %(country)s",
            "in a part of %(n)s networks in %(country)s",
            blocked,
            n=number(blocked),
            country=where,
        )
    return in_networks(blocked, where)


def past_place(event: Event) -> str:
    """Where something ended: by name, if it was one network. How many are measured there now says
    nothing of then."""
    where = place(event)
    if len(event.asns) == 1 and "network_divided" not in event.against:
        named, land = network(event.asns[0]), country(event.country)
        where = _("in %(network)s (%(country)s)", network=named, country=land)
    elif not at_once(event, event.asns):
        return _("%(where)s, not in all at once,", where=where)
    if not at_once(event, event.targets):
        return _("%(where)s, not all functions at once,", where=where)
    return where


def in_networks(n: int, where: str) -> str:
    """`in one network in Russia`."""
    return n_(
        "in %(n)s network in %(country)s",
        "in %(n)s networks in %(country)s",
        n,
        n=number(n),
        country=where,
    )
