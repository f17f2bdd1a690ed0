# SPDX-License-Identifier: Apache-2.0
"""Transfers from one address: what is read, and the rules: throttled, frozen, cut, or only slow.

Slow is slow and dead is dead: a connection that is reset, closed or not answered after its
handshake is no throttled one. Whether it dies so for the service's name only, pairs of transfers
tell as well.

Compared are the service's name and an innocuous one at the same address, in both orders; where the
address accepts no other name, both names at our own host; our own host, to recognise a slow line;
and the same endpoint from the control. Only pairs of transfers accuse: a slow line slows every name
and our own host, and a slow server is slow for the control as well. On a line that loses packets a
single pair differs by chance; so where a probe went on until a test by ranks decides, that test has
to exclude chance (`probes.wire.pairs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from monitor.detection.model import State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.by_chance import attempts_by_chance
from monitor.detection.observed.endpoint_context import EndpointContext, Reach
from monitor.detection.observed.kinds import Kind, transfer_kind
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import BY_CHANCE, Rule
from probes.wire.observation import Contrast, HTTPExchange, Transfer
from probes.wire.pairs import PAIRED, differ
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


class OwnTransfers(msgspec.Struct, frozen=True, gc=False):
    """How the transfers with the service's name went."""

    slow: bool
    """Every one was slow, or died."""
    dead: Kind | None = None
    """How they died, when all did; None otherwise."""
    frozen: bool = False
    """More than once the stream stopped after its first kilobytes."""
    small: bool = False
    """The answers are small: the time is that of round trips and of the server."""


class InnocuousTransfers(msgspec.Struct, frozen=True, gc=False):
    """How transfers with innocuous names went, beside those with the service's."""

    faster: bool = False
    """They got ten times as much, or an answer where ours got none, in both orders, and not by
    chance."""
    as_slow: bool = False
    """They were as slow or died as well, before our own host was asked and after it."""
    fast_elsewhere: bool | None = None
    """Our own host gave ten times as much, and not by chance; None when that is not known."""


class ControlSpeed(msgspec.Struct, frozen=True, gc=False):
    """How the control fared, by its transfers, else by its exchanges of this round."""

    reach: Reach = Reach.UNKNOWN
    """PASSED: the control was clearly faster; SAME: it was as slow."""
    tenth: bool = False
    """It got ten times as much."""
    here: bool = False
    """It was served from this very address."""


NOT_COMPARED, NO_CONTROL = InnocuousTransfers(), ControlSpeed()


class TransferFacts(msgspec.Struct, frozen=True, gc=False):
    """How fast one address gave its bytes."""

    own: OwnTransfers
    innocuous: InnocuousTransfers = NOT_COMPARED
    control: ControlSpeed = NO_CONTROL
    unseen: bool = False
    """No control saw this address. It may be a server for this region alone, and overloaded."""
    lossy: bool = False
    """So many packets of this vantage are lost in this round that a speed is chance."""
    by_chance: bool = False
    """The background of the round explains that the transfers died."""


def transfer_facts(
    context: EndpointContext, address: AddressView, accused: bool
) -> TransferFacts | None:
    """Return the facts of the transfers from one address; None when there was none, when the
    address itself is judged forged, or when other pages than the control's were fetched."""
    own = [t for t in address.transfers if t.contrast is None]
    if not own or accused or _answered_otherwise(context, own):
        return None
    died = _death(own)
    return TransferFacts(
        own=OwnTransfers(
            slow=_all_slow(own),
            dead=died,
            frozen=sum(map(frozen, own)) >= min(2, len(own)),
            small=any(map(small_answers, own)),
        ),
        innocuous=_innocuous(address.transfers, context.endpoint.reflector.transfers, own, died),
        control=_compared_with_control(context, address, own),
        unseen=context.unseen(address),
        lossy=context.vantage.background.lossy(address.family),
        by_chance=died is not None
        and attempts_by_chance(context, died, Step.PAYLOAD, address, _ends),
    )


