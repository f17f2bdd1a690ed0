# SPDX-License-Identifier: Apache-2.0
"""The confidence of an event in words: its percentage and its terms. Pure; the weights are in
`monitor.detection.events.confidence`.
"""

from __future__ import annotations

import math

from monitor.detection.events import confidence
from monitor.detection.events.confidence import Term
from monitor.detection.events.sources import strategy_of
from monitor.detection.model import Event, EventState, Tier
from monitor.text.language import _
from monitor.text.words import TABLES

MEANING = (
    "The share of events like this one that were blocks, in the simulation to which the model was "
    "fitted. It assumes one new block of a service in a country a year; where blocks are rarer, "
    "fewer such events are blocks."
)
MEANING_HELD_DOWN = (
    "The least share of events like this one that the simulation supports where another "
    "explanation fits. How often that explanation occurs is not known, so far more of them may be "
    "blocks."
)


def meaning(event: Event) -> str:
    """What the percentage of an event is a share of."""
    return _(MEANING_HELD_DOWN if _is_least(event) else MEANING)


def _is_least(event: Event) -> bool:
    """Whether the figure is only the least that the simulation supports."""
    return confidence.is_doubted(event) and confidence.is_held_down(event)


def percentage(event: Event) -> str:
    """`97.3 %`, `at least 10 %`; empty when there is no figure."""
    per_mille = confidence.probability(event)
    if per_mille is None:
        return ""
    figure = f"{per_mille / 10:g} %"
    return _("at least %(figure)s", figure=figure) if _is_least(event) else figure


def no_percentage_reason(event: Event) -> str:
    """Why there is no figure."""
    if event.state is EventState.RETRACTED:
        return _("It was retracted.")
    if strategy_of(event.source).has_confidence and event.control == "none":
        return _("Without a control there is no figure: the simulation had one everywhere.")
    if strategy_of(event.source).has_confidence:
        return _("A network that is blocked in parts has no figure: the simulation contained none.")
    return _("Imported measurements have no figure: nothing is known of how often they mislead.")


def terms_text(event: Event) -> list[tuple[str, str]]:
    """(term, how it changes the odds of a block), in the order of the terms."""
    return [(_term_text(event, term), _odds_text(term)) for term in confidence.terms(event)]


def not_surer(event: Event) -> list[str]:
    """Why the figure is not higher: what speaks against a block, what holds it down, and what was
    not seen that would raise it."""
    made_of = confidence.terms(event)
    if not made_of:
        return []
    said = [
        _("Against it: %(what)s.", what=_term_text(event, term))
        for term in made_of[1:]
        if term.logits < 0
    ]
    if confidence.is_held_down(event):
        most = confidence.most(event) / 10
        if confidence.is_doubted(event):
            said.append(
                _("No more than %(n)s %% is said while another explanation fits.", n=f"{most:g}")
            )
        elif event.tier is not Tier.CONFIRMED:
            said.append(_("No more than %(n)s %% is said before it is confirmed.", n=f"{most:g}"))
        else:
            said.append(_("No more than %(n)s %% is said of such events.", n=f"{most:g}"))
    if confidence.is_held_by_others(event):
        least = f"{confidence.PAGE_LEAST / 10:g}"
        said.append(_("Measurements of others raise it to less than %(n)s %% alone.", n=least))
    said += [
        _("Not seen so far: %(what)s.", what=_(TABLES["confidence"][name]))
        for name in confidence.missing(event)
    ]
    return said


def _term_text(event: Event, term: Term) -> str:
    if term.name == "tier":
        return _(TABLES["confidence_tiers"][event.tier])
    return _(TABLES["confidence"][term.name])


def _odds_text(term: Term) -> str:
    """A factor of the odds in words; that of the tier is the starting point."""
    factor = math.exp(abs(term.logits) / 1000)
    round_one = f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"
    if term.name == "tier":
        if term.logits > 0:
            return _("to begin with, odds of %(n)s to 1 for a block", n=round_one)
        return _("to begin with, odds of %(n)s to 1 against a block", n=round_one)
    if round_one == "1.0":
        return _("changes little")
    if term.logits > 0:
        return _("%(n)s times better odds", n=round_one)
    return _("%(n)s times worse odds", n=round_one)
