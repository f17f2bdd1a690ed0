# SPDX-License-Identifier: Apache-2.0
"""What a measurement shows its volunteer: which functions work, and how the others fail. Pure.

It says what was observed on this machine and draws no conclusion about blocking: only the monitor,
which knows what a control saw, can do that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from probes.rounds.last_failures import has_failed
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    Contrast,
    DNSLookup,
    HTTPExchange,
    Observation,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.protocol import protocol
from probes.wire.target import Catalogue
from probes.words import function_name, is_plural, say

_DEPTH = (DNSLookup, TCPConnect, TLSHandshake, QUICHandshake, HTTPExchange, AppExchange)
_LAYERS = {QUICHandshake: "QUIC ", TLSHandshake: "TLS ", HTTPExchange: "HTTP "}
_CAUSES: Mapping[str, str] = {
    Failure.RESET: "reset",
    Failure.TIMEOUT: "timeout",
    Failure.EOF: "closed",
    Failure.ABORTED: "closed",
    Failure.REFUSED: "refused",
    Failure.HOST_UNREACHABLE: "unreachable",
    Failure.NETWORK_UNREACHABLE: "unreachable",
    Failure.NETWORK_DOWN: "unreachable",
    Failure.SSL_FAILED_HANDSHAKE: "handshake",
    Failure.SSL_INVALID_HOSTNAME: "certificate",
    Failure.SSL_INVALID_CERTIFICATE: "certificate",
    Failure.SSL_UNKNOWN_AUTHORITY: "certificate",
}
_DNS_CAUSES: Mapping[str, str] = {Failure.DNS_NXDOMAIN: "no_name", Failure.TIMEOUT: "no_dns"}
_LEGAL_STATUS = 451
"""HTTP status for "unavailable for legal reasons" (RFC 7725)."""
_NAMED = 3
"""Functions of a service that are named before the rest is counted."""


class Cause(msgspec.Struct, frozen=True):
    """How a function fails."""

    key: str
    """A text of `probes.words`."""
    layer: str = ""
    detail: str = ""
    by_name: bool = False
    """An innocuous name to the same address passed."""

    def words(self, language: str) -> str:
        """The cause in a language."""
        text = say(language, self.key, layer=self.layer, detail=self.detail).strip()
        return say(language, "by_name", cause=text) if self.by_name else text


class FunctionSummary(msgspec.Struct, frozen=True):
    """What one measurement showed of one function."""

    target: str
    works: bool
    cause: Cause | None = None
    """Of the first endpoint that failed; also where the function works by another endpoint."""


def summarise(measurement: Measurement) -> FunctionSummary | None:
    """Return what a measurement shows, None when nothing was measured."""
    outcomes: list[Cause | None] = []
    for endpoint in measurement.endpoints:
        seen = [
            each
            for each in measurement.observations
            if isinstance(each, Observation) and each.endpoint == endpoint.id
        ]
        subject = [each for each in seen if each.purpose is Purpose.SUBJECT]
        if subject:
            last = protocol(endpoint.protocol).last_step
            done = any(_passed(each) for each in subject if isinstance(each, last))
            outcomes.append(None if done else _cause(subject, seen))
    if not outcomes:
        return None
    failed = [cause for cause in outcomes if cause is not None]
    works = not failed if measurement.combine == "all_of" else len(failed) < len(outcomes)
    return FunctionSummary(measurement.target, works, failed[0] if failed else None)


def _passed(seen: Observation) -> bool:
    if isinstance(seen, DNSLookup):
        return bool(seen.answers)
    if isinstance(seen, HTTPExchange) and seen.status == _LEGAL_STATUS:
        return False
    return seen.failure is None and not has_failed(seen)


def _cause(subject: Sequence[Observation], seen: Sequence[Observation]) -> Cause:
    """The failure of the deepest step that was reached, which is nearest to the service."""
    failed = [each for each in subject if not _passed(each)]
    if any(isinstance(each, DNSLookup) and each.answers for each in subject):
        failed = [each for each in failed if not isinstance(each, DNSLookup)]
    if not failed:
        return Cause("other", detail="incomplete")
    deepest = max(failed, key=lambda each: (_depth(each), has_failed(each)))
    by_name = any(
        type(each) is type(deepest)
        and each.contrast is Contrast.INNOCUOUS_NAME
        and each.failure is None
        for each in seen
    )
    failure = deepest.failure or ""
    layer = _LAYERS.get(type(deepest), "")
    match deepest:
        case DNSLookup():
            return Cause(_DNS_CAUSES.get(failure, "bad_dns"))
        case HTTPExchange(status=451):
            return Cause("legal")
        case AppExchange(failure=None):
            return Cause("foreign")
    if failure in _CAUSES:
        return Cause(_CAUSES[failure], layer, by_name=by_name)
    return Cause("other", layer, failure, by_name=by_name)


def _depth(seen: Observation) -> int:
    return next((n for n, kind in enumerate(_DEPTH) if isinstance(seen, kind)), -1)


def service_lines(
    catalogue: Catalogue, found: Iterable[FunctionSummary], language: str = "en"
) -> list[str]:
    """Return a line for each service of the catalogue with a function that was measured."""
    by_target = {each.target: each for each in found}
    lines = []
    for service in catalogue.services:
        measured = [by_target[t.id] for t in service.targets if t.id in by_target]
        if measured:
            lines.append(f"{service.name}: {_service_words(measured, language)}")
    return lines


def _service_words(measured: Sequence[FunctionSummary], language: str) -> str:
    parts = []
    working = [each.target for each in measured if each.works]
    if len(measured) > 1 and not any(each.cause for each in measured):
        return say(language, "all_work", count=len(working))
    if working:
        one = len(working) == 1 and not is_plural(language, working[0])
        key = "works" if one else "work"
        parts.append(say(language, key, names=_names(working, language)))
    failing: dict[str, list[str]] = {}
    for each in measured:
        if each.cause is not None:
            words = each.cause.words(language)
            if each.works:
                words = say(language, "partly", cause=words)
            failing.setdefault(words, []).append(each.target)
    parts += [f"{_names(targets, language)}: {words}" for words, targets in failing.items()]
    return "; ".join(parts)


def _names(targets: Sequence[str], language: str) -> str:
    named = ", ".join(function_name(language, target) for target in targets[:_NAMED])
    more = len(targets) - _NAMED
    return say(language, "and_more", names=named, count=more) if more > 0 else named
