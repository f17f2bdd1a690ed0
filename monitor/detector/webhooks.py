# SPDX-License-Identifier: Apache-2.0
"""Signed webhooks: each change of state of an event is sent to the addresses of a file.

    [[webhook]]
    url = "https://newsroom.example/hook"
    secret = "at least sixteen characters"
    service = "wechat"     # optional: only this service
    country = "RU"         # optional: only this country
    local = true           # optional: it may be on this machine or its link, otherwise refused

A receiver gets the changes in order, at least once: `Reachwatch-Delivery` is the same at every
attempt. `Reachwatch-Signature` is `v1=` and the HMAC-SHA-256 (hex) of
`Reachwatch-Timestamp`, a full stop, and the body. Ends and corrections are sent; what one vantage
alone saw is not, nor is anything from before the webhook was first known. `late_seconds` is how
long after its round a change was published: minutes, or hours where it was learnt late, because
measurements arrived late or because it rests on runs of others that are published hours later.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.detector.guarded_resolver import GuardedResolver, is_local
from monitor.interop.forms import event_form, note_form, rfc3339
from monitor.store.conclusions import ConclusionStore
from monitor.store.database import Database
from monitor.store.reading.events import Transition, list_transitions
from monitor.store.records import Filter, StoreUnavailableError
from monitor.store.statements import cursor_value
from monitor.text import event_headlines
from probes.runtime.options import OptionError

log = logging.getLogger(__name__)
MIN_SECRET = 16
POLL_SECONDS = 2.0
"""How often the journal is looked at for new changes."""
TIMEOUT_SECONDS = 20.0
RETRY_SECONDS = (2.0, 1800.0)
"""First and longest pause between attempts; each is twice the one before."""
GIVE_UP_SECONDS = 24 * 3600.0
"""A change that no attempt delivered for this long is left out, and logged."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver."""

    url: str
    secret: str
    service: str | None = None
    country: str | None = None
    local: bool = False

    @property
    def cursor(self) -> str:
        """Name of its cursor, the number of the next change. Another address or another filter is
        another webhook."""
        text = "\n".join((self.url, self.service or "", self.country or ""))
        return f"webhook:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def host(self) -> str:
        """What logs say of it: addresses may hold secrets."""
        return urlsplit(self.url).hostname or ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    webhook: tuple[Webhook, ...] = ()


