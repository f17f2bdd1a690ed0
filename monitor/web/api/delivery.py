# SPDX-License-Identifier: Apache-2.0
"""Delivery over HTTPS, for probes that reach no broker: the bytes that MQTT carries, with the same
credentials, into the same intake."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from monitor.web.answers import json_answer
from monitor.web.params import BadParameterError
from monitor.web.reception import Reception
from monitor.web.site import SITE
from probes.runtime import options
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import encode_message
from probes.wire.https_delivery import MOST_RETESTS, PollAnswer, credentials, encode_answer

BODY_SECONDS = 150.0
"""For a batch to arrive and be stored: at 2 kB a second the largest takes 128."""
MOST_BODIES = 8
"""Of one probe that arrive at the same time; it has four batches on their way, and may have lost
connections of which nobody here knows yet."""
ACK_SECONDS = 10.0
"""Wait for the commit. A probe that was told nothing sends the batch again; it is stored once."""
STATUS_BYTES = 4096
RETRY_SECONDS = "30"


class Bodies:
    """What is arriving of each probe. One body too many takes the place of the oldest, for which
    the time is over: so one probe holds few connections, however slowly it sends."""

    def __init__(self) -> None:
        self._arriving: dict[str, list[asyncio.Timeout]] = {}

    @contextlib.asynccontextmanager
    async def place(self, probe: str) -> AsyncIterator[None]:
        """The place of one body while it arrives. Raises TimeoutError."""
        arriving = self._arriving.setdefault(probe, [])
        async with asyncio.timeout(None) as limit:
            arriving.append(limit)
            if len(arriving) > MOST_BODIES:
                arriving.pop(0).reschedule(asyncio.get_running_loop().time())
            try:
                yield
            finally:
                if limit in arriving:
                    arriving.remove(limit)
                    if not arriving:
                        del self._arriving[probe]


BODIES: web.AppKey[Bodies] = web.AppKey("bodies", Bodies)


async def batches(request: web.Request) -> web.Response:
    """Take a batch of measurements; the answer is its acknowledgement, once it is stored."""
    reception, probe = await _asked(request)
    try:
        async with request.app[BODIES].place(probe):
            payload = await _body(request, MAX_PACKET_BYTES)
    except TimeoutError:
        return _refused(408, "too many batches of this probe arrive at once")
    try:
        async with asyncio.timeout(ACK_SECONDS):
            ack = await reception.intake.deliver(probe, payload)
    except TimeoutError:
        return _refused(503, "the batch is not stored yet, send it again later")
    if ack is None:
        return _refused(429, "no batch, too many of them at once, or of the future: send it later")
    return json_answer(encode_message(ack))


async def poll(request: web.Request) -> web.Response:
    """Take a probe's status message; the answer is what the monitor wants of it."""
    reception, probe = await _asked(request)
    place = _place(request)
    reception.intake.put(probe, await _body(request, STATUS_BYTES), status=True)
    has = request.query.get("catalogue")
    document = reception.catalogue() if has is not None else b""
    is_there = reception.place_of is None or reception.place_of(probe) == place
    retests, asked_lately = await reception.retests.of(*place) if is_there else ((), False)
    answer = PollAnswer(
        retests=tuple(map(msgspec.Raw, retests[:MOST_RETESTS])),
        asked_lately=asked_lately,
        catalogue=b"" if hashlib.sha256(document).hexdigest() == has else document,
    )
    return json_answer(encode_answer(answer))


async def _asked(request: web.Request) -> tuple[Reception, str]:
    """The reception, and the probe whose credentials the request has."""
    reception = request.app[SITE].reception
    if reception is None:
        raise web.HTTPNotFound(reason="Measurements are not taken here.")
    user, secret = credentials(request.headers.get("Authorization", ""))
    if user and await reception.authenticate(user, secret):
        return reception, user
    raise web.HTTPUnauthorized(
        reason="The probe or its secret is unknown.", headers={"WWW-Authenticate": "Basic"}
    )


def _place(request: web.Request) -> tuple[str, int]:
    """Country and network whose retests are asked for."""
    try:
        country = options.country(request.query.get("country", "ZZ"))
        return country, options.asn(request.query.get("asn", "0"))
    except ValueError as error:
        raise BadParameterError(str(error)) from None


async def _body(request: web.Request, most: int) -> bytes:
    """The body of a request, which the application's own limit does not concern."""
    body = bytearray()  # grows in place, however many parts there are
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(body))
    return bytes(body)


def _refused(status: int, reason: str) -> web.Response:
    return json_answer({"error": reason}, status, {"Retry-After": RETRY_SECONDS})
