"""Webhooks: signed, in order, again until they are accepted; nothing about the past."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from monitor.detector.webhooks import Webhook, WebhookSender, load_webhooks, signature
from monitor.store.reading.events import list_transitions
from monitor.store.records import Conclusions
from monitor.store.statements import cursor_value
from monitor.web.site import Site
from probes.runtime.options import OptionError
from tests.world import site as world
from tests.world.site import make_file, opened
from tests.world.waiting import HANG_SECONDS, eventually

SECRET = "sixteen characters at least"
PUBLIC = "https://reach.example"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("webhooks") / "world.sqlite")


@pytest.fixture
async def site(file: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(file, tmp_path) as made:
        yield made


class Receiver:
    """A receiver on loopback that gives these answers in turn, then 204."""

    def __init__(self, answers: Sequence[int] = ()) -> None:
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.came = asyncio.Condition()
        self.url = ""

    async def _take(self, request: web.Request) -> web.Response:
        async with self.came:
            self.got.append((dict(request.headers), await request.read()))
            self.came.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 204)

    async def wait(self, n: int) -> None:
        async with asyncio.timeout(HANG_SECONDS), self.came:
            await self.came.wait_for(lambda: len(self.got) >= n)

    @property
    def told(self) -> list[tuple[str, str]]:
        bodies = [json.loads(body) for _, body in self.got]
        return [(body["event"]["id"], body["transition"]) for body in bodies]


@contextlib.asynccontextmanager
async def receiving(answers: Sequence[int] = ()) -> AsyncIterator[Receiver]:
    made = Receiver(answers)
    app = web.Application()
    app.router.add_post("/hook", made._take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield made
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def sending(
    site: Site, *hooks: Webhook, leads: bool = True, clock: Callable[[], int] | None = None
) -> AsyncIterator[WebhookSender]:
    clock = clock or site.clock
    sender = WebhookSender(
        site.database, hooks, site.service_names, PUBLIC, clock, lambda: leads, (0.01, 0.05)
    )
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def publish(site: Site, *journal: tuple[str, str]) -> None:
    services = {event.id: event.service for event in world.events()}
    for id, kind in journal:
        one = Conclusions(
            service=services[id], round=world.NOW, state=b"state", events=(), facts=(),
            journal=((id, kind),),
        )  # fmt: skip
        await site.database.conclusions.save([one], 0)


async def known(site: Site, hook: Webhook) -> None:
    """Wait until the sender has come to the end of the journal."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            async with site.database.reading() as connection:
                (newest,) = await list_transitions(connection, limit=1)
                if await cursor_value(connection, hook.cursor) == newest.number + 1:
                    return
            await asyncio.sleep(0.01)


async def test_changes_are_signed_and_those_of_one_vantage_are_not_sent(site: Site) -> None:
    async with receiving() as receiver:
        hook = Webhook(url=receiver.url, secret=SECRET, local=True)
        async with sending(site, hook):
            await known(site, hook)
            await publish(
                site, (world.CONFIRMED, "confirmed"), (world.SINGLE, "closed"),
                (world.CLOSED, "closed"), (world.RETRACTED, "retracted"),
            )  # fmt: skip
            await receiver.wait(3)
    assert receiver.told == [
        (world.CONFIRMED, "confirmed"), (world.CLOSED, "closed"), (world.RETRACTED, "retracted")
    ]  # fmt: skip
    for headers, body in receiver.got:
        assert headers["Reachwatch-Signature"] == signature(
            SECRET, headers["Reachwatch-Timestamp"], body
        )
        said = json.loads(body)
        assert said["url"] == f"{PUBLIC}/e/{said['event']['id']}"
        rounds = [r["round"] for r in said["event"]["history"] if r["kind"] == said["transition"]]
        late = datetime.fromisoformat(said["published"]) - datetime.fromisoformat(rounds[0])
        assert said["late_seconds"] == late // timedelta(seconds=1)
    assert json.loads(receiver.got[0][1])["headline"].startswith(
        "WeChat's web client is blocked in one network"
    )
    assert json.loads(receiver.got[2][1])["headline"].startswith("Correction: Telegram")
    assert receiver.got[0][0]["Reachwatch-Delivery"] == f"{world.CONFIRMED}-confirmed"


async def test_says_how_long_a_receiver_has_not_accepted(site: Site) -> None:
    now = world.NOW
    async with receiving() as receiver, receiving() as other:
        hooks = [Webhook(url=each.url, secret=SECRET, local=True) for each in (receiver, other)]
        async with sending(site, *hooks, clock=lambda: now) as sender:
            for hook in hooks:
                await known(site, hook)
            assert sender.waiting() == [("127.0.0.1", 0.0)]
            receiver.answers = [500] * 10_000
            await publish(site, (world.CONFIRMED, "closed"))
            await receiver.wait(1)
            await known(site, hooks[1])
            now += 90_000
            assert sender.waiting() == [("127.0.0.1", 90.0)]
            receiver.answers.clear()
            await known(site, hooks[0])
            assert sender.waiting() == [("127.0.0.1", 0.0)]


