# SPDX-License-Identifier: Apache-2.0
"""Events in one sentence each: headlines, and the sentence at the top of the first page.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.events.present import confirmed_open
from monitor.detection.model import ChangeKind, Event, EventState, Tier
from monitor.store.notes import NOTE, Note
from monitor.text.event_state import data_end, effect, ended, length, reopened, tier_id
from monitor.text.event_subject import (
    common_subject,
    in_networks,
    of_a_part,
    past_place,
    place,
    subject,
)
from monitor.text.language import _, n_
from monitor.text.words import TABLES, between, counted, country, number, sentence


def headline(event: Event, service: str) -> str:
    """The event in one sentence."""
    return _headline(event, service, _situation(event))


def headline_in(event: Event, service: str, asns: Collection[int], where: str) -> str:
    """The same of some of its networks, with the functions that are concerned in them; `where` as
    `place` says it."""
    # A function that is less sure here is not what the event says of other networks.
    here = {each.target for each in event.networks if each.asn in asns and each.tier is event.tier}
    if targets := tuple(target for target in event.targets if target in here):
        event = replace(event, targets=targets)
    return _headline(event, service, _situation(event), where)


def _situation(event: Event) -> str:
    """Which headline fits, as an id of `words.toml`."""
    if data_end(event) is not None and event.stands and event.tier is not Tier.CONFIRMED:
        return f"data_end_{event.tier}"
    match event.state, event.tier:
        case EventState.RETRACTED, Tier.UNCONFIRMED if event.agreeing > 1:
            return "retracted_few"
        case EventState.CLOSED, Tier.CONFIRMED if of_a_part(event):
            return "closed_part"
        case EventState.RETRACTED, _:
            return f"retracted_{event.tier}"
        case EventState.CLOSED, _:
            return f"closed_{tier_id(event)}"
        case EventState.CLEARING, Tier.CONFIRMED:
            return "clearing"
        case _ if event.stands and reopened(event):
            return "again"
        case _ if not event.stands:
            return "inhibited"
        case _, Tier.CONFIRMED if of_a_part(event):
            return "part"
    return tier_id(event)


def _headline(event: Event, service: str, situation: str, where: str = "", **values: str) -> str:
    text = TABLES[f"{effect(event)}_headlines"][situation]
    time = between(event.onset, ended(event) or data_end(event) or event.updated)
    where = where or (past_place if situation.startswith("closed_") else place)(event)
    return _(text, service=subject(event, service), where=where, time=time, **values)


def change_headline(event: Event, kind: str, service: str, note: Note | None = None) -> str:
    """A published change of state in one sentence; a retraction is a correction."""
    match kind:
        case ChangeKind.OPENED:
            # Of a surer event it is not known how many saw it then.
            alone = event.tier is Tier.UNCONFIRMED
            return _headline(event, service, tier_id(event) if alone else "opened")
        case ChangeKind.LIKELY:
            return _headline(event, service, "likely")
        case ChangeKind.CONFIRMED:
            return _headline(event, service, "announced")
        case ChangeKind.CLOSED:
            return _headline(event, service, "ended", length=length(event))
        case ChangeKind.CLEARING | ChangeKind.AGAIN:
            return _headline(event, service, kind)
        case ChangeKind.RETRACTED:
            said = _headline(event, service, "correction")
            return f"{said} {note.text}" if note is not None else said
    about = {"service": subject(event, service), "where": place(event)}
    if kind == NOTE and note is not None:
        return _("Note on %(service)s %(where)s: %(text)s", text=note.text, **about)
    return f"{about['service']} {about['where']}: {kind}."


def with_lost(text: str, told: Sequence[Event], lost: Collection[str]) -> str:
    """A headline about open events, and whether nobody measures some of them now; `lost` are the
    ids of these."""
    n = sum(event.id in lost and data_end(event) is None for event in told)
    if not n:
        return text
    if len(told) == 1:
        return f"{text} {_('Nobody measures it there now.')}"
    added = _(
        "For %(n)s of these %(total)s events nothing is measured now.",
        n=number(n),
        total=number(len(told)),
    )
    return f"{text} {added}"


def overview(
    opened: Sequence[Event],
    names: Mapping[str, str],
    online: int,
    countries: int,
    age: str,
    lost: Collection[str] = (),
) -> str:
    """What stands at the top of the first page, from the open events that nothing inhibits.
    `names` are what people call the services, `lost` the ids of events that nobody measures
    now."""
    confirmed = confirmed_open(opened)
    likely = [event for event in opened if event.tier is Tier.LIKELY]
    text = _overview(confirmed, likely, names, online, countries, age)
    return with_lost(text, confirmed or likely, lost)


def _overview(
    confirmed: Sequence[Event],
    likely: Sequence[Event],
    names: Mapping[str, str],
    online: int,
    countries: int,
    age: str,
) -> str:
    watching = _("No vantage is online")
    if online:
        watching = n_(
            "%(n)s vantage in %(countries)s is watching",
            "%(n)s vantages in %(countries)s are watching",
            online,
            n=number(online, True),
            countries=counted(countries, "country"),
        )
    if not confirmed and not likely and not online:
        return _("No vantage is online; the last measurement came %(time)s ago.", time=age)
    if len(likely) == 1 and not confirmed:
        text = headline(likely[0], names.get(likely[0].service, likely[0].service))
        return _("No confirmed block, but %(event)s", event=text)
    if likely and not confirmed:
        return n_(
            "No confirmed block, but %(n)s that is likely. %(watching)s.",
            "No confirmed block, but %(n)s that are likely. %(watching)s.",
            len(likely),
            n=number(len(likely)),
            watching=watching,
        )
    if not confirmed:
        return _(
            "No confirmed block. %(watching)s; the last measurement came %(time)s ago.",
            watching=watching,
            time=age,
        )
    places = {(event.country, asn) for event in confirmed for asn in event.asns}
    lands = sorted({event.country for event in confirmed})
    if len(lands) == 1:
        where = in_networks(len(places), country(lands[0]))
    else:
        where = n_(
            "in %(n)s network of %(countries)s countries",
            "in %(n)s networks of %(countries)s countries",
            len(places),
            n=number(len(places)),
            countries=number(len(lands)),
        )
    services = sorted({event.service for event in confirmed})
    if len(confirmed) == 1:
        return headline(confirmed[0], names.get(services[0], services[0]))
    if len(services) == 1:
        name = names.get(services[0], services[0])
        return blocked_somewhere(confirmed, name, where)
    return services_blocked(confirmed, where)


def services_blocked(confirmed: Sequence[Event], where: str) -> str:
    """How many services are blocked, or becoming reachable again where all of them are."""
    services = len({event.service for event in confirmed})
    if _all_clearing(confirmed):
        return n_(
            "%(n)s service is becoming reachable again %(where)s.",
            "%(n)s services are becoming reachable again %(where)s.",
            services,
            n=number(services, True),
            where=where,
        )
    return n_(
        "%(n)s service is blocked %(where)s.",
        "%(n)s services are blocked %(where)s.",
        services,
        n=number(services, True),
        where=where,
    )


def _all_clearing(events: Sequence[Event]) -> bool:
    return all(event.state is EventState.CLEARING for event in events)


def in_range(
    events: Sequence[Event],
    names: Mapping[str, str],
    what: str,
    time: str,
    *,
    measured: bool,
) -> str:
    """What is known of a `time` of the past (`from … to …`), from the events that lasted in it, the
    surest first; `what` is a service or a place, and `measured` whether anything was."""
    if not events and not measured:
        return _("%(what)s %(time)s: nothing was measured.", what=sentence(what), time=time)
    if not events:
        return _("%(what)s %(time)s: no known blocks.", what=sentence(what), time=time)
    first = headline(events[0], names.get(events[0].service, events[0].service))
    if len(events) == 1:
        return first
    return n_(
        "%(event)s %(what)s %(time)s: %(n)s more event.",
        "%(event)s %(what)s %(time)s: %(n)s more events.",
        len(events) - 1,
        n=number(len(events) - 1),
        event=first,
        what=sentence(what),
        time=time,
    )


def blocked_somewhere(confirmed: Sequence[Event], service: str, where: str) -> str:
    """Functions of a service are blocked, or a part of them; `where` as `place` says it."""
    slow = {effect(event) for event in confirmed} == {"throttled"}
    texts = TABLES["throttled_headlines" if slow else "blocked_headlines"]
    situation = "part" if all(map(of_a_part, confirmed)) else "confirmed"
    if _all_clearing(confirmed):
        situation = "clearing"
    return _(texts[situation], service=common_subject(confirmed, service), where=where)
