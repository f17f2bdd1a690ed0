# SPDX-License-Identifier: Apache-2.0
"""What the detector's shell remembers of retests: when each place was asked for, where controls
are, and when to look again without a new round.

Whether something is suspicious is decided in `monitor.detection.sequence.suspicion`. Controls are
asked as well: with a control's old word a service that has just died would look blocked. Nothing of
this is stored: whoever leads next may ask once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.detection.model import OWN_SOURCE, Stored
from monitor.detection.policy import Policy
from monitor.detection.sequence import suspicion
from monitor.detection.sequence.state import Network, ServiceState, network_key
from monitor.detection.sequence.suspicion import Asked, Place
from monitor.detector.retest_publisher import LATE
from probes.wire.measurement import LIVENESS_TARGETS, Role

LOOK_SECONDS = 15
"""How often it is looked, before division by the pace, whether what is likely is due, and into
rounds that are not over."""


@dataclass
class _Service:
    asked: Asked = field(default_factory=dict)
    controls: dict[Place, int] = field(default_factory=dict)
    """Where controls measured what, with their last round."""
    looked: int = 0
    peeked: int = 0


@dataclass
class Suspecting:
    """All services of one detector."""

    policy: Policy
    _services: dict[str, _Service] = field(default_factory=dict)

    def met(self, service: str, stored: Iterable[Stored]) -> None:
        """Note where controls are."""
        controls = self._of(service).controls
        for one in stored:
            m = one.measurement
            if one.role is Role.CONTROL and m.target not in LIVENESS_TARGETS:
                place = m.vantage.country, m.vantage.asn, m.target
                controls[place] = max(m.round, controls.get(place, 0))

    def peeks(self, service: str, now: int) -> int:
        """When rounds that are not over may be looked into; if that is now, it is noted."""
        of = self._of(service)
        due = of.peeked + self.policy.ms(LOOK_SECONDS)
        if due <= now:
            of.peeked = now
        return due

    def places(self, state: ServiceState, now: int, *, anew: bool) -> tuple[Place, ...]:
        """What to ask for at `now` (Unix milliseconds), controls last; never for the past.
        `anew`: rounds were folded since. Without, only what is likely already can be due."""
        policy, of = self.policy, self._of(state.service)
        recent = policy.ms(policy.round_wait_seconds + 2 * policy.round_close_seconds)
        if now - state.round > recent:
            return ()
        if not anew and (not state.cases or now - of.looked < policy.ms(LOOK_SECONDS)):
            return ()
        of.looked = now
        # What waits until a quorum has held so long is measured in the round that will have:
        # asked for earlier, it would bear the one before (see
        # `monitor.detector.retest_publisher.requests`).
        at = now - int(LATE * policy.ms(policy.retest_round_seconds)) - 1
        chosen = suspicion.wanted(state, policy, at, of.asked)
        length = policy.ms(policy.retest_round_seconds)
        chosen = tuple(place for place in chosen if _of_use(_network(state, place), length, anew))
        of.asked = suspicion.remembered(of.asked, chosen, at, policy)
        targets = {target for _, _, target in chosen}
        window = policy.ms(policy.control_window_seconds)
        of.controls = {
            place: round for place, round in of.controls.items() if state.round - round <= window
        }
        beside = {place for place in of.controls if place[2] in targets}
        return (*chosen, *sorted(beside - set(chosen)))

    def _of(self, service: str) -> _Service:
        return self._services.setdefault(service, _Service())


def _of_use(network: Network, length: int, anew: bool) -> bool:
    """Whether somebody there measures more rarely than retests are folded anyhow, and, without a
    new round, whether its quorum waits for its time."""
    rarer = any(member.interval > length for member in network.members.values())
    return rarer and (anew or any(each.likely_since for each in network.layers.values()))


def _network(state: ServiceState, place: Place) -> Network:
    country, asn, target = place
    return state.networks[network_key(target, country, asn, OWN_SOURCE)]
