# SPDX-License-Identifier: Apache-2.0
"""Speed of one endpoint: the service's name and an innocuous one at the same address, in both
orders, and our own host where that helps. Only a slow first transfer leads to a second one.

Turns: 0 the service's name; if slow, 1 an innocuous name. When that is much faster: 2 innocuous,
3 the service's, and where the two pairs disagree 4 and 5 decide. When it is as slow: our own host;
if that is fast, turns 2 and 3 as well, else the line itself is slow and nothing more is spent.
"""

from __future__ import annotations

from dataclasses import replace

from probes.contrasts.throughput_schedule import SUSPECT_TIMES, Look, oddly_slow
from probes.endpoint.endpoint_run import Link, Visit
from probes.net.resolvers import parse_authority
from probes.steps import transfer
from probes.wire.observation import Contrast, HTTPExchange, Purpose, Transfer
from probes.wire.speed import SLOW, slow, speed, times_faster

TENTH = 10
MARGIN = 13
"""A turn goes on until it is so many times as fast as the slow one, or cannot be."""
FIRST = transfer.Measure()
LATER = transfer.Measure(
    sure=3 * transfer.WANTED_BYTES, most=32 * transfer.WANTED_BYTES, seconds=2.5
)
_BYTES_PATH = f"/bytes/{16 * transfer.WANTED_BYTES}"
"""What our reflector answers with so many bytes (`probes.reflector.tcp`)."""


async def look(
    visit: Visit, address: str, answered: HTTPExchange | None, round_trip_us: int
) -> None:
    """Look at the speed of one address, if this visit may. `answered`: the app's own exchange."""
    if visit.look is Look.NO:
        return
    if visit.look is Look.MAY and not oddly_slow(answered, round_trip_us):
        return
    first = await _own(visit, address, 0, FIRST)
    if first is None or not slow(first):
        return
    least = speed(first) if first.failure is None else 0
    later = replace(LATER, enough=max(SLOW, MARGIN * least))
    other = await _innocuous(visit, address, 1, later)
    if other is None or not times_faster(other, first, SUSPECT_TIMES):
        elsewhere = await _elsewhere(visit, visit.sni.innocuous, 0, later)
        if elsewhere is None or not times_faster(elsewhere, first, SUSPECT_TIMES):
            return
        if other is None:
            # The service's address takes no other name: its own name to our host instead.
            await _elsewhere(visit, visit.endpoint.server_name, 1, later)
            await _elsewhere(visit, visit.endpoint.server_name, 2, later)
            await _elsewhere(visit, visit.sni.innocuous, 3, later)
            await _own(visit, address, 1, later)
            return
    second_other = await _innocuous(visit, address, 2, later)
    second = await _own(visit, address, 3, later)
    if other is None or second is None or second_other is None:
        return
    if times_faster(other, first, TENTH) != times_faster(second_other, second, TENTH):
        await _own(visit, address, 4, later)
        await _innocuous(visit, address, 5, later)


async def _own(visit: Visit, address: str, turn: int, measure: transfer.Measure) -> Transfer | None:
    """The service's name to its own address, over a fresh connection; over a second one when what
    a shaper still holds of the last transfer kept the first from its handshake."""
    kind, why, name = Contrast.REPEAT, Purpose.CONTRAST, visit.endpoint.server_name
    for _ in range(2):
        link = await visit.connect(address, purpose=why, contrast=kind)
        link = await visit.shake(link, purpose=why, contrast=kind)
        if link.good:
            return await _fetch(visit, link, name, turn, measure, Purpose.SUBJECT, None)
    return None


async def _innocuous(
    visit: Visit, address: str, turn: int, measure: transfer.Measure
) -> Transfer | None:
    """An innocuous name in the handshake, the same request behind it."""
    name = visit.sni.innocuous
    if not name or name == visit.endpoint.server_name:
        return None
    kind, why = Contrast.INNOCUOUS_NAME, Purpose.CONTRAST
    link = await visit.connect(address, purpose=why, contrast=kind)
    link = await visit.shake(link, name=name, purpose=why, contrast=kind, verify=False)
    return await _fetch(visit, link, name, turn, measure, why, kind)


async def _elsewhere(
    visit: Visit, name: str, turn: int, measure: transfer.Measure
) -> Transfer | None:
    """A name to our own host, which gives as many bytes as are asked for."""
    if not visit.sni.address or not name:
        return None
    address, port = parse_authority(visit.sni.address, 443)
    why = Purpose.CONTRAST
    # Its handshakes are no part of the square, which asks whether the service's name dies there.
    kind = Contrast.INNOCUOUS_NAME
    link = await visit.connect(address, port=port, purpose=why, contrast=kind)
    link = await visit.shake(link, name=name, purpose=why, contrast=kind, verify=False)
    return await _fetch(visit, link, name, turn, measure, why, Contrast.REFLECTOR, _BYTES_PATH)


def _patient(visit: Visit, measure: transfer.Measure) -> transfer.Measure:
    return replace(measure, limit=visit.patience.transfer, silence=visit.patience.silence)


async def _fetch(
    visit: Visit,
    link: Link,
    name: str,
    turn: int,
    measure: transfer.Measure,
    purpose: Purpose,
    contrast: Contrast | None,
    path: str = "",
) -> Transfer | None:
    if link.stream is None or not link.good:
        return None
    try:
        seen = await transfer.transfer(
            visit.network,
            link.stream,
            link.client,
            endpoint=visit.endpoint.id,
            address=link.address,
            port=link.port,
            sni=name,
            host=name if path else visit.endpoint.server_name,
            path=path or visit.endpoint.path,
            started_us=visit.started_us,
            turn=turn,
            round_trip_us=link.tcp.took_us,
            purpose=purpose,
            contrast=contrast,
            measure=_patient(visit, measure),
        )
    finally:
        link.close()
    visit.observations.append(seen)
    return seen
