# SPDX-License-Identifier: Apache-2.0
"""TLS to every address of an endpoint, and on failure the contrasts that isolate the cause.

The square of names and addresses: the service's name or an innocuous one,
at the service's address or at a reflector of ours. A censor may go on blocking an address pair
for minutes after a trigger, so where the last round failed the innocuous name goes first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from probes.contrasts import partial_loss
from probes.endpoint.endpoint_run import Link, Visit
from probes.net import tls
from probes.net.classify import UNKNOWN_AUTHORITY_CODES
from probes.net.resolvers import parse_authority
from probes.steps import http, path
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, Purpose, TLSHandshake

AFTER_TRIGGER = "after_trigger"
"""Beside an innocuous name: the service's name died here within the residual time before."""
MAX_CONTRASTED = 4
"""Addresses of one endpoint that get the innocuous name; the others only a repeat."""
Application = Callable[[Visit, Link], Awaitable[None]]


async def reach(visit: Visit, application: Application | None = None) -> None:
    """Shake hands with every address; ask the other resolvers when no own answer proved itself.

    `application` runs once, on the first good connection to an own answer and at once, because
    servers close idle ones; when no own answer is good, on a fresh one to another address.
    """

    async def reach_one(visit: Visit, address: str) -> Link:
        link = await _reach_address(visit, address)
        own = address in visit.own
        if own and link.good and application is not None and visit.first_time("application"):
            await application(visit, link)
        link.close()
        return link

    links = await visit.each(await visit.addresses(), reach_one)
    if not any(_proven(link) for link in links if link.address in visit.own):
        links += await visit.each(await visit.more_addresses(), reach_one)
    proven = next((link for link in links if _proven(link)), None)
    if proven is not None and application is not None and visit.first_time("application"):
        fresh = await _again(visit, proven.address, Contrast.REPEAT)
        if fresh.good:
            await application(visit, fresh)


def _proven(link: Link) -> bool:
    return link.tls is not None and link.tls.failure is None


async def _reach_address(visit: Visit, address: str) -> Link:
    innocuous: Shown | None = None
    if visit.contrasts and visit.failed_before:
        innocuous = await _innocuous(visit, address)
    link = await visit.shake(await visit.connect_subject(address))
    if link.tls is None or link.tls.failure is None:
        return link
    if link.tls.plain_http:
        _keep_clear_answer(visit, link)
        return link
    if link.tls.verify_code:
        if visit.contrasts and visit.first_time("no_verify"):
            await _look_past(visit, link.tls)
        return link
    return await _contrast(visit, link, innocuous)


async def _contrast(visit: Visit, link: Link, innocuous: Shown | None) -> Link:
    """The handshake died: change one thing at a time. Returns a good link if a repeat gave one."""
    address = link.address
    if visit.contrasts and innocuous is None:
        innocuous = await _innocuous(visit, address)
    passes = innocuous is Shown.PASSED
    if visit.repeats:
        repeated = await _again(visit, address, Contrast.REPEAT)
        if repeated.good:
            return await _share(visit, repeated) if passes else repeated
    if not visit.contrasts:
        return link
    if any(visit.first_time(f"classical {i}") for i in range(MAX_CONTRASTED)):
        small = await _again(visit, address, Contrast.CLASSICAL_HELLO, profile="classical")
        if _proven(small) and passes:  # the size is not what matters
            small = await _share(visit, small, died=2)
        if small.good:
            return small
    if visit.sni.address and visit.endpoint.server_name and visit.first_time("reflector"):
        await _reflector(visit)
    if not visit.failed_before and visit.first_time("path"):
        await _trace(visit, link)
    return link


async def _again(visit: Visit, address: str, contrast: Contrast, profile: str = "default") -> Link:
    fresh = await visit.connect(address, purpose=Purpose.CONTRAST, contrast=contrast)
    return await visit.shake(fresh, purpose=Purpose.CONTRAST, contrast=contrast, profile=profile)


async def _share(visit: Visit, good: Link, died: int = 1) -> Link:
    """One handshake died and one passed: how many of several do, and does an innocuous name too?
    Returns the newest good link, or the given one."""
    newest = good

    async def once(number: int) -> bool:
        nonlocal newest
        if number in (0, 2):
            await _show_innocuous(visit, good.address)
        fresh = await _again(visit, good.address, Contrast.REPEAT)
        if fresh.good:
            newest.close()
            newest = fresh
        return fresh.good

    await partial_loss.settle(visit, once, died=died)
    return newest


