# SPDX-License-Identifier: Apache-2.0
"""An app's first exchange at every address of an endpoint, and once more when it failed.

TCP comes first and is recorded by itself, so that its own rules speak of it. There is no innocuous
twin of an app's protocol: what tells a block from a fault is a repeat from a fresh port, and the
control.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from probes.apps.opening import Opening
from probes.contrasts import sni
from probes.endpoint.endpoint_run import LOCAL, Link, Visit
from probes.steps import app
from probes.wire.observation import AppExchange, Contrast, Purpose

Begin = Callable[[], Opening]
"""Makes a fresh opening: random numbers and message ids are used once."""


async def speak(visit: Visit, begin: Begin) -> None:
    """Over TCP: resolve, connect to every address, make the exchange there."""

    async def at(visit: Visit, address: str) -> bool:
        link = await visit.connect_subject(address)
        if not link.good:
            return False
        seen = await _exchange(visit, link, begin())
        if not seen.spoke and visit.repeats:
            why, kind = Purpose.CONTRAST, Contrast.REPEAT
            fresh = await visit.connect(address, purpose=why, contrast=kind)
            if fresh.good:
                seen = await _exchange(visit, fresh, begin(), purpose=why, contrast=kind)
        return seen.spoke

    await _everywhere(visit, at)


async def speak_tls(visit: Visit, begin: Begin) -> None:
    """Over TLS: as the square of names and addresses has it, and the exchange once, on the first
    good connection."""

    async def ask(visit: Visit, link: Link) -> None:
        seen = await _exchange(visit, link, begin())
        if seen.spoke or not visit.repeats:
            return
        why, kind = Purpose.CONTRAST, Contrast.REPEAT
        fresh = await visit.connect(link.address, purpose=why, contrast=kind)
        shaken = await visit.shake(fresh, purpose=why, contrast=kind)
        if shaken.good:
            await _exchange(visit, shaken, begin(), purpose=why, contrast=kind)

    await sni.reach(visit, ask)


async def speak_udp(visit: Visit, begin: Begin, pauses: Sequence[float]) -> None:
    """Over UDP: resolve, make the exchange with every address."""

    async def at(visit: Visit, address: str) -> bool:
        seen = await _ask(visit, address, begin(), pauses)
        final = seen.failure in LOCAL and seen.icmp_type is None
        if not seen.spoke and visit.repeats and not final and not seen.evidence:
            why, kind = Purpose.CONTRAST, Contrast.REPEAT
            seen = await _ask(visit, address, begin(), pauses, purpose=why, contrast=kind)
        return seen.spoke

    await _everywhere(visit, at)


async def _everywhere(visit: Visit, at: Callable[[Visit, str], Awaitable[bool]]) -> None:
    addresses = await visit.addresses()
    spoke = dict(zip(addresses, await visit.each(addresses, at), strict=True))
    reached = any(spoke[address] for address in spoke if address in visit.own)
    await visit.each(await visit.second_opinion(reached=reached), at)


def _limit(visit: Visit, purpose: Purpose) -> float:
    subject = purpose is Purpose.SUBJECT
    return visit.patience.subject if subject else visit.patience.contrast


async def _exchange(
    visit: Visit,
    link: Link,
    opening: Opening,
    *,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
) -> AppExchange:
    """Make the exchange over an open link, record it, and close the link."""
    assert link.stream is not None
    try:
        seen = await app.over_stream(
            visit.network,
            link.stream,
            opening,
            client=link.client,
            endpoint=visit.endpoint.id,
            address=link.address,
            port=link.port,
            protocol=visit.endpoint.protocol,
            started_us=visit.started_us,
            purpose=purpose,
            contrast=contrast,
            timeout=_limit(visit, purpose),
        )
    finally:
        link.close()
    visit.observations.append(seen)
    return seen


async def _ask(
    visit: Visit,
    address: str,
    opening: Opening,
    pauses: Sequence[float],
    *,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
) -> AppExchange:
    """Make the exchange from a fresh UDP port and record it."""
    seen = await app.over_datagrams(
        visit.network,
        opening,
        endpoint=visit.endpoint.id,
        address=address,
        port=visit.endpoint.port,
        protocol=visit.endpoint.protocol,
        started_us=visit.started_us,
        pauses=pauses,
        purpose=purpose,
        contrast=contrast,
        timeout=_limit(visit, purpose),
    )
    visit.observations.append(seen)
    return seen
