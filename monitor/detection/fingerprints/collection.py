# SPDX-License-Identifier: Apache-2.0
"""A set of fingerprints: whether a page, host or address is known to belong to a block.

A match is evidence only in comparison with the control: a page that the control gets too is the
service's own. The set is passed in as a value and its version is part of every event, so that the
same measurements and the same set give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from monitor.detection.fingerprints.entry import ACCUSING, VETO, Fingerprint, address_of, name_of
from monitor.detection.fingerprints.known import ADDRESSES, HOSTS, NAMES
from monitor.detection.fingerprints.pattern import Found, found_by
from probes.wire.block_pages import phrases, phrases_in
from probes.wire.observation import HTTPExchange

_VERSION_DIGITS = 12
ANYWHERE = "*"
"""In place of a country: fingerprints count wherever they are expected."""


@dataclass(frozen=True)
class _Sign:
    id: str
    countries: frozenset[str]
    found: Found

    def counts(self, country: str) -> bool:
        return country in (*self.countries, ANYWHERE) or not self.countries


class Fingerprints:
    """Our own fingerprints and the loaded ones.

    Only fingerprints of a provider or a country accuse (`entry.ACCUSING`). Where they are expected
    is a weight: a page, an address or an alias that is known from another country (`ANYWHERE`)
    accuses less. A match of a known false positive (`fp`) vetoes all others in the same answer.
    """

    def __init__(self, loaded: Iterable[Fingerprint] = ()) -> None:
        """`loaded`: fingerprints that pass `entry.problem` and `entry.unusable`.

        Raises PatternError.
        """
        ordered = sorted(set(loaded))
        self.size = len(ordered)
        self.version = _digest(ordered) if ordered else ""
        """Twelve hex digits of a hash of the loaded set, in any order; empty when nothing is
        loaded."""
        self._accusing: dict[str, tuple[_Sign, ...]] = {}
        self._vetoes: dict[str, tuple[_Sign, ...]] = {}
        for where in ("body", "header.location", "header.server"):
            here = [one for one in ordered if one.where == where]
            self._accusing[where] = _signs(one for one in here if one.scope in ACCUSING)
            self._vetoes[where] = _signs(one for one in here if one.scope == VETO)
        self._answers: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for table in (ADDRESSES, NAMES):
            for own in table:
                self._answers.setdefault(own.what, []).append((own.id, frozenset(own.countries)))
        vetoed: set[str] = set()
        for one in ordered:
            answer = address_of(one.pattern) or name_of(one.pattern) or ""
            if one.where != "dns":
                continue
            if one.scope == VETO:
                vetoed.add(answer)
            elif one.scope in ACCUSING:
                self._answers.setdefault(answer, []).append((one.id, frozenset(one.countries)))
        for answer in vetoed:
            self._answers.pop(answer, None)

    def page(self, exchange: HTTPExchange, country: str = "") -> str | None:
        """Return the fingerprint's id when an answer is a known block page, or leads to a known
        block host, in this country; else None."""
        id = self._page(exchange, country)
        return None if id is None or self._vetoed(exchange, country) else id

    def host(self, name: str, country: str = "") -> str | None:
        """Return the fingerprint's id of a known block host or a name under it."""
        name = name.lower().rstrip(".")
        for one in HOSTS:
            if (name == one.what or name.endswith("." + one.what)) and (
                not one.countries or country in (*one.countries, ANYWHERE)
            ):
                return one.id
        return None

    def answer(self, text: str, country: str = "") -> str | None:
        """Return the fingerprint's id of an address, or of an alias in a DNS answer, that is known
        to replace the answer for blocked names."""
        for id, countries in self._answers.get(text.lower().rstrip("."), ()):
            if not countries or country in (*countries, ANYWHERE):
                return id
        return None

    def _page(self, exchange: HTTPExchange, country: str) -> str | None:
        if (
            exchange.location
            and (id := self.host(redirect_host(exchange.location), country)) is not None
        ):
            return id
        if phrases := _phrases(exchange):
            return phrases[0]
        return _first(self._accusing, exchange, country)

    def _vetoed(self, exchange: HTTPExchange, country: str) -> bool:
        return _first(self._vetoes, exchange, country) is not None


def _phrases(exchange: HTTPExchange) -> tuple[str, ...]:
    """Ids of the known phrases in a page: those that the probe found, else those in the part that
    it sent."""
    if told := tuple(id for id in exchange.known_pages if id in _PHRASES):
        return told
    if exchange.title or exchange.excerpt:
        return phrases_in(exchange.title or "", exchange.excerpt)
    return ()


_PHRASES = frozenset(phrase.id for phrase in phrases())


def _first(signs: dict[str, tuple[_Sign, ...]], exchange: HTTPExchange, country: str) -> str | None:
    for where, text in _texts(exchange):
        for sign in signs[where]:
            if sign.counts(country) and sign.found(text):
                return sign.id
    return None


def _texts(exchange: HTTPExchange) -> Iterable[tuple[str, str]]:
    """The recorded parts of an answer. The beginning of the body is recorded when the answer looked
    unexpected; a title from later in the page is added as a text of its own."""
    if exchange.location:
        yield "header.location", exchange.location
    if exchange.server:
        yield "header.server", exchange.server
    if exchange.excerpt:
        body = exchange.excerpt.decode("utf-8", "replace")
        yield "body", body
        if exchange.title and "<title" not in body.lower():
            yield "body", f"<title>{exchange.title}</title>"


def _signs(entries: Iterable[Fingerprint]) -> tuple[_Sign, ...]:
    return tuple(
        _Sign(one.id, frozenset(one.countries), found_by(one.how, one.pattern)) for one in entries
    )


def _digest(ordered: list[Fingerprint]) -> str:
    encoder = msgspec.json.Encoder()
    lines = b"".join(encoder.encode(one) + b"\n" for one in ordered)
    return hashlib.sha256(lines).hexdigest()[:_VERSION_DIGITS]


def redirect_host(location: str) -> str:
    """Host of a redirect's target; empty for a relative or malformed one."""
    try:
        return (urlsplit(location.strip()).hostname or "").lower()
    except ValueError:
        return ""


OWN = Fingerprints()
"""What ships with the detector."""