class Shown(Enum):
    """What became of an innocuous name."""

    PASSED = "passed"
    DIED = "died"


async def _innocuous(visit: Visit, address: str) -> Shown | None:
    """Show an innocuous name to the service's address, at a few of them; None when not done."""
    name = visit.sni.innocuous
    if not name or name == visit.endpoint.server_name:
        return None
    if not any(visit.first_time(f"innocuous {i}") for i in range(MAX_CONTRASTED)):
        return None
    return await _show_innocuous(visit, address)


async def _show_innocuous(visit: Visit, address: str) -> Shown:
    """Any certificate will do, and any refusal by the far side itself."""
    name = visit.sni.innocuous
    kind = Contrast.INNOCUOUS_NAME
    fresh = await visit.connect(address, purpose=Purpose.CONTRAST, contrast=kind)
    shaken = await visit.shake(
        fresh, name=name, purpose=Purpose.CONTRAST, contrast=kind, verify=False
    )
    shaken.close()
    if shaken.tls is not None and visit.cooling:
        visit.remark(shaken.tls, AFTER_TRIGGER)
    seen = shaken.tls
    passed = seen is not None and (seen.failure is None or seen.alert is not None)
    return Shown.PASSED if passed else Shown.DIED


async def _reflector(visit: Visit) -> None:
    """Show the service's name to an address of ours, which completes TLS for any name."""
    address, port = parse_authority(visit.sni.address, 443)
    kind = Contrast.REFLECTOR
    fresh = await visit.connect(address, port=port, purpose=Purpose.CONTRAST, contrast=kind)
    (await visit.shake(fresh, purpose=Purpose.CONTRAST, contrast=kind, verify=False)).close()


async def _trace(visit: Visit, link: Link) -> None:
    """Find out at how many hops it acts, in the round in which it begins."""
    seen = await path.trace(
        visit.network,
        endpoint=visit.endpoint.id,
        address=link.address,
        port=link.port,
        sni=visit.endpoint.server_name,
        started_us=visit.started_us,
        alpn=visit.endpoint.alpn,
        silent=link.tls is not None and link.tls.failure == Failure.TIMEOUT,
        hop=visit.patience.hop,
        limit=visit.patience.path,
    )
    visit.observations.append(seen)


async def _look_past(visit: Visit, seen: TLSHandshake) -> None:
    """Someone else's certificate: does the machine's store trust it, and is it a block page?"""
    kind = Contrast.NO_VERIFY
    if not visit.endpoint.trust and seen.verify_code in UNKNOWN_AUTHORITY_CODES:
        trusted = await _trusted_by_system(visit, seen)
        if trusted is not None:
            await visit.ask(trusted, purpose=Purpose.CONTRAST, contrast=kind)
            return
    fresh = await visit.connect(seen.address, purpose=Purpose.CONTRAST, contrast=kind)
    shaken = await visit.shake(fresh, purpose=Purpose.CONTRAST, contrast=kind, verify=False)
    await visit.ask(shaken, purpose=Purpose.CONTRAST, contrast=kind)


async def _trusted_by_system(visit: Visit, seen: TLSHandshake) -> Link | None:
    """A chain valid only under the system store is kept as evidence `system_root`."""
    kind = Contrast.NO_VERIFY
    fresh = await visit.connect(seen.address, purpose=Purpose.CONTRAST, contrast=kind)
    shaken = await visit.shake(
        fresh, purpose=Purpose.CONTRAST, contrast=kind, trust=tls.SYSTEM_STORE
    )
    if not shaken.good or shaken.tls is None:
        return None
    visit.remark(seen, "system_root")
    visit.remark(shaken.tls, "system_root")
    return shaken


def _keep_clear_answer(visit: Visit, link: Link) -> None:
    """The first bytes of a clear-text answer tell a block page from a captive portal."""
    if link.client is None or link.tls is None:
        return
    visit.observations.append(
        http.clear_answer(
            link.client.head,
            endpoint=visit.endpoint.id,
            address=link.address,
            port=link.port,
            host=visit.endpoint.server_name,
            path=visit.endpoint.path,
            at_us=link.tls.at_us + link.tls.took_us,
        )
    )
