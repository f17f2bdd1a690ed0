# SPDX-License-Identifier: Apache-2.0
"""The confidence of an event: the probability that the service was blocked in that country when the
event last changed or, once it is clearing or closed, that it had been, from the event alone.

A logistic sum of properties of the event, in integer milli-logits, so that every machine and every
replay gives the same. The weights were fitted to a simulation (benchmarks/world), whose rates and
prior are assumptions: see docs/evaluation/confidence.md. Imports and retracted events have no
confidence, because the simulation has none. What imports show raises that of our own events, but
never over the line from which an event pages.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from monitor.detection.events import hypotheses, standing
from monitor.detection.events.contrasts import OTHERS
from monitor.detection.events.sources import strategy_of
from monitor.detection.model import Event, EventState, NetworkEvidence, Tier
from monitor.detection.policy import AlertingPolicy

LEAST, MOST = 1, 995
"""Per mille: a fit to some thousand statements cannot justify a more extreme figure."""
DOUBTED_MOST = 890
"""Per mille, less than a page takes."""
PAGE_LEAST = AlertingPolicy().page_per_mille
SILENT_LEAST_MS = 3_600_000
"""For so long nearly all of three vantages or more must have failed without a signature: most
outages of a service's own servers end sooner. Longer proves no more."""
_FITTED: Mapping[str, tuple[int, int, int]] = {
    "tier": (-6199, -6058, -14034),
    "signature": (6562, 3652, 4014),
    "signatures": (2501, 2038, 464),
    "signatures_all": (2457, 1380, 0),
    "on_the_way": (2064, 5952, 0),
    "others_answer": (2361, 5105, 464),
    "path": (1833, 1113, 533),
    "held_path": (0, 0, 0),
    "networks": (2339, 0, 0),
    "networks_path": (0, 0, 508),
    "silent_networks": (1884, 0, 0),
    "three": (1032, 490, 0),
    "half": (0, 843, 2240),
    "nearly_all": (1824, 1865, 4079),
    "nobody": (-1323, -1788, -2466),
    "inhibited": (0, -2959, -1897),
    "dense": (213, 573, 1885),
    "others_fail": (0, -2717, -821),
    "doubted": (-2144, -1048, 0),
    "new_vantages": (-2286, -2086, -21),
}
"""Milli-logits by term, of a confirmed, a likely and an unconfirmed event. Fitted by
`./scripts/bench detection --only worlds --fit --tries 20` on 2026-11-30 to eighteen kinds of
worlds, three of each.

The terms: signatures (of one owner's vantages or of several owners'); whether a sign shows that the
cause is not the service (`on_the_way`), whether other resolvers give a right address, and whether
the addresses that fail answer elsewhere (`path`), and for an hour already, where nearly all of
three vantages or more fail nearly always (`held_path`: see `most_sure`);
whether several networks are concerned, and silent in this way (`silent_networks`); how many
vantages agree; whether a gate applies; whether nearly all samples fail (`dense`); whether other
hosts fail as well; whether another explanation fits (`doubted`). More evidence never makes an event
less sure: terms for which the fit said so are 0. Silence proves nothing by lasting where nothing
told the path from the server."""
TERMS = tuple(_FITTED)[1:]
WEIGHTS: Mapping[Tier, tuple[int, ...]] = {
    tier: tuple(row[n] for row in _FITTED.values())
    for n, tier in enumerate((Tier.CONFIRMED, Tier.LIKELY, Tier.UNCONFIRMED))
}
"""Milli-logits of the tier itself, then one for each of TERMS."""
MOST_SURE: Mapping[str, int] = {
    "answers_unknown": 10,
    "dead_elsewhere": 10,
    "everywhere_at_once": 10,
    "moves_between_countries": 10,
    "moves_edges": 10,
    "new_vantages": 110,
    "old_denial": 100,
    "one_port": 100,
    "one_release": 10,
    "overloaded": 170,
    "partial_ipv4": 10,
    "partial_ipv6": 10,
    "partial_port": 10,
    "path_unknown": 10,
    "public_resolver": 10,
    "refused_by_service": 10,
    "shared_line": 250,
    "shields_servers": 160,
    "spares_some": 120,
    "taken_over": 90,
    "validation_fails": 10,
}
"""Per mille, the most that is said where an explanation other than a block fits, whatever the
weights add up to. Rounded down from `bounds` (benchmarks/world/worlds.py) on 2026-12-01, 35 kinds
of worlds, seeds 631 and 632, and 20 of them, seeds 9501 to 9504 (`shields_servers` and
`taken_over`: the former alone): of the events that it fits and that the weights call rather a block
than none, the share of blocks, at the lower end of what it may be where each seed tells of one
world, and the least of it when any one kind is left out. Whether what it speaks of occurs where a
monitor watches nobody knows, so the worlds in which it does have half of the weight; its rates
there are drawn from the wide ranges of benchmarks/world. 10 where seeds support no more, or none
showed anything: what nobody has seen may be like the worst of what was.
`./scripts/bench detection --only worlds --seeds 12 --tries 6` prints what other seeds support."""
OTHERS_SHOW_IT = "others_show_it"
"""A term beside those of TERMS: runs that others publish (OONI's) made an event of their own of the
same block, which is likely, so its networks fail while others reach the service."""
OTHERS_LOGITS = 1000
"""What it adds, whatever the tier: less than the least of the contrasts. An assumption, as the
simulation has no such runs: a fault of the service's servers for a region fails for both."""
_STEPS = tuple(round(1000 * math.log((2 * p + 1) / (1999 - 2 * p))) for p in range(1000))
"""Milli-logits from which p + 1 per mille is nearer than p."""