def _all_slow(transfers: Iterable[Transfer]) -> bool:
    return all(slow(t) or dead(t) for t in transfers)


def _innocuous(
    here: Sequence[Transfer],
    elsewhere: Sequence[Transfer],
    own: Sequence[Transfer],
    died: Kind | None,
) -> InnocuousTransfers:
    """`here`: every transfer from the address; `elsewhere`: those from an address of ours. `died`:
    how all of `own` did."""
    name = own[0].sni
    innocuous = [t for t in here if t.contrast is Contrast.INNOCUOUS_NAME]
    paired = here if _pairs(here, name) else elsewhere
    agreeing = [
        times_faster(other, mine, TENTH) and (died is not None or not _cut(mine))
        for mine, other in _pairs(paired, name)
    ]
    return InnocuousTransfers(
        faster=sum(agreeing) >= 2
        and 2 * sum(agreeing) > len(agreeing)
        and all(slow(t) or dead(t) or overall(t) < SLOW for t in own)
        and _beyond_chance(
            [t for t in paired if t.sni == name], [t for t in paired if t.sni != name]
        ),
        as_slow=_as_slow(innocuous, own) and not any(agreeing),
        fast_elsewhere=_fast_elsewhere([t for t in elsewhere if t.sni != name], own, innocuous),
    )


def _as_slow(innocuous: Sequence[Transfer], own: Sequence[Transfer]) -> bool:
    """A shaper may let no second handshake with the service's name through."""
    enough = len(innocuous) >= 2 and (len(own) >= 2 or not frozen(own[0]))
    return enough and _all_slow(innocuous)


def _fast_elsewhere(
    ours: Sequence[Transfer], own: Sequence[Transfer], innocuous: Sequence[Transfer]
) -> bool | None:
    """Whether our own host (`ours`) is ten times as fast as the address, whatever the name."""
    fast = 2 * sum(_beats(t, own, TENTH) for t in ours) >= len(ours)
    if not ours or (fast and not _beyond_chance([*own, *innocuous], ours)):
        return None
    return fast


def _beyond_chance(slower: Sequence[Transfer], faster: Sequence[Transfer]) -> bool:
    """Whether chance is excluded. A series in which the probe did not go on until it is counts as
    it is."""
    return not any(PAIRED in t.evidence for t in slower) or differ(slower, faster)


def _ends(address: AddressView) -> list[Kind]:
    """How the transfers with the service's name ended at an address."""
    own = [t for t in address.transfers if t.contrast is None]
    return [transfer_kind(t) if dead(t) else Kind.OK for t in own]


def _cut(transfer: Transfer) -> bool:
    """Whether it was reset or closed. Beside transfers that were slow, that shows no speed."""
    return dead(transfer) and transfer_kind(transfer) is not Kind.TIMEOUT


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
        if address.http.subject is not None and address.http.subject.status is not None:
            there.add(address.http.subject.status)
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


def _beats(transfer: Transfer, own: Sequence[Transfer], times: int) -> bool:
    return all(times_faster(transfer, mine, times) for mine in own)


def _compared_with_control(
    context: EndpointContext, address: AddressView, own: Sequence[Transfer]
) -> ControlSpeed:
    here = _of_service(context.at_controls(address))
    if transfers := here or _of_service(context.control_addresses):
        return ControlSpeed(
            _reach(
                passed=any(_beats(t, own, CLEARLY) for t in transfers),
                failed=all(map(dead, transfers)),
            ),
            tenth=any(_beats(t, own, TENTH) for t in transfers),
            here=bool(here),
        )
    answers = [p.http for p in context.control_addresses if p.http.tried]
    if not answers:
        return NO_CONTROL
    answered = [a.subject for a in answers if a.subject is not None and a.kind is Kind.OK]
    return ControlSpeed(
        # A page too small to tell a speed was at least had without trouble.
        _reach(
            passed=any(_quick(a, own, CLEARLY) or _small(a) for a in answered),
            failed=not answered,
        ),
        tenth=any(_quick(a, own, TENTH) for a in answered),
    )


