# SPDX-License-Identifier: Apache-2.0
"""What imported runs of other services show in the same network: evidence adds up over services.

Where one service is blocked, another of its kind that fails in the same hours is rather blocked
than broken, so it needs less evidence and a shorter history: while something else is reached there.
And not where both belong to one company: a fault between it and a network looks like a block of all
that it runs.

Where services of several companies begin to fail together, and nothing answers them, the network
rather has an outage, or its line is poor: unless something else is reached there all the time, and
another network of the country fails as well, or they fail for longer than outages last.

Each fold tells of its networks by the hour (`tell`), and the folds of the others hear it from the
next hour on (`heard`). So services can be folded in any order within an hour, and what a fold hears
of an hour is the same whenever it asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.events.cusum import technique_of
from monitor.detection.events.imported.course import RunCourse
from monitor.detection.events.imported.suspicions import (
    alarmed,
    densest,
    pooled,
    suspected,
    usually_works,
)
from monitor.detection.events.state import (
    FAILS,
    ImportedRuns,
    NetworkSign,
    ServiceState,
    Suspicion,
    TargetNetwork,
    VantageOutcome,
)
from monitor.detection.model import OWN_SOURCE
from monitor.detection.observed.page_in_place import OTHER
from monitor.detection.policy import Policy
from probes.wire.measurement import service_of

Place = tuple[str, int, str]
"""Country, network and source."""
EVERYWHERE: Place = ("", 0, "")
"""In place of a place: a page that comes in place of others is compared with those of all."""
Told = Mapping[str, tuple[NetworkSign, ...]]
"""What services have told, by id."""
COMPANIES: Mapping[str, str] = {
    "facebook": "meta",
    "instagram": "meta",
    "messenger": "meta",
    "whatsapp": "meta",
    "fcm": "google",
    "google-chat": "google",
    "linkedin": "microsoft",
    "skype": "microsoft",
    "teams": "microsoft",
    "qq": "tencent",
    "wechat": "tencent",
    "max": "vk",
    "vk": "vk",
}
"""Who runs several services of the catalogue. Any other service is alone."""
NETWORKING = frozenset({"facebook", "instagram", "linkedin", "snapchat", "vk", "x"})
"""Services for publishing; all others of the catalogue are for messages and calls."""
_CONNECTS = frozenset({"dns", "tcp", "udp", "quic"})
_SILENT = frozenset({"timeout", "unreachable"})


def heard(service: str, told: Told, round: int, policy: Policy) -> tuple[NetworkSign, ...]:
    """What other services told until the hour of a round began, of networks in that hour."""
    hour = round - round % policy.ms(policy.imported.imported_together_seconds)
    return tuple(
        sign
        for other, signs in sorted(told.items())
        if other != service
        for sign in signs
        if sign.since <= hour < sign.until
    )


def tell(
    state: ServiceState, touched: Mapping[str, TargetNetwork], round: int, policy: Policy
) -> tuple[NetworkSign, ...]:
    """What the service has told, after a round: it goes on telling that it is blocked in a network
    while runs fail there, and that it is reached in one in which something fails."""
    imported = {key: n for key, n in touched.items() if n.source != OWN_SOURCE}
    signs = (*state.heard, *_present(state.told, round))
    watched = {place_of(sign) for sign in signs if sign.blocks or sign.fails}
    watched |= {place_of(network) for network in imported.values() if alarmed(network)}
    told = state.told
    for _, network in sorted(imported.items()):
        if (silence := _silence(network, round, policy)) is not None:
            told = with_sign(told, network, silence, round, policy, FAILS)
        if place_of(network) in watched:
            shown = _shows(state, network, round, policy)
            told = with_sign(told, network, shown, round, policy)
    return told


def place_of(where: NetworkSign | TargetNetwork) -> Place:
    """Where a sign or a target's network is."""
    return where.country, where.asn, where.source


def _present(told: Sequence[NetworkSign], round: int) -> list[NetworkSign]:
    return [sign for sign in told if sign.until > round]


def _shows(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy
) -> NetworkSign | None:
    """What the last run of a network shows from the next hour on, until it is too long ago."""
    outcome = network.members[network.source].outcome
    technique = _blocked_by(state, network, policy)
    if not technique and outcome is not VantageOutcome.GOOD:
        return None
    seconds = policy.gates.outage_seconds if technique else policy.imported.imported_silence_seconds
    return sign_of(network, technique, round, policy.ms(seconds), policy)


def sign_of(
    network: TargetNetwork, technique: str, round: int, lasts: int, policy: Policy
) -> NetworkSign:
    """What a network shows from the next hour on, for so many milliseconds."""
    following = _following(round, policy)
    return NetworkSign(
        target=network.target,
        country=network.country,
        asn=network.asn,
        source=network.source,
        technique=technique,
        blocks=bool(technique),
        since=following,
        until=following + lasts,
    )