class Term(msgspec.Struct, frozen=True):
    """One property of an event."""

    name: str
    """One of TERMS, `tier`, or OTHERS_SHOW_IT."""
    value: int
    """0 or 1."""
    logits: int
    """What it adds, milli-logits: about 2300 multiply the odds by ten."""


def probability(event: Event) -> int | None:
    """Per mille; None for imports, retracted events, events without a control and a divided network
    without a quorum: the simulation of the fit has none of them."""
    made_of = terms(event)
    if not made_of:
        return None
    bound = most(event)
    alone = min(bound, _per_mille(term for term in made_of if term.name != OTHERS_SHOW_IT))
    together = min(bound, _per_mille(made_of))
    if alone < PAGE_LEAST:
        together = min(together, max(alone, DOUBTED_MOST))
    return together


def is_held_by_others(event: Event) -> bool:
    """Whether an event would be as sure as a page asks for if runs of others could make it so."""
    sure = probability(event)
    if sure is None or sure >= PAGE_LEAST:
        return False
    return min(most(event), _per_mille(terms(event))) >= PAGE_LEAST


def _per_mille(made_of: Iterable[Term]) -> int:
    return max(LEAST, bisect.bisect_right(_STEPS, sum(term.logits for term in made_of)))


def most_sure(tier: Tier, terms: Sequence[int], doubts: Iterable[str]) -> int:
    """The most that can be said, per mille, of an event with these values of TERMS and these
    doubts: less than a page takes while it is not confirmed, of silence in its first hour or in one
    network, and of names that fail, in however many networks, without a sign that the cause is on
    the way: what the service's own edges or name servers refuse to a region has the same signature
    in all of them, and others answer. Where other explanations fit, no more than is true where the
    worst of them does (MOST_SURE)."""
    value = dict(zip(TERMS, terms, strict=True))
    shown = value["on_the_way"] or (value["held_path"] and value["networks"])
    alone = MOST if tier is Tier.CONFIRMED and shown else DOUBTED_MOST
    return min((alone, *(MOST_SURE[doubt] for doubt in doubts)))


def most(event: Event) -> int:
    """The most that can be said of an event, per mille."""
    return most_sure(event.tier, values(event), doubts(event))


def doubts(event: Event) -> tuple[str, ...]:
    """The explanations other than a block that fit an event."""
    return tuple(remark for remark in event.against if remark in hypotheses.REMARKS)


def is_doubted(event: Event) -> bool:
    """Whether an explanation other than a block fits an event."""
    return bool(doubts(event))


def terms(event: Event) -> tuple[Term, ...]:
    """The terms of the sum: the tier, then those of TERMS that apply. Empty without a figure."""
    if event.state is EventState.RETRACTED or not strategy_of(event.source).has_confidence:
        return ()
    if event.tier is Tier.LIKELY and "network_divided" in event.against:
        return ()
    if event.control == "none":
        return ()
    tier, *weights = WEIGHTS[event.tier]
    rows = zip(TERMS, values(event), weights, strict=True)
    others = [Term(OTHERS_SHOW_IT, 1, OTHERS_LOGITS)] if _others_show_it(event) else []
    return (
        Term("tier", 1, tier),
        *(Term(name, value, value * weight) for name, value, weight in rows if value),
        *others,
    )


def _others_show_it(event: Event) -> bool:
    return any(other.tier is not Tier.UNCONFIRMED for other in event.beside)