def _of_service(addresses: Iterable[AddressView]) -> list[Transfer]:
    """Transfers of controls with the service's name."""
    return [_begun(t) for p in addresses for t in p.transfers if t.contrast is None]


def _begun(transfer: Transfer) -> Transfer:
    """A control's transfer from its first byte on: before, a server thought or a machine was busy,
    and the service's speed is not known. Small answers are a row of such waits."""
    if small_answers(transfer):
        return transfer
    return msgspec.structs.replace(transfer, took_us=max(1, transfer.took_us - transfer.first_us))


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
        lambda transfers: (
            transfers.own.dead is kind and transfers.innocuous.faster and not transfers.by_chance
        ),
        State.BLOCKED,
        f"The handshake passes, and the connection {word} before the service's answer, while an "
        "innocuous name gets an answer from the same address, in both orders. (typed, halved)",
        technique,
        weight,
    )


THROTTLE_RULES: tuple[Rule[TransferFacts], ...] = (
    Rule(
        "throttle.runs",
        lambda transfers: not (transfers.own.slow or transfers.innocuous.faster),
        State.OK,
        "Data arrives at a usable speed.",
    ),
    _late(Kind.RESET, "is reset (RST)", Technique.TLS_RESET_SNI, 2_400_000),
    _late(Kind.EOF, "is closed", Technique.TLS_EOF_SNI, 2_100_000),
    _late(Kind.TIMEOUT, "falls silent", Technique.TLS_TIMEOUT_SNI, 2_100_000),
    Rule(
        "throttle.dead",
        lambda transfers: transfers.own.dead is not None,
        State.OK,
        "The connections died: there was no speed to compare. Whether the service answers is "
        "judged by its own exchange.",
        evidence=("transfer_died",),
    ),
    Rule(
        "throttle.control_slow_too",
        lambda transfers: transfers.control.reach is Reach.SAME,
        State.OK,
        "Slow, and as slow for the control: the service itself is slow.",
        evidence=("slow_for_control_too",),
    ),
    Rule(
        "throttle.background",
        lambda transfers: transfers.lossy,
        State.OK,
        "Slow, and this vantage loses so many packets in this round that two transfers differ by "
        "chance.",
        evidence=("slow", BY_CHANCE),
    ),
    Rule(
        "throttle.freeze.sni",
        lambda transfers: transfers.own.frozen and transfers.innocuous.faster,
        State.THROTTLED,
        "The stream stops after its first kilobytes for the service's name, repeatedly, while an "
        "innocuous name gets everything from the same address. (typed)",
        Technique.THROTTLE_FREEZE,
        3_700_000,
    ),
    Rule(
        "throttle.sni",
        lambda transfers: transfers.innocuous.faster,
        State.THROTTLED,
        "With the service's name data arrives at a tenth or less of the speed of an innocuous name "
        "at the same address, in both orders. (typed)",
        Technique.THROTTLE_SNI,
        3_700_000,
    ),
    Rule(
        "throttle.everywhere",
        lambda transfers: transfers.innocuous.fast_elsewhere is False,
        State.OK,
        "Slow, whatever the name, and our own host is slow as well: the line is slow.",
        evidence=("slow_for_every_name", "slow_elsewhere"),
    ),
    Rule(
        "throttle.freeze.address",
        lambda transfers: (
            transfers.own.frozen
            and transfers.innocuous.as_slow
            and transfers.innocuous.fast_elsewhere is True
        ),
        State.THROTTLED,
        "Every stream from this address stops after its first kilobytes, whatever the name, while "
        "our own host and the control's transfer are not cut. (typed, halved)",
        Technique.THROTTLE_FREEZE,
        1_800_000,
        evidence=("whatever_name",),
    ),
    Rule(
        "throttle.address",
        lambda transfers: (
            transfers.innocuous.as_slow
            and transfers.innocuous.fast_elsewhere is True
            and not transfers.own.small
            and not transfers.unseen
            and (transfers.control.tenth or transfers.control.reach is Reach.UNKNOWN)
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
