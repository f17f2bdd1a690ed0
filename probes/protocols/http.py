# SPDX-License-Identifier: Apache-2.0
"""`http`: every address accepts a connection, and the first one answers a clear-text request."""

from __future__ import annotations

from urllib.parse import urlsplit

from probes.contrasts import partial_loss
from probes.contrasts.tls_contrasts import unlisted
from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.net.resolvers import parse_authority
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, HTTPExchange

PORT = 80
"""Of our own host: nobody serves pages there."""


async def measure(run: EndpointRun) -> None:
    """Resolve, connect and send a request; when it fails, an innocuous Host and a repeat. Where no
    other resolver gives the same address, one of theirs is asked as well: is it the same page?"""
    reached = await run.for_each_address(await run.addresses.first(), _reach)
    own = any(each.tcp.failure is None and each.address in run.addresses.system for each in reached)
    reached += await run.for_each_address(await run.addresses.further(reached=own), _reach)
    theirs = [each for each in reached if each.address not in run.addresses.system]
    other = next((each for each in theirs if each.tcp.failure is None), None)
    if other is not None and (run.once("application") or await _unconfirmed(run)):
        await _request(run, await run.connect(other.address, contrast=Contrast.REPEAT))


async def _unconfirmed(run: EndpointRun) -> bool:
    """Whether no reference resolver gives an address of the machine's own resolver."""
    theirs = await run.means.dns_cache.references(run.endpoint.host)
    return run.course.contrasts and not set(theirs).intersection(run.addresses.system)


async def _reach(run: EndpointRun, address: str) -> Connection:
    """Connect; send the request to the first address of the machine's own resolver that is
    reached."""
    connection = await partial_loss.connect(run, address)
    if connection.usable and address in run.addresses.system and run.once("application"):
        await _request(run, connection)
    connection.close()
    return connection


async def _request(run: EndpointRun, connection: Connection) -> None:
    if not connection.usable:
        return
    address = connection.address
    innocuous_first = run.course.contrasts and run.course.failed_last_round
    if innocuous_first:
        await _other_names(run, address)
    seen = await run.http_request(connection)
    if seen is None:
        return
    if seen.failure is None:
        if run.course.contrasts and run.sni.address and _is_odd(seen):
            await _own_host(run)
        return
    if run.course.contrasts and not innocuous_first:
        await _other_names(run, address)
    doubtful = seen.failure == Failure.TIMEOUT or run.course.looks_closer
    if run.course.repeats and await run.again(doubtful, address, _repeat(run, address)):
        await _measure_loss(run, address)


def _is_odd(seen: HTTPExchange) -> bool:
    """Whether it refuses the request, or leads to another site."""
    led = (urlsplit(seen.location or "").hostname or seen.host).split(".")[-2:]
    return (seen.status or 0) >= 400 or led != seen.host.split(".")[-2:]


async def _own_host(run: EndpointRun) -> None:
    """Does anybody answer at our own host, for a name that nobody has: a sign-in page, or a notice
    in place of every page?"""
    address, _ = parse_authority(run.sni.address, PORT)
    kind = Contrast.REFLECTOR
    connection = await run.connect(address, port=PORT, contrast=kind)
    await run.http_request(connection, host=unlisted(), contrast=kind)


async def _repeat(run: EndpointRun, address: str) -> bool:
    """The same request once more from a new port; True when it was answered."""
    fresh = await run.connect(address, contrast=Contrast.REPEAT)
    seen = await run.http_request(fresh, contrast=Contrast.REPEAT)
    return seen is not None and seen.failure is None


async def _measure_loss(run: EndpointRun, address: str) -> None:
    """One request failed and one was answered: how many of several fail?"""

    async def attempt(number: int) -> bool:
        if number in (0, 2):
            await _innocuous(run, address)
        return await _repeat(run, address)

    await partial_loss.repeat(run, attempt)


async def _other_names(run: EndpointRun, address: str) -> None:
    """The same request with a Host that nobody has and is on no list, then with an innocuous one,
    which shows that nothing else is wrong."""
    if run.sni.innocuous and not run.course.brief:
        await _named(run, address, unlisted())
    await _innocuous(run, address)


async def _innocuous(run: EndpointRun, address: str) -> None:
    """The same request with an innocuous Host, from a new port."""
    if run.sni.innocuous and run.sni.innocuous != run.endpoint.server_name:
        await _named(run, address, run.sni.innocuous)


async def _named(run: EndpointRun, address: str, name: str) -> None:
    kind = Contrast.INNOCUOUS_NAME
    await run.http_request(await run.connect(address, contrast=kind), host=name, contrast=kind)
