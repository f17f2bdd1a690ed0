# SPDX-License-Identifier: Apache-2.0
"""Names of networks by AS number, from a table that is shipped (`networks/LICENSES`).

A network that has none there is shown by its number alone: `AS64501`, `AS8359 MTS`.
"""

from __future__ import annotations

import functools
import lzma
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from monitor.text.certificates import safe_text
from monitor.text.language import _

FILE = Path(__file__).parent / "networks" / "as-names.tsv.xz"
MAX_LABEL = 32
"""Characters of a name beside its number."""
ISOLATE, ISOLATED = "\u2068", "\u2069"
"""Around a name that is written from right to left: else a number after it stands before it."""
_LEGAL_TEXT = """
    ab ad ag as asa bv cjsc co corp corporation doo eood gmbh inc jsc limited llc llp lp ltd ltda
    mbh nv oao ojs ojsc ood ooo oy oyj pao pjsc plc pte pty pvt sa sarl sas sau sia sl slu spa srl
    sro uab zao company
"""
_WORD = re.compile(r"\w")
_LEGAL = frozenset(_LEGAL_TEXT.split())
"""Legal forms, which are left out at both ends of a name."""


@functools.cache
def names() -> Mapping[int, str]:
    """Every name by AS number, as registered; some 0.2 s when it is first read."""
    lines = lzma.decompress(FILE.read_bytes()).decode().splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {int(number): safe_text(name) for number, _, name in pairs}


_simulated: dict[int, str] = {}


def name_simulated(given: Mapping[int, str]) -> None:
    """Name the networks of a demonstration in this process: theirs are numbers for documentation,
    which the table does not have."""
    _simulated.update(given)
    short_name.cache_clear()


def registered_name(asn: int) -> str:
    """The name as registered; empty where there is none."""
    return _simulated.get(asn) or names().get(asn, "")


@functools.lru_cache(maxsize=4096)
def short_name(asn: int) -> str:
    """The name without its legal form, quotation marks and own number (`AS8295` is the registered
    name of AS8295); empty where nothing else is there."""
    full = registered_name(asn)
    # Not a pattern: one for each network takes 0.2 ms to compile.
    rest = full.removeprefix("AS").removeprefix(str(asn))
    if full.removesuffix(rest) in (str(asn), f"AS{asn}") and not _WORD.match(rest):
        full = rest.lstrip(" -")
    words = re.sub(r"[\"“”«»]", " ", full).split()
    while len(words) > 1 and _plain(words[-1]) in _LEGAL:
        words.pop()
    while len(words) > 1 and _plain(words[0]) in _LEGAL:
        words.pop(0)
    text = " ".join(words).strip(" ,")
    text = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1].rstrip()}…"
    return f"{ISOLATE}{text}{ISOLATED}" if _is_right_to_left(text) else text


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)


def _plain(word: str) -> str:
    return re.sub(r"[^a-z]", "", word.lower())


def network(asn: int) -> str:
    """`AS8359 MTS`; `AS0 (network unknown)` of vantages whose network nothing tells."""
    if not asn:
        unknown = _("network unknown")
        return f"AS0 ({unknown})"
    return f"AS{asn} {short_name(asn)}".rstrip()


def network_list(asns: Iterable[int]) -> str:
    """`AS8359 MTS, AS12389 Rostelecom`."""
    return ", ".join(map(network, asns))


def find(word: str, known: Collection[int], limit: int) -> list[int]:
    """AS numbers whose name contains a word, those of the `known` networks first."""
    low = word.lower()
    called = {**names(), **_simulated}
    found = [asn for asn, text in called.items() if low in text.lower()]
    whole = re.compile(rf"\b{re.escape(low)}\b")
    found.sort(key=lambda asn: (asn not in known, not whole.search(called[asn].lower()), asn))
    return found[:limit]
