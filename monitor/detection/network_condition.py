# SPDX-License-Identifier: Apache-2.0
"""The condition of a network as its vantages tell it: it works, it is offline, or the monitor hears
no word from it and does not know why.

Silence is not an outage: a network that is cut off, one in which the ways to the monitor are
blocked and volunteers who turn their machines off look the same from here. Offline is only what
vantages measured themselves. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from monitor.detection.model import Tier
from monitor.detection.policy import GatesPolicy, Policy

GOODBYE = "goodbye"
"""State in the last status message of a probe that was stopped in good order."""


class Condition(StrEnum):
    """What is known of a network."""

    OK = "ok"
    OFFLINE = "offline"
    """Most vantages reach the monitor, or did last, and measure that they are offline."""
    UNHEARD = "unheard"
    """Most vantages stopped reporting."""
    UNKNOWN = "unknown"
    """No vantage is expected to report, or the monitor hears nobody anywhere."""


class Word(StrEnum):
    """What one vantage tells about its network, the best first."""

    HEARD = "heard"
    """It reports, and is not offline."""
    OFFLINE = "offline"
    """Its newest measurements all say that it was offline."""
    WAYS_FAIL = "ways_fail"
    """It stopped reporting, after it had told that ways to the monitor fail in its network."""
    NO_WORD = "no_word"
    """It stopped reporting without a word."""


class LastKnown(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one vantage."""

    owner: str
    last_seen: int | None
    """Unix milliseconds; None for never."""
    offline: bool = False
    """Its newest measurements all say that it was offline."""
    state: str = ""
    """In its last status message; empty where that is not known."""
    ways_fail: bool = False
    """Its last status message names ways to the monitor that fail."""
    longest_delay: int = 0
    """Of its measurements of the last days, from the measurement to its arrival, in milliseconds
    beyond the shortest."""


class NetworkCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A network's condition, and what it rests on."""

    condition: Condition
    onset: int | None = None
    """When so many had stopped reporting, Unix milliseconds; None where that is not known."""
    witnesses: Mapping[Word, int]
    """How many vantages tell what. Of one owner only a few count."""
    tier: Tier = Tier.UNCONFIRMED
    """By the vantages that tell this condition, and their owners."""
    delivered_afterwards: int = 0
    """Of a network that is heard: how many vantages delivered later what they had measured while
    most were unheard; 0 if only few did."""
    longest_delay: int = 0
    """How much later at most, in milliseconds."""


_WORDS: Mapping[tuple[bool, bool, bool], Word] = {
    # (heard lately, offline by its own measurements, told of failing ways)
    (True, False, False): Word.HEARD,
    (True, False, True): Word.HEARD,
    (True, True, False): Word.OFFLINE,
    (True, True, True): Word.OFFLINE,
    (False, True, False): Word.OFFLINE,
    (False, True, True): Word.OFFLINE,
    (False, False, True): Word.WAYS_FAIL,
    (False, False, False): Word.NO_WORD,
}
_TELLING: Mapping[Condition, frozenset[Word]] = {
    Condition.OK: frozenset((Word.HEARD,)),
    Condition.OFFLINE: frozenset((Word.OFFLINE,)),
    Condition.UNHEARD: frozenset((Word.WAYS_FAIL, Word.NO_WORD)),
    Condition.UNKNOWN: frozenset(),
}
_BEST_FIRST = tuple(Word)


def word(vantage: LastKnown, now: int, policy: Policy) -> Word | None:
    """What a vantage tells; None if it says nothing about its network: it never reported, was
    stopped by its owner, or has been away for so long that nobody expects it."""
    if vantage.last_seen is None:
        return None
    away = now - vantage.last_seen
    heard = away <= policy.ms(policy.rounds.silent_seconds)
    stopped = vantage.state == GOODBYE
    if not heard and (stopped or away > policy.ms(policy.fleet.expected_vantages_seconds)):
        return None
    return _WORDS[heard, vantage.offline, vantage.ways_fail]


def network_condition(
    vantages: Sequence[LastKnown], now: int, policy: Policy, *, anybody_heard: bool
) -> NetworkCondition:
    """The condition of a network with these vantages. `anybody_heard`: the monitor hears some probe
    of any network, so that it is not itself the one that is cut off."""
    counted = _counted(vantages, now, policy)
    words = Counter(told for _, told in counted)
    witnesses = {told: words[told] for told in Word}
    cut_off = len(counted) - words[Word.HEARD]
    if not counted or not (anybody_heard or words[Word.OFFLINE]):
        condition = Condition.UNKNOWN
    elif _dark(words[Word.OFFLINE], len(counted), policy.gates):
        condition = Condition.OFFLINE
    elif _dark(cut_off, len(counted), policy.gates):
        condition = Condition.UNHEARD
    else:
        condition = Condition.OK
    telling = [vantage for vantage, told in counted if told in _TELLING[condition]]
    unheard = condition is Condition.UNHEARD
    delays = _delays_of_many(counted, policy) if condition is Condition.OK else []
    return NetworkCondition(
        condition=condition,
        onset=_onset(telling, cut_off, len(counted), policy.gates) if unheard else None,
        witnesses=witnesses,
        tier=_tier(telling, policy),
        delivered_afterwards=len(delays),
        longest_delay=max(delays, default=0),
    )


def _delays_of_many(counted: Sequence[tuple[LastKnown, Word]], policy: Policy) -> list[int]:
    """The delays of the vantages that delivered afterwards, if they are most."""
    silent = policy.ms(policy.rounds.silent_seconds)
    delays = [vantage.longest_delay for vantage, _ in counted if vantage.longest_delay > silent]
    return delays if _dark(len(delays), len(counted), policy.gates) else []


def _counted(
    vantages: Sequence[LastKnown], now: int, policy: Policy
) -> Sequence[tuple[LastKnown, Word]]:
    """The vantages that tell something. A few of each owner, the best words first: the silence of
    one owner's machines is not that of a network."""
    owned: dict[str, list[tuple[LastKnown, Word]]] = defaultdict(list)
    for vantage in vantages:
        told = word(vantage, now, policy)
        if told is not None:
            owned[vantage.owner].append((vantage, told))
    return [
        pair
        for pairs in owned.values()
        for pair in sorted(
            pairs, key=lambda pair: (_BEST_FIRST.index(pair[1]), -(pair[0].last_seen or 0))
        )[: policy.quorum.owner_vantages]
    ]


def _dark(cut_off: int, total: int, policy: GatesPolicy) -> bool:
    return cut_off * 1000 > policy.dark_per_mille * total


def _onset(silent: Sequence[LastKnown], cut_off: int, total: int, policy: GatesPolicy) -> int:
    """When the vantage was last heard whose silence made it most of the network."""
    times = sorted(vantage.last_seen or 0 for vantage in silent)
    others = cut_off - len(silent)
    return next(
        at
        for place, at in enumerate(times, start=1)
        if place == len(times) or _dark(others + place, total, policy)
    )


def _tier(telling: Sequence[LastKnown], policy: Policy) -> Tier:
    owners = len({vantage.owner for vantage in telling})
    if owners < policy.confirmation.confirm_min_owners:
        return Tier.UNCONFIRMED
    return Tier.CONFIRMED if len(telling) >= policy.gates.country_min_vantages else Tier.LIKELY
