"""Strangers' patterns: what they mean, what is refused, and that none of them takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.fingerprints.pattern import MAX_GAPS, PatternError, found_by


def test_the_plain_ways() -> None:
    assert found_by("full", "ab")("ab")
    assert not found_by("full", "ab")("abc")
    assert found_by("prefix", "ab")("abc")
    assert not found_by("prefix", "ab")("cab")
    assert found_by("contains", "a.c")("xa.cx")
    assert not found_by("contains", "a.c")("abc")


@pytest.mark.parametrize(
    ("pattern", "text", "there"),
    [
        (r"<span style=.*color:red;.*>\(x", "<span style='a\ncolor:red;b'>(x", True),
        (r"the URL you.* requesting is", "the URL you were requesting is", True),
        (r"the URL you.* requesting is", "requesting is the URL you", False),
        (r"^abc", "zabc", False),
        (r"abc$", "abcz", False),
        (r"abc.*f$", "abcdef", True),
        (r"^a.c$", "abc", True),
        (r"^a.c$", "abcd", False),
        (r"abc.+d", "abcd", False),
        (r"abc.+d", "abcxd", True),
        (r"[a-c]x\d", "zbx7", True),
        (r"[^a-c]x\d", "bx7", False),
        (r"costs 5\$", "it costs 5$", True),
        (r"ab.*b$", "ab", False),
    ],
)
def test_the_understood_part_of_regular_expressions(pattern: str, text: str, there: bool) -> None:
    assert found_by("regexp", pattern)(text) is there


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(a|aa)*b",
        "a{1,9999}",
        "(?=abc)",
        r"(.)\1",
        "a*a*a*b",
        "[a",
        "abc\\",
        ".*",
        "..",
        "^$",
        r"\s.*",
        "a" + ".*b" * (MAX_GAPS + 1),
        "[z-a]bc",
    ],
)
def test_what_could_run_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError) as told:
        found_by("regexp", pattern)
    assert str(told.value).isprintable()


def test_the_worst_page_for_the_worst_pattern_is_quick() -> None:
    worst = found_by("regexp", "a.*" * MAX_GAPS + "b")
    text = "a" * 2048
    began = time.process_time()
    for _ in range(100):
        assert not worst(text)
    longest = found_by("regexp", "[ab]" * 250 + "c.*d")
    assert not longest(text)
    assert time.process_time() - began < 1


_ATOMS = st.sampled_from(["a", "b", r"\.", ".", "[ab]", r"\d"])
_PIECES = st.lists(_ATOMS, min_size=1, max_size=3).map("".join)


@given(
    st.lists(_PIECES, min_size=1, max_size=4),
    st.sampled_from([".*", ".+", ".*?"]),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "$"]),
    st.text("ab.1\n", max_size=14),
)
def test_it_says_what_re_says(pieces: list[str], gap: str, start: str, end: str, text: str) -> None:
    pattern = start + gap.join(pieces) + end
    try:
        found = found_by("regexp", pattern)
    except PatternError:
        return
    # `$` of re also stands before a last line feed; ours is the end alone.
    theirs = re.compile(pattern.removesuffix("$") + (r"\Z" if end else ""), re.DOTALL)
    assert found(text) is (theirs.search(text) is not None)
