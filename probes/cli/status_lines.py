# SPDX-License-Identifier: Apache-2.0
"""What `reachprobe status` prints of a status, in the language of the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from probes.cli.consent import Agreement
from probes.cli.excerpts import ExcerptChoice
from probes.delivery.announced_ways import WayStage
from probes.rounds.scheduler import ENOUGH_VANTAGES
from probes.status import ProbeStatus, month_end_bytes
from probes.words import say


def facts(
    status: ProbeStatus,
    now_ms: int,
    agreed: Agreement | None,
    language: str,
    excerpts: ExcerptChoice = ExcerptChoice.NOT_ASKED,
) -> Mapping[str, str]:
    """The texts by the key of their label."""

    def tell(key: str, **values: object) -> str:
        return say(language, key, **values)

    def ago(then_ms: int) -> str:
        return _ago(then_ms, now_ms, language)

    s = status
    broker = tell("is_connected", transport=s.transport) if s.transport else ""
    traffic = tell(
        "traffic_so_far",
        spent=f"{s.month_spent_bytes / 1e6:.0f}",
        month=f"{month_end_bytes(s) / 1e6:.0f}",
    )
    budget = f"{s.budget_bytes / 1e6:.0f}"
    return {
        "probe": s.probe,
        "network": f"{s.country} AS{s.asn}",
        "broker": tell("has_stopped") if s.stopped else broker or tell("is_not_connected"),
        **({"failing_ways": _failing_ways(s, now_ms, language)} if s.failing_ways else {}),
        **({"addresses": addresses} if (addresses := _addresses(s, now_ms, language)) else {}),
        "catalogue": _catalogue(s, language),
        "last_round": tell(
            "of_last_round",
            ago=ago(s.measured_ms),
            targets=s.targets,
            failed=s.last_round_failed,
            seconds=f"{s.last_round_took_ms / 1000:.1f}",
        )
        if s.measured_ms
        else tell("no_round_yet", targets=s.targets),
        "interval": _interval(s, language),
        "next_round": _next_round(s, now_ms, language),
        "last_sent": tell("was_acknowledged", ago=ago(s.last_ack_ms))
        if s.last_ack_ms
        else tell("never"),
        "waiting": tell("amount", count=s.spool_rows, kilobytes=f"{s.spool_bytes / 1000:.0f}"),
        "sent_today": tell(
            "amount", count=s.sent_today, kilobytes=f"{s.sent_bytes_today / 1000:.0f}"
        ),
        "lost": tell("losses", dropped=s.dropped, untaken=s.untaken, damaged=s.quarantined),
        "traffic": tell("of_budget", traffic=traffic, budget=budget) if s.budget_bytes else traffic,
        "signed": s.key or tell("is_unsigned", reason=s.unsigned or "-"),
        "consent": tell("agreed_on", hash=agreed.hash, day=f"{agreed.agreed:%Y-%m-%d}")
        if agreed
        else tell("nothing"),
        "excerpts": tell(excerpts),
    }


def _catalogue(status: ProbeStatus, language: str) -> str:
    """Where what is measured comes from, and which services the volunteer may not know of."""
    text = status.catalogue
    if serial := status.catalogue_serial:
        text = say(language, "catalogue_from_monitor", catalogue=text, serial=serial)
    if new := status.new_services:
        names, ids = ", ".join(new), ",".join(new)
        text = say(language, "catalogue_new", catalogue=text, names=names, ids=ids)
    if reason := status.refused_catalogue:
        text = say(language, "catalogue_refused", catalogue=text, reason=reason)
    return text


def _interval(status: ProbeStatus, language: str) -> str:
    """The time between rounds, and why it is that."""
    wanted = status.wanted_ms or status.interval_ms
    text = _minutes(status.interval_ms, language)
    if 0 < status.vantages < ENOUGH_VANTAGES:
        text = say(
            language,
            "interval_few",
            interval=text,
            wanted=_minutes(wanted, language),
            count=status.vantages,
        )
    if status.interval_ms > wanted:
        budget = f"{status.budget_bytes / 1e6:.0f}"
        text = say(language, "interval_budget", interval=text, budget=budget)
    return text


def _next_round(status: ProbeStatus, now_ms: int, language: str) -> str:
    if status.stopped or status.paused or not status.next_round_ms:
        return "-"
    if status.next_round_ms <= now_ms:
        return say(language, "now")
    return _ago(status.next_round_ms, now_ms, language)


def _minutes(milliseconds: int, language: str) -> str:
    return say(language, "in_minutes", count=f"{milliseconds / 60_000:.4g}")


def _failing_ways(status: ProbeStatus, now_ms: int, language: str) -> str:
    """The ways to the monitor that do not work here, with what is known of each."""
    return "; ".join(
        say(
            language,
            "of_failing_way",
            way=way.way,
            failure=way.failure,
            ago=_ago(way.since_ms, now_ms, language),
            attempts=way.attempts,
        )
        for way in status.failing_ways
    )


def _addresses(status: ProbeStatus, now_ms: int, language: str) -> str:
    """What became of the addresses of the monitor that a catalogue named; empty without any."""
    announced = status.announced_ways
    if announced.stage is WayStage.NONE:
        return ""
    return say(
        language,
        f"addresses_{announced.stage}",
        urls=", ".join(announced.named),
        serial=announced.serial,
        ago=_ago(announced.since_ms, now_ms, language),
    )


def _ago(then_ms: int, now_ms: int, language: str) -> str:
    seconds = (now_ms - then_ms) // 1000
    if abs(seconds) < 120:
        span = say(language, "in_seconds", count=abs(seconds))
    else:
        span = say(language, "in_minutes", count=abs(seconds) // 60)
    return say(language, "ago" if seconds >= 0 else "ahead", span=span)
