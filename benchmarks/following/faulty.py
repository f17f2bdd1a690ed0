# SPDX-License-Identifier: Apache-2.0
"""A bucket in front of a bucket, which fails as public servers do: some requests get 503 (with and
without Retry-After), some files break off."""

from __future__ import annotations

import random

import aiohttp
from aiohttp import web


class FaultyBucket:
    """Passes requests on to `url`; as an async context manager it listens, at `self.url`.
    `broken`: keys of files that always get 500."""

    def __init__(self, url: str, seed: int, busy: float = 0.03, cut: float = 0.03) -> None:
        self._behind, self._chance = url, random.Random(seed)
        self._busy, self._cut = busy, cut
        self.url = ""
        self.broken: set[str] = set()
        self.faults = 0

    async def __aenter__(self) -> FaultyBucket:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.lstrip("/") in self.broken:
            return web.Response(status=500)
        if self._chance.random() < self._busy:
            self.faults += 1
            asked = {"Retry-After": "1"} if self._chance.random() < 0.5 else {}
            return web.Response(status=503, headers=asked)
        url = f"{self._behind}/{request.path.lstrip('/')}".rstrip("/")
        async with self._client.get(url, params=request.query) as behind:
            body = await behind.read()
            status = behind.status
        if status == 200 and request.path != "/" and self._chance.random() < self._cut:
            self.faults += 1
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(status=status, body=body)
