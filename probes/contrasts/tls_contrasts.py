# SPDX-License-Identifier: Apache-2.0
"""TLS with every address of an endpoint, and the contrasts that isolate the cause of a failure.

The SNI contrasts vary one thing at a time: the name (the service's or an innocuous one) and the
address (the service's or that of our reflector). After a trigger a censor may block the pair of
addresses for minutes, so where the last round failed the innocuous name goes first, and at the
reflector always.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from probes.contrasts import partial_loss
from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.net import tls
from probes.net.classify import UNKNOWN_AUTHORITY_CODES
from probes.net.resolvers import parse_authority
from probes.steps import http, path
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, Purpose, TLSHandshake

AFTER_TRIGGER = "after_trigger"
"""Evidence beside an innocuous name: within the residual time before, the service's name failed at
this address."""
MAX_CONTRASTED = 4
"""Addresses of one endpoint that get the innocuous name; the others get a repeat only."""
Application = Callable[[EndpointRun, Connection], Awaitable[None]]


async def measure(run: EndpointRun, application: Application | None = None) -> None:
    """Do a TLS handshake with every address; ask the other resolvers when no address of the
    machine's own resolver proved itself by its certificate.

    `application` is called once, on the first usable connection to an address of the machine's own
    resolver, and at once, because servers close idle connections. Where none is usable it gets a
    new connection to another address.
    """

    async def reach(run: EndpointRun, address: str) -> Connection:
        connection = await _reach_address(run, address)
        own = address in run.addresses.system
        if own and connection.usable and application is not None and run.once("application"):
            await application(run, connection)
        connection.close()
        return connection

    reached = await run.for_each_address(await run.addresses.first(), reach)
    if not any(_proven(each) for each in reached if each.address in run.addresses.system):
        reached += await run.for_each_address(await run.addresses.of_references(), reach)
    proven = next(filter(_proven, reached), None)
    if proven is not None and application is not None and run.once("application"):
        fresh = await reconnect(run, proven.address)
        if fresh.usable:
            await application(run, fresh)


async def reconnect(
    run: EndpointRun,
    address: str,
    contrast: Contrast = Contrast.REPEAT,
    *,
    port: int | None = None,
    profile: str = "default",
    name: str | None = None,
    trust: str | None = None,
    verify: bool = True,
    roomy: bool = False,
) -> Connection:
    """Connect from a new port and do a TLS handshake with one thing changed, as a contrast."""
    fresh = await run.connect(address, port=port, contrast=contrast, roomy=roomy)
    return await run.tls_handshake(
        fresh, contrast=contrast, profile=profile, name=name, trust=trust, verify=verify
    )


def _proven(connection: Connection) -> bool:
    return connection.tls is not None and connection.tls.failure is None


async def _reach_address(run: EndpointRun, address: str) -> Connection:
    innocuous_passes: bool | None = None
    if run.course.contrasts and run.course.failed_last_round:
        innocuous_passes = await _innocuous_once(run, address)
    connection = await run.tls_handshake(await partial_loss.connect(run, address))
    if connection.tls is None or connection.tls.failure is None:
        return connection
    if connection.tls.plain_http:
        _record_clear_answer(run, connection)
        if run.course.contrasts and run.once("no_verify"):
            await _who_answers(run)
    elif connection.tls.verify_code:
        if run.course.contrasts and run.once("no_verify"):
            await run.addresses.doubt()
            await _examine_foreign_certificate(run, connection.tls)
            if innocuous_passes is None:
                await _innocuous_once(run, address)
            if not run.course.brief:
                await _show_both_again(run, address)
            await _who_answers(run)
    else:
        return await _contrast(run, connection, innocuous_passes)
    return connection


async def _contrast(
    run: EndpointRun, connection: Connection, innocuous_passes: bool | None
) -> Connection:
    """The handshake failed: change one thing at a time. Returns a usable connection if a repeat
    gave one."""
    address = connection.address
    if run.course.contrasts and innocuous_passes is None:
        innocuous_passes = await _innocuous_once(run, address)
    if run.course.repeats:
        # Whatever name is shown: then it may be the line.
        doubtful = _is_silent(connection) or (innocuous_passes is False and run.course.looks_closer)
        repeated = await run.again(doubtful, address, reconnect(run, address))
        if repeated.usable:
            return await _repeat_handshake(run, repeated) if innocuous_passes else repeated
    if not run.course.contrasts:
        return connection
    if run.course.repeats and run.up_to("classical", MAX_CONTRASTED):
        small = await reconnect(run, address, Contrast.CLASSICAL_HELLO, profile="classical")
        if _proven(small) and innocuous_passes:  # so the size of the hello is not the cause
            small = await _repeat_handshake(run, small, failed=2)
        if small.usable:
            return small
    if not (run.course.brief and innocuous_passes):
        await _locate(run, connection)
    return connection


async def _locate(run: EndpointRun, connection: Connection) -> None:
    """Where is the cause: at the service's address, at our reflector's too, at which hop?"""
    if run.sni.address and run.endpoint.server_name and run.once("reflector"):
        await _reflector(run)
    if run.course.repeats and not run.course.failed_last_round and run.once("path"):
        await _trace(run, connection)


def _is_silent(connection: Connection) -> bool:
    return connection.tls is not None and connection.tls.failure == Failure.TIMEOUT


async def _repeat_handshake(
    run: EndpointRun, connection: Connection, failed: int = 1
) -> Connection:
    """One handshake failed and one passed: how many of several fail, and do those with an
    innocuous name fail too? Returns the newest usable connection, or the given one."""
    newest = connection

    async def attempt(number: int) -> bool:
        nonlocal newest
        if number in (0, 2):
            await _innocuous(run, connection.address)
        fresh = await reconnect(run, connection.address)
        if fresh.usable:
            newest.close()
            newest = fresh
        return fresh.usable

    await partial_loss.repeat(run, attempt, failed=failed)
    return newest


async def _innocuous_once(run: EndpointRun, address: str) -> bool | None:
    """Show an innocuous name, at a few addresses only. Returns whether it passed; None when it
    was not shown."""
    most = 1 if run.course.brief else MAX_CONTRASTED
    if not _has_innocuous(run) or not run.up_to("innocuous", most):
        return None
    return await _innocuous(run, address)


def _has_innocuous(run: EndpointRun) -> bool:
    return run.sni.innocuous not in ("", run.endpoint.server_name)


async def _who_answers(run: EndpointRun) -> None:
    """Is the service's name answered alike at our own host, and a name that nobody has and no list
    names?"""
    if not run.sni.address or not run.endpoint.server_name:
        return
    address, port = parse_authority(run.sni.address, 443)
    for contrast, name in ((Contrast.INNOCUOUS_NAME, unlisted()), (Contrast.REFLECTOR, None)):
        # It is refused, and a certificate that is refused is kept whole.
        (await reconnect(run, address, contrast, port=port, name=name)).close()


def unlisted() -> str:
    """A name that nobody has and no list names."""
    return f"{secrets.token_hex(6)}.example"


async def _innocuous(run: EndpointRun, address: str, port: int | None = None) -> bool:
    """Show an innocuous name to the service's address, or to our reflector. Any certificate
    passes, and so does an alert of the server."""
    kind = Contrast.INNOCUOUS_NAME
    fresh = await reconnect(run, address, kind, port=port, name=run.sni.innocuous, verify=False)
    fresh.close()
    if fresh.tls is None:
        return False
    if run.course.residual:
        run.add_evidence(fresh.tls, AFTER_TRIGGER)
    return fresh.tls.failure is None or fresh.tls.alert is not None


async def _reflector(run: EndpointRun) -> None:
    """Show the service's name to our reflector, which completes TLS for any name, and before it a
    name that nobody has and an innocuous one: is each name refused that is on no list, and does it
    work at all?"""
    address, port = parse_authority(run.sni.address, 443)
    if _has_innocuous(run):
        kind = Contrast.INNOCUOUS_NAME
        (await reconnect(run, address, kind, port=port, name=unlisted(), verify=False)).close()
        await _innocuous(run, address, port)
    (await reconnect(run, address, Contrast.REFLECTOR, port=port, verify=False)).close()


async def _trace(run: EndpointRun, connection: Connection) -> None:
    """Find the hop at which the interference acts, in the first round that fails."""
    step = run.step(connection.address, connection.port, purpose=Purpose.CONTRAST)
    seen = await path.trace(
        replace(step, timeout=run.timeouts.path),
        sni=run.endpoint.server_name,
        alpn=run.endpoint.alpn,
        silent=_is_silent(connection),
        hop=run.timeouts.hop,
    )
    run.observations.append(seen)


async def _show_both_again(run: EndpointRun, address: str) -> None:
    """Show the service's name and an innocuous one once more: servers behind one address may have
    different certificates, which follow no name."""
    (await reconnect(run, address, Contrast.NO_VERIFY, verify=False)).close()
    if _has_innocuous(run):
        await _innocuous(run, address)


async def _examine_foreign_certificate(run: EndpointRun, seen: TLSHandshake) -> None:
    """Does the machine's own store trust the certificate, and does the server answer with a block
    page? One request is sent past the certificate, only to recognise a block page."""
    kind = Contrast.NO_VERIFY
    fresh = None
    if not run.endpoint.trust and seen.verify_code in UNKNOWN_AUTHORITY_CODES:
        fresh = await _trusted_by_system(run, seen)
    if fresh is None:
        fresh = await reconnect(run, seen.address, kind, verify=False)
    await run.http_request(fresh, contrast=kind)


async def _trusted_by_system(run: EndpointRun, seen: TLSHandshake) -> Connection | None:
    """A chain that only the machine's own store trusts gets the evidence `system_root`."""
    fresh = await reconnect(run, seen.address, Contrast.NO_VERIFY, trust=tls.SYSTEM_STORE)
    if not fresh.usable or fresh.tls is None:
        return None
    run.add_evidence(seen, "system_root")
    run.add_evidence(fresh.tls, "system_root")
    return fresh


def _record_clear_answer(run: EndpointRun, connection: Connection) -> None:
    """The first bytes of a clear-text answer distinguish a block page from a captive portal."""
    if connection.client is None or connection.tls is None:
        return
    run.observations.append(
        http.clear_answer(
            connection.client.head,
            endpoint=run.endpoint.id,
            address=connection.address,
            port=connection.port,
            host=run.endpoint.server_name,
            path=run.endpoint.path,
            at_us=connection.tls.at_us + connection.tls.took_us,
        )
    )
