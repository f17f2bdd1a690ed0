# SPDX-License-Identifier: Apache-2.0
"""What retests were asked for lately, and how many more the limits allow.

Limits keep a vantage that always fails, or says so on purpose, or an old block from causing retests
all day. Retests for the beginning of a block and for its end have limits of their own: a block that
lets half of the flows pass seems to end again and again, and must not use up what the next one
needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from monitor.detection.policy import Policy
from probes.wire.retest import FailedAddresses

Place = tuple[str, int, str]
"""Country, network, target."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked for lately. Times are Unix milliseconds, oldest first."""

    places: Mapping[Place, tuple[int, ...]] = {}
    askers: Mapping[str, tuple[tuple[int, Place], ...]] = {}
    """By vantage: requests that its measurements caused, for whichever target."""
    few: Mapping[Place, int] = {}
    """When a few vantages of a place were asked, where no more have been asked since."""


class Question(msgspec.Struct, frozen=True):
    """Why a place is to be measured again, and by whom."""

    asker: str = ""
    """The vantage whose measurements are the reason; empty for a control, which is asked whenever
    vantages are."""
    whom: tuple[str, ...] = ()
    """The vantages that are asked; empty for all of the network."""
    throughput: bool = False
    """Whether it looks throttled: a retest that only connects would contradict that wrongly."""
    failed: tuple[FailedAddresses, ...] = ()
    """Addresses that a control is to try as well."""


NOTHING = Asked()
Reasons = Sequence[tuple[str, int]]
"""Vantages and their evidence in micro-nats, the most first."""
OpenQuestion = tuple[Place, Reasons, tuple[str, ...], bool]
"""A place with something to find out, the vantages that are the reason, those to ask (all when
empty), and whether any of the former saw throttling."""


class AskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked for one reason."""

    most: int
    """Times that a place is asked within the policy's window."""
    pause: int
    """Least time between two of them, ms."""
    asker_most: int
    """Requests that one vantage may cause within a day, all targets together."""


def for_beginnings(policy: Policy) -> AskLimits:
    """The limits on retests because a block may have begun."""
    return AskLimits(
        most=policy.retests.retest_most,
        pause=policy.ms(max(policy.retests.retest_pause_seconds, policy.rounds.residual_seconds)),
        asker_most=policy.retests.retest_asker_most,
    )


def for_ends(policy: Policy) -> AskLimits:
    """The limits on retests because a block may have ended. Who reached the service triggered no
    censor, and who failed refuses by itself until the residual time is over."""
    return AskLimits(
        most=policy.ending.end_retest_most,
        pause=policy.ms(policy.ending.end_retest_pause_seconds),
        asker_most=policy.ending.end_retest_asker_most,
    )


def for_looks(policy: Policy) -> AskLimits:
    """The limits on asking one vantage alone: a block that lets half of the flows pass gives little
    evidence of an end all the time, and must not use up what is left for more."""
    return replace(for_ends(policy), most=policy.ending.end_look_most)


def remembered(asked: Asked, places: Mapping[Place, Question], now: int, policy: Policy) -> Asked:
    """`asked` with these places added at `now`, without entries that are too old to matter."""
    hour = now - policy.ms(policy.retests.retest_window_seconds)
    day = now - policy.ms(policy.retests.retest_asker_seconds)
    askers = {
        probe: lately
        for probe, requests in asked.askers.items()
        if (lately := tuple(request for request in requests if request[0] > day))
    }
    for place, question in places.items():
        askers[question.asker] = (*askers.get(question.asker, ()), (now, place))
    kept = _later(asked.places, hour)
    few = {place: at for place, at in asked.few.items() if at > hour and place not in places}
    return Asked(
        kept | {place: (*kept.get(place, ()), now) for place in places},
        askers,
        few | {place: now for place, question in places.items() if question.whom},
    )


def _later(times: Mapping[Place, tuple[int, ...]], oldest: int) -> dict[Place, tuple[int, ...]]:
    later = {key: tuple(at for at in asked_at if at > oldest) for key, asked_at in times.items()}
    return {key: asked_at for key, asked_at in later.items() if asked_at}


def allowed(
    questions: Iterable[OpenQuestion], asked: Asked, limits: AskLimits, now: int, policy: Policy
) -> dict[Place, Question]:
    """The questions that the limits allow at `now`: by network, the most suspicious target
    first."""
    by_network: dict[tuple[str, int], list[tuple[int, Place, Question]]] = {}
    left: dict[str, int] = {}
    for place, reasons, whom, slow in questions:
        times = asked.places.get(place, ())
        if not whom and times and asked.few.get(place) == times[-1]:
            times_apart = times[:-1]  # the others were not asked then
        else:
            times_apart = times
        if not _may_retest(times, times_apart, limits, now, policy):
            continue
        for probe, nats in reasons:
            allowance = left.setdefault(probe, _allowance(asked, probe, limits, now, policy))
            if allowance > 0 and _leaves_some(asked, probe, place, limits, now, policy):
                left[probe] -= 1
                by_network.setdefault(place[:2], []).append(
                    (-nats, place, Question(probe, whom, slow))
                )
                break
    most = policy.retests.retest_targets
    return {
        place: question
        for _, candidates in sorted(by_network.items())
        for _, place, question in sorted(candidates, key=lambda candidate: candidate[:2])[:most]
    }


def _may_retest(
    times: Sequence[int], apart: Sequence[int], limits: AskLimits, now: int, policy: Policy
) -> bool:
    """`times`: when the place was asked; `apart`: those of them after which it takes a pause."""
    oldest = now - policy.ms(policy.retests.retest_window_seconds)
    lately = sum(at > oldest for at in times)
    return lately < limits.most and all(now - at >= limits.pause for at in apart)


def _allowance(asked: Asked, probe: str, limits: AskLimits, now: int, policy: Policy) -> int:
    """How many more requests a vantage may cause: one that always fails, for some reason of its
    own or on purpose, must not use up the traffic of the others."""
    oldest = now - policy.ms(policy.retests.retest_asker_seconds)
    return limits.asker_most - sum(at > oldest for at, _ in asked.askers.get(probe, ()))


def _leaves_some(
    asked: Asked, probe: str, place: Place, limits: AskLimits, now: int, policy: Policy
) -> bool:
    """Whether half of a place's requests are left for others: one that fails in every round, which
    others have answered many times, must not be why a block of all is not asked about."""
    oldest = now - policy.ms(policy.retests.retest_window_seconds)
    caused = sum(at > oldest and where == place for at, where in asked.askers.get(probe, ()))
    return 2 * caused < limits.most
