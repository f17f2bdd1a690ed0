"""`reachwatch catalogue`: check, sign and publish."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands.main import main
from monitor.signed_catalogue import read_document
from probes.catalogue.load import SHIPPED
from probes.wire.signed_catalogue import decode_files
from tests.world.ports import free_port


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["catalogue", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "lint")[:2] == (0, "")
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "x.toml").write_text("id = 3")
    status, out, _ = run(capsys, "lint", str(tmp_path))
    assert status == 1
    assert "services/x.toml" in out


def test_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, output = str(tmp_path / "key.pem"), tmp_path / "signed"
    words = ("sign", str(SHIPPED), "--key", key, "--output", str(output))
    status, _, said = run(capsys, *words)
    assert (status, said) == (2, f"reachwatch: {key}: No such file or directory\n")
    status, out, said = run(capsys, *words, "--new-key", "--serial", "1800000000")
    assert (status, out) == (0, "")
    _, found = read_document(output)
    assert decode_files(found.body).serial == 1_800_000_000
    first, second = said.splitlines()
    assert first == f"public key: {found.header.key}"
    assert second.startswith(f"{output}: ")
    assert second.endswith(found.header.key)
    before = decode_files(found.body).serial
    assert run(capsys, *words)[0] == 0
    now = decode_files(read_document(output)[1].body).serial
    assert now != before, "the default is the time"
    assert main([*("catalogue", *words[:4]), "--serial", "0"]) == 2


def test_publish_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, said = run(capsys, "publish", str(tmp_path / "none"))
    assert (status, said.count("\n")) == (2, 1)
    output = tmp_path / "signed"
    run(capsys, "sign", str(SHIPPED), "--key", str(tmp_path / "k"), "--new-key",
        "--output", str(output))  # fmt: skip
    broker = f"mqtt://127.0.0.1:{free_port()}"
    status, _, said = run(capsys, "publish", str(output), "--broker", broker)
    assert (status, said.count("\n")) == (2, 1)
    assert broker in said
