# SPDX-License-Identifier: Apache-2.0
"""Witnesses of an event: vantages of ours, which measure by minutes and beside controls,
or volunteers of others (OONI), who measure by hours and without; and what the other kind says.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.model import OWN_SOURCE, Event, Votes
from monitor.text.event_state import ended
from monitor.text.language import _, n_
from monitor.text.words import duration_text, number

_NAMES = {"ooni": "OONI"}


def source_name(source: str) -> str:
    """How a source is called."""
    return _NAMES.get(source, source)


def is_imported(event: Event) -> bool:
    """Whether an event rests on measurements of others alone."""
    return event.source != OWN_SOURCE


def has_stand_in(event: Event) -> bool:
    """Whether runs of others stand in for a control of an event of ours."""
    return "control_by_runs_of_others" in event.against


def seen(agreeing: int, total: int) -> str:
    """`3 of 4 vantages`."""
    return n_(
        "%(agreeing)s of %(n)s vantage", "%(agreeing)s of %(n)s vantages", total, agreeing=agreeing
    )


def seen_here(ours: Votes, runs: Votes) -> str:
    """The same of a network in which others measure too, or others alone: of their runs the newest
    count, and whose they are is not known."""
    told = [seen(ours.agreeing, ours.total)] if ours.total or not runs.total else []
    return ", ".join([*told, *runs_of_others(runs)])


def runs_of_others(runs: Votes) -> Sequence[str]:
    """`runs of OONI: 1 of 1`; nothing where there is none."""
    if not runs.total:
        return ()
    values = {"source": _NAMES["ooni"], "n": runs.agreeing, "total": runs.total}
    return (_("newest runs of %(source)s: %(n)s of %(total)s", **values),)


def witnesses(event: Event) -> str:
    """`3 of 4 vantages`, or how many measurements of others failed in which time."""
    if not is_imported(event):
        now = event.now if event.ongoing and event.now.total else Votes(event.agreeing, event.total)
        return seen(now.agreeing, now.total)
    return n_(
        "%(n)s failed measurement of %(source)s in %(time)s",
        "%(n)s failed measurements of %(source)s in %(time)s",
        sum(count for _rule, count in event.rule_counts),
        source=source_name(event.source),
        time=duration_text((ended(event) or event.updated) - event.onset),
    )


def also_shown(event: Event) -> str:
    """What runs of others show of an event of ours, in a sentence; empty where nothing."""
    return " ".join(
        n_(
            "%(n)s failed measurement of %(source)s shows it too.",
            "%(n)s failed measurements of %(source)s show it too.",
            other.witnesses,
            n=number(other.witnesses),
            source=source_name(other.source),
        )
        for other in event.beside
        if other.source != OWN_SOURCE
    )


def in_networks(event: Event) -> str:
    """Who saw an event in how many networks, in a sentence."""
    # Those whose vantages are counted: of a block that moved, the networks of its peak alone.
    counted = {network.asn for network in event.rests_on if network.tier is event.tier}
    networks = len(counted) or len(event.asns)
    if is_imported(event):
        return n_(
            "%(witnesses)s, in %(n)s network.",
            "%(witnesses)s, in %(n)s networks.",
            networks,
            n=number(networks),
            witnesses=_capital(witnesses(event)),
        )
    return n_(
        "%(seen)s in %(n)s network saw it.",
        "%(seen)s in %(n)s networks saw it.",
        networks,
        n=number(networks),
        seen=seen(event.agreeing, event.total),
    )


def rests_on(event: Event, beside: Event | None, ours: int) -> Sequence[str]:
    """The witnesses of an event, each kind in a sentence. `beside`: the event of the other kind of
    source about the same block; `ours`: vantages of ours in its networks now."""
    other = witnesses(beside) if beside is not None else ""
    if not is_imported(event):
        # It does not rest on those who reach it while it clears.
        peak = seen(event.agreeing, event.total)
        seen_by = _capital(witnesses(event) if event.now.agreeing else peak)
        if has_stand_in(event):
            mine = _("%(witnesses)s; runs of OONI stand in for a control.", witnesses=seen_by)
        else:
            mine = _("%(witnesses)s, compared with controls.", witnesses=seen_by)
        return (mine, _("And %(witnesses)s.", witnesses=other)) if other else (mine,)
    mine = _("%(witnesses)s, without controls of ours.", witnesses=_capital(witnesses(event)))
    if other:
        return (mine, _("And %(witnesses)s.", witnesses=other))
    if not ours:
        return (mine, _("No vantage of ours is there."))
    alone = n_(
        "%(n)s vantage of ours is there and opened no event.",
        "%(n)s vantages of ours are there and opened no event.",
        ours,
    )
    return (mine, alone)


def in_short(event: Event, beside: Event | None) -> str:
    """The kind of witnesses, for lists; empty where only vantages of ours see it."""
    if is_imported(event):
        if beside is not None:
            return _("vantages of ours saw it too")
        return _("rests on %(source)s alone", source=source_name(event.source))
    if beside is not None:
        return _("%(source)s shows it too", source=source_name(beside.source))
    return ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
