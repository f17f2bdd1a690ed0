# SPDX-License-Identifier: Apache-2.0
"""OONI's conclusion of a function of a run beside our verdicts on it, and why they differ.

A run of ours accuses nobody; it fails or does not, and events are made of many. So what is compared
is: OONI says blocked, our verdict says that the run failed. The reasons are two tables: the first
that matches is given, the last matches everything and says that nothing explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge import imported_run
from monitor.detection.layers.imported_run import OTHER_PAGES
from monitor.detection.model import Layer, State, Verdict
from monitor.detection.observed.page_in_place import SAME
from monitor.interop.ooni.conclusions import Conclusion, KeptRun, conclusions, kept_run
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    DNSLookup,
    HTTPExchange,
    Known,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)

_FAILS = (State.BLOCKED, State.IMPAIRED, State.THROTTLED, State.INCONCLUSIVE)
# What OONI's tests call a failure although an answer had arrived.
_ANSWERED = ("http_unexpected_", "http_invalid_redirect", "json_parse_error")


class Accord(StrEnum):
    """How OONI's conclusion and our verdicts go together."""

    BOTH = "both"
    """Both say that it fails."""
    NEITHER = "neither"
    OURS_ALONE = "ours_alone"
    """We say that it fails, OONI does not."""
    OONI_ALONE = "ooni_alone"
    NO_FLAG = "no_flag"
    """OONI's test drew no conclusion, or none is known."""


@dataclass(frozen=True)
class ComparedFunction:
    """One function of one run."""

    run: KeptRun
    conclusion: Conclusion
    measurements: tuple[Measurement, ...]
    """Ours, one a target; never empty."""
    verdicts: tuple[Verdict, ...]

    @cached_property
    def fails(self) -> bool:
        """Whether the run failed at any of its targets."""
        return any(verdict.state in _FAILS for verdict in self.verdicts)

    @property
    def failing(self) -> Sequence[Verdict]:
        """The verdicts that say that it fails; all of them when none does."""
        mine = [verdict for verdict in self.verdicts if verdict.state in _FAILS]
        return mine or self.verdicts

    @property
    def agreement(self) -> Accord:
        """How both go together."""
        match self.conclusion.accuses, self.fails:
            case None, _:
                return Accord.NO_FLAG
            case True, True:
                return Accord.BOTH
            case False, False:
                return Accord.NEITHER
            case True, False:
                return Accord.OONI_ALONE
            case _:
                return Accord.OURS_ALONE

    @cached_property
    def reason(self) -> DifferenceReason | None:
        """Why they differ; None when they do not."""
        table = REASONS.get(self.agreement, ())
        return next((reason for reason in table if reason.condition(self)), None)

    @cached_property
    def failed(self) -> Sequence[Known]:
        """The observations that failed."""
        return [
            observation
            for measurement in self.measurements
            for observation in measurement.observations
            if not isinstance(observation, Unrecognised) and observation.failure
        ]

    def has_state(self, state: State) -> bool:
        """Whether a verdict is of this state."""
        return any(verdict.state is state for verdict in self.verdicts)


class DifferenceReason(NamedTuple):
    """Why a conclusion and verdicts differ."""

    id: str
    text: str
    condition: Callable[[ComparedFunction], bool]


def _over_a_vpn(compared: ComparedFunction) -> bool:
    return any(verdict.rule == imported_run.OVER_VPN for verdict in compared.verdicts)


def _only_names_differ(compared: ComparedFunction) -> bool:
    flags = compared.conclusion.flags
    by_name = flags.get("facebook_dns_blocking") is True or flags.get("blocking") == "dns"
    return by_name and flags.get("facebook_tcp_blocking") is not True and _connects(compared)


def _connects(compared: ComparedFunction) -> bool:
    """A connection at each target that was connected to at all."""
    return all(
        any(not observation.failure for observation in connects)
        for measurement in compared.measurements
        if (connects := [o for o in measurement.observations if isinstance(o, TCPConnect)])
    )


def _page_differs(compared: ComparedFunction) -> bool:
    return compared.conclusion.flags.get("blocking") == "http-diff"


def _same_page(compared: ComparedFunction) -> bool:
    return _page_differs(compared) and any(verdict.page == SAME for verdict in compared.verdicts)


def _other_page(compared: ComparedFunction) -> bool:
    return all(verdict.rule in OTHER_PAGES for verdict in compared.failing)


def _answered(compared: ComparedFunction) -> bool:
    flags = compared.conclusion.flags
    return any(
        isinstance(flag, str) and flag.startswith(_ANSWERED) for flag in flags.values()
    ) or any((observation.failure or "").startswith(_ANSWERED) for observation in compared.failed)


def _own_certificate(compared: ComparedFunction) -> bool:
    return compared.has_state(State.INSUFFICIENT) and any(
        isinstance(observation, TLSHandshake | HTTPExchange)
        and (observation.failure or "").startswith("ssl_")
        for observation in compared.failed
    )


