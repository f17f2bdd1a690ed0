# SPDX-License-Identifier: Apache-2.0
"""The confidence of an event: the probability that the service was blocked in that country when the
event last changed, from the event alone.

A logistic sum of properties of the event, in integer milli-logits, so that every machine and every
replay gives the same. The weights were fitted to a simulation (benchmarks/world), whose rates and
prior are assumptions: see docs/evaluation/confidence.md. Imports and retracted events have no
confidence, because the simulation has none.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence

import msgspec

from monitor.detection.events.sources import strategy_of
from monitor.detection.model import Event, EventState, NetworkEvidence, Tier

LEAST, MOST = 1, 995
"""Per mille: a fit to some thousand statements cannot justify a more extreme figure."""
HELD_MOST = 24
DENSE_PER_MILLE = 900
"""Of the samples that fail, in a full block."""
_HELD_UNIT_MS = 10 * 60_000
_FITTED: Mapping[str, tuple[int, int, int]] = {
    "tier": (-1945, -5272, -9442),
    "signature": (1338, 2018, 2038),
    "signatures": (2042, 4159, 0),
    "signatures_fresh": (1731, -884, 0),
    "signatures_half": (624, 737, 0),
    "signatures_all": (1975, 2449, 0),
    "held_many": (179, 0, 0),
    "two_hours": (257, 671, 0),
    "held_few": (0, -214, 0),
    "networks": (220, 940, 684),
    "three": (0, 396, 0),
    "half": (0, 1766, 1209),
    "nearly_all": (0, 1095, 2277),
    "clearing": (-3202, -557, 0),
    "nobody": (-709, -1472, -1715),
    "inhibited": (0, -890, -438),
    "dense": (1380, 631, 0),
    "dense_half_hour": (510, 0, 0),
    "others_fail": (-377, -2435, -945),
}
"""Milli-logits by term, of a confirmed, a likely and an unconfirmed event. Fitted by
`./scripts/bench confidence --fit --faults 400 --tries 150 --days 150 --backgrounds 3` on 2026-11-28
to simulated worlds of four kinds.

The terms: signatures (of one owner's vantages or of several owners'); for how long the tier has
held without signatures, with at least three vantages that nearly all agree (`held_many`) or with
fewer (`held_few`); whether several networks are concerned; how many vantages agree; whether
most of those that saw it reach the service again (`clearing`); whether a gate applies; whether
nearly all samples fail (`dense`); whether other hosts fail as well. More
evidence never makes an event less sure: terms for which the fit said so are 0. Nor is time evidence
where few vantages agree: what one of them does to its own traffic lasts for days."""
TERMS = tuple(_FITTED)[1:]
WEIGHTS: Mapping[Tier, tuple[int, ...]] = {
    tier: tuple(row[n] for row in _FITTED.values())
    for n, tier in enumerate((Tier.CONFIRMED, Tier.LIKELY, Tier.UNCONFIRMED))
}
"""Milli-logits of the tier itself, then one for each of TERMS."""
_STEPS = tuple(round(1000 * math.log((2 * p + 1) / (1999 - 2 * p))) for p in range(1000))
"""Milli-logits from which p + 1 per mille is nearer than p."""


class Term(msgspec.Struct, frozen=True):
    """One property of an event."""

    name: str
    """One of TERMS, or `tier`."""
    value: int
    """0 or 1; tens of minutes for terms that begin with `held`."""
    logits: int
    """What it adds, milli-logits: about 2300 multiply the odds by ten."""


def probability(event: Event) -> int | None:
    """Per mille; None for imports, retracted events and a divided network without a quorum: the
    simulation of the fit has none of them."""
    made_of = terms(event)
    if not made_of:
        return None
    logits = sum(term.logits for term in made_of)
    return min(MOST, max(LEAST, bisect.bisect_right(_STEPS, logits)))


def terms(event: Event) -> tuple[Term, ...]:
    """The terms of the sum: the tier, then those of TERMS that apply. Empty without a figure."""
    if event.state is EventState.RETRACTED or not strategy_of(event.source).has_confidence:
        return ()
    if event.tier is Tier.LIKELY and "network_divided" in event.against:
        return ()
    tier, *weights = WEIGHTS[event.tier]
    rows = zip(TERMS, values(event), weights, strict=True)
    return (
        Term("tier", 1, tier),
        *(Term(name, value, value * weight) for name, value, weight in rows if value),
    )


class _Properties(msgspec.Struct, frozen=True):
    """What the terms are made of."""

    signature: bool
    """Vantages of one owner have signatures."""
    signatures: bool
    """Vantages of several owners have."""
    held: int
    """For how long its tier has held, tens of minutes."""
    agree: int
    """Vantages that agree, in the network in which most do."""
    share: int
    """Of those that vote, in the network in which it is largest, per mille."""
    networks: int
    dense: bool
    """Nearly all samples fail."""


def values(event: Event) -> tuple[int, ...]:
    """The value of each of TERMS."""
    known = _properties(event)
    signatures, held = known.signatures, known.held
    plain = 0 if known.signature or signatures else held
    many = plain if known.agree >= 3 and known.share >= 800 else 0
    value = {
        "signature": known.signature,
        "signatures": signatures,
        "signatures_fresh": signatures and held < 3,
        "signatures_half": signatures and known.share >= 500,
        "signatures_all": signatures and known.share >= 800,
        "held_many": many,
        "two_hours": many >= 12,
        "held_few": plain - many,
        "networks": known.networks > 1,
        "three": not signatures and known.agree >= 3,
        "half": not signatures and known.share >= 500,
        "nearly_all": not signatures and known.share >= 800,
        "clearing": event.state is EventState.CLEARING,
        "nobody": known.agree == 0,
        "inhibited": event.inhibited_by is not None,
        "dense": known.dense,
        "dense_half_hour": known.dense and held >= 3,
        "others_fail": "others_fail" in event.against,
    }
    return tuple(int(value[term]) for term in TERMS)


def _properties(event: Event) -> _Properties:
    best = [evidence for evidence in event.networks if evidence.tier is event.tier]
    signatures = any(evidence.signature for evidence in best)
    # Silence is no evidence: who saw the block and fell silent counts with what it saw last.
    votes = [
        (evidence.agreeing + evidence.silent, evidence.voting + evidence.silent)
        for evidence in best
    ]
    votes = votes or [(event.agreeing, event.total)]
    risen = {evidence.asn for evidence in event.networks if evidence.tier is not Tier.UNCONFIRMED}
    return _Properties(
        signature="untyped" not in event.against and not signatures,
        signatures=signatures,
        held=_held(event, best),
        agree=max(agreeing for agreeing, _ in votes),
        share=max(1000 * agreeing // max(1, voting) for agreeing, voting in votes),
        networks=len(risen or set(event.asns)),
        dense=max((evidence.dense_per_mille for evidence in best), default=0) >= DENSE_PER_MILLE,
    )


def _held(event: Event, best: Sequence[NetworkEvidence]) -> int:
    """Tens of minutes (in the policy's time) from when it became `likely`, or was opened, to the
    newest failure: time in which nobody fails is no evidence."""
    rose = event.opened
    if event.tier is not Tier.UNCONFIRMED:
        rose = next((c.round for c in event.history if c.kind == "likely"), event.opened)
    newest = max((evidence.seen for evidence in best), default=0) or event.updated
    return min(HELD_MOST, max(0, newest - rose) * event.pace // _HELD_UNIT_MS)