def _following(round: int, policy: Policy) -> int:
    """The hour from which on others hear of a round."""
    hour = policy.ms(policy.imported.imported_together_seconds)
    return (round // hour + 1) * hour


def _silence(network: TargetNetwork, round: int, policy: Policy) -> NetworkSign | None:
    """A failure of several runs that nothing answered. It is told for longer than it lasts: what is
    reached again did fail together with others."""
    for series in network.layers.values():
        for track in series.tracks.values():
            held = track.suspicion
            if held is None or track.last_bad != round or not _is_silent(held):
                continue
            if max(held.sums) < policy.imported.imported_pooled_least:
                continue
            lasts = policy.ms(policy.imported.imported_faults_seconds)
            worked, failing = _latest_failure(network.runs, held)
            sign = sign_of(network, "", round, lasts, policy)
            return replace(sign, fails=True, worked=worked, failing=failing)
    return None


def _is_silent(held: Suspicion) -> bool:
    """Whether no connection is made, nor a name answered, as in an outage."""
    layer, _, rest = technique_of(held).partition(".")
    return layer in _CONNECTS and rest.partition(".")[0] in _SILENT


def _latest_failure(runs: ImportedRuns | None, held: Suspicion) -> RunCourse:
    """Since when the target fails without being reached several times in a row."""
    member = densest(held)
    onset = held.onsets[member]
    spans = [span for span in (runs.spans if runs is not None else ()) if span[1] >= onset]
    if len(spans) < 2:
        return RunCourse(held.befores[member], max(onset, spans[0][0] if spans else 0))
    return RunCourse(spans[-2][2], spans[-1][0])


def _blocked_by(state: ServiceState, network: TargetNetwork, policy: Policy) -> str:
    """How the target is blocked in a network by the evidence of its own runs, which fail last;
    empty when it is not: what has joined others shows nothing more to a third."""
    current = state.open_events.get(f"{network.country} {network.source}")
    spans = network.runs.spans if network.runs is not None else ()
    if current is None or not current.event.stands or not spans or spans[-1][2]:
        return ""
    for track, held in alarmed(network):
        enough = max(held.sums) >= policy.imported.imported_micronats
        if (
            enough
            and usually_works(track, policy)
            and not fails_with_others(state, network, held, policy)
        ):
            return technique_of(held)
    return ""


def with_sign(
    told: tuple[NetworkSign, ...],
    network: TargetNetwork,
    shown: NetworkSign | None,
    round: int,
    policy: Policy,
    about: str = "",
) -> tuple[NetworkSign, ...]:
    """With what a network shows in place of what was told of it for later hours. `about`: as in
    `NetworkSign`."""
    following = _following(round, policy)
    key = (network.target, *place_of(network), about)
    kept = list[NetworkSign]()
    for sign in told:
        if (sign.target, *place_of(sign), sign.about) == key and sign.until > following:
            if shown and _same_but_hours(sign) == _same_but_hours(shown):
                shown = replace(shown, since=min(sign.since, shown.since))
                continue
            if sign.since >= following:
                continue  # told in this same hour, and nobody has heard it
            sign = replace(sign, until=following)
        kept.append(sign)
    forgotten = round - policy.ms(policy.imported.imported_memory_seconds)
    kept = [sign for sign in kept if sign.until > forgotten]
    return (*kept, shown) if shown else tuple(kept)


def first_difference(old: ServiceState, new: ServiceState, policy: Policy) -> dict[Place, int]:
    """The first hour in which two states of a service tell different things of a network, by
    network; of other pages, of networks everywhere. What both may have forgotten by now counts as
    alike."""
    forgotten = new.round - policy.ms(policy.imported.imported_memory_seconds)
    before, after = set(old.told), set(new.told)
    hours: dict[Place, int] = {}
    for changed in before ^ after:
        of_it = _same_but_hours(changed)
        mine = [{s for s in told if _same_but_hours(s) == of_it} for told in (before, after)]
        for hour in sorted({time for some in mine for s in some for time in (s.since, s.until)}):
            was, now = (any(s.since <= hour < s.until for s in some) for some in mine)
            if was != now and hour >= forgotten:
                place = EVERYWHERE if changed.about == OTHER else place_of(changed)
                hours[place] = min(hour, hours.get(place, hour))
                break
    return hours


def _same_but_hours(sign: NetworkSign) -> NetworkSign:
    return replace(sign, since=0, until=0)


def measures(state: ServiceState, place: Place) -> bool:
    """Whether a service is measured in a network; for EVERYWHERE, whether it gets other pages."""
    return any(
        place_of(network) == place
        or (place == EVERYWHERE and network.runs is not None and network.runs.other_page[0])
        for network in state.networks.values()
    )


def fails_with_others(
    state: ServiceState, network: TargetNetwork, held: Suspicion, policy: Policy
) -> bool:
    """Whether a failure without an answer is rather one of the network than of the service.

    Services of other companies began to fail with it, and nothing is reached there all the time. Or
    they fail so now, or have failed so in the days before, and no other network of the country
    fails: then it must last for longer than outages do, or than a day."""
    if not _is_silent(held):
        return False
    member = densest(held)
    latest = _latest_failure(network.runs, held)
    mine = (RunCourse(held.befores[member], held.onsets[member]), latest)
    here = _heard_here(state, network)
    others = [
        sign
        for sign in here
        if sign.fails and company_of(service_of(sign.target)) != company_of(state.service)
    ]
    reached = {sign.target for sign in here if _is_reached(sign)}
    passed = any(sign.target in reached and _lasted(sign, policy) for sign in others)
    together = {sign.target for sign in here if sign.fails and _began_with(sign, mine, policy)}
    with_others = any(sign.target in together for sign in others)
    if not with_others and not passed:
        return False
    if with_others and not _goes_on(state, network, together, mine, policy):
        return True
    if pooled(state, network, state.round, policy).nats:
        return False
    imported = policy.imported
    least = imported.imported_always_seconds if passed else policy.gates.outage_seconds
    return state.round - latest.failing < policy.ms(least)


def _heard_here(state: ServiceState, network: TargetNetwork) -> list[NetworkSign]:
    here = place_of(network)
    return [sign for sign in state.heard if place_of(sign) == here and not sign.page]


def is_too_early(held: Suspicion, round: int, policy: Policy) -> bool:
    """Whether a failure without an answer is so new that others had no time to tell that they fail
    with it: it takes two runs, and is heard from the next hour on."""
    if not _is_silent(held):
        return False
    hour = policy.ms(policy.imported.imported_together_seconds)
    present, onset = round - round % hour, held.onsets[densest(held)]
    failures = [at for at, _, _ in held.witnesses if at >= onset]
    return present - onset < hour or max(failures[:2], default=onset) >= present


def _is_reached(sign: NetworkSign) -> bool:
    return not (sign.blocks or sign.fails)


def _lasted(sign: NetworkSign, policy: Policy) -> bool:
    """Whether a failure went on for more than an hour: shorter ones are chance."""
    imported = policy.imported
    # It is told from the hour on that follows its run.
    told = policy.ms(imported.imported_faults_seconds + imported.imported_together_seconds)
    return sign.until - told - sign.failing >= policy.ms(imported.imported_span_seconds)


def _began_with(sign: NetworkSign, mine: Collection[RunCourse], policy: Policy) -> bool:
    slack = policy.ms(policy.imported.imported_together_seconds)
    return any(course.began_with(RunCourse(sign.worked, sign.failing), slack) for course in mine)


def _goes_on(
    state: ServiceState,
    network: TargetNetwork,
    together: Collection[str],
    mine: Sequence[RunCourse],
    policy: Policy,
) -> bool:
    """Whether something is reached in a network since a failure, and has not failed with it."""
    since = min(course.failing for course in mine)
    # A sign is told from the hour on that follows its run.
    told = policy.ms(
        policy.imported.imported_silence_seconds + policy.imported.imported_together_seconds
    )
    if any(
        _is_reached(sign) and sign.target not in together and sign.until - told >= since
        for sign in _heard_here(state, network)
    ):
        return True
    return any(
        other.members[other.source].outcome is VantageOutcome.GOOD
        and other.members[other.source].round >= since
        and not suspected(other)
        for other in state.networks.values()
        if other.runs is not None and place_of(other) == place_of(network)
    )


def blocked_beside(
    state: ServiceState, network: TargetNetwork, techniques: Collection[str], policy: Policy
) -> NetworkSign | None:
    """The block of another service in the same network and hours, of a like technique or of a
    service of the same kind, while something is reached there."""
    here = _heard_here(state, network)
    silence = policy.imported.imported_silence_seconds
    late = policy.ms(silence - policy.gates.outage_seconds)
    reached = any(_is_reached(sign) and sign.until - late > state.round for sign in here) or any(
        other.runs is not None and other.members[other.source].outcome is VantageOutcome.GOOD
        for other in state.networks.values()
        if place_of(other) == place_of(network) and other.target != network.target
    )
    if not reached:
        return None
    ways = {way(technique) for technique in techniques}
    return next(
        (
            sign
            for sign in here
            if sign.blocks
            and company_of(service_of(sign.target)) != company_of(state.service)
            and (way(sign.technique) in ways or _is_alike(service_of(sign.target), state.service))
        ),
        None,
    )


def way(technique: str) -> str:
    """How connections fail, whatever the layer; for names, that they are not answered rightly."""
    layer, _, rest = technique.partition(".")
    return "dns" if layer == "dns" else rest.partition(".")[0]


def company_of(service: str) -> str:
    """Who runs a service."""
    return COMPANIES.get(service, service)


def _is_alike(service: str, other: str) -> bool:
    return (service in NETWORKING) == (other in NETWORKING)
