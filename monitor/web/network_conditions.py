# SPDX-License-Identifier: Apache-2.0
"""The present condition of each network, from the fleet and its last status messages."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping

from monitor.detection.network_condition import (
    Condition,
    LastKnown,
    NetworkCondition,
    Word,
    network_condition,
)
from monitor.store.days import DAY_MS
from monitor.store.engines import ReadTransaction
from monitor.store.reading.deliveries import longest_delays
from monitor.store.reading.vantages import VantageRow
from monitor.store.statements import chunks
from monitor.web.fleet import is_heard
from monitor.web.present import Present
from monitor.web.site import Site
from probes.wire import codec
from probes.wire.measurement import Role

NOT_KNOWN = NetworkCondition(condition=Condition.UNKNOWN, witnesses=dict.fromkeys(Word, 0))
"""The condition of a network without vantages."""


async def network_conditions(
    site: Site, connection: ReadTransaction, present: Present, asn: int | None = None
) -> Mapping[tuple[str, int], NetworkCondition]:
    """The condition of each network with vantages, or of those with one AS number, by country and
    AS number. Of the past it is known when each was heard, not what its status messages said.
    Raises StoreUnavailableError."""
    members = present.vantages if asn is None else present.vantages_by_network.get(asn, ())
    vantages = [row for row in members if row.revoked is None and row.role == Role.VANTAGE]
    messages: Mapping[str, codec.Status] = {}
    delays: Mapping[str, int] = {}
    if site.as_of is None:
        messages = await _last_messages(site, vantages)
        # How late measurements of yesterday and today arrived.
        yesterday = site.clock() - DAY_MS
        delays = await longest_delays(connection, [row.id for row in vantages], yesterday)
    networks: dict[tuple[str, int], list[LastKnown]] = defaultdict(list)
    for row in vantages:
        message = messages.get(row.id)
        networks[row.country, row.asn].append(
            LastKnown(
                owner=row.owner,
                last_seen=row.last_seen,
                offline=row.id in present.offline,
                state=message.state if message else "",
                ways_fail=bool(message and message.failing_ways),
                longest_delay=delays.get(row.id, 0),
            )
        )
    anybody_heard = any(row.revoked is None and is_heard(site, row) for row in present.vantages)
    now = site.clock()
    return {
        place: network_condition(known, now, site.policy, anybody_heard=anybody_heard)
        for place, known in networks.items()
    }


async def present_conditions(site: Site) -> Mapping[tuple[str, int], NetworkCondition]:
    """The condition of each network with vantages now. Raises StoreUnavailableError."""
    async with site.present.reading() as (connection, present):
        return await network_conditions(site, connection, present)


async def _last_messages(site: Site, vantages: list[VantageRow]) -> Mapping[str, codec.Status]:
    """Status messages of the vantages that stopped reporting lately; of the others none matters."""
    expected = site.clock() - site.policy.ms(site.policy.fleet.expected_vantages_seconds)
    silent = [
        row.id
        for row in vantages
        if row.last_seen is not None and row.last_seen >= expected and not is_heard(site, row)
    ]
    messages: dict[str, codec.Status] = {}
    for chunk in chunks(silent):
        for probe in await site.database.registry.probes(chunk):
            # Another version of the monitor may have stored it; what is not understood is no word.
            with contextlib.suppress(codec.WireError):
                messages[probe.id] = codec.decode_status(probe.status)
    return messages
