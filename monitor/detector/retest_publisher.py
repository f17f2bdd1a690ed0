# SPDX-License-Identifier: Apache-2.0
"""Retests: which ones the detector requests, and their publication over MQTT and in the store.

Whether something is suspicious is decided in `monitor.detection.events.retest_requests`, and
whether it seems to end in `end_requests` next to it. The tracker remembers when each place was
requested and where controls are; nothing of that is stored, so the next leader may request a retest
once more. A request is useful only at once: what cannot be sent is dropped, and the
detector requests it again after the pause, if it still looks suspicious. Whether a probe follows a
request is the probe's decision.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from monitor.broker.client import connected
from monitor.detection.events import end_requests, retest_requests
from monitor.detection.events.retest_limits import NOTHING, Asked, Place, Question, remembered
from monitor.detection.events.state import ServiceState, TargetNetwork, network_key
from monitor.detection.model import OWN_SOURCE, Fact, Stored
from monitor.detection.policy import Policy
from monitor.detector.failed_addresses import FailedElsewhere
from monitor.store.records import StoreUnavailableError
from monitor.store.retests import OpenRetest, RetestStore
from probes.runtime.mqtt import BrokerError
from probes.wire import topics
from probes.wire.measurement import LIVENESS_TARGETS, Role
from probes.wire.retest import (
    LEAST_INTERVAL_MS,
    MOST_ASKED,
    MOST_TARGETS,
    FailedAddresses,
    Retest,
    encode_retest,
    marks,
)

log = logging.getLogger(__name__)
RECONNECT_SECONDS = (1.0, 30.0)
Due = Mapping[Place, Question]
"""What to measure again, and which vantages are asked."""
OnRetest = Callable[[Due], Awaitable[None]]
MAX_WAITING = 256
"""Requests that wait for the broker; the rest is dropped."""
LATEST_START = 0.6
"""After this fraction of a round its probes would have no time left: the next round is named."""
FAILED_AT_ONCE = 4
"""Endpoints whose addresses go into one request: with names of usual length it stays within half of
what a probe reads."""
CHECK_SECONDS = 5
"""How often likely events and open rounds are checked, before division by the pace. A loop that
takes long for it does so more rarely (`monitor.detector.loop`)."""


@dataclass
class _Service:
    controls: dict[Place, dict[str, int]] = field(default_factory=dict)
    """What controls measure, with the last round of each."""
    checked: int = 0
    folded_open: int = 0


@dataclass
class RetestTracker:
    """What was requested lately, for all services of one detector.

    Controls are included: with only an older measurement by a control, a service that has just
    gone down would look blocked. `ask` gets what should be measured again at once; without it
    nothing is requested.
    """

    policy: Policy
    ask: OnRetest | None = None
    _asked: Asked = NOTHING
    """For all services, because what one vantage may cause is bounded over all."""
    _asked_of_ends: Asked = NOTHING
    """The same of the ends of blocks."""
    _looked: Asked = NOTHING
    """The same of known blocks that nobody had measured for long."""
    _services: dict[str, _Service] = field(default_factory=dict)
    _failed: FailedElsewhere = field(init=False)

    def __post_init__(self) -> None:
        self._failed = FailedElsewhere(self.policy)

    @property
    def asks(self) -> bool:
        """Whether anything is requested at all."""
        return self.ask is not None

    async def request(self, state: ServiceState, now: int, *, new_round: bool) -> None:
        """Request retests where a block may have just begun or ended; arguments as in `due`."""
        if self.ask is not None and (due := self.due(state, now, new_round=new_round)):
            await self.ask(due)

    def record_controls(self, stored: Iterable[Stored]) -> None:
        """Remember what controls measure."""
        for one in stored:
            m = one.measurement
            if one.role is Role.CONTROL and m.target not in LIVENESS_TARGETS:
                place = m.vantage.country, m.vantage.asn, m.target
                rounds = self._of(m.service).controls.setdefault(place, {})
                rounds[m.probe] = max(m.round, rounds.get(m.probe, 0))

    def record_facts(self, facts: Iterable[Fact]) -> None:
        """Remember which addresses failed, to have controls try them."""
        if self.ask is not None:
            self._failed.record(facts)

    def open_rounds_due(self, service: str, now: int) -> int:
        """When open rounds may be folded next, Unix milliseconds. When that is now, the caller
        does it: the time counts as used."""
        of = self._of(service)
        due = of.folded_open + self.policy.ms(CHECK_SECONDS)
        if due <= now:
            of.folded_open = now
        return due

    def due(self, state: ServiceState, now: int, *, new_round: bool) -> Due:
        """What to measure again at `now` (Unix milliseconds), controls last. Without a new round it
        is looked at now and then: a question that the last retest left open is due by its own
        clock, not when others have measured."""
        of = self._of(state.service)
        if not new_round and now - of.checked < self.policy.ms(CHECK_SECONDS):
            return {}
        of.checked = now
        chosen = self._wanted(state, now)
        targets: dict[str, bool] = defaultdict(bool)
        for (_, _, target), question in chosen.items():
            targets[target] |= question.throughput
        window = self.policy.ms(self.policy.rounds.control_window_seconds)
        of.controls = {
            place: present
            for place, rounds in of.controls.items()
            if (present := {p: r for p, r in rounds.items() if state.round - r <= window})
        }
        failed = self._failed.due({target for _, _, target in of.controls}, now)
        for place, probes in sorted(of.controls.items()):
            target = place[2]
            if target in targets:
                # A control that measures in the same network must be asked as well: then all are.
                of_target = failed.get(target, ())
                chosen[place] = Question(throughput=targets[target], failed=of_target)
            elif target in failed:
                chosen[place] = Question(whom=tuple(probes), failed=failed[target])
        return chosen

    def _wanted(self, state: ServiceState, now: int) -> dict[Place, Question]:
        """What vantages should measure again; nothing when the state is old."""
        policy = self.policy
        recent = policy.ms(
            policy.rounds.control_window_seconds + 2 * policy.rounds.round_close_seconds
        )
        if now - state.round > recent:
            return {}
        # A quorum that must hold for some time needs a measurement in the round in which it has:
        # an earlier request would name the round before (see `requests`).
        at = now - int(LATEST_START * policy.ms(policy.retests.retest_round_seconds)) - 1
        length = policy.ms(policy.retests.retest_round_seconds)
        begun = _useful(state, retest_requests.wanted(state, policy, at, self._asked), length)
        ended = _useful(state, end_requests.wanted(state, policy, at, self._asked_of_ends), length)
        looked = _useful(state, end_requests.looks(state, policy, at, self._looked), length)
        looked = {place: question for place, question in looked.items() if place not in ended}
        self._asked = remembered(self._asked, begun, at, policy)
        self._asked_of_ends = remembered(self._asked_of_ends, ended, at, policy)
        self._looked = remembered(self._looked, looked, at, policy)
        return looked | ended | begun

    def _of(self, service: str) -> _Service:
        return self._services.setdefault(service, _Service())


def _useful(state: ServiceState, chosen: Due, length: int) -> dict[Place, Question]:
    """The places where a vantage measures more rarely than every `length` milliseconds."""
    return {
        place: question
        for place, question in chosen.items()
        if any(member.interval > length for member in _network(state, place).members.values())
    }


def _network(state: ServiceState, place: Place) -> TargetNetwork:
    country, asn, target = place
    return state.networks[network_key(target, country, asn, OWN_SOURCE)]


class RetestPublisher:
    """Publishes what the detector wants to be measured again: over MQTT, and in the store for
    probes that ask a web server."""

    def __init__(self, store: RetestStore, policy: Policy, clock: Callable[[], int]) -> None:
        self._store, self._policy, self._clock = store, policy, clock
        self._waiting: asyncio.Queue[tuple[Place, Question]] = asyncio.Queue(MAX_WAITING)
        self._unsent: asyncio.Queue[tuple[str, Retest]] = asyncio.Queue(MAX_WAITING)
        """Topics and requests that wait for the broker."""
        self.requested = 0
        """Targets requested since the start; one target in two networks counts twice."""
        self._recent: deque[tuple[int, int]] = deque()

    def counts(self) -> tuple[int, int]:
        """Targets requested since the start, and within the policy's window."""
        oldest = self._clock() - self._policy.ms(self._policy.retests.retest_window_seconds)
        while self._recent and self._recent[0][0] <= oldest:
            self._recent.popleft()
        return self.requested, sum(n for _, n in self._recent)

    async def on_retest(self, due: Due) -> None:
        """The detector's `on_retest`: publish soon, or never."""
        for each in due.items():
            if not self._waiting.full():
                self._waiting.put_nowait(each)

    async def run(self, url: str, user: str, secret: str) -> None:
        """Publish until cancelled; reconnects by itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._request())
            group.create_task(self._send(url, user, secret))

    async def _request(self) -> None:
        """Make requests of what waits, as few as possible."""
        while True:
            due = [await self._waiting.get()]
            while not self._waiting.empty():
                due.append(self._waiting.get_nowait())
            wanted = dict(due)
            try:
                whom = {probe for question in wanted.values() for probe in question.whom}
                names = await self._store.names(whom)
            except StoreUnavailableError as error:
                log.warning("nobody is asked to measure again: %s", error)
                continue
            chosen = list(requests(wanted, self._clock(), self._policy, names))
            for topic, retest in chosen:
                if not self._unsent.full():
                    self._unsent.put_nowait((topic, retest))
                self.requested += len(retest.targets)
                self._recent.append((self._clock(), len(retest.targets)))
            self.counts()
            try:
                await self._store.add([_stored(*each) for each in chosen], self._clock())
            except StoreUnavailableError as error:
                log.warning("retests are not stored: %s", error)

    async def _send(self, url: str, user: str, secret: str) -> None:
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                async with connected(url, user, secret, purpose="retests") as connection:
                    pause = RECONNECT_SECONDS[0]
                    while True:
                        topic, retest = await self._unsent.get()
                        await connection.publish(topic, encode_retest(retest))
            except BrokerError as error:
                log.warning("retests are not published: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, RECONNECT_SECONDS[1])
            while not self._unsent.empty():
                self._unsent.get_nowait()  # outdated by now


def _stored(topic: str, retest: Retest) -> OpenRetest:
    country, asn = topic.split("/")[-2:]
    return OpenRetest(
        country=country,
        asn=int(asn),
        ends=retest.round + retest.interval_ms,
        body=encode_retest(retest),
    )


NO_NAMES: Mapping[str, str] = {}

_Asked = tuple[str, int, tuple[str, ...], bool]
"""Country, network, marks of those who are asked, and whether throughput is."""


def requests(
    due: Due, now: int, policy: Policy, names: Mapping[str, str] = NO_NAMES
) -> Iterator[tuple[str, Retest]]:
    """Topic and request for each network, as few as possible, all for the same round. `names` are
    what probes are recognised by (`probes.wire.retest.name`), where that is not their id.

    The round begins at a multiple of its length, possibly a little later than `now`.
    """
    length = max(LEAST_INTERVAL_MS, policy.ms(policy.retests.retest_round_seconds))
    round, elapsed = now - now % length, now % length
    if elapsed > LATEST_START * length:
        round += length
    by_network: dict[_Asked, dict[str, tuple[FailedAddresses, ...]]] = defaultdict(dict)
    for (country, asn, target), question in due.items():
        asked = marks(round, (names.get(probe, probe) for probe in question.whom[:MOST_ASKED]))
        by_network[country, asn, asked, question.throughput][target] = question.failed
    for (country, asn, asked, slow), targets in sorted(by_network.items()):
        for chosen, failed in _parts(targets):
            yield (
                topics.retest(country, asn),
                Retest(
                    targets=chosen,
                    round=round,
                    interval_ms=length,
                    asked=asked,
                    throughput=slow,
                    failed=failed,
                ),
            )


def _parts(
    targets: Mapping[str, tuple[FailedAddresses, ...]],
) -> Iterator[tuple[tuple[str, ...], tuple[FailedAddresses, ...]]]:
    """The targets of each request and the addresses that go with them. What does not fit comes in
    further requests for the same targets, of which a control takes the addresses alone."""
    ordered = sorted(targets)
    for start in range(0, len(ordered), MOST_TARGETS):
        chosen = tuple(ordered[start : start + MOST_TARGETS])
        failed = [each for target in chosen for each in targets[target]]
        yield chosen, tuple(failed[:FAILED_AT_ONCE])
        for place in range(FAILED_AT_ONCE, len(failed), FAILED_AT_ONCE):
            more = tuple(failed[place : place + FAILED_AT_ONCE])
            yield tuple(dict.fromkeys(each.target for each in more)), more
