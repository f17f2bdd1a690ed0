"""`reachwatch judge` over files: joining, printing, and bad input."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.judge import judge_files, run
from monitor.commands.main import main
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import Purpose
from tests.monitor.detection.scenes import (
    A1,
    A2,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    ROUND,
    alive,
    control,
    dns,
    measured,
    quic,
    tcp,
    tls,
)
from tests.monitor.interop.samples import document, query, request
from tests.world.waiting import HANG_SECONDS

BLOCKED = (dns(A1), tcp(A1, Failure.TIMEOUT))
FINE = (dns(A1), tcp(A1), tls(A1))
MINUTE = 60_000


def lines(*measurements: Measurement) -> list[bytes]:
    return [encode(m) + b"\n" for m in measurements]


def probe_file(round: int = ROUND) -> list[bytes]:
    return lines(
        measured(*BLOCKED, round=round),
        measured(*FINE, target="srv/web", round=round),
        *alive(round=round),
    )


def control_file(round: int = ROUND) -> list[bytes]:
    seen, liveness = control(round=round)
    return lines(seen, *liveness)


def judged(probe: list[bytes], beside: list[bytes] | None, **given: Any) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    values = {"window_seconds": 300, "as_json": True} | given
    code = judge_files(probe, beside, out=out, err=err, **values)
    return code, out.getvalue(), err.getvalue()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("other", "technique"),
    [(None, "quic.timeout.sni"), (Failure.TIMEOUT, None)],
)
def test_what_other_targets_saw_over_quic_counts(other: str | None, technique: str | None) -> None:
    """Reflector and service are silent: by name if QUIC passes at all, else no QUIC here."""
    dead = (
        dns(A1, at=QUIC),
        quic(A1, Failure.TIMEOUT),
        quic(A1, Failure.TIMEOUT, **INNOCUOUS),
        quic(REFLECTOR, Failure.TIMEOUT, **OWN_HOST),
        tcp(A1, at=QUIC, at_us=9, purpose=Purpose.CONTRAST),
    )
    probe = lines(
        measured(*dead, endpoints=(QUIC,)),
        measured(quic(A2, other), target="other/web", endpoints=(QUIC,)),
        *alive(),
    )
    seen, liveness = control(dns(A1, at=QUIC), quic(A1), endpoints=(QUIC,))
    _, out, _ = judged(probe, lines(seen, *liveness))
    said = next(each for each in objects(out) if each["target"] == "srv/chat")
    assert said["technique"] == technique
    assert ("no_quic_here" in said["evidence"]) == (technique is None)


def test_one_object_a_target_with_the_documented_keys() -> None:
    code, out, err = judged(probe_file(), control_file())
    assert (code, err) == (0, "")
    assert objects(out) == [
        {
            "target": "srv/chat",
            "state": "blocked",
            "layer": "tcp",
            "technique": "tcp.timeout",
            "rule": "tcp.timeout",
            "endpoints": {"total": 1, "failed": 1},
            "addresses": {"total": 1, "failed": 1},
            "evidence": [],
        },
        {
            "target": "srv/web",
            "state": "ok",
            "layer": None,
            "technique": None,
            "rule": "tls.certificate_valid",
            "endpoints": {"total": 1, "failed": 0},
            "addresses": {"total": 1, "failed": 0},
            "evidence": [],
        },
    ]


@pytest.mark.parametrize(
    ("offset", "window", "state"),
    [
        (0, 300, "blocked"),
        (5, 300, "blocked"),
        (-5, 300, "blocked"),
        (6, 300, "inconclusive"),
        (6, 400, "blocked"),
        (1, 0.5, "inconclusive"),
    ],
)
def test_the_window(offset: int, window: float, state: str) -> None:
    beside = control_file(ROUND + offset * MINUTE)
    _, out, _ = judged(probe_file(), beside, window_seconds=window)
    assert objects(out)[0]["state"] == state


def test_without_a_control() -> None:
    _, out, _ = judged(probe_file(), None)
    first = objects(out)[0]
    assert (first["state"], first["technique"]) == ("inconclusive", "tcp.timeout")
    assert first["evidence"] == ["no_control"]


def test_the_newest_round_is_judged_with_its_own_liveness() -> None:
    old = lines(measured(*FINE), *alive(international=(False,)))
    new = probe_file(ROUND + MINUTE)
    for probe in (old + new, new + old):
        _, out, _ = judged(probe, control_file())
        assert [(o["target"], o["state"]) for o in objects(out)] == [
            ("srv/chat", "blocked"),
            ("srv/web", "ok"),
        ]


def test_two_probes_in_one_file_are_judged_each() -> None:
    other = lines(measured(*FINE, probe="p-" + "7" * 16))
    _, out, _ = judged(probe_file() + other, control_file())
    assert [o["state"] for o in objects(out)] == ["blocked", "ok", "ok"]


def test_a_table_for_people() -> None:
    _, out, _ = judged(probe_file(), control_file(), as_json=False)
    head, first, second = out.splitlines()
    assert head.split()[:3] == ["TARGET", "STATE", "TECHNIQUE"]
    assert first.split()[:4] == ["srv/chat", "blocked", "tcp.timeout", "tcp.timeout"]
    assert "1/1 failed" in first
    assert second.split()[:2] == ["srv/web", "ok"]


def test_malformed_lines_give_place_and_reason_and_no_verdicts() -> None:
    bad = [*probe_file(), b"\n", b'{"v": 1}\n', b"\xff\n"]
    code, out, err = judged(bad, control_file(), names=("a.jsonl", "b.jsonl"))
    assert (code, out) == (2, "")
    where = [line.split(": ")[1] for line in err.splitlines()]
    assert where == [f"a.jsonl:{len(bad) - 1}", f"a.jsonl:{len(bad)}"]
    assert "missing required field" in err


def test_many_malformed_lines_are_counted() -> None:
    _, _, err = judged([b"x\n"] * 25, None)
    assert err.splitlines()[-1] == "reachwatch: and 5 more malformed lines"


def test_nothing_to_judge_says_so() -> None:
    assert judged([], None) == (0, "", "reachwatch: probe: no measurement of a target\n")


def test_the_command_with_standard_input(tmp_path: Path) -> None:
    beside = tmp_path / "control.jsonl"
    beside.write_bytes(b"".join(control_file()))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "monitor.commands.main", "judge"),
            *("--probe", "-", "--control", str(beside), "--json"),
        ],
        input=b"".join(probe_file()), capture_output=True, timeout=HANG_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert [o["state"] for o in objects(done.stdout.decode())] == ["blocked", "ok"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--probe", "/nowhere/x"), "/nowhere/x: No such file"),
        (("--probe", "/"), "/: Is a directory"),
        (("--probe", "-", "--control", "-"), "only one"),
        ((), "--probe"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err


def of_ooni(tmp_path: Path, *documents: dict[str, Any], **more: object) -> argparse.Namespace:
    file = tmp_path / "ooni.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in documents))
    values = {"control": None, "window": 300.0, "json": True, "fingerprints": None}
    return argparse.Namespace(**values | {"probe": str(file)} | more)


def test_oonis_measurements_are_judged_each_by_its_newest_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = query("t.me", "149.154.167.99")
    works = {"queries": [good], "requests": [request("https://t.me/")]}
    fails = {
        "queries": [query("t.me", failure="dns_nxdomain_error")],
        "requests": [request("https://t.me/", "dns_nxdomain_error")],
    }
    older = document(**works)
    newer = document(**fails) | {"measurement_start_time": "2026-01-02 00:00:03", "report_id": None}
    other = document(**works) | {"probe_asn": "AS64501", "report_id": "another"}
    assert run(of_ooni(tmp_path, newer, older, other)) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((each["target"], each["state"], each["technique"]) for each in told) == [
        ("telegram/links", "inconclusive", "dns.nxdomain"),
        ("telegram/links", "ok", None),
    ]


def test_oonis_measurements_without_a_verdict_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(of_ooni(tmp_path, document("ndt"))) == 2
    assert "ooni.jsonl: OONI's test ndt is not supported (supported: " in capsys.readouterr().err
    site = document("web_connectivity", queries=[query("www.example.org", "192.0.2.1")])
    assert run(of_ooni(tmp_path, site)) == 0
    assert capsys.readouterr().err == "reachwatch: judge: no run of a service in the catalogue\n"
    assert run(of_ooni(tmp_path, site | {"probe_cc": 7})) == 2
    assert "ooni.jsonl:1: probe_cc: " in capsys.readouterr().err
    assert run(of_ooni(tmp_path, site, control=str(tmp_path / "ooni.jsonl"))) == 2
    assert "--control does not apply" in capsys.readouterr().err
