"""Excerpts are sent where the operator asks for them and the volunteer agreed."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from probes.cli.excerpts import ExcerptChoice, choice, choose_at_join
from probes.cli.main import main
from probes.delivery import enrolment
from probes.delivery.enrolment import Enrolment
from probes.words import say

PROBE = "p-0123456789abcdef"


def enrolled(directory: Path, asked: bool) -> Enrolment:
    made = Enrolment(probe=PROBE, user=PROBE, secret="x", broker=("mqtts://b",), excerpts=asked)
    enrolment.save(directory, made)
    return made


@pytest.mark.parametrize(
    ("asked", "given", "then"),
    [
        (False, "yes", ExcerptChoice.NOT_ASKED),
        (True, "", ExcerptChoice.REFUSED),  # nobody can be asked here
        (True, "no", ExcerptChoice.REFUSED),
        (True, "yes", ExcerptChoice.SENT),
    ],
)
def test_at_join(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    asked: bool,
    given: str,
    then: ExcerptChoice,
) -> None:
    choose_at_join(Namespace(state=tmp_path, excerpts=given), enrolled(tmp_path, asked))
    assert choice(tmp_path) is then
    assert bool(capsys.readouterr().err) is asked


def test_a_choice_is_shown_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(tmp_path, True)
    here = ["excerpts", "--state", str(tmp_path)]
    told = []
    for more in ((), ("--send", "yes"), (), ("--send", "no"), ()):
        assert main([*here, *more]) == 0
        told.append(choice(tmp_path))
        assert say("en", told[-1]) in capsys.readouterr().out
    refused, sent = ExcerptChoice.REFUSED, ExcerptChoice.SENT
    assert told == [refused, sent, sent, refused, refused]
    assert main(["excerpts", "--state", str(tmp_path / "nowhere")]) == 2


def test_without_an_operator_who_asks_a_yes_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(tmp_path, False)
    assert main(["excerpts", "--send", "yes", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("not sent: the operator does not ask")
