# SPDX-License-Identifier: Apache-2.0
"""What is remembered of an imported network's runs, and its baseline, which counts in runs.

Volunteers measure when they like: some networks have fifty runs a day, some one a week. A history
of days would never hear the second kind. All functions return new values.
"""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.state import Baseline, ImportedRuns
from monitor.detection.model import Fact
from monitor.detection.policy import EndingPolicy, ImportedPolicy

MAX_METHODS = 16
MAX_SPANS = 128
"""More are joined, the oldest first: a block by school hours over half a year."""


def learn(known: Baseline, failed: bool, policy: ImportedPolicy) -> Baseline:
    """The baseline with one more run. `hours` holds the latest runs, a byte each, which are not in
    the window yet; a full window is halved."""
    recent = known.hours + bytes([failed])
    total, bad = known.total, known.failed
    if len(recent) > policy.imported_lag:
        total, bad, recent = total + 1, bad + recent[0], recent[1:]
    if total > policy.imported_window:
        total, bad = total // 2, bad // 2
    return Baseline(total, bad, len(recent), sum(recent), 0, recent)


def note_method(runs: ImportedRuns, fact: Fact, failed: bool) -> ImportedRuns:
    """With the outcome of a run by its test and version. Of too many, the one that was used least
    recently is forgotten."""
    good, bad, vetoed = runs.methods.get(fact.method, (0, 0, 0))
    now = (good, fact.round, vetoed) if failed else (fact.round, bad, vetoed)
    methods, since = {**runs.methods, fact.method: now}, dict(runs.since)
    if failed:
        since.setdefault(fact.method, fact.round)
    else:
        since.pop(fact.method, None)
    if len(methods) > MAX_METHODS:
        oldest = min(methods, key=lambda name: (max(methods[name][:2]), name))
        del methods[oldest]
        since.pop(oldest, None)
    return replace(runs, methods=methods, since=since)


def note_layers(runs: ImportedRuns, fact: Fact) -> ImportedRuns:
    """With the layers that a run that worked has passed."""
    passed = {finding.layer.value: fact.round for finding in fact.verdict.findings}
    return replace(runs, reached={**runs.reached, **passed})


def veto(runs: ImportedRuns, method: str, round: int) -> ImportedRuns:
    """With a failure of a test that a gate did not let count."""
    good, bad, _ = runs.methods.get(method, (0, 0, 0))
    return replace(runs, methods={**runs.methods, method: (good, bad, round)})


def vetoed(runs: ImportedRuns | None, method: str) -> bool:
    """Whether the test has not worked here since a gate did not let its failure count: it may still
    be the same fault, which others have left behind."""
    good, _, last = runs.methods.get(method, (0, 0, 0)) if runs else (0, 0, 0)
    return last > 0 and last >= good


def works(runs: ImportedRuns, round: int, policy: EndingPolicy) -> ImportedRuns:
    """After a success: several in a row end a span."""
    first, count = runs.again
    again = (first, count + 1) if count else (round, 1)
    spans = runs.spans
    if spans and not spans[-1][2] and again[1] >= policy.close_good_rounds:
        spans = (*spans[:-1], (spans[-1][0], spans[-1][1], again[0]))
    return replace(runs, again=again, spans=spans)


def fails(runs: ImportedRuns, round: int) -> ImportedRuns:
    """After a failure: the last span goes on, or another begins."""
    spans = runs.spans
    if spans and not spans[-1][2]:
        spans = (*spans[:-1], (spans[-1][0], round, 0))
    else:
        spans = (*spans, (round, round, 0))
    if len(spans) > MAX_SPANS:
        spans = ((spans[0][0], *spans[1][1:]), *spans[2:])
    return replace(runs, spans=spans, again=(0, 0))


def note_together(runs: ImportedRuns, failed: bool) -> ImportedRuns:
    """With a run in an hour in which other networks of an open event failed."""
    bad, good = runs.together
    return replace(runs, together=(bad + failed, good + (not failed)))


def fails_together(runs: ImportedRuns | None, policy: ImportedPolicy) -> bool:
    """Whether the network fails in the same hours as others of an open event, and mostly then."""
    bad, good = runs.together if runs else (0, 0)
    return bad >= policy.imported_together and bad > good


def note_outcome(runs: ImportedRuns, failed: bool, policy: ImportedPolicy) -> ImportedRuns:
    """With the outcome of a run of a device that was online."""
    latest = (runs.latest + bytes([failed]))[-policy.imported_always_runs :]
    return replace(runs, latest=latest)


def fails_nearly_always(runs: ImportedRuns, policy: ImportedPolicy) -> bool:
    """Whether so many of the latest runs failed that no bad line explains it: all that are known,
    or nearly all of many."""
    known, failed = len(runs.latest), sum(runs.latest)
    if failed == known:
        return known >= policy.imported_history
    enough = known >= policy.imported_always_runs
    return enough and failed * 1000 >= policy.imported_always_per_mille * known


def note_helped(runs: ImportedRuns, helped: bool) -> ImportedRuns:
    """With a failure. `helped`: OONI's helper reached the site beside it."""
    reached, failures = runs.helped
    return replace(runs, helped=(reached + helped, failures + 1))


def helper_reaches(runs: ImportedRuns | None, policy: ImportedPolicy) -> bool:
    """Whether OONI's helper is a control of these failures: it reached the site beside most."""
    reached, failures = runs.helped if runs else (0, 0)
    return reached >= policy.imported_helped and 4 * reached >= 3 * failures


def forget(runs: ImportedRuns) -> ImportedRuns:
    """After a suspicion was dropped: what belonged to it."""
    return replace(runs, spans=(), together=(0, 0), helped=(0, 0))
