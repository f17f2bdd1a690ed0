import io
import json
from pathlib import Path

import msgspec
import pytest

from probes.cli import status
from probes.contributions import Contribution
from probes.delivery.spool import Spool
from probes.state_directory import set_paused
from probes.status import FILE, load, save
from probes.wire.measurement import EndpointRef
from probes.words import language_of_terminal, say
from tests.probes.delivery.test_spool import PROBE, draft
from tests.probes.test_status import NOW, probe_status


def test_status_as_text_and_as_json(tmp_path: Path) -> None:
    out = io.StringIO()
    why = status.show_status(tmp_path, NOW, as_json=True, out=out)
    assert why.startswith("has never run in this state directory")
    assert json.loads(out.getvalue()) == {
        "working": False,
        "problem": why,
        "illness": why,
        "notices": [],
        "excerpts": False,
    }
    save(
        tmp_path,
        probe_status(transport="mqtts+5", measured_ms=NOW - 5000, next_round_ms=NOW + 300_000),
    )
    out = io.StringIO()
    assert status.show_status(tmp_path, NOW, as_json=False, out=out) == ""
    text = out.getvalue()
    for words in (
        "working        yes",
        "FR AS64503",
        "MB this month so far",
        "mqtts+5",
        "5 s ago",
        "in 5 min",
        "never",
    ):
        assert words in text
    out = io.StringIO()
    status.show_status(tmp_path, NOW, as_json=True, out=out)
    assert json.loads(out.getvalue())["probe"] == PROBE
    (tmp_path / FILE).write_text("{")
    assert load(tmp_path) is None


@pytest.mark.parametrize(
    ("locale", "title", "line"),
    [
        ({}, "What the monitor confirmed", "seen by your probe first"),
        ({"LANG": "fr_FR.UTF-8"}, "Ce que le moniteur", "vu en premier par votre sonde"),
        ({"LC_ALL": "ru_RU.UTF-8", "LANG": "fr_FR.UTF-8"}, "Что монитор", "ваш зонд увидел"),
        ({"LC_MESSAGES": "zh_CN.UTF-8"}, "监测端", "最先发现"),
    ],
)
def test_what_it_did_for_others_in_the_language_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], title: str, line: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    told = Contribution(event="a", service="wechat", country="RU", began="2026-11-29", first=True)
    save(tmp_path, probe_status(contributions=(told,), paused=True))
    out = io.StringIO()
    status.show_status(tmp_path, NOW, as_json=False, out=out)
    *_, above, last = out.getvalue().splitlines()
    assert above.startswith(title)
    assert last.startswith("  WeChat (RU)")
    assert line in last
    assert say(language_of_terminal(locale), "is_paused") in out.getvalue()
    out = io.StringIO()
    status.show_status(tmp_path, NOW, as_json=True, out=out)
    found = json.loads(out.getvalue())
    assert found["contributions"][0]["first"]
    assert found["notices"] == [say("en", "is_paused")]


def test_the_monitors_catalogue_and_its_new_services_are_named(tmp_path: Path) -> None:
    def shown(**fields: object) -> str:
        save(tmp_path, probe_status(catalogue="abc", **fields))
        out = io.StringIO()
        status.show_status(tmp_path, NOW, as_json=False, out=out)
        (line,) = (each for each in out.getvalue().splitlines() if each.startswith("catalogue"))
        return line.split(maxsplit=1)[1]

    assert shown() == "abc"
    assert shown(catalogue_serial=7) == "abc, number 7 from the monitor"
    assert shown(catalogue_serial=7, new_services=("zulip", "x")) == (
        "abc, number 7 from the monitor; new services: zulip, x (leave out with --except zulip,x)"
    )
    assert shown(refused_catalogue="old") == "abc; another was not taken: old"


