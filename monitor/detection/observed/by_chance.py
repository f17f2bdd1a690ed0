# SPDX-License-Identifier: Apache-2.0
"""Whether the background of the round explains what failed at an endpoint: the failures of all the
endpoints of its measurement beside those of other hosts (`chance` holds the probabilities)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monitor.detection.observed.background import (
    UNANSWERED,
    AttemptTally,
    Death,
    RoundBackground,
    Step,
    death,
)
from monitor.detection.observed.chance import Fared, Others, explains, one_may_die
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind, dns_kind
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import AddressView

_NO_ATTEMPT = (Kind.LOCAL, Kind.LATE, Kind.PROHIBITED)
"""Nothing came to a server that could have answered: no sign that the path lets attempts live."""
SENDS_OF_A_QUERY = 2
SENDS_OF_A_FLOW = 3
"""How often a packet is sent at least before the probe gives up: a SYN in five seconds."""


def attempts_by_chance(
    context: EndpointContext,
    kind: Kind,
    step: Step,
    address: AddressView,
    attempts: Callable[[AddressView], Iterable[Kind]],
) -> bool:
    """Whether the background explains that attempts at an address ended in this way.
    `attempts`: how those of the step ended at an address."""
    how = death(kind)
    if how is None:
        return False
    fared: dict[int, list[Fared]] = {}
    whole = True
    for endpoint in context.siblings:
        for other in endpoint.addresses.values():
            if (counted := _fared(how, attempts(other))).tries:
                fared.setdefault(other.family, []).append(counted)
                if endpoint is context.endpoint and other.family == address.family:
                    whole = whole and counted.died == counted.tries
    judged = _fared(how, attempts(address))
    there = _at_controls(context, how, attempts)
    ways = {
        over: ([*_flow_tallies(context.vantage.background, over, step, how), *there], every)
        for over, every in fared.items()
    }
    if how is Death.CUT:  # which is rarer than loss by far, where none of the others is
        whole = judged.died == judged.tries
    own = ways.pop(address.family, None)
    return own is not None and explains(judged, own, ways.values(), whole)


def _at_controls(
    context: EndpointContext, how: Death, attempts: Callable[[AddressView], Iterable[Kind]]
) -> list[Others]:
    """How attempts of controls ended at addresses of the endpoint where some passed: an overloaded
    server kills a share of everybody's. One lost connection is everyday."""
    every = (_fared(how, attempts(address)) for address in context.control_addresses)
    at_times = [fared for fared in every if fared.died < fared.tries]
    died = sum(fared.died for fared in at_times)
    if died <= (how is Death.LOST):
        return []
    return [Others(sum(fared.tries for fared in at_times), died)]


def attempt_by_chance(context: EndpointContext, kind: Kind, step: Step, address: str) -> bool:
    """Whether a single attempt, as that with our own host, may have ended in this way by
    chance: something of the background did, and too much to build on one attempt."""
    how = death(kind)
    if how is None:
        return False
    return one_may_die(_flow_tallies(context.vantage.background, family(address), step, how))


def lookup_by_chance(context: EndpointContext, kind: Kind, qtype: str) -> bool:
    """Whether the background explains that the resolver failed in this way to answer the name."""
    if kind not in UNANSWERED:
        return False
    ends = {
        (endpoint.ref.host, asked): [dns_kind(query) for query in queries]
        for endpoint in context.siblings
        for asked, queries in endpoint.name.queries.items()
        if (asked, dns_kind(endpoint.name.lookups[asked]))
        not in context.vantage.resolver.unanswered
    }
    fared = {
        key: Fared(len(kinds), sum(end in UNANSWERED for end in kinds))
        for key, kinds in ends.items()
    }
    round_ = context.vantage.background
    lookups = round_.lookups
    tallies = [Others(lookups.tries, lookups.lost + lookups.cut)]
    if kind is Kind.TIMEOUT:
        tallies += _sent_again(lookups, SENDS_OF_A_QUERY)
        for version in (4, 6):
            tallies += _died(round_.over(version), Death.LOST)
    judged = fared[context.endpoint.ref.host, qtype]
    return explains(judged, (tallies, list(fared.values())), (), judged.died == judged.tries)


def _fared(how: Death, kinds: Iterable[Kind]) -> Fared:
    """What died in another way counts neither way: it does not excuse what died in this one."""
    ends = [death(kind) for kind in kinds if kind not in _NO_ATTEMPT]
    counted = [end for end in ends if end in (None, how)]
    return Fared(len(counted), sum(end is how for end in counted))


def _flow_tallies(background: RoundBackground, over: int, step: Step, how: Death) -> list[Others]:
    """What may explain a death at a step: all that shares its way, and where connects or the same
    step died there, those as well. Of the other steps there are few; a datagram or two that died
    would explain every connect."""
    if how is Death.CUT:
        wide = background.everywhere(step)
        cut = (background.of(over, kind) for kind in dict.fromkeys((Step.CONNECT, step)))
        return [Others(wide.tries, wide.cut), *(o for tally in cut for o in _died(tally, how))]
    wide = background.over(over)  # whatever the step, packets are lost alike
    other = [background.of(4 if over == 6 else 6, kind) for kind in Step]
    # One lost connection is everyday, and a family in which nothing passes is broken.
    uneasy = any(1 < tally.lost < tally.tries for tally in other)
    others = [Others(wide.tries, wide.lost, uneasy=uneasy), *_sent_again(wide, SENDS_OF_A_FLOW)]
    if uneasy:
        own = background.of(over, step)
        others.append(Others(own.tries, own.lost, uneasy=True))
    for shared in dict.fromkeys((Step.CONNECT, step)):
        tally = background.of(over, shared)
        others += _died(tally, how)
        if tally.swamped:  # an attempt dies as easily as a packet
            others.append(Others(tally.tries, tally.lost + tally.resent))
    return others


def _died(tally: AttemptTally, how: Death) -> list[Others]:
    died = tally.died(how)
    return [Others(tally.tries, died)] if died else []


def _sent_again(tally: AttemptTally, sends: int) -> list[Others]:
    """Packets were lost that were sent again; an attempt dies when all of its packets are."""
    return [Others(tally.tries, tally.lost + tally.resent, sends)] if tally.resent else []
