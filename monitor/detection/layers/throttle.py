# SPDX-License-Identifier: Apache-2.0
"""Transfers from one address: what is read, and the rules: throttled, frozen, cut, or only slow.

Slow is slow and dead is dead: a connection that is reset, closed or not answered after its
handshake is no throttled one. Whether it dies so for the service's name only, pairs of transfers
tell as well.

Compared are the service's name and an innocuous one at the same address, in both orders; where the
address accepts no other name, both names at our own host; our own host, to recognise a slow line;
and the same endpoint from the control. Only pairs of transfers accuse: a slow line slows every name
and our own host, and a slow server is slow for the control as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from monitor.detection.model import State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.endpoint_context import EndpointContext, Reach
from monitor.detection.observed.kinds import Kind, http_kind, transfer_kind
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import BY_CHANCE, Rule
from probes.wire.observation import Contrast, HTTPExchange, Transfer
from probes.wire.speed import (
    LEAST_BYTES,
    SLOW,
    dead,
    frozen,
    overall,
    slow,
    small_answers,
    speed,
    times_faster,
)

TENTH = 10
"""`throttle.*`: a tenth or less of the paired transfer."""
CLEARLY = 3
"""A control so many times as fast is not slow in the same way."""


@dataclass(frozen=True)
class TransferFacts:
    """How fast one address gave its bytes."""

    slow: bool
    """Every transfer with the service's name was."""
    dead: Kind | None = None
    """How the transfers with the service's name died, when all did; None otherwise."""
    reach: Reach = Reach.UNKNOWN
    """PASSED: the control was clearly faster; SAME: it was as slow."""
    here: bool = False
    """The control's transfer was from this very address."""
    unseen: bool = False
    """No control saw this address. It may be a server for this region alone, and overloaded."""
    frozen: bool = False
    """More than once the stream stopped after its first kilobytes."""
    by_name: bool = False
    """An innocuous name got ten times as much, or an answer where ours got none, in both orders."""
    whatever_name: bool = False
    """Innocuous names were as slow or died as well, before our own host was asked and after it."""
    elsewhere: bool | None = None
    """Our own host gave an innocuous name ten times as much; None when it was not asked."""
    control_tenth: bool = False
    """The control got ten times as much."""
    lossy: bool = False
    """So many packets of this vantage are lost in this round that a speed is chance."""
    by_chance: bool = False
    """The background of the round explains that the transfers died."""
    small: bool = False
    """Its answers are small: the time is that of round trips and of the server."""


def transfer_facts(
    context: EndpointContext, address: AddressView, accused: bool
) -> TransferFacts | None:
    """Return the facts of the transfers from one address; None when there was none, when the
    address itself is judged forged, or when other pages than the control's were fetched."""
    own = [t for t in address.transfers if t.contrast is None]
    if not own or accused or _answered_otherwise(context, own):
        return None
    innocuous = [t for t in address.transfers if t.contrast is Contrast.INNOCUOUS_NAME]
    name = own[0].sni
    elsewhere = context.endpoint.transfers_elsewhere
    ours = [t for t in elsewhere if t.sni != name]
    pairs = _pairs(address.transfers, name) or _pairs(elsewhere, name)
    died = _death(own)
    agreeing = sum(
        times_faster(other, mine, TENTH)
        for mine, other in pairs
        if died is not None or not _cut(mine)
    )
    reach, control_tenth, here = _compared_with_control(context, address, own)
    return TransferFacts(
        reach=reach,
        control_tenth=control_tenth,
        here=here,
        unseen=context.unseen(address),
        lossy=context.vantage.background.lossy(address.family),
        by_chance=died is not None and context.by_chance(died, Step.PAYLOAD, address, _ends),
        small=any(map(small_answers, own)),
        slow=all(slow(t) or dead(t) for t in own),
        dead=died,
        frozen=sum(map(frozen, own)) >= min(2, len(own)),
        by_name=agreeing >= 2
        and 2 * agreeing > len(pairs)
        and all(slow(t) or dead(t) or overall(t) < SLOW for t in own),
        # A shaper may let no second handshake with the service's name through.
        whatever_name=len(innocuous) >= 2
        and (len(own) >= 2 or not frozen(own[0]))
        and all(slow(t) or dead(t) for t in innocuous)
        and not agreeing,
        elsewhere=any(_beats(t, own, TENTH) for t in ours) if ours else None,
    )


