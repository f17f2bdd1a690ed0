# SPDX-License-Identifier: Apache-2.0
"""What an event is called: its state and its tier in a few words, and the mark that it gets.

Pure. Every gate of the detector has its text here, which a test checks.
"""

from __future__ import annotations

from monitor.detection.events import life
from monitor.detection.events.life import Stage
from monitor.detection.model import BY_OPERATOR, OWN_SOURCE, Event, EventState, Tier
from monitor.detection.policy import Policy
from monitor.text.language import _
from monitor.text.words import GATES, TABLES, TIER_KINDS, duration_text

_REOPENED_SECONDS = 24 * 3600


def gate(word: str) -> str:
    """Why an event pages nobody, or was retracted."""
    if word == BY_OPERATOR:
        return _("the operator of this monitor says so")
    return _(GATES[word]) if word in GATES else word.replace("_", " ")


def ended(event: Event) -> int | None:
    """When what an event tells ended, as far as is known: at the latest in the round that reached
    the service again, which is earlier than the event was closed, or when the operator retracted
    it. None while it is open."""
    if event.ongoing:
        return None
    if event.state is EventState.CLOSED and event.ended_latest is not None:
        return event.ended_latest
    if event.closed is not None:
        return event.closed
    return event.updated if event.ended_latest is None else event.ended_latest


def data_end(event: Event) -> int | None:
    """Where the data of an import end that do not say that a block ended; None of other events:
    nothing is known of the time since, however long ago it is."""
    spans = [span for network in event.networks for span in network.spans]
    if event.source == OWN_SOURCE or not event.ongoing or not spans:
        return None
    return max(max(last, again) for _first, last, again in spans)


def last_failure(event: Event) -> int | None:
    """The newest round in which an event was seen; None where that is not known."""
    return max((network.seen for network in event.networks), default=0) or None


def length(event: Event) -> str:
    """How long an ended event lasted: `2 h 5 min`, or a range where rounds leave it open."""
    end = ended(event) or event.updated
    most = end - event.onset_earliest
    if event.ended_earliest is None or event.state is not EventState.CLOSED:
        return duration_text(end - event.onset)
    least = max(0, event.ended_earliest - event.onset_latest)
    shortest, longest = duration_text(least), duration_text(most)
    if shortest == longest:
        return longest
    return _("%(shortest)s to %(longest)s", shortest=shortest, longest=longest)


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
    tier = tier_id(event)
    slow = TABLES["throttled_tiers"] if effect(event) == "throttled" else {}
    return _(slow.get(tier) or TABLES["tiers"][tier])


def tier_id(event: Event) -> str:
    """The tier; of an unconfirmed event that several vantages see, what they lack."""
    if event.tier is not Tier.UNCONFIRMED or event.agreeing < 2:
        return event.tier
    owners = max((network.owners for network in event.rests_on), default=0)
    return "one_owner" if owners == 1 else "few"


def effect(event: Event) -> str:
    """`throttled` or `blocked`: a service that is slow is not called blocked."""
    return "throttled" if event.technique.startswith("throttle.") else "blocked"


def reopened(event: Event) -> bool:
    """Whether the service became reachable during the event and fails again, for less than a day:
    after that what matters is that it fails."""
    turn = life.last_turn(event)
    if turn is None or life.position_of(event).course is not Stage.REOPENED:
        return False
    return event.updated - turn.round < Policy(pace=event.pace).ms(_REOPENED_SECONDS)
