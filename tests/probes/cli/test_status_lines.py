"""The lines of `reachprobe status`: the same facts in every language, below one another."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from probes.cli.consent import Agreement
from probes.cli.layout import LABEL_CELLS, cells
from probes.cli.status_lines import facts
from probes.delivery.announced_ways import AnnouncedWays, WayStage
from probes.wire.codec import FailingWay
from probes.words import LANGUAGES, say
from tests.probes.delivery.test_spool import PROBE
from tests.probes.test_status import NOW, probe_status

AGREED = Agreement(hash="0123456789abcdef", agreed=dt.datetime(2026, 11, 5, tzinfo=dt.UTC))
FULL = probe_status(
    transport="mqtts+5", measured_ms=NOW - 61_000, last_round_failed=3, last_round_took_ms=2_340,
    next_round_ms=NOW + 540_000, last_ack_ms=NOW - 7_000, spool_rows=17, spool_bytes=41_000,
    sent_today=19, sent_bytes_today=43_000, dropped=21, untaken=22, quarantined=23,
    month_spent_bytes=44_000_000, budget_bytes=1_045_000_000, catalogue_serial=46,
    unsigned="x", new_services=("zulip", "x"), refused_catalogue="old", interval_ms=1_800_000,
    wanted_ms=900_000, vantages=2,
)  # fmt: skip


def test_ways_that_fail_are_told() -> None:
    failing = FailingWay(
        way="mqtts", failure="connection_reset", since_ms=NOW - 600_000, attempts=4
    )
    told = facts(probe_status(failing_ways=(failing,)), NOW, AGREED, "en")
    assert told["failing_ways"] == "mqtts (connection_reset; first 10 min ago, attempts: 4)"


@pytest.mark.parametrize("language", LANGUAGES)
def test_addresses_that_a_catalogue_named_are_told(language: str) -> None:
    known = {"serial": 7, "since_ms": NOW - 600_000, "named": ("wss://a.example", "https://b")}
    texts = []
    for stage in WayStage:
        status = probe_status(announced_ways=AnnouncedWays(stage=stage, **known))  # type: ignore[arg-type]
        texts.append(facts(status, NOW, AGREED, language).get("addresses", ""))
    assert texts[0] == ""
    assert len(set(texts)) == len(WayStage)
    for text in texts[1:]:
        assert all(word in text for word in ("wss://a.example, https://b", "7", "10"))


def test_english() -> None:
    assert facts(FULL, NOW, AGREED, "en") == {
        "probe": PROBE,
        "network": "FR AS64503",
        "broker": "yes (mqtts+5)",
        "catalogue": "abc, number 46 from the monitor; new services: zulip, x (leave out with "
        "--except zulip,x); another was not taken: old",
        "last_round": "61 s ago, 2 targets, 3 with failures, took 2.3 s",
        "interval": "30 min; 15 min is wanted, as only 2 measure in this network; the budget pays "
        "for no more (--budget 1045)",
        "next_round": "in 9 min",
        "last_sent": "7 s ago (acknowledged by the collector)",
        "waiting": "17 measurements, 41 kB",
        "sent_today": "19 measurements, 43 kB",
        "lost": "21 dropped, 22 not stored, 23 damaged or too large",
        "traffic": "44 MB this month so far, about 44 MB by its end (budget 1045 MB)",
        "signed": "not signed: x",
        "consent": "0123456789abcdef on 2026-11-05",
        "excerpts": "not sent: the operator does not ask for them",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_tells_the_same_figures(language: str) -> None:
    english, told = facts(FULL, NOW, AGREED, "en"), facts(FULL, NOW, AGREED, language)
    assert told.keys() == english.keys()
    for key in told:
        figures = [sorted(re.findall(r"\d+", each[key])) for each in (english, told)]
        assert figures[0] == figures[1], key
    same = {key for key in told if told[key] == english[key]}
    assert same >= {"probe", "network"}
    assert language == "en" or same == {"probe", "network"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_label_fits_its_column(language: str) -> None:
    more = ("working", "note", "failing_ways", "addresses")
    for key in (*more, *facts(FULL, NOW, AGREED, language)):
        assert cells(say(language, f"label_{key}")) <= LABEL_CELLS, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_probe_that_has_done_nothing_yet(language: str) -> None:
    told = facts(probe_status(), NOW, None, language)
    assert told["last_sent"] == say(language, "never")
    assert told["consent"] == say(language, "nothing")
    assert told["broker"] == say(language, "is_not_connected")
    assert told["next_round"] == "-"
    stopped = facts(probe_status(stopped=True, transport="mqtts+5"), NOW, None, language)
    assert stopped["broker"] == say(language, "has_stopped")
