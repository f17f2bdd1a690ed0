# SPDX-License-Identifier: Apache-2.0
"""Throughput of one endpoint: transfers with the service's name and with an innocuous one from the
same address, alternating in time, and from our own host where that helps.

Turn 0 shows the service's name. If it is slow or dies, turn 1 shows an innocuous name. When that is
much faster, both go on in pairs (innocuous, service's; service's, innocuous; ...) until a test by
ranks tells a cause from chance (`probes.wire.pairs`). When it is as slow, our own host follows: if
that is fast, turns 2 and 3 are made as well, with our own host in between; otherwise the line
itself is slow and nothing more is transferred.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from msgspec import structs

from probes.contrasts.throughput_schedule import SUSPECT_TIMES, unexpectedly_slow
from probes.contrasts.tls_contrasts import reconnect
from probes.endpoint.endpoint_run import Connection, EndpointRun, ThroughputMode
from probes.net.resolvers import parse_authority
from probes.steps import transfer
from probes.wire.observation import Contrast, HTTPExchange, Transfer
from probes.wire.pairs import LEAST_PAIRS, MOST_PAIRS, PAIRED, undecided
from probes.wire.speed import SLOW, dead, slow, speed, times_faster

MARGIN = 13
"""A turn continues until it is this many times as fast as the slow one, or cannot be any more."""
FIRST = transfer.TransferLimits()
LATER = transfer.TransferLimits(
    sure=3 * transfer.WANTED_BYTES, most=32 * transfer.WANTED_BYTES, seconds=2.5
)
LATER_SHARE = 5 / 8
"""Of the time of the first transfer, for each of the others: the whole series has to fit into the
time of one endpoint."""
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
    if other is not None and times_faster(other, first, SUSPECT_TIMES):
        await _alternate(
            lambda turn: _service(run, address, turn, later),
            lambda turn: _innocuous(run, address, turn, later),
            ([first], [other]),
        )
        return
    path = bytes_path(first)
    reflected = await _reflector(run, run.sni.innocuous, 0, later, path)
    if reflected is None or not times_faster(reflected, first, SUSPECT_TIMES):
        return
    if other is None:
        # The service's address accepts no other name, so our host gets the service's name.
        named = await _reflector(run, run.endpoint.server_name, 1, later, path)
        if named is not None:
            await _alternate(
                lambda turn: _reflector(run, run.endpoint.server_name, turn, later, path),
                lambda turn: _reflector(run, run.sni.innocuous, turn, later, path),
                ([named], [reflected]),
                begins_innocuous=True,
            )
        await _service(run, address, 1, later)
        return
    await _innocuous(run, address, 2, later)
    await _reflector(run, run.sni.innocuous, 1, later, path)
    again = await _service(run, address, 3, later)
    # Where no second handshake passes the shaper, one more of ours makes up for it.
    for turn in range(2, LEAST_PAIRS - (again is not None)):
        await _reflector(run, run.sni.innocuous, turn, later, path)


async def _alternate(
    service: Callable[[int], Awaitable[Transfer | None]],
    innocuous: Callable[[int], Awaitable[Transfer | None]],
    begun: tuple[list[Transfer], list[Transfer]],
    *,
    begins_innocuous: bool = False,
) -> None:
    """Go on from turn 2, each pair in the other order than the one before, while more pairs may
    show that the service's name is slower. `begun`: the first transfer with each name."""
    named, others = begun
    for turn in range(2, 2 * MOST_PAIRS):
        if turn % 2 == 0 and not undecided(named, others):
            return
        is_innocuous = (turn % 4 in (1, 2)) is not begins_innocuous
        transferred = await (innocuous if is_innocuous else service)(turn)
        if transferred is None:
            return
        (others if is_innocuous else named).append(transferred)


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
    limit = run.timeouts.transfer * (1 if limits is FIRST else LATER_SHARE)
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
            limits=replace(limits, limit=limit, silence=run.timeouts.silence),
        )
    finally:
        connection.close()
    seen = structs.replace(seen, evidence=(*seen.evidence, PAIRED))
    run.observations.append(seen)
    return seen