def _ends(address: AddressView) -> list[Kind]:
    """How the transfers with the service's name ended at an address."""
    own = [t for t in address.transfers if t.contrast is None]
    return [transfer_kind(t) if dead(t) else Kind.OK for t in own]


def _cut(seen: Transfer) -> bool:
    """Whether it was reset or closed. Beside transfers that were slow, that shows no speed."""
    return dead(seen) and transfer_kind(seen) is not Kind.TIMEOUT


def _death(own: Sequence[Transfer]) -> Kind | None:
    """How the transfers died. With one that was slow, what is common to them is not known."""
    kinds = Counter(transfer_kind(t) for t in own)
    return kinds.most_common(1)[0][0] if all(map(dead, own)) else None


def _answered_otherwise(context: EndpointContext, own: Sequence[Transfer]) -> bool:
    """Whether the service refused the client with another page, whose speed cannot be compared."""
    statuses = {t.status for t in own if t.status is not None}
    there: set[int] = set()
    for address in context.control_addresses:
        there |= {
            t.status for t in address.transfers if t.contrast is None and t.status is not None
        }
        if address.http is not None and address.http.status is not None:
            there.add(address.http.status)
    return bool(statuses and there) and statuses.isdisjoint(there)


def _pairs(series: Iterable[Transfer], name: str) -> list[tuple[Transfer, Transfer]]:
    """(the service's name, another name) of turns 0 and 1, 2 and 3, and so on."""
    by_turn = {t.turn: t for t in series}
    pairs = []
    for turn in sorted(by_turn):
        first, second = by_turn[turn], by_turn.get(turn + 1)
        if turn % 2 or second is None or (first.sni == name) == (second.sni == name):
            continue
        pairs.append((first, second) if first.sni == name else (second, first))
    return pairs


def _beats(seen: Transfer, own: Sequence[Transfer], times: int) -> bool:
    return all(times_faster(seen, mine, times) for mine in own)


def _compared_with_control(
    context: EndpointContext, address: AddressView, own: Sequence[Transfer]
) -> tuple[Reach, bool, bool]:
    """What the control adds, by its own transfers, else by its exchanges of this round: whether it
    was clearly faster, whether ten times so, and whether that was at this very address."""
    here, everywhere = context.at_controls(address), context.control_addresses
    for addresses in (here, everywhere):
        transfers = [_begun(t) for p in addresses for t in p.transfers if t.contrast is None]
        if transfers:
            clearly = any(_beats(t, own, CLEARLY) for t in transfers)
            failed = all(map(dead, transfers))
            tenth = any(_beats(t, own, TENTH) for t in transfers)
            return _reach(clearly, failed), tenth, addresses is here
    answers = [p.http for p in everywhere if p.http is not None]
    answered = [a for a in answers if http_kind(a) is Kind.OK]
    if not answers:
        return Reach.UNKNOWN, False, False
    # A page too small to tell a speed was at least had without trouble.
    clearly = any(_quick(a, own, CLEARLY) or _small(a) for a in answered)
    tenth = any(_quick(a, own, TENTH) for a in answered)
    return _reach(clearly, failed=not answered), tenth, False


def _begun(seen: Transfer) -> Transfer:
    """A control's transfer from its first byte on: before, a server thought or a machine was busy,
    and the service's speed is not known. Small answers are a row of such waits."""
    if small_answers(seen):
        return seen
    return msgspec.structs.replace(seen, took_us=max(1, seen.took_us - seen.first_us))


def _reach(passed: bool, failed: bool) -> Reach:
    """A control that failed in another way was not as slow."""
    return Reach.PASSED if passed else Reach.DIFFERENT if failed else Reach.SAME


def _small(answer: HTTPExchange) -> bool:
    return answer.received_bytes < LEAST_BYTES


