# SPDX-License-Identifier: Apache-2.0
"""What an endpoint is compared with: the other endpoints of its measurement, the vantage's liveness
results, and the same endpoint as controls saw it. No judgement here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from monitor.detection.fingerprints import ANYWHERE, OWN, Fingerprints
from monitor.detection.observed.background import (
    UNANSWERED,
    AttemptTally,
    Death,
    RoundBackground,
    Step,
    death,
    resent,
)
from monitor.detection.observed.chance import Fared, Others, explains, one_may_die
from monitor.detection.observed.kinds import Kind, app_kind, dns_kind
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import (
    ENCRYPTED,
    AddressPort,
    AddressView,
    EndpointView,
    answers,
    proven,
)
from probes.wire.observation import HTTPExchange

AFTER_TRIGGER = "after_trigger"
"""Evidence of an innocuous name: the service's name had failed here shortly before."""
_NO_ATTEMPT = (Kind.LOCAL, Kind.UNREACHABLE, Kind.PROHIBITED)
"""Nothing came to a server that could have answered: no sign that the path lets attempts live."""
SENDS_OF_A_QUERY = 2
SENDS_OF_A_FLOW = 3
"""How often a packet is sent at least before the probe gives up: a SYN in five seconds."""


class Reach(Enum):
    """How the control fared at the same step of the same endpoint."""

    PASSED = "passed"
    SAME = "same"
    """It failed in the same way."""
    EARLIER = "earlier"
    """It did not get as far: it found no address for the name, or none that it could connect to."""
    DIFFERENT = "different"
    """It failed in another way."""
    UNKNOWN = "unknown"
    """No control that is online saw it."""

    @property
    def fails_too(self) -> bool:
        """The service does not work for the control either."""
        return self in (Reach.SAME, Reach.EARLIER)


