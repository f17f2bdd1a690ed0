from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.collector import admission
from monitor.collector.admission import (
    Rejection,
    admit,
    within_networks,
    within_spools,
    within_targets,
)
from monitor.detection.model import NEVER, VOUCHED
from monitor.store.facts import CONFLICT
from monitor.store.records import Probe
from probes.rounds.profile import Profile
from probes.rounds.scheduler import interval_of, next_round, phase_ms
from probes.wire.codec import EnvelopeVantage, envelope_of
from probes.wire.measurement import Measurement, Vantage, named_interval_ms, round_grid_ms
from probes.wire.target import Catalogue, Service, Target
from tests.monitor.collector.bench import P, measurement

NOW = 1_790_000_000_000
PROBE = Probe(id=P, owner="ada", role="control", enrolled=7)
Q = "p-0000000000000002"


def judge(one: Measurement, probe: Probe | None = PROBE, topic: str = P) -> Rejection | None:
    return admit(envelope_of(one), probe, topic, NOW)


def test_admitted() -> None:
    assert judge(measurement(at=NOW)) is None


@pytest.mark.parametrize(
    ("seen", "believed"),
    [
        (("", 0), True),
        (("RU", 64501), True),
        (("RU", 0), True),
        (("RU", 64502), False),
        (("FR", 64501), False),
    ],
)
def test_who_enrolled_elsewhere_never_has_a_vote(seen: tuple[str, int], believed: bool) -> None:
    probe = replace(PROBE, seen_country=seen[0], seen_asn=seen[1])
    place = Vantage(country="RU", asn=64501)
    one = envelope_of(replace(measurement(at=NOW), vantage=place))
    assert admit(one, probe, P, NOW) is None
    assert admission.votes_from(probe, [one]) == (7 if believed else NEVER)


def test_an_owner_whom_the_operator_vouches_for_counts_as_known_for_ever_where_it_enrolled() -> (
    None
):
    here = envelope_of(replace(measurement(at=NOW), vantage=Vantage(country="RU", asn=64501)))
    vouched = replace(PROBE, vouched=True)
    assert admission.votes_from(vouched, [here]) == VOUCHED
    assert admission.votes_from(replace(vouched, seen_country="FR"), [here]) == NEVER


DAY = 86_400_000


@pytest.mark.parametrize(
    ("one", "probe", "reason"),
    [
        (measurement(at=NOW), None, "unknown_probe"),
        (measurement(at=NOW), replace(PROBE, revoked=5), "revoked_probe"),
        (measurement(at=NOW), replace(PROBE, role="boss"), "unknown_role"),
        (measurement(Q, at=NOW), PROBE, "foreign_probe"),
        (measurement(at=NOW, id="0" * 32), PROBE, "wrong_id"),
        (measurement(at=NOW, epoch="other"), PROBE, "wrong_id"),
        (measurement(at=NOW + 6 * 60_000), PROBE, "clock_ahead"),
        (measurement(at=NOW, round=NOW + 6 * 60_000), PROBE, "clock_ahead"),
        (measurement(at=NOW - 91 * DAY), PROBE, "too_old"),
        (measurement(at=1), PROBE, "too_old"),
        (measurement(at=NOW, round=1), PROBE, "too_old"),
        (measurement(at=NOW, round=NOW - 2 * DAY), PROBE, "wrong_round"),
        (measurement(at=NOW, round=NOW - 1), PROBE, "wrong_round"),
        (measurement(at=NOW, round=NOW - 1, interval_ms=1), PROBE, "wrong_round"),
        (measurement(at=NOW, round=NOW - 50_000, interval_ms=60_000), PROBE, "wrong_round"),
        (measurement(at=NOW, round=0, interval_ms=10**13), PROBE, "too_old"),
        (
            measurement(at=NOW, round=NOW - NOW % (2 * DAY), interval_ms=2 * DAY),
            PROBE,
            "wrong_round",
        ),
        (measurement(at=NOW - 2 * DAY), replace(PROBE, enrolled=NOW - DAY + 1), "too_old"),
        (measurement(at=NOW, target="liveness/else"), PROBE, "reserved_target"),
    ],
)
def test_refusals(one: Measurement, probe: Probe | None, reason: str) -> None:
    outcome = judge(one, probe)
    assert isinstance(outcome, Rejection)
    assert outcome.reason == reason
    assert outcome.detail
    assert "\n" not in outcome.detail


def test_borders_of_time_are_admitted() -> None:
    for one in (
        measurement(at=NOW + 5 * 60_000),
        measurement(at=NOW - 90 * DAY),
        measurement(at=NOW, round=NOW - DAY),
        measurement(at=NOW, round=NOW - 50_000, interval_ms=100),
        measurement(at=NOW, round=NOW - NOW % DAY, interval_ms=DAY),
        measurement(at=NOW, target="liveness/international"),
        measurement(at=NOW, target="no-such/target-here"),
    ):
        assert judge(one) is None


