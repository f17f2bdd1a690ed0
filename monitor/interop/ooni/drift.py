# SPDX-License-Identifier: Apache-2.0
"""Whether the catalogue's endpoints are still those of the services: which ones others contact, and
in how many countries each works.

An endpoint that its service has retired fails everywhere, which looks like a block in each country
by itself. What the tests of OONI contact and the catalogue lacks may be its successor.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.interop.ooni.conclusions import kept_run
from monitor.interop.ooni.target_index import TargetEndpoint, TargetIndex
from probes.runtime.options import authority
from probes.wire.measurement import Measurement, service_of
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Known,
    PathTrace,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
    Unrecognised,
)
from probes.wire.protocol import Transport, protocol
from probes.wire.target import Catalogue

UNLISTED = "unlisted/endpoint"
"""In place of a target: the endpoint is of none in the catalogue."""
NEWEST = 5
"""Runs of a country that count: an endpoint works there if it did in one of them."""
FEWEST_COUNTRIES = 3
"""In fewer, a block is as likely as a retired endpoint."""
_WEB = "web_connectivity"
_DEPTH: dict[type, int] = {
    DNSLookup: 0,
    TCPConnect: 1,
    TLSHandshake: 2,
    QUICHandshake: 2,
    HTTPExchange: 3,
    AppExchange: 3,
    Transfer: 4,
}
_ANSWERED = ("http_unexpected_", "http_invalid_redirect", "json_parse_error")


class EveryEndpoint(TargetIndex):
    """The catalogue, with a place for every name and address that it lacks."""

    def place(self, name: str, port: int = 0) -> TargetEndpoint:
        """As of the catalogue, else `UNLISTED`."""
        known = super().place(name, port)
        at = authority(name.lower().rstrip("."), port or 443)
        return known or TargetEndpoint(UNLISTED, f"{at}/{'http' if port == 80 else 'tcp'}")


def endpoints_of(measurement: Measurement) -> dict[str, bool | None]:
    """Whether each endpoint worked that a measurement tried: its last step, at any address. None
    where the steps do not show it."""
    deepest: dict[str, list[Known]] = {}
    for observation in measurement.observations:
        if isinstance(observation, Unrecognised | PathTrace):
            continue
        if observation.purpose is not Purpose.SUBJECT:
            continue
        steps = deepest.setdefault(observation.endpoint, [])
        if not steps or _depth(observation) > _depth(steps[0]):
            steps[:] = [observation]
        elif _depth(observation) == _depth(steps[0]):
            steps.append(observation)
    return {endpoint: _works(endpoint, steps) for endpoint, steps in deepest.items()}


def _depth(observation: Known) -> int:
    return _DEPTH[type(observation)]


def _works(endpoint: str, steps: Sequence[Known]) -> bool | None:
    """None when a name resolved and nothing was connected to, or when only certificates were
    refused, which depends on the roots that the run knew."""
    passed = any(not step.failure or step.failure.startswith(_ANSWERED) for step in steps)
    if passed and isinstance(steps[0], DNSLookup):
        return True if _has_no_connection(endpoint) else None
    if not passed and all((step.failure or "").startswith("ssl_") for step in steps):
        return None
    return passed


def _has_no_connection(endpoint: str) -> bool:
    named = protocol(endpoint.rpartition("/")[2])
    return named.transport is not Transport.TCP


class CountryShare(NamedTuple):
    """In how many countries an endpoint works, of those where it was tried."""

    works: int
    tried: int


@dataclass
class EndpointUse:
    """Who contacted an endpoint, and where it worked."""

    endpoint: str
    target: str
    listed: bool
    """Whether it is in the catalogue."""
    methods: set[str] = field(default_factory=set)
    """Names and versions of OONI's tests that contact it."""
    runs: int = 0
    last_worked: int = 0
    """Unix milliseconds; 0 for never."""
    newest: defaultdict[tuple[bool, str], list[tuple[int, bool]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By whether it is OONI's, and country: the newest runs, a heap."""

    def add(self, country: str, at: int, works: bool | None, method: str) -> None:
        """Count a run; `method` is empty for one of ours."""
        self.runs += 1
        if method:
            self.methods.add(method)
        if works is None:
            return
        if works:
            self.last_worked = max(self.last_worked, at)
        held = self.newest[bool(method), country]
        if len(held) < NEWEST:
            heapq.heappush(held, (at, works))
        else:
            heapq.heappushpop(held, (at, works))

    def reach(self, *, imported: bool) -> CountryShare:
        """Of OONI's runs, or of our own."""
        places = [runs for (theirs, _), runs in self.newest.items() if theirs is imported]
        return CountryShare(sum(any(works for _, works in runs) for runs in places), len(places))

    @property
    def whole(self) -> CountryShare:
        """Of all runs."""
        places: dict[str, bool] = {}
        for (_, country), runs in self.newest.items():
            works = any(works for _, works in runs)
            places[country] = places.get(country, False) or works
        return CountryShare(sum(places.values()), len(places))

    @property
    def remark(self) -> DriftRemark:
        """What is to be said of it."""
        return next(remark for remark in REMARKS if remark.condition(self))


class DriftRemark(NamedTuple):
    """What is to be said of an endpoint."""

    id: str
    text: str
    condition: Callable[[EndpointUse], bool]


def _works_nowhere(use: EndpointUse) -> bool:
    return use.listed and use.whole.tried >= FEWEST_COUNTRIES and use.whole.works == 0


def _is_missing(use: EndpointUse) -> bool:
    works, tried = use.whole
    return not use.listed and (works > 0 or tried == 0)


def _works_in_few(use: EndpointUse) -> bool:
    works, tried = use.whole
    return use.listed and tried >= FEWEST_COUNTRIES and works * 2 < tried


REMARKS = (
    DriftRemark(
        "works_nowhere", "In the catalogue, and works in no country: retired, or moved.",
        _works_nowhere,
    ),
    DriftRemark(
        "works_in_few", "In the catalogue, and works in fewer than half of the countries.",
        _works_in_few,
    ),
    DriftRemark(
        "not_listed", "OONI's tests contact it, and it is not in the catalogue.", _is_missing,
    ),
    DriftRemark(
        "not_listed_and_dead", "OONI's tests contact it, it is not in the catalogue, and works "
        "nowhere: old versions of a test.", lambda use: not use.listed,
    ),
    DriftRemark(
        "not_contacted", "In the catalogue, of a service that OONI's tests measure, and they do "
        "not contact it.", lambda use: not use.methods,
    ),
    DriftRemark("works", "Works where it was tried.", lambda use: use.whole.works > 0),
    DriftRemark("too_few", "Did not work, or does not show, in one or two countries: a block looks "
                "the same.", lambda use: True),
)  # fmt: skip
"""What matters most first; the first that matches."""


class CatalogueDrift:
    """A catalogue beside what is contacted."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._uses = {
            endpoint.id: EndpointUse(endpoint.id, target.id, listed=True)
            for target in catalogue.targets
            for endpoint in target.endpoints
        }
        self.runs = 0

    def add(self, measurement: Measurement, *, imported: bool) -> None:
        """Count what a measurement contacted. Of OONI's web test only sites of the catalogue: all
        others are other services."""
        run = kept_run(measurement) if imported else None
        if run is not None and run.test_name == _WEB and measurement.target == UNLISTED:
            return
        self.runs += 1
        method = "" if run is None else f"{run.test_name} {run.test_version}".strip() or "ooni"
        for endpoint, works in endpoints_of(measurement).items():
            use = self._uses.get(endpoint)
            if use is None:
                use = EndpointUse(endpoint, measurement.target, listed=False)
                self._uses[endpoint] = use
            use.add(measurement.vantage.country, measurement.started, works, method)

    def uses(self) -> Iterator[EndpointUse]:
        """Every endpoint of a service that OONI's tests measure, and every other that was
        contacted; what matters most first. Whoever connects to a place where the catalogue speaks
        another protocol has contacted that one, too."""
        order = {remark.id: place for place, remark in enumerate(REMARKS)}
        known = self._measured_services()
        contacted = {_place(use.endpoint) for use in self._uses.values() if use.runs}
        chosen = [
            use
            for use in self._uses.values()
            if use.runs
            or (service_of(use.target) in known and _place(use.endpoint) not in contacted)
        ]
        yield from sorted(chosen, key=lambda use: (order[use.remark.id], use.target, use.endpoint))

    def _measured_services(self) -> set[str]:
        """Services of which OONI's messenger tests contact an endpoint."""
        return {
            service_of(use.target)
            for use in self._uses.values()
            if any(not method.startswith(_WEB) for method in use.methods)
        }

    def unmeasured(self) -> tuple[int, int]:
        """How many endpoints, of how many services, nobody contacted and OONI has no test for."""
        known = self._measured_services()
        others = [
            service_of(use.target)
            for use in self._uses.values()
            if not use.runs and service_of(use.target) not in known
        ]
        return len(others), len(set(others))


def _place(endpoint: str) -> str:
    return endpoint.rpartition("/")[0]
