# SPDX-License-Identifier: Apache-2.0
"""Throughput of one endpoint: transfers with the service's name and with an innocuous one from the
same address, in both orders, and from our own host where that helps.

Turn 0 shows the service's name. If it is slow or dies, turn 1 shows an innocuous name. When that is
much faster, turn 2 is innocuous and turn 3 the service's; where the two pairs disagree, turns 4 and
5 decide. When it is as slow, our own host follows: if that is fast, turns 2 and 3 are made as well;
otherwise the line itself is slow and nothing more is transferred.
"""

from __future__ import annotations

from dataclasses import replace

from probes.contrasts.throughput_schedule import SUSPECT_TIMES, unexpectedly_slow
from probes.contrasts.tls_contrasts import reconnect
from probes.endpoint.endpoint_run import Connection, EndpointRun, ThroughputMode
from probes.net.resolvers import parse_authority
from probes.steps import transfer
from probes.wire.observation import Contrast, HTTPExchange, Transfer
from probes.wire.speed import SLOW, dead, slow, speed, times_faster

TENTH = 10
MARGIN = 13
"""A turn continues until it is this many times as fast as the slow one, or cannot be any more."""
FIRST = transfer.TransferLimits()
LATER = transfer.TransferLimits(
    sure=3 * transfer.WANTED_BYTES, most=32 * transfer.WANTED_BYTES, seconds=2.5
)
MOST_BYTES = 16 * transfer.WANTED_BYTES


async def measure(
    run: EndpointRun, address: str, answered: HTTPExchange | None, round_trip_us: int
) -> None:
    """Measure the throughput of one address if this run may. `answered` is the app's own exchange,
    `round_trip_us` the round trip of its connection in microseconds."""
    if run.course.throughput is ThroughputMode.OFF:
        return
    if run.course.throughput is ThroughputMode.IF_SLOW and not unexpectedly_slow(
        answered, round_trip_us
    ):
        return
    first = await _service(run, address, 0, FIRST)
    if first is None or not (slow(first) or dead(first)):
        return
    least = speed(first) if first.failure is None else 0
    later = replace(LATER, enough=max(SLOW, MARGIN * least))
    other = await _innocuous(run, address, 1, later)
    if other is None or not times_faster(other, first, SUSPECT_TIMES):
        path = bytes_path(first)
        reflected = await _reflector(run, run.sni.innocuous, 0, later, path)
        if reflected is None or not times_faster(reflected, first, SUSPECT_TIMES):
            return
        if other is None:
            # The service's address accepts no other name, so our host gets the service's name.
            await _reflector(run, run.endpoint.server_name, 1, later, path)
            await _reflector(run, run.endpoint.server_name, 2, later, path)
            await _reflector(run, run.sni.innocuous, 3, later, path)
            await _service(run, address, 1, later)
            return
    second_other = await _innocuous(run, address, 2, later)
    second = await _service(run, address, 3, later)
    if other is None or second is None or second_other is None:
        return
    if times_faster(other, first, TENTH) != times_faster(second_other, second, TENTH):
        await _service(run, address, 4, later)
        await _innocuous(run, address, 5, later)


async def _service(
    run: EndpointRun, address: str, turn: int, limits: transfer.TransferLimits
) -> Transfer | None:
    """The service's name at its own address, over a new connection; over a second one when a
    shaper that still throttles the last transfer prevented the first handshake."""
    for _ in range(2):
        connection = await reconnect(run, address, roomy=True)
        if connection.usable:
            return await _transfer(run, connection, run.endpoint.server_name, turn, limits, None)
    return None


async def _innocuous(
    run: EndpointRun, address: str, turn: int, limits: transfer.TransferLimits
) -> Transfer | None:
    """An innocuous name in the handshake, followed by the same request."""
    name, kind = run.sni.innocuous, Contrast.INNOCUOUS_NAME
    if not name or name == run.endpoint.server_name:
        return None
    connection = await reconnect(run, address, kind, name=name, verify=False, roomy=True)
    return await _transfer(run, connection, name, turn, limits, kind)


def bytes_path(service: Transfer) -> str:
    """The path for which our own host (`probes.reflector.tcp`) sends answers about as large as the
    service's: each answer costs a round trip, which data may find longer than a SYN did."""
    answers = service.requests + 1  # the last one may have been cut
    size = service.received_bytes // answers if service.requests else MOST_BYTES
    return f"/bytes/{min(max(1, size), MOST_BYTES)}"


async def _reflector(
    run: EndpointRun, name: str, turn: int, limits: transfer.TransferLimits, path: str
) -> Transfer | None:
    """A name shown to our own host, which sends as many bytes as the path says."""
    if not run.sni.address or not name:
        return None
    address, port = parse_authority(run.sni.address, 443)
    # Not Contrast.REFLECTOR: its handshakes tell whether the service's name fails there.
    kind = Contrast.INNOCUOUS_NAME
    connection = await run.connect(address, port=port, contrast=kind, roomy=True)
    connection = await run.tls_handshake(connection, name=name, contrast=kind, verify=False)
    return await _transfer(run, connection, name, turn, limits, Contrast.REFLECTOR, path)


async def _transfer(
    run: EndpointRun,
    connection: Connection,
    name: str,
    turn: int,
    limits: transfer.TransferLimits,
    contrast: Contrast | None,
    path: str = "",
) -> Transfer | None:
    if connection.stream is None or not connection.usable:
        return None
    try:
        seen = await transfer.transfer(
            run.step(connection.address, connection.port, contrast=contrast),
            connection.stream,
            connection.client,
            sni=name,
            host=name if path else run.endpoint.server_name,
            path=path or run.endpoint.path,
            turn=turn,
            round_trip_us=connection.tcp.took_us,
            limits=replace(limits, limit=run.timeouts.transfer, silence=run.timeouts.silence),
        )
    finally:
        connection.close()
    run.observations.append(seen)
    return seen
