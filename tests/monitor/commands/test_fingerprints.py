"""`reachwatch fingerprints` from the command line, and judging with what it imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.commands.main import main
from probes.wire.codec import encode
from probes.wire.measurement import Vantage
from tests.monitor.detection.scenes import A1, HTTP, alive, control, dns, http, measured, tcp
from tests.monitor.interop.fingerprints.samples import LAB_DNS, LAB_HTTP, OONI_DNS, OONI_HTTP, row


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


def test_import_list_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"h.csv": OONI_HTTP, "d.csv": OONI_DNS, "lh.csv": LAB_HTTP, "ld.csv": LAB_DNS}
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    into = ("--fingerprints", str(tmp_path / "known"))
    names = [str(tmp_path / name) for name in files]
    status, out, err = run(capsys, "fingerprints", "import", *names, *into)
    assert status == 0
    assert out.splitlines()[0] == (
        f"{tmp_path}/known/ooni-h.csv: 8 imported (5 show a block, "
        "1 cancel matches, 2 have no effect), 1 skipped"
    )
    assert err == (
        f"reachwatch: {tmp_path}/h.csv:4: ooni.be_1: 'header.via' is not recorded by probes\n"
    )
    assert run(capsys, "fingerprints", "lint", *into) == (0, "", "")
    status, out, _ = run(capsys, "fingerprints", "list", *into)
    assert status == 0
    assert "ru.rt.host" in out
    assert "cl.isp_by_mts_forward" in out
    assert "first?second" in out
    # Again: the same files, nothing doubled.
    run(capsys, "fingerprints", "import", *names, *into)
    assert run(capsys, "fingerprints", "list", *into)[1] == out


def test_one_malformed_file_and_none_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.csv").write_bytes(OONI_DNS)
    (tmp_path / "bad.csv").write_bytes(row(scope="world"))
    status, out, err = run(
        capsys, "fingerprints", "import", str(tmp_path / "good.csv"), str(tmp_path / "bad.csv"),
        "--fingerprints", str(tmp_path / "known"),
    )  # fmt: skip
    assert (status, out) == (2, "")
    assert err.startswith(f"reachwatch: {tmp_path}/bad.csv:2: scope: 'world': must be one of isp")
    assert not (tmp_path / "known").exists()


def test_bad_places_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.csv").write_bytes(OONI_DNS)
    file = str(tmp_path / "f.csv")
    for words, said in (
        (("import", file), "command line: --fingerprints is missing"),
        (("import", "/nowhere", "--fingerprints", str(tmp_path)), "/nowhere: No such file"),
        (("import", file, "--fingerprints", file), f"{file}: "),
        (("list", "--fingerprints", "/nowhere"), "--fingerprints: /nowhere: No such file"),
    ):
        status, _, err = run(capsys, "fingerprints", *words)
        assert (status, err.count("\n")) == (2, 1)
        assert err.startswith(f"reachwatch: {said}")
    monkeypatch.setenv("REACHWATCH_FINGERPRINTS", str(tmp_path / "env"))
    assert run(capsys, "fingerprints", "import", file)[0] == 0
    assert (tmp_path / "env" / "ooni-f.csv").exists()
    (tmp_path / "env" / "x.csv").write_bytes(row(pattern="(a+)+", pattern_type="regexp"))
    status, out, _ = run(capsys, "fingerprints", "lint")
    assert (status, out.count("\n")) == (1, 1)


def test_lint_of_a_directory_without_a_list_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "known.toml").write_text("")
    status, out, _ = run(capsys, "fingerprints", "lint", "--fingerprints", str(tmp_path))
    assert status == 1
    assert (
        out == f"{tmp_path}: contains no list (`reachwatch fingerprints import` writes NAME.csv)\n"
    )


def test_judge_and_replay_use_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = http(status=200, title="Hi", excerpt=b"<h1>Walled garden</h1>")
    subject = measured(
        dns(A1, at=HTTP), tcp(A1, at=HTTP), page, endpoints=(HTTP,), vantage=Vantage(country="ID")
    )
    beside, live = control(
        dns(A1, at=HTTP), tcp(A1, at=HTTP), http(A1, title="Fine"), endpoints=(HTTP,)
    )
    probe, other = tmp_path / "probe.jsonl", tmp_path / "control.jsonl"
    probe.write_bytes(b"".join(encode(m) + b"\n" for m in (subject, *alive())))
    other.write_bytes(b"".join(encode(m) + b"\n" for m in (beside, *live)))
    (tmp_path / "f.csv").write_bytes(row(expected_countries="ID"))
    into = ("--fingerprints", str(tmp_path / "known"))
    run(capsys, "fingerprints", "import", str(tmp_path / "f.csv"), *into)
    judge = ("judge", "--probe", str(probe), "--control", str(other), "--json")
    assert json.loads(run(capsys, *judge)[1])["technique"] is None
    said = json.loads(run(capsys, *judge, *into)[1])
    assert said["technique"] == "http.blockpage"
    assert "blockpage:x.y" in said["evidence"]
    (tmp_path / "f.csv").write_bytes(row(scope="fp", name="x.fp", pattern="garden"))
    (tmp_path / "g.csv").write_bytes(row())
    run(capsys, "fingerprints", "import", str(tmp_path / "f.csv"), str(tmp_path / "g.csv"), *into)
    assert json.loads(run(capsys, *judge, *into)[1])["technique"] is None
    assert run(capsys, "replay", str(probe), *into)[:2] == (
        0,
        "no events\nsrv/chat in ID: 1 network, 0 judged; AS0 country or network not known\n",
    )
    (tmp_path / "known" / "h.csv").write_bytes(row(scope="world"))
    for words in (judge, ("replay", str(probe))):
        status, out, err = run(capsys, *words, *into)
        assert (status, out, err.count("\n")) == (2, "", 1)
