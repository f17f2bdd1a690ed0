# SPDX-License-Identifier: Apache-2.0
"""An event in sentences: headline, confidence, reasons for and against, history.

Pure. Every remark and gate of the detector has its text here, which a test checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.detection.model import Change, Event, EventState, Tier, Votes
from monitor.detection.policy import Policy
from monitor.store.notes import BY_OPERATOR, Note
from monitor.web.text.words import (
    GATES,
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
from monitor.web.text.words import TIERS as STATES_BY_TIER
from probes.wire.target import Service

AGAINST = {
    "control_by_other_networks": "In place of a control stand other networks of the same source, "
    "which reached the service meanwhile, and the rest of each run.",
    "failing_elsewhere": "It fails in other countries as well: the service itself may be faulty.",
    "few_vantages": "There are few vantages in these networks.",
    "network_divided": "Other vantages of the same network have reached the service all the time: "
    "if it is a block, it is one of a part of the network. That alone is never confirmed.",
    "no_control": "No control measured the service at the same time, so the service itself may "
    "be down.",
    "no_other_network": "No other network is known to have reached the service since: it may be "
    "the service's own outage.",
    "no_quorum_for_imports": "It rests on imported measurements, whose sources cannot be "
    "distinguished: they alone can never confirm it.",
    "one_network": "Only one network is affected.",
    "one_owner": "All vantages that see it belong to one owner.",
    "others_fail": "Unrelated hosts fail at the same vantages too, so it may be a fault in the "
    "network. It is not confirmed while they fail.",
    "untyped": "Only time-outs or the like were seen; a fault in the network looks the same.",
}
"""Remarks of `monitor.detection.sequence.series_summary.against`."""
TIERS = {Tier.CONFIRMED: "confirmed", Tier.LIKELY: "likely", Tier.UNCONFIRMED: "not confirmed"}
FUNCTIONS = {"web": "web client", "site": "website", "api": "API", "dc": "data centres"}
"""What people call functions of the catalogue whose id is no usual word."""
_TURNS = ("opened", "clearing", "again", "closed")
_EXTENTS = {"full": "all of it", "partial": "a part of it"}


def gate(word: str) -> str:
    """Why an event pages nobody, or was retracted."""
    if word == BY_OPERATOR:
        return "the operator of this monitor says so"
    return GATES.get(word, word.replace("_", " "))


def extent(word: str) -> str:
    """How much of the service."""
    return _EXTENTS.get(word, word)


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
        return "not called blocked"
    match event.state:
        case EventState.CLOSED:
            return "reachable again"
        case EventState.RETRACTED:
            return "retracted"
        case EventState.CLEARING:
            return "clearing"
    part = ", in part" if event.tier is Tier.CONFIRMED and event.extent == "partial" else ""
    return STATES_BY_TIER[event.tier] + part + (", reopened" if reopened(event) else "")


def reopened(event: Event) -> bool:
    """Whether the service became reachable during the event, and fails again."""
    last = next((each.kind for each in reversed(event.history) if each.kind in _TURNS), "")
    return event.state is EventState.OPEN and last == "again"


def scope(event: Event, now: int) -> str:
    """Share of vantages, sureness and time: the first line together with the headline."""
    votes = event.now if event.ongoing and event.now.total else Votes(event.agreeing, event.total)
    seen = f"{votes.agreeing} of {plural(votes.total, 'vantage')}"
    control = "control fine" if event.control == "ok" else "no control"
    tier = sentence(TIERS[event.tier])
    if event.state is EventState.CLEARING:
        tier = f"Clearing (was {TIERS[event.tier]})"
    elif reopened(event):
        tier += ", reopened"
    end = ended(event)
    if end is not None:
        length = duration_text(end - event.onset)
        return f"{tier}: {sentence(between(event.onset, end))} ({length})."
    length = duration_text(now - event.onset)
    return f"{tier}: {seen}, {control}; since {when(event.onset)} ({length})."


def manner(event: Event) -> str:
    """How it is blocked, in a sentence; of a retracted event why it was retracted."""
    how = technique(event.technique)
    if event.state is EventState.RETRACTED:
        why = f" because {gate(event.inhibited_by)}" if event.inhibited_by else ""
        return f"Retracted{why}. What had been seen: {how}."
    return f"{sentence(how)}."


def others(event: Event, service: Service | None) -> list[str]:
    """The service's functions that are no part of the event, in the catalogue's order."""
    targets = service.targets if service is not None else ()
    return [each.id.partition("/")[2] for each in targets if each.id not in event.targets]


def doubts(event: Event, apart: Sequence[str] = ()) -> list[str]:
    """Reasons against the event, in sentences; never empty. `apart` are the service's functions
    that are not part of it: the headline names the whole service."""
    sentences = [
        AGAINST.get(remark, sentence(remark.replace("_", " ")) + ".") for remark in event.against
    ]
    if missing := _unconfirmed(event):
        sentences.append(missing)
    silent = event.total - event.agreeing
    if silent > 0:
        sentences.append(
            f"{number(silent, True)} of {plural(event.total, 'vantage')} there did not see it."
        )
    if event.extent == "partial" and "network_divided" not in event.against:
        sentences.append("A part of the service is still reachable there.")
    if event.state is EventState.CLEARING:
        sentences.append(
            f"Now {event.now.agreeing} of {plural(event.now.total, 'vantage')} see it: most of "
            "those affected vantages can reach it again. It ends when that has lasted."
        )
    if apart:
        its = ", ".join(target.partition("/")[2] for target in event.targets)
        verb = "is" if len(apart) == 1 else "are"
        sentences.append(f"It is about {its}; {', '.join(apart)} {verb} unaffected.")
    if event.inhibited_by:
        if event.state is EventState.RETRACTED:
            said = "It was retracted"
        elif event.stands:
            said = "It stays, because it was confirmed before; but at present"
        else:
            said = "No alert is sent for it"
        sentences.append(f"{said}: {gate(event.inhibited_by)}.")
    return sentences or ["No measurement contradicts it."]


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
    owners = f"{number(policy.confirm_min_owners)} or {number(policy.confirm_most_owners)}"
    return (
        f"It is not confirmed: that needs vantages of {owners} owners in one network, and that it "
        f"holds for {duration_text(policy.ms(hold))}, by the times at which their measurements "
        "arrived as well."
    )


def reasons(event: Event) -> list[str]:
    """Reasons for the event, in sentences."""
    sentences = [
        f"{event.agreeing} of {plural(event.total, 'vantage')} in {networks(event)} saw it."
    ]
    owners = max((network.owners for network in event.networks), default=0)
    if owners > 1:
        sentences.append(f"They belong to {number(owners)} owners who measure independently.")
    if event.control == "ok":
        sentences.append("The control reached the service in the same rounds.")
    total = sum(n for _, n in event.rule_counts)
    if total:
        sentences.append(f"{plural(total, 'measurement')} since the onset failed this way.")
    if event.tier is Tier.CONFIRMED and event.confirmed is not None:
        sentences.append(f"It lasted and was confirmed on {when(event.confirmed)}.")
    return sentences


def terms(event: Event) -> list[tuple[str, str, int]]:
    """(term, words, tenths) of the bars beside the confidence."""
    share = round(10 * event.agreeing / event.total) if event.total else 0
    total = sum(n for _, n in event.rule_counts)
    return [
        ("agreement", f"{event.agreeing} of {plural(event.total, 'vantage')}", share),
        ("control", "fine" if event.control == "ok" else "none", 10 * (event.control == "ok")),
        ("repeatability", plural(total, "measurement"), min(10, total)),
        (
            "signature",
            "not typical" if "untyped" in event.against else "typical of interference",
            3 if "untyped" in event.against else 10,
        ),
    ]


def history(event: Event) -> list[tuple[int, str]]:
    """(round, sentence) of each entry, oldest first."""
    return [(change.round, _change(change)) for change in event.history]


def _change(change: Change) -> str:
    match change.kind:
        case "opened":
            how = f": {technique(change.note)}" if change.note else ""
            return f"First alarm{how}."
        case "likely":
            if change.note:
                return "Likely in a part of the network: vantages of several owners agree for long."
            return "Likely: enough vantages agree."
        case "confirmed":
            return "Confirmed: it lasted."
        case "clearing":
            return "Clearing: most of affected vantages can reach it again."
        case "again":
            return "It goes on: they fail again."
        case "closed":
            return "Ended: affected vantages can reach it again."
        case "retracted":
            return f"Retracted{': ' + gate(change.note) if change.note else ''}."
        case "changed":
            return sentence("; ".join(_part(part) for part in change.note.split(", "))) + "."
        case other:
            return f"{sentence(other)} {change.note}".strip() + "."


def _part(part: str) -> str:
    """One difference, as `monitor.detection.sequence.events` writes it."""
    before, arrow, after = part.partition(" -> ")
    if arrow:
        if after in _EXTENTS:
            return f"now {extent(after)} is affected"
        return f"the technique changed: {technique(after)} (before: {technique(before)})"
    thing = part[1:]
    what = f"the network {thing}" if thing.startswith("AS") else thing.partition("/")[2] or thing
    return f"{what} is affected too" if part[:1] == "+" else f"{what} is no longer affected"


def confidence_summary(event: Event) -> str:
    """`confirmed: 4 of 4 vantages, control fine`."""
    control = "control fine" if event.control == "ok" else "no control"
    now = ""
    if event.ongoing and event.now.total and event.now != Votes(event.agreeing, event.total):
        now = f" at its height, {event.now.agreeing} of {event.now.total} now"
    votes = f"{event.agreeing} of {plural(event.total, 'vantage')}{now}"
    return f"{TIERS[event.tier]}: {votes}, {control}"


def subject(event: Event, service: str) -> str:
    """What is concerned: the service, or its functions when others of it are measured there too."""
    if event.targets_measured <= len(event.targets):
        return service
    names = [target.partition("/")[2] for target in event.targets]
    its = [FUNCTIONS.get(name, name.replace("-", " ")) for name in names]
    return f"{service}'s {' and '.join([', '.join(its[:-1]), its[-1]] if its[1:] else its)}"


def functions(event: Event) -> str:
    """What is concerned, as the catalogue calls it: `messaging, web client`."""
    names = [target.partition("/")[2] for target in event.targets]
    return ", ".join(FUNCTIONS.get(name, name.replace("-", " ")) for name in names)


def place(event: Event) -> str:
    """Where: `in one network in Russia`, `in one of two networks measured in Russia`."""
    if event.networks_measured > len(event.asns):
        where = (
            f"{number(len(event.asns))} of {counted(event.networks_measured, 'network')} measured"
        )
    else:
        where = networks(event)
    return f"in {where} in {country(event.country)}"


def headline(event: Event, service: str) -> str:
    """The event in one sentence."""
    service, where = subject(event, service), place(event)
    if "network_divided" in event.against:
        where = where.replace("in ", "in a part of ", 1)
    match event.state, event.tier:
        case EventState.RETRACTED, Tier.UNCONFIRMED:
            return f"{service} seemed blocked {where} from one vantage; that was retracted."
        case EventState.RETRACTED, _:
            return f"{service} was wrongly called likely blocked {where}; that was retracted."
        case EventState.CLOSED, Tier.UNCONFIRMED:
            return f"{service} is reachable again {where} from the one vantage that failed."
        case EventState.CLOSED, _:
            return f"{service} is reachable again {where}."
        case EventState.CLEARING, Tier.CONFIRMED:
            return f"{service} is becoming reachable again {where}; the block has not ended yet."
        case _ if event.stands and reopened(event):
            return f"{service} is blocked again {where}."
        case _ if not event.stands:
            return f"{service} fails {where}, but is not called blocked."
        case _, Tier.CONFIRMED if event.extent == "partial":
            return f"A part of {service} is blocked {where}."
        case _, Tier.CONFIRMED:
            return f"{service} is blocked {where}."
        case _, Tier.LIKELY:
            return f"{service} is likely blocked {where}."
        case _:
            return f"{service} seems blocked {where}, seen from one vantage only."


def change_headline(event: Event, kind: str, service: str, note: Note | None = None) -> str:
    """A published change of state in one sentence; a retraction is a correction."""
    what, where = subject(event, service), place(event)
    match kind:
        case "opened":
            return f"{what} seems blocked {where}, seen from one vantage only."
        case "likely":
            return f"{what} is likely blocked {where}."
        case "confirmed":
            return f"{what} is blocked {where} (confirmed)."
        case "closed":
            length = duration_text((ended(event) or event.updated) - event.onset)
            return f"{what} is reachable again {where}, after {length}."
        case "retracted":
            why = f" {note.text}" if note is not None else ""
            return f"Correction: {what} was wrongly reported as blocked {where}.{why}"
        case "note" if note is not None:
            return f"Note on {what} {where}: {note.text}"
        case other:
            return f"{what} {where}: {other}."


def networks(event: Event) -> str:
    """`one network`, `three networks`."""
    return counted(len(event.asns), "network")


def overview(
    opened: Sequence[Event], names: Mapping[str, str], online: int, countries: int, age: str
) -> str:
    """The sentence at the top of the first page, from the open events that nothing inhibits.
    `names` are what people call the services."""
    confirmed = [event for event in opened if event.tier is Tier.CONFIRMED]
    likely = [event for event in opened if event.tier is Tier.LIKELY]
    watching = (
        f"{counted(online, 'vantage', True)} in "
        f"{number(countries)} countr{'ies' if countries != 1 else 'y'} "
        f"{'are' if online != 1 else 'is'} watching"
        if online
        else "No vantage is online"
    )
    if not confirmed and not likely and not online:
        return f"No vantage is online; the last measurement came {age} ago."
    if len(likely) == 1 and not confirmed:
        text = headline(likely[0], names.get(likely[0].service, likely[0].service))
        return f"No confirmed block, but {text}"
    if likely and not confirmed:
        return f"No confirmed block, but {number(len(likely))} that are likely. {watching}."
    if not confirmed:
        return f"No confirmed block. {watching}; the last measurement came {age} ago."
    places = {(event.country, asn) for event in confirmed for asn in event.asns}
    lands = sorted({event.country for event in confirmed})
    networks = counted(len(places), "network")
    where = (
        f"{networks} in {country(lands[0])}"
        if len(lands) == 1
        else f"{networks} of {number(len(lands))} countries"
    )
    services = sorted({event.service for event in confirmed})
    if len(confirmed) == 1:
        return headline(confirmed[0], names.get(services[0], services[0]))
    if len(services) == 1:
        name = names.get(services[0], services[0])
        part = all(event.extent == "partial" for event in confirmed)
        return f"{'A part of ' if part else ''}{name} is blocked in {where}."
    return f"{number(len(services), True)} services are blocked in {where}."
