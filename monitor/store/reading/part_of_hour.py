# SPDX-License-Identifier: Apache-2.0
"""The sum of an hour up to a moment in it: sums and cells hold whole hours, with what was measured
after the moment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from monitor.detection.model import State
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import ServiceHour, round_verdicts
from monitor.store.service_hours import EVERY_NETWORK, HOUR_MS, kinds_of, share_of
from probes.wire.measurement import service_of

_Place = tuple[str, int, str]
"""Country, network and service."""


async def part_of_hour(
    connection: ReadTransaction,
    targets: Sequence[str],
    until: int,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[ServiceHour]:
    """The last hour before `until` (Unix ms, excluded) as `service_hours` gives whole ones, from
    the verdicts of its rounds."""
    hour = (until - 1) - (until - 1) % HOUR_MS
    whole = not asns or EVERY_NETWORK in asns
    counted: dict[_Place, dict[str, Counter[State]]] = defaultdict(dict)
    probes: dict[tuple[_Place, str], set[str]] = defaultdict(set)
    async for _round, judged in round_verdicts(connection, targets, hour, until):
        for (probe, where, asn), said in judged:
            if country in (None, where) and (whole or asn in asns):
                place = (where, asn, service_of(said.target))
                counted[place].setdefault(said.target, Counter())[said.state] += 1
                probes[place, said.target].add(probe)
    networks = [
        _summed(place, hour, series, max(len(probes[place, target]) for target in series))
        for place, series in sorted(counted.items())
    ]
    mine = [network for network in networks if network.asn in asns]
    return [*mine, *_countries(networks)] if whole else mine


def _summed(
    place: _Place, hour: int, series: Mapping[str, Counter[State]], vantages: int
) -> ServiceHour:
    country, asn, service = place
    kinds = judged = failing = 0
    for states in series.values():
        kinds |= kinds_of(states)
        conclusive, blocked = share_of(states)
        judged += conclusive
        failing += blocked
    n = sum(states.total() for states in series.values())
    return ServiceHour(service, country, asn, hour, kinds, n, judged, failing, vantages)


def _countries(networks: Sequence[ServiceHour]) -> Sequence[ServiceHour]:
    """The same of whole countries."""
    places: dict[tuple[str, str], ServiceHour] = {}
    for row in networks:
        key = row.country, row.service
        known = places.get(key)
        places[key] = ServiceHour(
            row.service,
            row.country,
            EVERY_NETWORK,
            row.hour,
            row.kinds | (known.kinds if known else 0),
            row.n + (known.n if known else 0),
            row.judged + (known.judged if known else 0),
            row.failing + (known.failing if known else 0),
            row.vantages + (known.vantages if known else 0),
        )
    return list(places.values())
