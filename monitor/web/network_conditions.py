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
    site: Site, present: Present, asn: int | None = None
) -> Mapping[tuple[str, int], NetworkCondition]:
    """The condition of each network with vantages, or of those with one AS number, by country and
    AS number. Of the past it is known when each was heard, not what its status messages said.
    Raises StoreUnavailableError."""
    standing = [row for row in present.vantages if row.revoked is None]
    vantages = [row for row in standing if row.role == Role.VANTAGE and asn in (None, row.asn)]
    messages = await _last_messages(site, vantages) if site.as_of is None else {}
    delays = await _delays(site, vantages) if site.as_of is None else {}
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
    anybody_heard = any(is_heard(site, row) for row in standing)
    now = site.clock()
    return {
        place: network_condition(members, now, site.policy, anybody_heard=anybody_heard)
        for place, members in networks.items()
    }


async def present_conditions(site: Site) -> Mapping[tuple[str, int], NetworkCondition]:
    """The condition of each network with vantages now. Raises StoreUnavailableError."""
    return await network_conditions(site, await site.present.get())


async def _delays(site: Site, vantages: list[VantageRow]) -> Mapping[str, int]:
    """How late measurements of yesterday and today arrived, by vantage."""
    async with site.database.reading() as connection:
        since = site.clock() - DAY_MS
        return await longest_delays(connection, [row.id for row in vantages], since)


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
