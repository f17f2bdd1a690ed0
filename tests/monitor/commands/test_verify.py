"""`reachwatch verify` as it is called; what it finds is tested with `proof_of`."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands.options import build
from monitor.commands.verify import run
from probes.runtime.options import OptionError


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "not a proof"),
        (b'{"v":1}', "not a proof: Object missing required field `probe`"),
        (b"\xff", "not a proof"),
        (b"[" * 10_000, "not a proof"),
    ],
)
def test_what_is_no_proof_is_named_in_one_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "proof.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionError) as caught:
        run(build().read(["verify", str(file)]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_is_64_hex_digits() -> None:
    with pytest.raises(OptionError, match="64 hex digits"):
        build().read(["verify", "x", "--public-key", "abc"])


def test_an_unsigned_measurement_is_not_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proof.json"
    file.write_text(
        '{"probe":"p-0000000000000001","line":"{}","place":0,"lines":[],"boot":"b","sequence":1,'
        '"key":"","signature":"","public_key":"","received":1}'
    )
    assert run(build().read(["verify", str(file)])) == 1
    assert capsys.readouterr().err == f"{file}: not proved: p-0000000000000001 did not sign it\n"
