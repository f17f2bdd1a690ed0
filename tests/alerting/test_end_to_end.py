"""From an event in the store to the person who is paged, through the real programs: a block is
told once, a monitor that dies ends nothing, and other troubles page nobody about blocking.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.detection.model import (
    ClosedGate,
    Contrasts,
    Event,
    EventState,
    NetworkEvidence,
    State,
    Tier,
)
from probes.wire.measurement import Role
from tests.alerting.chain import HOUR, POLICY, Chain, Person, chain, now
from tests.monitor.store.samples import event

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus", "prometheus-alertmanager")]
BLOCKING = ("ServiceBlockConfirmed", "ServiceBlockLikely", "BlockSpreading")
CLOSING = ("ServiceUnblocked", "BlockRetracted")
PEOPLE = (
    Person(1, "RU", 64501),
    Person(2, "RU", 64501),
    Person(3, "RU", 64502),
    Person(4, "FR", 64503, stays=False),
    Person(5, "FR", 64503, stays=False),
    Person(6, "FR", 64503, stays=False),
    Person(9, "DE", 64999, role=Role.CONTROL),
)
SETTLED = 2.5 * POLICY.ms(POLICY.alerting.page_interval_seconds) / 1000
"""Seconds after which Alertmanager has told every change that it is going to tell."""


def opened(id: str, **changes: object) -> Event:
    at = now()
    times = {"onset": at, "onset_earliest": at, "onset_latest": at, "opened": at, "updated": at}
    tier = changes.get("tier", Tier.LIKELY)
    assert isinstance(tier, Tier)
    return event(id, **({"networks": (signed(tier),)} | times | changes))


def signed(tier: Tier) -> NetworkEvidence:
    """A network whose three vantages, of three owners, all met a signature, whose addresses answer
    elsewhere and where the name fails at our own host too: enough for a page."""
    return NetworkEvidence(
        asn=64501,
        target="wechat/messaging",
        layer="tls",
        technique="tls.reset.sni",
        tier=tier,
        onset=now(),
        agreeing=3,
        voting=3,
        owners=3,
        known_owners=3,
        signature=True,
        dense_per_mille=980,
        contrasts=Contrasts(failures=10, answered=9, named=9),
        signs=(("named", 3, 0, 3),),
    )


async def test_who_is_told_of_what(tmp_path: Path) -> None:
    """One chain for all of it: starting one takes longer than any of the stories."""
    async with chain(tmp_path, PEOPLE) as it:
        await other_troubles_page_nobody_about_blocking(it)
        await block_is_told_once(it)
        await monitor_dies_for_an_hour(it)
        await block_ends(it)


async def other_troubles_page_nobody_about_blocking(it: Chain) -> None:
    vantages = [who.id for who in PEOPLE if who.role is Role.VANTAGE]
    # A service that is down, and an event of it that the detector holds back.
    await it.judge("signal/chat", dict.fromkeys(vantages, State.DOWN))
    held_back = opened("0" * 15 + "b", service="signal", inhibited_by=ClosedGate.SERVICE_DOWN)
    await it.say(held_back, "opened", "likely")
    # A vantage that is offline, and a country that falls silent.
    await it.judge("wechat/messaging", {vantages[0]: State.VANTAGE_OFFLINE})
    it.gone.add("FR")
    await it.sees('reachwatch_vantages{country="FR",status="silent"} == 3')
    await it.message("CountryDark")
    assert (await it.alert("CountryDark"))["labels"]["country"] == "FR"
    await it.alert("ServiceDownGlobally")
    # Were the detector to be wrong about them, nobody would be paged all the same.
    down = opened("0" * 15 + "c", service="signal", tier=Tier.CONFIRMED)
    silent = opened("0" * 15 + "d", country="FR", asns=(64503,), tier=Tier.CONFIRMED)
    await it.say(down, "opened", "confirmed")
    await it.say(silent, "opened", "confirmed")
    for each in (down, silent):
        await it.alert("ServiceBlockConfirmed", evidence_url=each.id)
    await asyncio.sleep(SETTLED)
    for name in (*BLOCKING, *CLOSING):
        assert it.told(name) == []


async def block_is_told_once(it: Chain) -> None:
    likely = opened("00000000000000aa", tier=Tier.LIKELY, technique="tcp.timeout")
    await it.say(likely, "opened", "likely")
    await it.message("ServiceBlockLikely")
    assert it.told("ServiceBlockConfirmed") == []
    confirmed = replace(
        likely,
        tier=Tier.CONFIRMED,
        technique="tls.reset.sni",
        agreeing=3,
        confirmed=now(),
        networks=(signed(Tier.CONFIRMED),),
    )
    await it.say(confirmed, "confirmed")
    page = await it.message("ServiceBlockConfirmed")
    since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(likely.onset / 1000))
    labels, said = page["labels"], page["annotations"]
    assert (labels["severity"], labels["service"], labels["country"]) == ("page", "wechat", "RU")
    assert said["summary"] == "WeChat (messaging) is blocked in Russia (AS64501): tls.reset.sni"
    facts = {"networks": "AS64501", "technique": "tls.reset.sni", "since": since}
    facts |= {"vantages": "3 of 3", "evidence_url": "https://reach.example/e/00000000000000aa"}
    assert facts.items() <= said.items()
    wider = replace(
        confirmed, asns=(64501, 64502), technique="tls.timeout.sni", agreeing=4, total=5
    )
    await it.say(wider)
    fresh = await it.alert(
        "ServiceBlockConfirmed", networks="AS64501, AS64502", technique="tls.timeout.sni"
    )
    assert fresh["annotations"]["vantages"] == "4 of 5"
    await asyncio.sleep(SETTLED)
    assert len(it.told("ServiceBlockConfirmed")) == 1


async def monitor_dies_for_an_hour(it: Chain) -> None:
    it.alive = False
    it.programs["web"].kill()
    died = time.monotonic()
    await it.alert("ReachwatchDown")
    await it.last_message("ReachwatchDown", "firing")
    await asyncio.sleep(max(0.0, died + HOUR + SETTLED - time.monotonic()))
    for name in CLOSING:
        assert it.told(name) == []
    assert it.told("ServiceBlockConfirmed", "resolved") == []
    keep_while_down = await it.alert("ServiceBlockConfirmed", networks="AS64502", vantages="4 of 5")
    assert keep_while_down["annotations"]["technique"] == "tls.timeout.sni"
    assert keep_while_down["annotations"]["summary"].startswith(
        "WeChat (messaging) is blocked in Russia ("
    )
    it.alive = True
    it.start_monitor()
    await it.last_message("ReachwatchDown", "resolved")
    assert len(it.told("ServiceBlockConfirmed")) == 1
    assert it.told("ServiceBlockConfirmed", "resolved") == []


async def block_ends(it: Chain) -> None:
    at = now()
    closed = opened(
        "00000000000000aa", tier=Tier.CONFIRMED, state=EventState.CLOSED, closed=at, updated=at
    )
    await it.say(closed, "closed")
    news = await it.message("ServiceUnblocked")
    assert news["annotations"]["summary"] == "WeChat (messaging) is reachable again in Russia"
    assert news["annotations"]["evidence_url"] == "https://reach.example/e/00000000000000aa"
    assert news["annotations"]["until"] == time.strftime(
        "%Y-%m-%d %H:%M UTC", time.gmtime(at / 1000)
    )
    assert it.beats > 0
    over = await it.message("ServiceBlockConfirmed", "resolved")
    assert over["annotations"]["when_resolved"].startswith("No longer firing.")
    await asyncio.sleep(SETTLED)
    assert len(it.told("ServiceUnblocked")) == 1
    assert it.told("BlockRetracted") == []
    assert len(it.told("ServiceBlockConfirmed")) == 1