def load_webhooks(path: Path) -> Sequence[Webhook]:
    """Read the file. Raises OptionError with file, key and reason."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), type=_File).webhook
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OptionError(f"{path}: {error}") from None
    for number, hook in enumerate(found, 1):
        place = f"{path}: webhook {number}"
        if urlsplit(hook.url).scheme not in ("http", "https") or not hook.host:
            raise OptionError(f"{place}: url: must be an http or https URL")
        if is_local(hook.host) and not hook.local:
            raise OptionError(
                f"{place}: url: {hook.host} is this machine or its link; add local = true if that "
                "is what you want"
            )
        if len(hook.secret) < MIN_SECRET:
            raise OptionError(f"{place}: secret: must have at least {MIN_SECRET} characters")
        if hook.country is not None and not (len(hook.country) == 2 and hook.country.isupper()):
            raise OptionError(f"{place}: country: must be two capital letters")
    return found


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `Reachwatch-Signature`."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def message(change: Transition, names: Mapping[str, str], public_url: str) -> bytes:
    """The body: the change in a sentence, its address and the event as in the API."""
    event = change.event
    name = names.get(event.service, event.service)
    said: dict[str, Any] = {
        "transition": change.kind,
        "published": rfc3339(change.at),
        "late_seconds": change.late_seconds,
        "headline": event_headlines.change_headline(event, change.kind, name, change.note),
        "url": f"{public_url}/e/{event.id}",
        "event": event_form(event),
        "note": None if change.note is None else note_form(change.note),
    }
    return msgspec.json.encode(said)


class WebhookSender:
    """Sends changes to webhooks while this process leads. `retry_seconds` are the first and the
    longest pause between attempts."""

    def __init__(
        self,
        database: Database,
        hooks: Sequence[Webhook],
        names: Mapping[str, str],
        public_url: str,
        clock: Callable[[], int],
        leads: Callable[[], bool],
        retry_seconds: tuple[float, float] = RETRY_SECONDS,
    ) -> None:
        self._database, self._hooks, self._names = database, hooks, names
        self._public_url, self._clock, self._leads = public_url, clock, leads
        self._retry_seconds = retry_seconds
        self._since: dict[Webhook, int] = {}
        """When the first attempt began to deliver what is not accepted yet."""

    def waiting(self) -> Sequence[tuple[str, float]]:
        """For each host, how many seconds ago the oldest change was first sent that a webhook there
        has not accepted; 0 when all have."""
        now, hosts = self._clock(), {hook.host: 0.0 for hook in self._hooks}
        for hook, since in self._since.items():
            hosts[hook.host] = max(hosts[hook.host], (now - since) / 1000)
        return sorted(hosts.items())

    async def run(self) -> None:
        """Send until cancelled, to each webhook by itself: a slow one delays no other."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        guarded = aiohttp.TCPConnector(resolver=GuardedResolver())
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=guarded) as outside,
            aiohttp.ClientSession(timeout=timeout) as anywhere,
            asyncio.TaskGroup() as group,
        ):
            for hook in self._hooks:
                group.create_task(self._serve(anywhere if hook.local else outside, hook))

    async def _serve(self, session: aiohttp.ClientSession, hook: Webhook) -> None:
        store: ConclusionStore = self._database.conclusions
        wanted = Filter(service=hook.service, country=hook.country)
        while True:
            try:
                if self._leads():
                    async with self._database.reading() as connection:
                        following = await cursor_value(connection, hook.cursor)
                        rows = (
                            await list_transitions(connection, wanted, after=following - 1)
                            if following
                            else await list_transitions(connection, limit=1)
                        )
                    if not following:
                        # Nothing is sent about the past.
                        await store.set_cursor(hook.cursor, rows[0].number + 1 if rows else 1)
                        continue
                    for change in reversed(rows):
                        if change.followed:
                            self._since[hook] = self._clock()
                            await self._deliver(session, hook, change)
                            del self._since[hook]
                        await store.set_cursor(hook.cursor, change.number + 1)
                    if rows:
                        continue
            except StoreUnavailableError as error:
                log.warning("webhooks wait for the store: %s", str(error).splitlines()[0][:200])
            await asyncio.sleep(POLL_SECONDS)

    async def _deliver(
        self, session: aiohttp.ClientSession, hook: Webhook, change: Transition
    ) -> None:
        """Attempt until it is accepted (2xx), or give up after GIVE_UP_SECONDS."""
        body = message(change, self._names, self._public_url)
        began, pause = self._clock(), self._retry_seconds[0]
        while True:
            timestamp = str(self._clock() // 1000)
            headers = {
                "Content-Type": "application/json",
                "Reachwatch-Delivery": f"{change.event.id}-{change.key}",
                "Reachwatch-Timestamp": timestamp,
                "Reachwatch-Signature": signature(hook.secret, timestamp, body),
            }
            try:
                async with session.post(
                    hook.url, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    if 200 <= answer.status < 300:
                        return
                    reason = f"status {answer.status}"
            except aiohttp.ClientConnectorError as error:
                reason = str(error.os_error)  # with the host at most, and not the whole address
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = type(error).__name__
            if self._clock() - began > 1000 * GIVE_UP_SECONDS:
                log.error("webhook at %s: given up after a day: %s", hook.host, reason)
                return
            log.warning("webhook at %s: %s; next attempt in %.0f s", hook.host, reason, pause)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(2 * pause, self._retry_seconds[1])
