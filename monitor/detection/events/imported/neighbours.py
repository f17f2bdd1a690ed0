# SPDX-License-Identifier: Apache-2.0
"""What imported runs of other services show in the same network: evidence adds up over services.

Where one service is blocked, another of its kind that fails in the same hours is rather blocked
than broken, so it needs less evidence and a shorter history. Not where everything fails, which is
an outage of the network: something must be reached there meanwhile. And not where both belong to
one company: a fault between it and a network looks like a block of all that it runs.

Each fold tells of its networks by the hour (`tell`), and the folds of the others hear it from the
next hour on (`heard`). So services can be folded in any order within an hour, and what a fold hears
of an hour is the same whenever it asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from monitor.detection.events.cusum import technique_of
from monitor.detection.events.imported.suspicions import alarmed, usually_works
from monitor.detection.events.state import NetworkSign, ServiceState, TargetNetwork, VantageOutcome
from monitor.detection.model import OWN_SOURCE
from monitor.detection.policy import Policy
from probes.wire.measurement import service_of

Place = tuple[str, int, str]
"""Country, network and source."""
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
    while runs fail there, and that it is reached in one in which something is blocked."""
    imported = {key: n for key, n in touched.items() if n.source != OWN_SOURCE}
    blocked = {_place(sign) for sign in (*state.heard, *_present(state.told, round)) if sign.blocks}
    blocked |= {_place(network) for network in imported.values() if alarmed(network)}
    told = state.told
    for _, network in sorted(imported.items()):
        if _place(network) in blocked:
            told = _with_sign(told, network, _shows(state, network, round, policy), round, policy)
    return told


def _place(where: NetworkSign | TargetNetwork) -> Place:
    return where.country, where.asn, where.source


def _present(told: Sequence[NetworkSign], round: int) -> list[NetworkSign]:
    return [sign for sign in told if sign.until > round]


def _shows(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy
) -> NetworkSign | None:
    """What the last run of a network shows from the next hour on, until it is too long ago."""
    hour = policy.ms(policy.imported.imported_together_seconds)
    since = (round // hour + 1) * hour
    until = since + policy.ms(policy.gates.outage_seconds)
    outcome = network.members[network.source].outcome
    technique = _blocked_by(state, network, policy)
    if not technique and outcome is not VantageOutcome.GOOD:
        return None
    return NetworkSign(
        target=network.target,
        country=network.country,
        asn=network.asn,
        source=network.source,
        technique=technique,
        blocks=bool(technique),
        since=since,
        until=until,
    )


def _blocked_by(state: ServiceState, network: TargetNetwork, policy: Policy) -> str:
    """How the target is blocked in a network by the evidence of its own runs, which fail last;
    empty when it is not: what has joined others shows nothing more to a third."""
    current = state.open_events.get(f"{network.country} {network.source}")
    spans = network.runs.spans if network.runs is not None else ()
    if current is None or not current.event.stands or not spans or spans[-1][2]:
        return ""
    for track, held in alarmed(network):
        if max(held.sums) >= policy.imported.imported_micronats and usually_works(track, policy):
            return technique_of(held)
    return ""


def _with_sign(
    told: tuple[NetworkSign, ...],
    network: TargetNetwork,
    shown: NetworkSign | None,
    round: int,
    policy: Policy,
) -> tuple[NetworkSign, ...]:
    """With what a network shows in place of what was told of it for later hours."""
    hour = policy.ms(policy.imported.imported_together_seconds)
    following = (round // hour + 1) * hour
    key = (network.target, *_place(network))
    kept = list[NetworkSign]()
    for sign in told:
        if (sign.target, *_place(sign)) == key and sign.until > following:
            if shown and (sign.blocks, sign.technique) == (shown.blocks, shown.technique):
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
    network. What both may have forgotten by now counts as alike."""
    forgotten = new.round - policy.ms(policy.imported.imported_memory_seconds)
    before, after = set(old.told), set(new.told)
    hours: dict[Place, int] = {}
    for changed in before ^ after:
        of_it = _same_but_hours(changed)
        mine = [{s for s in told if _same_but_hours(s) == of_it} for told in (before, after)]
        for hour in sorted({time for some in mine for s in some for time in (s.since, s.until)}):
            was, now = (any(s.since <= hour < s.until for s in some) for some in mine)
            if was != now and hour >= forgotten:
                place = _place(changed)
                hours[place] = min(hour, hours.get(place, hour))
                break
    return hours


def _same_but_hours(sign: NetworkSign) -> NetworkSign:
    return replace(sign, since=0, until=0)


def measures(state: ServiceState, place: Place) -> bool:
    """Whether a service is measured in a network."""
    return any(_place(network) == place for network in state.networks.values())


def blocked_beside(
    state: ServiceState, network: TargetNetwork, techniques: Collection[str]
) -> NetworkSign | None:
    """The block of another service in the same network and hours, of a like technique or of a
    service of the same kind, while something is reached there."""
    here = [sign for sign in state.heard if _place(sign) == _place(network)]
    reached = any(not sign.blocks for sign in here) or any(
        other.runs is not None and other.members[other.source].outcome is VantageOutcome.GOOD
        for other in state.networks.values()
        if _place(other) == _place(network) and other.target != network.target
    )
    if not reached:
        return None
    ways = {way(technique) for technique in techniques}
    return next(
        (
            sign
            for sign in here
            if sign.blocks
            and _company(service_of(sign.target)) != _company(state.service)
            and (way(sign.technique) in ways or _is_alike(service_of(sign.target), state.service))
        ),
        None,
    )


def way(technique: str) -> str:
    """How connections fail, whatever the layer; for names, that they are not answered rightly."""
    layer, _, rest = technique.partition(".")
    return "dns" if layer == "dns" else rest.partition(".")[0]


def _company(service: str) -> str:
    return COMPANIES.get(service, service)


def _is_alike(service: str, other: str) -> bool:
    return (service in NETWORKING) == (other in NETWORKING)
