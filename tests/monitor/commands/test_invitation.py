"""What an operator hands to a volunteer."""

from __future__ import annotations

import io

import pytest

from monitor.commands import invitation
from probes.wire.enrolment_token import EnrolmentToken, encode_token

TOKEN = encode_token(EnrolmentToken(url="https://reach.example", id="a" * 12, secret="b" * 32))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]", "http://0.0.0.0:80"]
)
def test_an_address_that_only_this_machine_reaches(url: str) -> None:
    assert "--public-url" in invitation.unreachable(url)


def test_an_address_at_which_volunteers_enrol() -> None:
    assert invitation.unreachable("https://reach.example") == ""
    assert "refuse plain http" in invitation.unreachable("http://192.0.2.1:8080")


def test_three_commands() -> None:
    lines = invitation.commands(TOKEN, 1, 1_795_500_000_000)
    typed = [line.split("#")[0].strip() for line in lines if line.startswith("  ")]
    assert typed == [
        "pip install '.[quic]'",
        f"reachprobe join {TOKEN}",
        "reachprobe run --country CC --asn N",
    ]
    assert "2026-11" in lines[-1]


def test_one_line_for_a_container() -> None:
    line = invitation.container_line(TOKEN)
    assert "\n" not in line
    assert f"REACHPROBE_TOKEN={TOKEN} " in line


def test_the_qr_code_holds_the_token() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

    drawn = Terminal()
    invitation.print_qr_code(TOKEN, drawn)
    lines = drawn.getvalue().splitlines()
    assert 20 < len(lines) < 40
    assert max(map(len, lines)) <= 80, "it fits a terminal"

    class Plain(io.StringIO):
        encoding = "ascii"

    plain = Plain()
    invitation.print_qr_code(TOKEN, plain)
    assert plain.getvalue() == ""
