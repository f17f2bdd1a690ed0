# SPDX-License-Identifier: Apache-2.0
"""What the rules of throttling read: transfers of one address laid side by side.

The service's name and an innocuous one at the same address, in both orders; where that address
takes no other name, the two names at our own host; what our own host gave, to tell a slow line;
and the same endpoint from the control. Still no judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitor.detection.facts.kinds import Kind, http_kind
from monitor.detection.facts.tcp_tls_http import Beside, Reach
from monitor.detection.facts.view import AddressView, EndpointView
from probes.wire.observation import Contrast, HTTPExchange, Transfer
from probes.wire.speed import LEAST_BYTES, frozen, slow, speed, times_faster

TENTH = 10
"""`throttle.*`: a tenth or less of the paired transfer."""
CLEARLY = 3
"""A control so many times as fast is not slow in the same way."""


@dataclass(frozen=True)
class TransferFacts:
    """How fast one address gave its bytes."""

    slow: bool
    """Every transfer with the service's name was."""
    reach: Reach = Reach.UNKNOWN
    """PASSED: the control was clearly faster; SAME: it was as slow."""
    here: bool = False
    """The control's transfer was from this very address."""
    frozen: bool = False
    """More than once the stream stopped dead after its first kilobytes."""
    by_name: bool = False
    """An innocuous name got ten times as much, in both orders."""
    whatever_name: bool = False
    """Innocuous names were as slow, in both orders."""
    elsewhere: bool | None = None
    """Our own host gave an innocuous name ten times as much; None when it was not asked."""
    control_tenth: bool = False
    """The control got ten times as much."""


def transfer_facts(case: Beside, place: AddressView, accused: bool) -> TransferFacts | None:
    """Return the facts of the transfers from one address; None when there was none, when the
    address itself is judged forged, or when other pages than the control's were fetched."""
    own = [t for t in place.transfers if t.contrast is None]
    if not own or accused or _answered_otherwise(case, own):
        return None
    innocuous = [t for t in place.transfers if t.contrast is Contrast.INNOCUOUS_NAME]
    name = own[0].sni
    elsewhere = case.endpoint.transfers_elsewhere
    ours = [t for t in elsewhere if t.sni != name]
    pairs = _pairs(place.transfers, name) or _pairs(elsewhere, name)
    agreeing = sum(times_faster(other, mine, TENTH) for mine, other in pairs)
    reach, control_tenth, here = _beside(case, place, own)
    return TransferFacts(
        reach=reach,
        control_tenth=control_tenth,
        here=here,
        slow=all(map(slow, own)),
        frozen=sum(map(frozen, own)) >= min(2, len(own)),
        by_name=agreeing >= 2 and 2 * agreeing > len(pairs),
        whatever_name=len(innocuous) >= 2
        and len(own) >= 2
        and all(map(slow, innocuous))
        and not agreeing,
        elsewhere=any(_beats(t, own, TENTH) for t in ours) if ours else None,
    )


def _answered_otherwise(case: Beside, own: Sequence[Transfer]) -> bool:
    """A service that turns somebody away sends a page of another size: no speed compares."""
    statuses = {t.status for t in own if t.status is not None}
    there: set[int] = set()
    for place in _places(case.controls):
        there |= {t.status for t in place.transfers if t.contrast is None and t.status is not None}
        if place.http is not None and place.http.status is not None:
            there.add(place.http.status)
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


def _beside(case: Beside, place: AddressView, own: Sequence[Transfer]) -> tuple[Reach, bool, bool]:
    """What the control adds, by its own transfers, else by its exchanges of this round: whether it
    was clearly faster, whether ten times so, and whether that was at this very address."""
    key = (place.address, place.port)
    here = [c.places[key] for c in case.controls if key in c.places]
    everywhere = _places(case.controls)
    for places in (here, everywhere):
        transfers = [t for p in places for t in p.transfers if t.contrast is None]
        if transfers:
            clearly = any(_beats(t, own, CLEARLY) for t in transfers)
            return _reach(clearly), any(_beats(t, own, TENTH) for t in transfers), places is here
    answers = [p.http for p in everywhere if p.http is not None]
    answered = [a for a in answers if http_kind(a) is Kind.OK]
    if not answers:
        return Reach.UNKNOWN, False, False
    # A page too small to tell a speed was at least had without trouble.
    clearly = any(_quick(a, own, CLEARLY) or _small(a) for a in answered)
    return _reach(clearly), any(_quick(a, own, TENTH) for a in answered), False


def _places(controls: Sequence[EndpointView]) -> list[AddressView]:
    return [place for control in controls for place in control.places.values()]


def _reach(passed: bool) -> Reach:
    return Reach.PASSED if passed else Reach.SAME


def _small(answer: HTTPExchange) -> bool:
    return answer.received_bytes < LEAST_BYTES


def _quick(answer: HTTPExchange, own: Sequence[Transfer], times: int) -> bool:
    """An exchange that was so many times as fast, its round trips included."""
    if _small(answer):
        return False
    rate = answer.received_bytes * 1_000_000 // max(1, answer.took_us)
    return all(frozen(mine) or rate >= times * max(1, speed(mine)) for mine in own)
