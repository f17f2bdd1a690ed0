# SPDX-License-Identifier: Apache-2.0
"""An event in sentences: headline, confidence, reasons for and against, history.

Pure. Every remark and gate of the detector has its text here, which a test checks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.model import BY_OPERATOR, Change, Event, EventState, Tier, Votes
from monitor.detection.policy import Policy
from monitor.store.notes import Note
from monitor.text.language import _, n_
from monitor.text.words import (
    GATES,
    TABLES,
    TIER_KINDS,
    between,
    counted,
    country,
    duration_text,
    number,
    plural,
    sentence,
    technique,
    when,
)
from probes.wire.target import Service

AGAINST, TIERS = TABLES["against"], TABLES["sureness"]
FUNCTIONS, _EXTENTS = TABLES["functions"], TABLES["extents"]
_TURNS = ("opened", "clearing", "again", "closed")
_REOPENED_SECONDS = 24 * 3600


def gate(word: str) -> str:
    """Why an event pages nobody, or was retracted."""
    if word == BY_OPERATOR:
        return _("the operator of this monitor says so")
    return _(GATES[word]) if word in GATES else word.replace("_", " ")


def extent(word: str) -> str:
    """How much of the service."""
    return _(_EXTENTS.get(word, word))


def ended(event: Event) -> int | None:
    """When an event ended; None while it is open."""
    if event.ongoing:
        return None
    return event.closed if event.closed is not None else event.updated


def mark_kind(event: Event) -> str:
    """How the mark of an event looks. A confirmed block of some functions is as solid as one of
    all: what is blocked is blocked."""
    if event.ongoing and not event.stands:
        return "inconclusive"
    match event.state:
        case EventState.CLOSED:
            return "ok"
        case EventState.RETRACTED:
            return "inconclusive"
        case EventState.CLEARING:
            return "clearing"
    return TIER_KINDS[event.tier]


def state_word(event: Event) -> str:
    """The state of an event in a few words: `blocked (confirmed)`, `reachable again`."""
    if event.ongoing and not event.stands:
        return _("not called blocked")
    match event.state:
        case EventState.CLOSED:
            return _("reachable again")
        case EventState.RETRACTED:
            return _("retracted")
        case EventState.CLEARING:
            return _("clearing")
    word = tier_word(event)
    if event.tier is Tier.CONFIRMED and event.extent == "partial":
        word = _("%(state)s, in part", state=word)
    return _("%(state)s, reopened", state=word) if reopened(event) else word


def tier_word(event: Event) -> str:
    """What an open event is called for its tier: `blocked (confirmed)`, `likely throttled`."""
    tier = _tier(event)
    slow = TABLES["throttled_tiers"] if _effect(event) == "throttled" else {}
    return _(slow.get(tier) or TABLES["tiers"][tier])


def _tier(event: Event) -> str:
    """The tier; of an unconfirmed event that several vantages see, what they lack."""
    if event.tier is not Tier.UNCONFIRMED or event.agreeing < 2:
        return event.tier
    owners = max((network.owners for network in event.networks), default=0)
    return "one_owner" if owners == 1 else "few"


def reopened(event: Event) -> bool:
    """Whether the service became reachable during the event and fails again, for less than a day:
    after that what matters is that it fails."""
    last = next((each for each in reversed(event.history) if each.kind in _TURNS), None)
    if event.state is not EventState.OPEN or last is None or last.kind != "again":
        return False
    return event.updated - last.round < Policy(pace=event.pace).ms(_REOPENED_SECONDS)


def scope(event: Event, now: int) -> str:
    """Share of vantages, sureness and time: the first line together with the headline."""
    votes = event.now if event.ongoing and event.now.total else Votes(event.agreeing, event.total)
    tier = sentence(_(TIERS[event.tier]))
    if event.state is EventState.CLEARING:
        tier = _("Clearing (was %(state)s)", state=_(TIERS[event.tier]))
    elif event.state is EventState.RETRACTED:
        tier = sentence(_retracted(event))
    elif reopened(event):
        tier = _("%(state)s, reopened", state=tier)
    end = ended(event)
    if end is not None:
        if event.state is EventState.CLOSED:
            # The headline says that it is reachable again; "confirmed" alone would be said of that.
            tier = _("Was %(state)s", state=tier_word(event))
        return _(
            "%(state)s: %(seen)s, %(control)s; %(time)s (%(length)s).",
            state=tier,
            seen=seen(votes.agreeing, votes.total),
            control=_control(event),
            time=between(event.onset, end),
            length=duration_text(end - event.onset),
        )
    return _(
        "%(state)s: %(seen)s, %(control)s; since %(time)s (%(length)s).",
        state=tier,
        seen=seen(votes.agreeing, votes.total),
        control=_control(event),
        time=when(event.onset),
        length=duration_text(now - event.onset),
    )


def _retracted(event: Event) -> str:
    return _("retracted (was %(state)s)", state=_(TIERS[event.tier]))


def seen(agreeing: int, total: int) -> str:
    """`3 of 4 vantages`."""
    return n_(
        "%(agreeing)s of %(n)s vantage", "%(agreeing)s of %(n)s vantages", total, agreeing=agreeing
    )


def _control(event: Event) -> str:
    return _("control fine") if event.control == "ok" else _("no control")


def manner(event: Event) -> str:
    """How it is blocked, in a sentence; of a retracted event why it was retracted."""
    how = technique(event.technique)
    if event.state is EventState.RETRACTED:
        if event.inhibited_by:
            why = gate(event.inhibited_by)
            return _("Retracted because %(why)s. What had been seen: %(how)s.", why=why, how=how)
        return _("Retracted. What had been seen: %(how)s.", how=how)
    return f"{sentence(how)}."


def others(event: Event, service: Service | None) -> list[str]:
    """The service's functions that are no part of the event, in the catalogue's order."""
    targets = service.targets if service is not None else ()
    return [function(each.id) for each in targets if each.id not in event.targets]


def doubts(event: Event, apart: Sequence[str] = ()) -> list[str]:
    """Reasons against the event, in sentences; never empty. `apart` are the service's functions
    that are not part of it: the headline names the whole service."""
    sentences = [
        _(AGAINST[remark]) if remark in AGAINST else sentence(remark.replace("_", " ")) + "."
        for remark in event.against
    ]
    if missing := _unconfirmed(event):
        sentences.append(missing)
    silent = event.total - event.agreeing
    if silent > 0:
        sentences.append(
            n_(
                "%(silent)s of %(n)s vantage there did not see it.",
                "%(silent)s of %(n)s vantages there did not see it.",
                event.total,
                silent=number(silent, True),
            )
        )
    if of_a_part(event):
        sentences.append(_("A part of the service is still reachable there."))
    if event.state is EventState.CLEARING:
        sentences.append(
            _(
                "Now %(seen)s see it: most of those affected vantages can reach it again. It ends "
                "when that has lasted.",
                seen=seen(event.now.agreeing, event.now.total),
            )
        )
    if apart:
        sentences.append(
            _(
                "Affected: %(its)s; unaffected: %(others)s.",
                its=functions(event),
                others=", ".join(apart),
            )
        )
    if event.inhibited_by:
        why = gate(event.inhibited_by)
        if event.state is EventState.RETRACTED:
            said = _("It was retracted: %(why)s.", why=why)
        elif event.stands:
            said = _("It stays, because it was confirmed before; but at present: %(why)s.", why=why)
        else:
            said = _("No alert is sent for it: %(why)s.", why=why)
        sentences.append(said)
    return sentences or [_("No measurement contradicts it.")]


def _unconfirmed(event: Event) -> str:
    """What a likely event lacks for confirmation; empty for others, and where it can never be
    confirmed."""
    never = {"no_quorum_for_imports", "network_divided"} & set(event.against)
    waits = event.state is EventState.OPEN and event.tier is Tier.LIKELY
    if never or not waits or event.inhibited_by:
        return ""
    policy = Policy(pace=event.pace)
    untyped = "untyped" in event.against
    hold = policy.confirm_plain_seconds if untyped else policy.confirm_signature_seconds
    return _(
        "It is not confirmed: that needs vantages of %(few)s to %(many)s owners in one network, "
        "and that it holds for %(time)s, by the times at which their measurements arrived as well.",
        few=number(policy.confirm_min_owners),
        many=number(policy.confirm_most_owners),
        time=duration_text(policy.ms(hold)),
    )


def reasons(event: Event) -> list[str]:
    """Reasons for the event, in sentences."""
    sentences = [
        n_(
            "%(seen)s in %(n)s network saw it.",
            "%(seen)s in %(n)s networks saw it.",
            len(event.asns),
            n=number(len(event.asns)),
            seen=seen(event.agreeing, event.total),
        )
    ]
    owners = max((network.owners for network in event.networks), default=0)
    if owners > 1:
        sentences.append(
            _("They belong to %(n)s owners who measure independently.", n=number(owners))
        )
    if event.control == "ok":
        sentences.append(_("The control reached the service in the same rounds."))
    total = sum(n for _, n in event.rule_counts)
    if total:
        sentences.append(
            n_(
                "%(n)s measurement since the onset failed this way.",
                "%(n)s measurements since the onset failed this way.",
                total,
            )
        )
    if event.tier is Tier.CONFIRMED and event.confirmed is not None:
        sentences.append(_("It lasted and was confirmed on %(time)s.", time=when(event.confirmed)))
    return sentences


def terms(event: Event) -> list[tuple[str, str, int]]:
    """(term, words, tenths) of the bars beside the confidence."""
    share = round(10 * event.agreeing / event.total) if event.total else 0
    total = sum(n for _, n in event.rule_counts)
    return [
        (_("agreement"), seen(event.agreeing, event.total), share),
        (
            _("control"),
            _("fine") if event.control == "ok" else _("none"),
            10 * (event.control == "ok"),
        ),
        (_("repeatability"), plural(total, "measurement"), min(10, total)),
        (
            _("signature"),
            _("not typical") if "untyped" in event.against else _("typical of interference"),
            3 if "untyped" in event.against else 10,
        ),
    ]


def history(event: Event) -> list[tuple[int, str]]:
    """(round, sentence) of each entry, oldest first."""
    return [(change.round, _change(change)) for change in event.history]


def _change(change: Change) -> str:
    match change.kind:
        case "opened":
            if change.note:
                return _("First alarm: %(how)s.", how=technique(change.note))
            return _("First alarm.")
        case "likely":
            if change.note:
                return _(
                    "Likely in a part of the network: vantages of several owners agree for long."
                )
            return _("Likely: enough vantages agree.")
        case "confirmed":
            return _("Confirmed: it lasted.")
        case "clearing":
            return _("Clearing: most of affected vantages can reach it again.")
        case "again":
            return _("It goes on: they fail again.")
        case "closed":
            return _("Ended: affected vantages can reach it again.")
        case "retracted":
            if change.note:
                return _("Retracted: %(why)s.", why=gate(change.note))
            return _("Retracted.")
        case "changed":
            return sentence("; ".join(_part(part) for part in change.note.split(", "))) + "."
        case other:
            return f"{sentence(other)} {change.note}".strip() + "."


def _part(part: str) -> str:
    """One difference, as `monitor.detection.events.lifecycle` writes it."""
    before, arrow, after = part.partition(" -> ")
    if arrow:
        if after in _EXTENTS:
            return _("now %(extent)s is affected", extent=extent(after))
        return _(
            "the technique changed: %(after)s (before: %(before)s)",
            after=technique(after),
            before=technique(before),
        )
    thing = part[1:]
    if thing.startswith("AS"):
        what = _("the network %(name)s", name=thing)
    else:
        what = function(thing) if "/" in thing else thing
    if part[:1] == "+":
        return _("%(what)s is affected too", what=what)
    return _("%(what)s is no longer affected", what=what)


def confidence_summary(event: Event) -> str:
    """`confirmed: 4 of 4 vantages, control fine`."""
    tier = _(TIERS[event.tier])
    if event.state is EventState.RETRACTED:
        tier = _retracted(event)
    votes = seen(event.agreeing, event.total)
    if event.ongoing and event.now.total and event.now != Votes(event.agreeing, event.total):
        votes = _(
            "%(seen)s at the peak, %(n)s of %(total)s now",
            seen=votes,
            n=event.now.agreeing,
            total=event.now.total,
        )
    return _(
        "%(state)s: %(seen)s, %(control)s",
        state=tier,
        seen=votes,
        control=_control(event),
    )


def subject(event: Event, service: str) -> str:
    """What is concerned: the service, or its functions when others of it are measured there too."""
    if event.targets_measured <= len(event.targets):
        return service
    *first, last = [function(target) for target in event.targets]
    if first or _is_plural(event.targets[0]):
        # "Telegram's data centres is blocked" would be wrong.
        its = _("%(first)s and %(last)s", first=", ".join(first), last=last) if first else last
        return _("%(service)s (%(functions)s)", service=service, functions=its)
    return _("%(service)s's %(functions)s", service=service, functions=last)


def _is_plural(target: str) -> bool:
    name = target.partition("/")[2]
    return FUNCTIONS.get(name, name).endswith("s")


def function(target: str) -> str:
    """What people call a function of a service, from the id of its target."""
    name = target.partition("/")[2]
    return _(FUNCTIONS[name]) if name in FUNCTIONS else name.replace("-", " ")


def of_a_part(event: Event) -> bool:
    """Whether only a part of what is concerned is blocked. That it is so for a part of a network
    alone is said by `place`."""
    return event.extent == "partial" and "network_divided" not in event.against


def functions(event: Event) -> str:
    """What is concerned, as the catalogue calls it: `messaging, web client`."""
    return ", ".join(function(target) for target in event.targets)


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
    match event.state, event.tier:
        case EventState.RETRACTED | EventState.CLOSED, Tier.UNCONFIRMED:
            return f"{event.state}_single"
        case EventState.RETRACTED, Tier.CONFIRMED:
            return "retracted_confirmed"
        case EventState.RETRACTED | EventState.CLOSED, _:
            return event.state
        case EventState.CLEARING, Tier.CONFIRMED:
            return "clearing"
        case _ if event.stands and reopened(event):
            return "again"
        case _ if not event.stands:
            return "inhibited"
        case _, Tier.CONFIRMED if of_a_part(event):
            return "part"
    return _tier(event)


def _headline(event: Event, service: str, situation: str, where: str = "", **values: str) -> str:
    text = TABLES[f"{_effect(event)}_headlines"][situation]
    return _(text, service=subject(event, service), where=where or place(event), **values)


def _effect(event: Event) -> str:
    """`throttled` or `blocked`: a service that is slow is not called blocked."""
    return "throttled" if event.technique.startswith("throttle.") else "blocked"


def change_headline(event: Event, kind: str, service: str, note: Note | None = None) -> str:
    """A published change of state in one sentence; a retraction is a correction."""
    match kind:
        case "opened":
            return _headline(event, service, "unconfirmed")
        case "likely":
            return _headline(event, service, "likely")
        case "confirmed":
            return _headline(event, service, "announced")
        case "closed":
            length = duration_text((ended(event) or event.updated) - event.onset)
            return _headline(event, service, "ended", length=length)
        case "retracted":
            said = _headline(event, service, "correction")
            return f"{said} {note.text}" if note is not None else said
    about = {"service": subject(event, service), "where": place(event)}
    if kind == "note" and note is not None:
        return _("Note on %(service)s %(where)s: %(text)s", text=note.text, **about)
    return f"{about['service']} {about['where']}: {kind}."


def overview(
    opened: Sequence[Event], names: Mapping[str, str], online: int, countries: int, age: str
) -> str:
    """The sentence at the top of the first page, from the open events that nothing inhibits.
    `names` are what people call the services."""
    confirmed = [event for event in opened if event.tier is Tier.CONFIRMED]
    likely = [event for event in opened if event.tier is Tier.LIKELY]
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
    return n_(
        "%(n)s service is blocked %(where)s.",
        "%(n)s services are blocked %(where)s.",
        len(services),
        n=number(len(services), True),
        where=where,
    )


def blocked_somewhere(confirmed: Sequence[Event], service: str, where: str) -> str:
    """A service is blocked, or a part of it; `where` as `place` says it."""
    slow = {_effect(event) for event in confirmed} == {"throttled"}
    texts = TABLES["throttled_headlines" if slow else "blocked_headlines"]
    situation = "part" if all(map(of_a_part, confirmed)) else "confirmed"
    return _(texts[situation], service=service, where=where)


def in_networks(n: int, where: str) -> str:
    """`in one network in Russia`."""
    return n_(
        "in %(n)s network in %(country)s",
        "in %(n)s networks in %(country)s",
        n,
        n=number(n),
        country=where,
    )