@given(
    seconds=st.sampled_from([30, 45, 301, 421, 1800, 1801, 5000, 21_600, 21_601, 28_800, 86_400])
    | st.floats(30, 86_400),
    seed=st.integers(0, 9999),
)
def test_every_round_of_a_probe_is_admitted_at_any_interval(seconds: float, seed: int) -> None:
    """Also of functions that are measured less often than once in a round, or in a day."""
    interval, probe = interval_of(seconds), f"p-{seed:016x}"
    core, rest = Target(id="a/core", endpoints=(), core=True), Target(id="a/rest", endpoints=())
    service = Service(id="a", name="A", targets=(core, rest))
    profile = Profile(Catalogue(version="", services=(service,)), probe)
    grid = round_grid_ms(interval)
    start = next_round(NOW, interval, None, random.Random(seed), phase_ms(probe, interval)).round_ms
    ways = [(failed, thin) for failed in (False, True) for thin in (1, 2, 4, 8)]
    intervals = {
        each
        for f, thin in ways
        for each in profile.intervals(interval, failed=f, thin=thin).values()
    }
    assert interval in intervals
    for usual in intervals:
        named = named_interval_ms(usual, interval)
        assert usual >= named > min(usual, DAY) - 60 * grid
        one = measurement(at=NOW, round=start, interval_ms=named)
        assert judge(one) is None, (usual, named)


@given(st.integers(0, 2**53), st.integers(0, 2**45), st.integers(0, 2**45))
def test_total_and_closed(sequence: int, started: int, round: int) -> None:
    limit = 32_503_680_000_000
    one = measurement(sequence=sequence, at=min(started, limit) or 1, round=min(round, limit))
    outcome = judge(one)
    assert outcome is None or outcome.reason in admission.QuarantineReason


def test_reasons_are_labels_and_complete() -> None:
    assert all(re.fullmatch(r"[a-z_]{1,40}", reason) for reason in admission.QuarantineReason)
    assert CONFLICT in list(admission.QuarantineReason)


def test_a_young_probe_with_a_slow_clock_is_heard() -> None:
    assert judge(measurement(at=NOW - DAY), replace(PROBE, enrolled=NOW)) is None


def test_a_probe_enrolled_by_a_clock_that_was_ahead_is_heard() -> None:
    assert judge(measurement(at=NOW), replace(PROBE, enrolled=NOW + 30 * DAY)) is None


def test_networks_are_bounded() -> None:
    named: set[tuple[str, int]] = set()
    for asn in range(admission.MAX_NETWORKS):
        assert within_networks(named, EnvelopeVantage(country="RU", asn=asn)) is None
    assert within_networks(named, EnvelopeVantage(country="RU", asn=0)) is None
    rejection = within_networks(named, EnvelopeVantage(country="FR", asn=0))
    assert rejection is not None
    assert rejection.reason == "too_many_networks"
    assert len(named) == admission.MAX_NETWORKS


def test_targets_are_bounded() -> None:
    named: set[str] = set()
    for number in range(admission.MAX_TARGETS):
        assert within_targets(named, f"a/t{number}") is None
    assert within_targets(named, "a/t1") is None
    rejection = within_targets(named, "a/one-more")
    assert rejection is not None
    assert rejection.reason == "too_many_targets"
    assert len(named) == admission.MAX_TARGETS


def test_names_come_from_closed_lists() -> None:
    """A target or country that a stranger made up becomes no row, label or topic."""
    known = frozenset({"wechat/messaging"})

    def outcome(**fields: object) -> str:
        one = measurement(at=NOW, **fields)
        found = admission.admit(envelope_of(one), PROBE, one.probe, NOW, known)
        return found.reason if isinstance(found, Rejection) else ""

    assert outcome() == ""
    assert outcome(target="liveness/domestic") == ""
    assert outcome(target="made-up/by-somebody") == "unknown_target"
    for country, reason in (("XQ", "unknown_country"), ("ZZ", ""), ("XK", "")):
        assert outcome(vantage=Vantage(country=country, asn=1)) == reason


def test_a_probe_has_a_few_spools_a_day() -> None:
    named: set[str] = set()
    for number in range(admission.MAX_SPOOLS):
        assert within_spools(named, f"s{number}") is None
    assert within_spools(named, "s0") is None
    rejection = within_spools(named, "another")
    assert rejection is not None
    assert rejection.reason is admission.QuarantineReason.TOO_MANY_SPOOLS
    assert len(named) == admission.MAX_SPOOLS