def reach(kind: Kind, control: Iterable[Kind | None]) -> Reach:
    """Compare a failure with what controls saw (None where they saw nothing); one that passed is
    enough."""
    kinds = set(control) - {None}
    if not kinds:
        return Reach.UNKNOWN
    if Kind.OK in kinds:
        return Reach.PASSED
    return Reach.SAME if kind in kinds else Reach.DIFFERENT


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How one step at one address ended, and how the control fared at this step."""

    kind: Kind
    reach: Reach
    here: bool = False
    """The control passed this step at this very address."""
    repeated: bool = False
    """A repeat from a fresh port passed, or a later step was taken, which needs this one."""
    by_chance: bool = False
    """The background of the round explains such failures as well."""


@dataclass(frozen=True)
class EndpointContext:
    """One endpoint, and what it is compared with."""

    endpoint: EndpointView
    siblings: Sequence[EndpointView]
    """All endpoints of the same measurement."""
    controls: Sequence[EndpointView]
    """The same endpoint as controls saw it."""
    vantage: VantageStatus
    known: frozenset[str]
    """Addresses that a control or an encrypted resolver gave for this name."""
    proven: frozenset[str]
    """Addresses that showed a valid certificate for this name."""
    controls_beside: Sequence[EndpointView] = ()
    """The target's other endpoints as controls saw them."""
    country: str = ""
    """Where the vantage is: some fingerprints are valid in some countries only."""
    fingerprints: Fingerprints = OWN

    def page(self, exchange: HTTPExchange) -> str | None:
        """The id of the known block page that an answer is in this country; else None."""
        return self.fingerprints.page(exchange, self.country)

    def page_abroad(self, exchange: HTTPExchange) -> str | None:
        """The same for a page that is known from another country only."""
        here = self.page(exchange)
        return self.fingerprints.page(exchange, ANYWHERE) if here is None else None

    @property
    def control_addresses(self) -> list[AddressView]:
        """Every address of the endpoint that a control saw."""
        return [address for control in self.controls for address in control.addresses.values()]

    def at_controls(self, address: AddressView) -> list[AddressView]:
        """The same address and port as controls saw it."""
        key = (address.address, address.port)
        return [control.addresses[key] for control in self.controls if key in control.addresses]

    def compared(self, address: AddressView, proof: bool = False) -> list[AddressView]:
        """What an address is compared with where no control tried it: the addresses of its family
        that controls tried, and with `proof`, when the sign itself shows interference, all."""
        return [p for p in self.control_addresses if proof or p.family == address.family]

    def unseen(self, address: AddressView) -> bool:
        """Whether controls tried other addresses alone, and were never given this one. It may be a
        server for this region, whose troubles nobody elsewhere sees."""
        given = (
            answers(c.name.lookups.values()) | answers(c.name.references) for c in self.controls
        )
        return (
            bool(self.control_addresses)
            and not self.at_controls(address)
            and not any(address.address in answered for answered in given)
        )

    def reach(self, kind: Kind, control: Iterable[Kind | None]) -> Reach:
        """Compare a failure at an address with what controls saw there. Where none of them tried
        this step, it counts how far they got."""
        compared = reach(kind, control)
        if compared is not Reach.UNKNOWN:
            return compared
        ends = {_end(view) for view in self.controls if view.seen}
        if not ends:
            return Reach.UNKNOWN
        return next((r for r in (Reach.UNKNOWN, Reach.DIFFERENT) if r in ends), Reach.EARLIER)

    def control_fails(self, kind: Kind, attempts: Callable[[AddressView], Iterable[Kind]]) -> bool:
        """Whether an attempt of a control ended in this way at any address, or at one of another
        endpoint of the target that is reached here: then the servers do this at times."""
        reached = {
            key
            for endpoint in self.siblings
            for key, address in endpoint.addresses.items()
            if Kind.OK in attempts(address)
        }
        beside = (
            address
            for control in self.controls_beside
            for key, address in control.addresses.items()
            if key in reached
        )
        return any(kind in attempts(address) for address in (*self.control_addresses, *beside))

    def reflector_fails(
        self,
        at: AddressPort,
        ours: Callable[[EndpointView], bool],
        innocuous: Callable[[AddressView], bool | None],
    ) -> bool:
        """Whether our own host passed no handshake of the measurement, one with an innocuous name
        included: it is down, full or not reachable, so that our name failed there too says nothing.
        False where no innocuous name was shown to it (over TLS, probes before rules 13).

        `ours`: whether our name passed there; `innocuous`: whether another did, None when it was
        not shown."""
        views = (endpoint.addresses.get(at) for endpoint in self.siblings)
        shown = {innocuous(view) for view in views if view is not None} - {None}
        return shown == {False} and not any(map(ours, self.siblings))

    def by_chance(
        self,
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
        for endpoint in self.siblings:
            for other in endpoint.addresses.values():
                if (counted := _fared(how, attempts(other))).tries:
                    fared.setdefault(other.family, []).append(counted)
                    if endpoint is self.endpoint and other.family == address.family:
                        whole = whole and counted.died == counted.tries
        judged = _fared(how, attempts(address))
        ways = {
            over: (_flow_tallies(self.vantage.background, over, step, how), every)
            for over, every in fared.items()
        }
        if how is Death.CUT:  # which is rarer than loss by far, where none of the others is
            whole = judged.died == judged.tries
        own = ways.pop(address.family, None)
        return own is not None and explains(judged, own, ways.values(), whole)

    def one_by_chance(self, kind: Kind, step: Step, address: str) -> bool:
        """Whether a single attempt, as that with our own host, may have ended in this way by
        chance: something of the background did, and too much to build on one attempt."""
        how = death(kind)
        if how is None:
            return False
        return one_may_die(_flow_tallies(self.vantage.background, family(address), step, how))

    def lookup_by_chance(self, kind: Kind, qtype: str) -> bool:
        """The same for the attempts of the resolver to answer a name."""
        if kind not in UNANSWERED:
            return False
        ends = {
            (endpoint.ref.host, asked): [dns_kind(query) for query in queries]
            for endpoint in self.siblings
            for asked, queries in endpoint.name.queries.items()
            if (asked, dns_kind(endpoint.name.lookups[asked]))
            not in self.vantage.resolver.unanswered
        }
        fared = {
            key: Fared(len(kinds), sum(end in UNANSWERED for end in kinds))
            for key, kinds in ends.items()
        }
        round_ = self.vantage.background
        lookups = round_.lookups
        tallies = [Others(lookups.tries, lookups.lost + lookups.cut)]
        if kind is Kind.TIMEOUT:
            tallies += _sent_again(lookups, SENDS_OF_A_QUERY)
            for version in (4, 6):
                tallies += _died(round_.over(version), Death.LOST)
        judged = fared[self.endpoint.ref.host, qtype]
        return explains(judged, (tallies, list(fared.values())), (), judged.died == judged.tries)

    def udp_at_times(self, address: AddressView) -> bool:
        """Whether hosts that had answered over UDP were asked again while the target was, and each
        request or its answer was lost: the line passes few datagrams, or at times none. Hosts of
        the other address family count where none of this one was asked."""
        every = [host for endpoint in self.siblings for host in endpoint.hosts_again.over_udp]
        again = [host for host in every if family(host.address) == address.family] or every
        return bool(again) and all(app_kind(host) is not Kind.OK or resent(host) for host in again)

    def family_dead(self, address: AddressView) -> bool:
        """Whether no liveness host was reached over the address family."""
        return self.vantage.international is not None and (
            address.family not in self.vantage.passage.families
        )


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
        return [Others(wide.tries, wide.cut), *_died(background.of(over, step), how)]
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


def _end(control: EndpointView) -> Reach:
    """Whether a control ended before it reached a server; UNKNOWN when it did not end there."""
    tried = [address for address in control.addresses.values() if address.seen]
    if any(not a.tcp.tried or a.tcp.passed for a in tried):
        return Reach.UNKNOWN
    if tried:
        return Reach.EARLIER
    kinds = {dns_kind(lookup) for lookup in control.name.lookups.values()}
    if Kind.OK in kinds:
        return Reach.UNKNOWN
    return Reach.EARLIER if kinds <= {Kind.NXDOMAIN, Kind.EMPTY} else Reach.DIFFERENT


def endpoint_context(
    endpoint: EndpointView,
    siblings: Sequence[EndpointView],
    controls: Sequence[EndpointView],
    vantage: VantageStatus,
    country: str = "",
    fingerprints: Fingerprints = OWN,
    controls_beside: Sequence[EndpointView] = (),
) -> EndpointContext:
    """Collect what is known of an endpoint's addresses."""
    known: set[str] = set()
    for control in controls:
        known |= answers(control.name.lookups.values()) | answers(control.name.references)
        known |= {address.address for address in control.addresses.values() if address.tcp.passed}
    known |= answers(q for q in endpoint.name.references if q.transport in ENCRYPTED)
    shown = proven(siblings, endpoint.ref.host)
    return EndpointContext(
        endpoint,
        siblings,
        controls,
        vantage,
        frozenset(known),
        shown,
        controls_beside,
        country,
        fingerprints,
    )