def test_the_first_round_is_under_way(tmp_path: Path) -> None:
    def shown(**fields: object) -> dict[str, str]:
        save(tmp_path, probe_status(measured_ms=0, targets=38, **fields))
        out = io.StringIO()
        status.show_status(tmp_path, NOW, as_json=False, out=out)
        return {line[:14].strip(): line[15:] for line in out.getvalue().splitlines()}

    found = shown(next_round_ms=NOW - 54_000)
    assert found["last round"] == "none yet of the 38 targets"
    assert found["next round"] == "now"
    assert shown(next_round_ms=0, paused=True)["next round"] == "-"


def test_the_interval_and_its_reason(tmp_path: Path) -> None:
    def shown(**changes: int) -> str:
        save(tmp_path, msgspec.structs.replace(probe_status(), **changes))
        out = io.StringIO()
        status.show_status(tmp_path, NOW, as_json=False, out=out)
        lines = [each for each in out.getvalue().splitlines() if each.startswith("interval ")]
        return lines[0].removeprefix("interval").strip()

    usual = {"interval_ms": 1_800_000, "wanted_ms": 1_800_000, "budget_bytes": 10**9}
    assert shown(**usual) == shown(**usual, vantages=5) == "30 min"
    few = "18 min is wanted, as only 3 measure in this network"
    assert shown(**usual | {"interval_ms": 1_080_000, "wanted_ms": 1_080_000}, vantages=3) == (
        f"18 min; {few}"
    )
    stretched = "31.5 min; the budget pays for no more (--budget 1000)"
    assert shown(**usual | {"interval_ms": 1_890_000}) == stretched
    assert shown(**usual | {"wanted_ms": 1_080_000}, vantages=3) == (
        f"30 min; {few}; the budget pays for no more (--budget 1000)"
    )


def test_a_pause_is_shown_at_once(tmp_path: Path) -> None:
    save(tmp_path, probe_status())
    set_paused(tmp_path, True)
    shown = status.present(tmp_path)
    assert shown is not None
    assert shown.paused
    out = io.StringIO()
    assert status.show_status(tmp_path, NOW, as_json=False, out=out) == ""
    assert "paused: `reachprobe resume` goes on" in out.getvalue()


async def test_show_and_payload(tmp_path: Path) -> None:
    out = io.StringIO()
    assert not status.show_last(tmp_path, 5, as_json=False, out=out)
    assert not status.show_payload(tmp_path, out=out)
    assert out.getvalue() == ""
    spool = Spool(tmp_path, PROBE)
    for round_ms in (NOW, NOW, NOW + 1000):
        await spool.put(draft(round_ms))
    await spool.put(draft(NOW + 1000, failure="connection_reset"))
    await spool.acknowledge([1, 3])
    await spool.close()
    out = io.StringIO()
    assert status.show_last(tmp_path, 3, as_json=True, out=out)
    assert [json.loads(line)["sequence"] for line in out.getvalue().splitlines()] == [2, 3, 4]
    out = io.StringIO()
    assert status.show_payload(tmp_path, out=out)
    lines = out.getvalue().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 4]
    save(tmp_path, probe_status(sent_status='{"state":"heartbeat"}'))
    out = io.StringIO()
    assert status.show_payload(tmp_path, out=out)
    assert out.getvalue().splitlines() == [*lines, '{"state":"heartbeat"}']


async def test_a_retest_is_labelled(tmp_path: Path) -> None:
    dialled = EndpointRef(id="a.test:443/tls", protocol="tls", host="a.test")
    spool = Spool(tmp_path, PROBE)
    for again in (False, True):
        measured = msgspec.structs.replace(draft(NOW), retest=again, endpoints=(dialled,))
        await spool.put(measured)
    await spool.close()
    out = io.StringIO()
    status.show_last(tmp_path, 2, as_json=False, out=out)
    ends = [line.rpartition(", ")[2] for line in out.getvalue().splitlines()]
    assert [end == "retest" for end in ends] == [False, True]
    out = io.StringIO()
    status.show_payload(tmp_path, out=out)
    assert ['"retest":true' in line for line in out.getvalue().splitlines()] == [False, True]
