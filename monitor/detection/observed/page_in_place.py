# SPDX-License-Identifier: Apache-2.0
"""What an imported run got in clear text in place of the page that OONI's helper got of the site.

A page that the site itself proves by a certificate is its own, whatever it says: of another region,
a consent form, a refusal. In clear text another page may be anybody's, and services have many:
so it gets a mark by which it is known again. That the page is the network's own is told by others
(`events.imported.other_pages`): hosts of other companies show it there, and nobody elsewhere does.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from monitor.detection.fingerprints import Fingerprints
from monitor.detection.observed.imported_run import RunRecord, SitePage
from monitor.detection.observed.liveness import foreign_host
from monitor.detection.observed.pages import alike
from probes.wire.observation import HTTPExchange
from probes.wire.page_facts import long_words, title_shape

SAME, KNOWN, OTHER, AWAY, LEGAL = "same_page", "page", "other_page", "led_away", "legal"
"""What a page is: the helper's, a known block page, another one, another one of a foreign host, and
one of status 451."""
_UNAVAILABLE_FOR_LEGAL_REASONS = 451
_OF_SERVERS = 500
"""From this status on the server itself is at fault."""
_TOO_MANY = 429
_SAMPLE = 8
"""Bytes of the sample of a page's words: two hashes."""
# Front ends that answer in the place of many unrelated services, by the product in `Server` as they
# document it: a refusal of theirs comes from no network on the way. Read 2026-11.
_FRONT_ENDS = frozenset(
    ("cloudflare", "cloudfront", "akamaighost", "akamainetstorage", "ddos-guard", "awselb", "gse")
)
# Words of pages that servers and content networks come with: unrelated services have the same.
_OF_ANY_SERVER = frozenset(
    {word.lower() for status in HTTPStatus for word in long_words(status.phrase)}
    | {
        "access",
        "apache",
        "attention",
        "denied",
        "default",
        "document",
        "error",
        "href",
        "loading",
        "moment",
        "nginx",
        "object",
        "openresty",
        "please",
        "redirect",
        "redirecting",
        "refused",
        "request",
        "required",
        "security",
        "server",
        "sorry",
        "untitled",
        "verification",
        "website",
        "welcome",
        "while",
    }
)


class PageInPlace(NamedTuple):
    """What a run's page is beside the helper's."""

    kind: str = ""
    """One of the words above; empty where nothing can be compared."""
    mark: str = ""
    """By which a page in place of another is known again; empty where it has nothing of its own."""


NOTHING = PageInPlace()


def page_in_place(record: RunRecord, fingerprints: Fingerprints, country: str) -> PageInPlace:
    """Compare the page of a run with the helper's."""
    page, helper = record.page, record.helper
    if page is None or helper is None or not helper.name:
        return NOTHING
    away = foreign_host(page.host, helper.name)
    if page.proven and not away:
        return PageInPlace(SAME)
    theirs = helper.page
    like = theirs is not None and alike(_exchange(page), _exchange(theirs))
    if like and theirs is not None and page.status == theirs.status:
        return PageInPlace(SAME)
    if _is_known(page, fingerprints, country):
        return PageInPlace(KNOWN)
    if theirs is None or not 200 <= theirs.status < 300 or like:
        return NOTHING  # the helper itself was refused, or nothing tells the pages apart
    if page.status == _UNAVAILABLE_FOR_LEGAL_REASONS:
        return PageInPlace(LEGAL, _mark(page, helper.name, away))
    if page.status >= _OF_SERVERS or page.status == _TOO_MANY:
        return NOTHING
    return PageInPlace(AWAY if away else OTHER, _mark(page, helper.name, away))


def _is_known(page: SitePage, fingerprints: Fingerprints, country: str) -> bool:
    return (
        fingerprints.host(page.host, country) is not None
        or fingerprints.page(_exchange(page), country) is not None
    )


def _mark(page: SitePage, site: str, away: bool) -> str:
    """The foreign host; or what the title says beside the site's own name, and two words of the
    page, which are the same ones in nearly all pages of a form."""
    if away:
        return f"host {page.host.lower()}"
    if page.server.partition("/")[0].strip().lower() in _FRONT_ENDS:
        return ""
    named = set(long_words(site))
    if all(word in _OF_ANY_SERVER or word in named for word in long_words(page.title)):
        return ""
    words = " ".join(word for word in long_words(page.title) if word not in named)
    # A word of welcome is the title of many pages, which have other words below it.
    return f"title {title_shape(words).letters.hex()} {page.shape.words[:_SAMPLE].hex()}"


def _exchange(page: SitePage) -> HTTPExchange:
    """The page as the answer of one request."""
    return HTTPExchange(
        endpoint="",
        address="",
        port=80,
        host=page.host,
        status=page.status,
        title=page.title or None,
        server=page.server or None,
        known_pages=page.known,
        shape=page.shape,
    )
