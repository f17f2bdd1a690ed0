"""Streams that are closed, full, or cannot show a language."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from probes.cli import consent
from probes.cli.main import main
from probes.cli.terminal import agrees, show
from probes.wire.enrolment_token import EnrolmentToken, encode_token
from probes.words import LANGUAGES, say
from tests.world.ports import free_port
from tests.world.tiny import (
    environment,
    reachprobe,
    write_catalogue,
)

pytestmark = pytest.mark.slow


async def test_streams_that_are_closed_or_full_are_no_traceback(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m probes consent"
    for redirected, status, words in (
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "reachprobe: output: No space left on device\n"),
    ):
        process = await asyncio.create_subprocess_shell(
            f"{command} {redirected}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        _, err = await process.communicate()
        assert (process.returncode, err.decode()) == (status, words)


async def test_words_are_english_where_the_output_cannot_show_others(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path / "c", free_port(), free_port())
    words = ["once", "--catalogue", str(catalogue), "--allow-private"]
    for encoding, language in (("utf-8", "zh"), ("ascii", "en")):
        code, out, _ = await reachprobe(words, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
        assert code == 0
        assert say(language, "offline") in out


@pytest.mark.parametrize(
    ("language", "answer", "agreed"),
    [
        *((language, "yes\n", True) for language in LANGUAGES),
        *((language, "no\n", False) for language in LANGUAGES),
        ("fr", " Oui \n", True),
        ("ru", "ДА\n", True),
        ("zh", "是\n", True),
        ("en", "oui\n", False),
        ("ru", "нет, да\n", False),
        ("zh", "", False),
        ("ru", "\udcd0\n", False),  # half a letter
    ],
)
def test_only_a_yes_agrees(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
    answer: str,
    agreed: bool,
) -> None:
    typed = io.BytesIO(answer.encode(errors="surrogateescape"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="utf-8"))
    assert agrees(language, "agree_question") is agreed
    assert capsys.readouterr().err == say(language, "agree_question") + " "


@pytest.mark.parametrize(("columns", "widest"), [("40", 40), ("300", 100)])
def test_paragraphs_fit_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, widest: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    show("слово " * 100, stream)
    assert max(map(len, stream.getvalue().splitlines())) in range(widest - 5, widest + 1)
    assert stream.getvalue().endswith("слово\n\n")


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_commands_speak_the_volunteers_language(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
) -> None:
    monkeypatch.setenv("LANG", f"{language}.UTF-8")
    assert main(["consent"]) == 0
    *text, how, version = capsys.readouterr().out.splitlines()
    assert "".join("".join(text).split()) == "".join(consent.text(language).split())
    assert how.startswith(say(language, "agree_how"))
    assert version == f"hash: {consent.digest()}"
    token = encode_token(EnrolmentToken(url="https://a.example", id="a", secret="b"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["join", token, "--state", str(tmp_path)]) == 2
    told = say(language, "nobody_agreed", hash=consent.digest())
    assert capsys.readouterr().err.splitlines()[-1] == f"reachprobe: {told}"
    assert main(["run", "--broker", "mqtt://127.0.0.1:9", "--state", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"reachprobe: {say(language, 'no_agreement')}\n"
    assert main(["leave", "--state", str(tmp_path / "x")]) == 0
    told = say(language, "is_not_enrolled", directory=tmp_path / "x")
    assert capsys.readouterr().out == f"{told}\n"
