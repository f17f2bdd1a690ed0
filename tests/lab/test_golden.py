"""Every case's stored measurement, judged again by the rules of today: a change of rules shows as a
difference here, and `python -m tests.lab.golden --judge` writes it down to be reviewed.
"""

from __future__ import annotations

import json

import msgspec
import pytest

from monitor.detection.judge.other_answers import other_answers
from monitor.detection.judge.target import judge
from monitor.detection.observed.view import view
from probes.privacy.withheld import without_quotations
from probes.wire.block_pages import phrases_in
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Contrast,
    HTTPExchange,
    PathTrace,
    TLSHandshake,
)
from probes.wire.page_facts import page_head
from tests.lab.cases import BY_NAME, label
from tests.lab.golden import FOLDER, Stored, load, names, said, written
from tests.lab.packing import pack, unpack

MOST_BYTES = 1_330_000


@pytest.mark.parametrize("case", names())
def test_what_is_stored_is_judged_as_before(case: str) -> None:
    entry, stored = load(case)
    now = said(stored)
    assert json.loads(json.dumps(now["facts"])) == entry["facts"]
    assert now["verdict"] == entry["verdict"]


@pytest.mark.parametrize("case", names())
def test_it_is_what_the_case_promises(case: str) -> None:
    entry, _ = load(case)
    promised = BY_NAME[case]
    verdict = entry["verdict"]
    assert entry["promise"] == promised.promise
    assert label(verdict["state"], verdict.get("technique")) == promised.promise
    assert verdict["rule"] in promised.rules
    assert set(verdict.get("evidence", ())).issuperset(promised.evidence)


@pytest.mark.parametrize(
    "case",
    [case for case in names() if BY_NAME[case].promise == "blocked tcp.timeout"],
)
def test_what_other_resolvers_give_is_silent_too_where_the_addresses_are_blocked(case: str) -> None:
    """So that nothing that is blocked seems to have moved, or was not compared."""
    _, stored = load(case)
    assert {answer.works for answer in other_answers(view(stored.subject))} == {False}


def _as_sent(measurement: Measurement) -> Measurement:
    """The measurement as a probe of today sends it by default."""
    told = [_with_page_facts(seen) for seen in measurement.observations]
    return without_quotations(msgspec.structs.replace(measurement, observations=tuple(told)))


def _with_page_facts(seen: AnyObservation) -> AnyObservation:
    match seen:
        case HTTPExchange():
            known = phrases_in(seen.title or "", seen.excerpt)
            return msgspec.structs.replace(seen, known_pages=known)
        case AppExchange() if seen.transport == "tcp":
            return msgspec.structs.replace(seen, page=page_head(seen.excerpt))
    return seen


def _quotes(measurement: Measurement) -> bool:
    return any(
        getattr(seen, "excerpt", b"") or getattr(seen, "title", None)
        for seen in measurement.observations
    )


QUOTED = [case for case in names() if _quotes(load(case)[1].subject)]


@pytest.mark.parametrize("case", QUOTED)
def test_what_pages_say_is_not_needed(case: str) -> None:
    """Each case of which a page is part, as sent by default: alone, and beside a control that sends
    pages whole."""
    stored = load(case)[1]
    subject = _as_sent(stored.subject)
    assert not any(getattr(seen, "excerpt", b"") for seen in subject.observations)
    before = stored.verdict()
    assert judge(subject, stored.liveness, stored.controls) == before
    both = [(_as_sent(control), beyond) for control, beyond in stored.controls]
    assert judge(subject, stored.liveness, both) == before


def test_every_case_has_its_file_and_no_other() -> None:
    assert names() == sorted(name for name, case in BY_NAME.items() if not case.by_round)


def test_they_are_small_and_written_as_the_command_writes_them() -> None:
    for case in names():
        entry, _ = load(case)
        assert (FOLDER / f"{case}.json").read_text() == written(entry)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("case", names())
def test_packing_loses_nothing(case: str) -> None:
    packed = load(case)[0]["measurement"]
    assert pack(unpack(packed)) == packed


def _without_reflector(stored: Stored) -> tuple[str, str | None, tuple[str, ...]]:
    kept = [
        seen
        for seen in stored.subject.observations
        if getattr(seen, "contrast", None) is not Contrast.REFLECTOR
        and not isinstance(seen, PathTrace)
    ]
    subject = msgspec.structs.replace(stored.subject, observations=tuple(kept))
    verdict = judge(subject, stored.liveness, stored.controls)
    return verdict.state, verdict.technique, verdict.evidence


def test_residual_blocking_names_nothing_that_is_not_known() -> None:
    """In the first round the trigger came first: only our own host tells name from address. In
    the next one the innocuous name goes first, and needs no such help."""
    assert _without_reflector(load("trap.residual")[1])[:2] == ("blocked", None)
    _, later = load("trap.second_round")
    assert _without_reflector(later) == ("blocked", "tls.reset.sni", ())
    shaken = [o for o in later.subject.observations if isinstance(o, TLSHandshake)]
    for address in {o.address for o in shaken if o.contrast is None}:
        here = sorted((o for o in shaken if o.address == address), key=lambda o: o.at_us)
        assert here[0].contrast is Contrast.INNOCUOUS_NAME
        assert (here[0].failure, here[0].evidence) == (None, ())