async def test_a_refused_change_comes_again_before_the_next(site: Site) -> None:
    async with receiving([500, 302, 404]) as receiver:
        hook = Webhook(url=receiver.url, secret=SECRET, local=True)
        async with sending(site, hook):
            await known(site, hook)
            await publish(site, (world.CONFIRMED, "confirmed"), (world.CLOSED, "closed"))
            await receiver.wait(5)
    assert receiver.told == [(world.CONFIRMED, "confirmed")] * 4 + [(world.CLOSED, "closed")]
    assert len({body for _, body in receiver.got[:4]}) == 1


async def test_a_webhook_may_follow_one_service_in_one_country(site: Site) -> None:
    async with receiving() as receiver:
        hook = Webhook(url=receiver.url, secret=SECRET, local=True, service="signal", country="RU")
        async with sending(site, hook):
            await known(site, hook)
            await publish(site, (world.CONFIRMED, "confirmed"), (world.LIKELY, "likely"))
            await receiver.wait(1)
    assert receiver.told == [(world.LIKELY, "likely")]


async def test_it_goes_on_after_a_restart_and_tells_nothing_twice(site: Site) -> None:
    async with receiving() as receiver:
        hook = Webhook(url=receiver.url, secret=SECRET, local=True)
        async with sending(site, hook):
            await known(site, hook)
        await publish(site, (world.CONFIRMED, "likely"))
        async with sending(site, hook, leads=False):
            await publish(site, (world.CONFIRMED, "confirmed"))
        assert receiver.got == []
        async with sending(site, hook):
            await receiver.wait(2)
            await known(site, hook)
        async with sending(site, hook):
            await publish(site, (world.CLOSED, "closed"))
            await receiver.wait(3)
    assert [kind for _, kind in receiver.told] == ["likely", "confirmed", "closed"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[webhook]]\nurl = 'ftp://x/'\nsecret = 'sixteen characters at least'", "url: must be"),
        ("[[webhook]]\nurl = 'http://x/'\nsecret = 'short'", "at least 16 characters"),
        ("[[webhook]]\nurl = 'http://x/'", "secret"),
        ("[[webhook]]\nurl = 'http://x/'\nsecret = 'sixteen characters at least'\nservce = 'x'",
         "servce"),
        ("[[webhook]]\nurl = 'http://x/'\nsecret = 'sixteen characters at least'\ncountry = 'ru'",
         "two capital letters"),
        ("[[webhook", "webhooks.toml"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "webhooks.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as refused:
        load_webhooks(path)
    assert reason in str(refused.value)
    assert str(refused.value).count("\n") == 0
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9200", "localhost", "[::1]", "169.254.169.254", "[::ffff:169.254.169.254]"]
)
def test_a_local_receiver_has_to_be_allowed(tmp_path: Path, host: str) -> None:
    path = tmp_path / "webhooks.toml"
    text = f"[[webhook]]\nurl = 'http://{host}/latest'\nsecret = '{SECRET}'\n"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"webhook 1: url: .*add local = true"):
        load_webhooks(path)
    path.write_text(f"{text}local = true\n")
    assert load_webhooks(path)[0].local


async def test_a_name_that_leads_to_this_machine_is_sent_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever controls the name of a receiver can change where it leads."""
    real = socket.getaddrinfo

    def led_here(host: str, *more: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "hook.example" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", led_here)
    async with receiving() as receiver, receiving() as control:
        url = receiver.url.replace("127.0.0.1", "hook.example")
        guarded = Webhook(url=url, secret=SECRET)
        hooks = [guarded, Webhook(url=control.url, secret=SECRET, local=True)]
        async with sending(site, *hooks):
            for hook in hooks:
                await known(site, hook)
            await publish(site, (world.CONFIRMED, "confirmed"))
            await control.wait(1)
            await eventually(lambda: "leads to this machine or its link" in caplog.text)
        assert receiver.got == []
        async with sending(site, replace(guarded, local=True)):
            await receiver.wait(1)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.toml"
    path.write_text(f"[[webhook]]\nurl = 'https://x.example/'\nsecret = '{SECRET}'\n")
    (hook,) = load_webhooks(path)
    assert (hook.host, hook.service) == ("x.example", None)
    with pytest.raises(OptionError, match="No such file"):
        load_webhooks(tmp_path / "nothing.toml")
