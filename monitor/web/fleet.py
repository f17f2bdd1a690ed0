# SPDX-License-Identifier: Apache-2.0
"""Vantages and controls: status, health, and which targets a vantage is on watch for."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.detection.model import Event, State
from monitor.detection.observed.liveness import is_online
from monitor.store.reading.counts import StateCount
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter
from monitor.web.present import Present
from monitor.web.site import Site
from probes.runtime.broker_url import PORTS, WEB_PORTS
from probes.wire import codec
from probes.wire.measurement import Measurement

MAX_CLOCK_ERROR_MS = 30_000
"""A larger clock error puts measurements into other rounds than those of the control."""
Probes = Sequence[tuple[VantageRow, str]]
"""Probes with their status."""


def is_heard(site: Site, row: VantageRow) -> bool:
    """Whether a probe was seen within the policy's `silent_seconds`."""
    silent = site.policy.ms(site.policy.rounds.silent_seconds)
    return row.last_seen is not None and site.clock() - row.last_seen <= silent


def owner_of(present: Present, probe: str) -> str:
    """The pseudonym of the owner of a probe; empty where it is not known."""
    row = present.vantages_by_id.get(probe)
    return row.owner if row else ""


def fleet(site: Site, present: Present, chosen: Iterable[VantageRow] | None = None) -> Probes:
    """Every probe that ever enrolled (or those that are `chosen` of them) with `revoked`, `silent`,
    `degraded` or `online`. A degraded probe sends, but was offline in all its recent measurements,
    or its clock is wrong by over MAX_CLOCK_ERROR_MS."""
    rows_with_status = []
    for row in present.vantages if chosen is None else chosen:
        if row.revoked is not None:
            status = "revoked"
        elif not is_heard(site, row):
            status = "silent"
        elif row.id in present.offline or abs(present.offsets.get(row.id, 0)) > MAX_CLOCK_ERROR_MS:
            status = "degraded"
        else:
            status = "online"
        rows_with_status.append((row, status))
    return rows_with_status


def active(probes: Probes, role: str | None = None) -> list[tuple[VantageRow, str]]:
    """The probes that are not revoked; with `role` only those of this role."""
    return [
        (probe, status)
        for probe, status in probes
        if status != "revoked" and role in (None, probe.role)
    ]


def unwatched(site: Site, present: Present, events: Iterable[Event]) -> frozenset[str]:
    """The ids of those events of which it is known that nobody measures them now. Of a service that
    has no recent verdict anywhere, conclusions may be late: then whoever is heard in the networks
    of an event may measure it."""
    return frozenset(
        event.id
        for event in events
        if not present.is_watched(event)
        and (
            present.states(Filter(service=event.service))
            or not any(
                is_heard(site, row) and row.revoked is None and row.asn in event.asns
                for row in present.vantages_by_country.get(event.country, ())
            )
        )
    )


WAYS = frozenset(f"{by}{scheme}" for by in ("", "proxy+") for scheme in (*PORTS, *WEB_PORTS))
"""Kinds of ways to the monitor. A probe may say anything; these alone become labels."""
UNKNOWN_WAY = "unknown"


def kind_of_way(transport: str) -> str:
    """The kind of way that a probe's status message names, without the version of MQTT."""
    kind = transport.removesuffix("+5").removesuffix("+3.1.1")
    return kind if kind in WAYS else UNKNOWN_WAY


async def ways_in_use(site: Site, probes: Probes) -> Mapping[str, int]:
    """How many of the probes that are heard used each kind of way, by their last status message;
    the most common first."""
    heard = {probe.id for probe, status in active(probes) if status != "silent"}
    used: Counter[str] = Counter()
    for id, status in await site.database.registry.statuses():
        if id in heard:
            message = _message(status)
            used[kind_of_way(message.transport) if message else UNKNOWN_WAY] += 1
    return dict(sorted(used.items(), key=lambda pair: (-pair[1], pair)))


def _message(status: bytes) -> codec.Status | None:
    """A stored status message. Another version of the monitor may have stored it; what is not
    understood is no word."""
    with contextlib.suppress(codec.WireError):
        return codec.decode_status(status)
    return None


class LivenessRound(msgspec.Struct, frozen=True):
    """One round of liveness."""

    round: int
    interval: int
    online: bool


class VantageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage's liveness, clock and software; empty or None where unknown."""

    rounds: tuple[LivenessRound, ...] = ()
    """Newest first."""
    offset: int | None = None
    """Clock error in milliseconds, as the probe last measured it."""
    software: str = ""
    catalogue: str = ""
    waiting: int | None = None
    """Measurements in its spool, by its last status message."""
    dropped: int | None = None
    """Measurements that its full spool has dropped."""
    way: str = ""
    """How it reaches the monitor, by its last status message."""
    failing_ways: tuple[codec.FailingWay, ...] = ()
    """Better ways that do not work in its network."""

    @property
    def online(self) -> int:
        """Rounds in which most liveness hosts were reached."""
        return sum(each.online for each in self.rounds)


def vantage_health(lines: Sequence[bytes], status: bytes = b"") -> VantageHealth:
    """Return the health of a vantage from its liveness measurements (`lines`, newest first) and its
    last status message."""
    measured = list(_decoded(lines))
    message = _message(status)
    newest = measured[0] if measured else None
    offsets = (each.clock_offset_ms for each in measured)
    return VantageHealth(
        rounds=tuple(
            LivenessRound(each.round, each.interval_ms, is_online([each])) for each in measured
        ),
        offset=next((offset for offset in offsets if offset is not None), None),
        software=newest.software.version if newest else (message.version if message else ""),
        catalogue=newest.catalogue if newest else (message.catalogue if message else ""),
        waiting=message.spool_rows if message else None,
        dropped=message.dropped if message else None,
        way=message.transport if message else "",
        failing_ways=message.failing_ways if message else (),
    )


def _decoded(lines: Iterable[bytes]) -> Iterator[Measurement]:
    """Those that can be decoded: admission has read their envelopes alone."""
    for line in lines:
        with contextlib.suppress(codec.WireError):
            yield codec.decode(line)


def liveness_counts(health: VantageHealth) -> Sequence[StateCount]:
    """The liveness rounds as a strip takes them."""
    return [
        StateCount(each.round, "", "", 0, State.OK if each.online else State.VANTAGE_OFFLINE, 1)
        for each in health.rounds
    ]


class WatchedTarget(msgspec.Struct, frozen=True, order=True):
    """One function that one vantage does not reach."""

    since: int
    """Round, Unix milliseconds."""
    target: str
    layer: str
    asn: int
    probe: str
    event: str


def watchlist(events: Iterable[Event]) -> Mapping[str, Sequence[WatchedTarget]]:
    """By vantage, the oldest first; from the open events among these."""
    found: dict[str, list[WatchedTarget]] = defaultdict(list)
    for event in events:
        for network in event.networks if event.ongoing else ():
            for probe, since in network.watch:
                found[probe].append(
                    WatchedTarget(
                        since, network.target, network.layer, network.asn, probe, event.id
                    )
                )
    return {probe: sorted(lines) for probe, lines in sorted(found.items())}


def watchlist_of_network(events: Iterable[Event], asn: int) -> Sequence[WatchedTarget]:
    """Those in one network, the oldest first."""
    return sorted(line for lines in watchlist(events).values() for line in lines if line.asn == asn)
