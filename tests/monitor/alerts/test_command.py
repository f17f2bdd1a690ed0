"""`reachwatch rules` prints each file of the chain, or one line that says what is wrong."""

from __future__ import annotations

import pytest

from monitor.alerts import routing, rules, scraping
from monitor.commands.main import main
from monitor.detection.policy import Policy

URL = "https://hook.example/x?token=1"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["rules", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Policy(pace=5)
    pace = ("--pace", "5")
    site = ("--public-url", "https://r.example", "--runbooks", "https://r.example/books")
    assert printed(capsys, *pace, *site)[:2] == (
        0,
        rules.render(policy, "https://r.example", "https://r.example/books"),
    )
    assert printed(capsys, *pace, "--prometheus")[:2] == (0, scraping.render(policy))
    given = ("--alertmanager", "--webhook", URL, "--heartbeat", URL)
    assert printed(capsys, *pace, *given)[:2] == (0, routing.render(policy, URL, URL))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--alertmanager", "--prometheus"], "one file at a time"),
        (["--webhook", URL], "only with --alertmanager"),
        (["--alertmanager", "--webhook", "ftp://x"], "must be an http:// or https:// URL"),
        (["--alertmanager", "--webhook", 'http://x"\n'], "must be an http:// or https:// URL"),
        (["--public-url", "http://{{ .X }}"], "must be an http:// or https:// URL"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    status, out, err = printed(capsys, *words)
    assert (status, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1