def _fewer_than_half(compared: ComparedFunction) -> bool:
    return any(verdict.endpoints.failed for verdict in compared.verdicts)


def _only_six(compared: ComparedFunction) -> bool:
    connects = [o for o in compared.failed if not isinstance(o, DNSLookup)]
    return bool(connects) and all(":" in getattr(o, "address", "") for o in connects)


def _other_address(compared: ComparedFunction) -> bool:
    return bool(compared.failed) and compared.has_state(State.OK)


def _nothing_failed(compared: ComparedFunction) -> bool:
    return not compared.failed


def _insufficient(compared: ComparedFunction) -> bool:
    return not compared.has_state(State.OK)


def _some_answered(compared: ComparedFunction) -> bool:
    return any(verdict.endpoints.failed < verdict.endpoints.total for verdict in compared.failing)


def _of_layer(*layers: Layer) -> Callable[[ComparedFunction], bool]:
    return lambda compared: all(verdict.layer in layers for verdict in compared.failing)


def _not_kept(compared: ComparedFunction) -> bool:
    return not compared.conclusion.flags


def _anything(compared: ComparedFunction) -> bool:
    return True


_R = DifferenceReason
REASONS: dict[Accord, tuple[DifferenceReason, ...]] = {
    Accord.OONI_ALONE: (
        _R("vpn", "The run went over a VPN, so it says nothing about the network that it names.",
           _over_a_vpn),
        _R("down", "OONI's test helper fails there as well: the site is at fault, not the network.",
           lambda compared: compared.has_state(State.DOWN)),
        _R("own_certificate", "Only certificates were refused, of a service that signs its own: "
           "the run's software did not know the newer root.", _own_certificate),
        _R("names_differ", "Only the resolver's answer differs from what OONI expects, and "
           "connections to it passed: operators host caches of large services.",
           _only_names_differ),
        _R("same_page", "The page is the one that OONI's helper got, by its title, headers or "
           "length, or the site proved by its certificate that it is its own.", _same_page),
        _R("page_differs", "The page differs from the one that OONI's helper got, and no step "
           "failed; it is no block page that is known here.", _page_differs),
        _R("answered", "The service answered, with a status, redirect or page that OONI's test did "
           "not expect.", _answered),
        _R("few_endpoints", "Fewer than half of the endpoints failed; OONI's flag needs one.",
           _fewer_than_half),
        _R("only_ipv6", "Only connections over IPv6 failed, and none worked in the whole run: the "
           "network may have no IPv6.", _only_six),
        _R("other_address", "Something failed, and every endpoint worked by another of its "
           "addresses or in a later step.", _other_address),
        _R("elsewhere", "Nothing that failed belongs to a target of the catalogue.",
           _nothing_failed),
        _R("insufficient", "What the run shows is too little for a verdict: the device itself "
           "failed, or nothing was connected to.", _insufficient),
        _R("unexplained", "Nothing here explains it.", _anything),
    ),
    Accord.OURS_ALONE: (
        _R("half_failed", "Half or more of the endpoints failed; OONI's test is content with one "
           "that answers.", _some_answered),
        _R("other_page", "In clear text another page came than OONI's helper got; OONI's flag "
           "compares pages otherwise.", _other_page),
        _R("resolver", "The run failed at its resolver, which OONI's flag does not look at, or "
           "does not blame.", _of_layer(Layer.DNS)),
        _R("secure_step", "Connections passed and what followed them failed; OONI's flag looks at "
           "connections, or at another address.", _of_layer(Layer.TLS, Layer.HTTP, Layer.APP)),
        _R("other_address", "Connections failed at the addresses that the run's own resolver "
           "gave; OONI's flag also counts others.", _of_layer(Layer.TCP)),
        _R("unexplained", "Nothing here explains it.", _anything),
    ),
    Accord.NO_FLAG: (
        _R("not_kept", "The run comes without OONI's flags, as flattened observations (CSV) do.",
           _not_kept),
        _R("no_conclusion", "OONI's test drew no conclusion.", _anything),
    ),
}  # fmt: skip
"""By the way of differing; the first that matches."""


def compare(
    measurements: Sequence[Measurement], fingerprints: Fingerprints = OWN
) -> Iterator[ComparedFunction]:
    """The functions of one run that we measured: all measurements of the run together."""
    runs = [kept_run(measurement) for measurement in measurements]
    verdicts = [imported_run.judge(measurement, fingerprints) for measurement in measurements]
    for conclusion in conclusions(runs):
        mine = [
            place
            for place, measurement in enumerate(measurements)
            if conclusion.function.speaks_of(measurement.target)
        ]
        if mine:
            yield ComparedFunction(
                run=runs[0],
                conclusion=conclusion,
                measurements=tuple(measurements[place] for place in mine),
                verdicts=tuple(verdicts[place] for place in mine),
            )