_MISSING = ("signature", "on_the_way", "others_answer", "path", "networks")
"""Terms that do not depend on others, and that may yet be seen."""


def missing(event: Event) -> tuple[str, ...]:
    """Of these terms, those that would make an event surer and do not apply."""
    applies = dict(zip(TERMS, values(event), strict=True))
    weight = dict(zip(TERMS, WEIGHTS[event.tier][1:], strict=True))
    applies["signature"] |= applies["signatures"]
    return tuple(name for name in _MISSING if weight[name] > 0 and not applies[name])


def is_held_down(event: Event) -> bool:
    """Whether the terms say more than may be said of such an event."""
    return _per_mille(terms(event)) > most(event)


class _Properties(msgspec.Struct, frozen=True):
    """What the terms are made of."""

    signature: bool
    """Vantages of one owner have signatures."""
    signatures: bool
    """Vantages of several owners have."""
    held: bool
    """Its tier has held for an hour."""
    agree: int
    """Vantages that agree, in the network in which most do."""
    share: int
    """Of those that vote, in the network in which it is largest, per mille."""
    networks: int
    dense: bool
    """Nearly all samples fail."""
    path: bool
    """The addresses that fail answer elsewhere."""
    on_the_way: bool
    """A sign shows that the cause is not the service."""
    others_answer: bool
    """Other resolvers give a right address."""
    new: bool
    """None of the owners who agree has been known for long."""


def values(event: Event) -> tuple[int, ...]:
    """The value of each of TERMS."""
    known = _properties(event)
    signatures = known.signatures
    signed = known.signature or signatures
    whole = known.agree >= 3 and known.share >= 800 and known.dense
    value = {
        "signature": known.signature,
        "signatures": signatures,
        "signatures_all": signatures and known.share >= 800,
        "on_the_way": known.on_the_way,
        "others_answer": known.others_answer,
        "path": known.path,
        "held_path": known.held and not signed and known.path and whole,
        "networks": known.networks > 1,
        "networks_path": known.networks > 1 and known.path,
        "silent_networks": known.networks > 1 and known.path and whole and not signed,
        "three": not signatures and known.agree >= 3,
        "half": not signatures and known.share >= 500,
        "nearly_all": not signatures and known.share >= 800,
        "nobody": known.agree == 0,
        "inhibited": event.inhibited_by is not None,
        "dense": known.dense,
        "others_fail": "others_fail" in event.against,
        "doubted": is_doubted(event),
        "new_vantages": known.new,
    }
    return tuple(int(value[term]) for term in TERMS)


def _properties(event: Event) -> _Properties:
    surest = hypotheses.surest_networks(event)
    seen = hypotheses.NetworksEvidence(surest)
    # Silence is no evidence: who saw the block and fell silent counts with what it saw last.
    # Who is new weighs less than one who is known for long where it says that all is well.
    votes = [
        (
            standing.KNOWN * (evidence.agreeing + evidence.silent),
            standing.KNOWN * (evidence.voting + evidence.silent - evidence.new_deniers)
            + standing.of_deniers(evidence.known_owners, evidence.new_deniers),
        )
        for evidence in surest
    ]
    votes = votes or [(standing.KNOWN * event.agreeing, standing.KNOWN * event.total)]
    risen = {network.asn for network in event.rests_on if hypotheses.tells_of_networks(network)}
    return _Properties(
        signature="untyped" not in event.against and not seen.signature,
        signatures=seen.signature,
        held=_held(event, surest),
        agree=max(agreeing for agreeing, _ in votes) // standing.KNOWN,
        share=max(1000 * agreeing // max(1, voting) for agreeing, voting in votes),
        networks=len(set(event.asns) if event.tier is Tier.UNCONFIRMED else risen),
        dense=max((evidence.dense_per_mille for evidence in surest), default=0)
        >= hypotheses.DENSE_PER_MILLE,
        path=seen.path,
        on_the_way=seen.on_the_way,
        others_answer=seen.show(OTHERS),
        new=not any(evidence.known_owners for evidence in surest),
    )


def _held(event: Event, best: Sequence[NetworkEvidence]) -> bool:
    """Whether an hour (in the policy's time) has passed from when it became `likely`, or was
    opened, to the newest failure: time in which nobody fails is no evidence."""
    rose = event.opened
    if event.tier is not Tier.UNCONFIRMED:
        rose = next((c.round for c in event.history if c.kind == "likely"), event.opened)
    newest = max((evidence.seen for evidence in best), default=0) or event.updated
    return (newest - rose) * event.pace >= SILENT_LEAST_MS