def _quick(answer: HTTPExchange, own: Sequence[Transfer], times: int) -> bool:
    """An exchange that was so many times as fast, its round trips included."""
    if _small(answer):
        return False
    rate = answer.received_bytes * 1_000_000 // max(1, answer.took_us)
    return all(frozen(mine) or rate >= times * max(1, speed(mine)) for mine in own)


def _late(kind: Kind, word: str, technique: Technique, weight: int) -> Rule[TransferFacts]:
    return Rule(
        f"tls.{kind}.sni_late",
        lambda f: f.dead is kind and f.by_name and not f.by_chance,
        State.BLOCKED,
        f"The handshake passes, and the connection {word} before the service's answer, while an "
        "innocuous name gets an answer from the same address, in both orders. (typed, halved)",
        technique,
        weight,
    )


THROTTLE_RULES: tuple[Rule[TransferFacts], ...] = (
    Rule(
        "throttle.runs",
        lambda f: not (f.slow or f.by_name),
        State.OK,
        "Data arrives at a usable speed.",
    ),
    _late(Kind.RESET, "is reset (RST)", Technique.TLS_RESET_SNI, 2_400_000),
    _late(Kind.EOF, "is closed", Technique.TLS_EOF_SNI, 2_100_000),
    _late(Kind.TIMEOUT, "falls silent", Technique.TLS_TIMEOUT_SNI, 2_100_000),
    Rule(
        "throttle.dead",
        lambda f: f.dead is not None,
        State.OK,
        "The connections died: there was no speed to compare. Whether the service answers is "
        "judged by its own exchange.",
        evidence=("transfer_died",),
    ),
    Rule(
        "throttle.control_slow_too",
        lambda f: f.reach is Reach.SAME,
        State.OK,
        "Slow, and as slow for the control: the service itself is slow.",
        evidence=("slow_for_control_too",),
    ),
    Rule(
        "throttle.background",
        lambda f: f.lossy,
        State.OK,
        "Slow, and this vantage loses so many packets in this round that two transfers differ by "
        "chance.",
        evidence=("slow", BY_CHANCE),
    ),
    Rule(
        "throttle.freeze.sni",
        lambda f: f.frozen and f.by_name,
        State.THROTTLED,
        "The stream stops after its first kilobytes for the service's name, repeatedly, while an "
        "innocuous name gets everything from the same address. (typed)",
        Technique.THROTTLE_FREEZE,
        3_700_000,
    ),
    Rule(
        "throttle.sni",
        lambda f: f.by_name,
        State.THROTTLED,
        "With the service's name data arrives at a tenth or less of the speed of an innocuous name "
        "at the same address, in both orders. (typed)",
        Technique.THROTTLE_SNI,
        3_700_000,
    ),
    Rule(
        "throttle.everywhere",
        lambda f: f.elsewhere is False,
        State.OK,
        "Slow, whatever the name, and our own host is slow as well: the line is slow.",
        evidence=("slow_for_every_name", "slow_elsewhere"),
    ),
    Rule(
        "throttle.freeze.address",
        lambda f: f.frozen and f.whatever_name and f.elsewhere is True,
        State.THROTTLED,
        "Every stream from this address stops after its first kilobytes, whatever the name, while "
        "our own host and the control's transfer are not cut. (typed, halved)",
        Technique.THROTTLE_FREEZE,
        1_800_000,
        evidence=("whatever_name",),
    ),
    Rule(
        "throttle.address",
        lambda f: (
            f.whatever_name
            and f.elsewhere is True
            and not f.small
            and not f.unseen
            and (f.control_tenth or f.reach is Reach.UNKNOWN)
        ),
        State.THROTTLED,
        "Whatever the name, this address gives a tenth or less of what the control gets from it "
        "and of what our own host gives here. (low: a bad route does the same)",
        Technique.THROTTLE_ADDRESS,
        1_200_000,
    ),
    Rule(
        "throttle.slow",
        lambda _: True,
        State.OK,
        "Slow, and no pair of transfers shows the cause.",
        evidence=("slow",),
    ),
)
