"""What an input reaches, and how it is shortened."""

from __future__ import annotations

from probes.net.dns_message import parse_reply
from tests.fuzz.boundaries import ASKED
from tests.fuzz.reach import lines_of, shortest

REPLY = bytes.fromhex("12348180000100000000000003737276076578616d706c650000010001")


def _read(given: bytes) -> object:
    return parse_reply(given, ASKED, 1)


def test_more_of_a_reply_reaches_more_lines_of_the_product_alone() -> None:
    reach = lines_of(_read)
    whole, nothing = reach(REPLY), reach(b"")
    assert whole - nothing
    assert {path.partition("/probes/")[1] for path, _ in whole} == {"/probes/"}


def test_an_error_has_lines_too() -> None:
    assert lines_of(lambda raw: _read(raw) and 1 // 0)(REPLY) == lines_of(_read)(REPLY)


def test_what_reaches_nothing_new_is_cut_away() -> None:
    reach = lines_of(_read)
    made = shortest(REPLY + bytes(500), reach(REPLY), reach)
    assert len(made) <= len(REPLY)
    assert reach(REPLY) <= reach(made)
