# SPDX-License-Identifier: Apache-2.0
"""The confidence of an event in words: its percentage and its terms. Pure; the weights are in
`monitor.detection.sequence.confidence`.
"""

from __future__ import annotations

import math

from monitor.detection.model import OWN_SOURCE, Event, EventState, Tier
from monitor.detection.sequence import confidence
from monitor.detection.sequence.confidence import HELD_MOST, Term

_WORDS = {
    "signature": "vantages of one owner saw a signature not seen in ordinary faults",
    "signatures": "vantages of two owners saw signatures not seen in ordinary faults",
    "two_hours": "for more than two hours",
    "three_hours": "for more than three hours",
    "four_hours": "for four hours or longer",
    "signatures_fresh": "and that half an hour ago or less",
    "signatures_half": "and half of the vantages there agree, or more",
    "signatures_all": "and nearly all vantages there agree",
    "networks": "several networks of the country are affected",
    "three": "three vantages or more agree",
    "half": "half of the vantages there agree, or more",
    "nearly_all": "nearly all vantages there agree",
    "nobody": "no vantage sees it now",
    "dense": "nearly all measurements of those that see it fail",
    "dense_half_hour": "and have for half an hour or longer",
    "others_fail": "unrelated hosts fail there too",
    "inhibited": "something else may explain it at present",
}
_TIERS = {
    Tier.UNCONFIRMED: "one vantage alone raised an alarm",
    Tier.LIKELY: "enough vantages agreed",
    Tier.CONFIRMED: "it was confirmed",
}
MEANING = (
    "Of 100 events that look like this one, so many were blocks, in the simulation that the "
    "figure was fitted to. It assumes one new block of a service in a country a year; "
    "where blocks are rarer, so is the truth of such an event."
)


def percentage(event: Event) -> str:
    """`97.3 %`; empty when there is no figure."""
    per_mille = confidence.probability(event)
    return "" if per_mille is None else f"{per_mille / 10:g} %"


def no_percentage_reason(event: Event) -> str:
    """Why there is no figure."""
    if event.state is EventState.RETRACTED:
        return "It was retracted."
    if event.source == OWN_SOURCE:
        return "A network that is blocked in parts has no figure: the simulation contained none."
    return "Imported measurements have no figure: nothing is known of how often they mislead."


def terms_text(event: Event) -> list[tuple[str, str]]:
    """(term, how it changes the odds of a block), in the order of the terms."""
    return [(_term_text(event, term), _odds_text(term)) for term in confidence.terms(event)]


def _term_text(event: Event, term: Term) -> str:
    if term.name == "tier":
        return _TIERS[event.tier]
    if not term.name.startswith("held"):
        return _WORDS[term.name]
    minutes = term.value * 10
    least = "at least " if term.value == HELD_MOST else ""
    how = {"held_signed": "", "held_many": " without a signature", "held_few": " with few of them"}
    return f"this was {least}{minutes} minutes after it rose{how[term.name]}"


def _odds_text(term: Term) -> str:
    """A factor of the odds in words; that of the tier is the starting point."""
    factor = math.exp(abs(term.logits) / 1000)
    round_one = f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"
    if term.name == "tier":
        return f"odds of {round_one} to 1 {'for' if term.logits > 0 else 'against'} a block"
    if round_one == "1.0":
        return "changes little"
    return f"{round_one} times {'better' if term.logits > 0 else 'worse'} odds"
