"""The evidence that a block has ended: what adds to it, what takes from it, and how often chance
makes it enough."""

from __future__ import annotations

import math
import operator
import random

import pytest
from msgspec.structs import replace

from monitor.detection.events import cusum, ending
from monitor.detection.events.state import Baseline, Member, Series, Track, VantageOutcome
from monitor.detection.model import Tier, Verdict
from monitor.detection.policy import EndingPolicy, Policy
from tests.monitor.detection.events.test_cusum import failure, fresh
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    POLICY,
    STRONG,
    UNCONTROLLED,
    Vantage,
    World,
    blocked,
    in_network,
    ok,
    vantages,
)

MINUTE = 60_000
QUICK = Policy(ending=EndingPolicy(close_good_seconds=0))


class Block:
    """Vantages that saw a block, each of its own owner, and what they saw since."""

    def __init__(self, size: int, said: str, weight: int = STRONG, policy: Policy = QUICK) -> None:
        self.policy, self.weight, self.minute = policy, weight, 0
        self.series = Series({f"p-{n}": fresh() for n in range(size)})
        self.members = {
            probe: Member(f"o-{probe}", 0, MINUTE, 0, VantageOutcome.BAD)
            for probe in self.series.tracks
        }
        for letter in said:
            for probe in self.members:
                self.see(probe, letter)
        for probe, track in self.series.tracks.items():
            assert track.suspicion is not None
            alarmed = cusum.alarm(track.suspicion, self.minute * MINUTE, policy.evidence)
            self.series.tracks[probe] = replace(track, suspicion=alarmed)

    def see(self, probe: str, letter: str) -> Block:
        """A vantage reaches the service (a dot), or fails with the signature of the block (F) or
        without one (f)."""
        self.minute += 1
        at, track = self.minute * MINUTE, self.series.tracks[probe]
        if letter == ".":
            self.series = ending.after_success(self.series, probe, track, at, self.policy)
            track = cusum.succeed(track, at, self.policy)
        else:
            weight = self.weight if letter == "F" else 0
            signed = weight >= self.policy.evidence.signature_micronats
            self.series = ending.after_failure(self.series, probe, track, at, signed, self.policy)
            track = cusum.fail(track, at, failure(weight, n=self.minute), self.policy)
        self.series.tracks[probe] = track
        return self

    def all_see(self, said: str) -> Block:
        """All vantages, in turn."""
        for letter in said:
            for probe in self.members:
                self.see(probe, letter)
        return self

    @property
    def nats(self) -> float:
        told = self.series.ending
        return 0.0 if told is None else sum(told.nats.values()) / cusum.MICRO

    @property
    def over(self) -> bool:
        return ending.is_enough(self.series, self.members, self.policy)

    def successes(self) -> int:
        """How many it takes in turn until it is over."""
        for number in range(1, 400):
            self.see(f"p-{number % len(self.members)}", ".")
            if self.over:
                return number
        raise AssertionError("never")


def test_nobody_who_saw_no_block_adds_anything() -> None:
    block = Block(2, "FFF")
    block.series.tracks["p-2"] = fresh()
    block.members["p-2"] = block.members["p-1"]
    assert block.see("p-2", ".").series.ending is None


def test_each_further_success_says_less_because_the_share_is_not_known() -> None:
    block, gains = Block(1, "FFFF"), list[float]()
    for _ in range(6):
        before = block.nats
        gains.append(block.see("p-0", ".").nats - before)
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 2 * gains[-1] > 0


def test_the_more_it_let_pass_the_more_successes_its_end_takes() -> None:
    said = ("FFFFFFFF", "FFF.FFF.", "FF.F.F.F", "FF.F..F.F..F.F..")
    numbers = [Block(3, word).successes() for word in said]
    assert numbers == sorted(numbers)
    assert numbers[0] <= 16
    assert numbers[-1] >= 18


def test_a_few_failures_in_a_row_may_be_those_of_a_partial_block() -> None:
    """Of a third of the flows: once in a thousand tries sixteen pass by chance, but not eight. A
    block that failed throughout for long may be as weak now."""
    assert Block(2, "FF").successes() >= 20
    assert 12 <= Block(2, "F" * 20).successes() <= 16


def test_each_vantage_is_judged_by_what_it_saw_most_of_all() -> None:
    """One behind a box that lets half pass says less than one that always failed."""
    block = Block(2, "FFF")
    for letter in "F.F.F.F.F.F.":
        block.see("p-0", letter)
        block.see("p-1", "F")
    half = block.see("p-0", ".").nats
    assert block.see("p-1", ".").nats - half > 1.25 * half


def test_a_failure_like_those_of_the_block_takes_all_and_another_kind_little() -> None:
    block = Block(3, "FF.FFF.FF").all_see("..")
    assert Block(3, "FF.FFF.FF").all_see("..").see("p-0", "F").nats < block.nats / 4
    other = Block(3, "FF.FFF.FF").all_see("..").see("p-0", "f").nats
    assert block.nats / 2 < other <= block.nats
    bare = Block(3, "ff.fff.ff").all_see("..")
    assert bare.see("p-0", "f").nats < block.nats - 2


@pytest.mark.parametrize("said", ["f", "ff", "fff"])
def test_failures_of_a_vantage_that_come_together_take_away_once(said: str) -> None:
    """Its line is bad for some minutes; and the first success after them says nothing either."""
    block, once = Block(3, "fff.ff.fff"), Block(3, "fff.ff.fff")
    block.all_see("...").see("p-0", "f")
    once.all_see("...").see("p-0", "f")
    for letter in said[1:]:
        block.see("p-0", letter)
    assert block.nats == once.nats
    assert block.see("p-0", ".").nats == once.nats < block.see("p-0", ".").nats


def test_a_failure_without_a_control_counts_against_the_end() -> None:
    """Successes count whether a control is there or not. If failures did not, a block of a third of
    the flows would be over as soon as the control is silent."""

    def confirmed() -> World:
        people = [*vantages(3), *vantages(3, "DE", 64504)]
        world = World(people).quiet(5).run(8, in_network(64501, blocked()))
        assert world.only.tier is Tier.CONFIRMED
        return world

    def third(n: int, who: Vantage) -> Verdict | None:
        if who.asn != 64501:
            return ok()
        return UNCONTROLLED if (n + int(who.probe[-1])) % 3 == 0 else ok()

    assert confirmed().run(40, third).only.ongoing
    assert not confirmed().run(8, lambda n, who: ok()).only.ongoing


def test_a_vantage_that_did_not_reach_it_since_takes_away_each_time() -> None:
    """Or not for long: it may be behind what still blocks."""
    block = Block(3, "fff.ff.fff")
    for _ in range(4):
        block.see("p-0", ".").see("p-1", ".")
    nats = [block.nats, block.see("p-2", "f").nats, block.see("p-2", "f").nats]
    assert nats[0] > nats[1] + 1 > nats[2] + 2
    later = Block(3, "fff.ff.fff").all_see("....").see("p-2", "f")
    before = later.nats
    later.minute += QUICK.ending.together_seconds // 60
    assert later.see("p-2", "f").nats < before - 1


def test_a_failure_by_chance_does_not_keep_a_silent_block_open_for_an_hour() -> None:
    block = Block(3, "f" * 30).all_see(".")
    assert block.see("p-0", "f").successes() <= 30


def test_a_natural_failure_costs_no_more_than_three_rounds_of_three_vantages() -> None:
    """Whatever share from the weakest on it may still block, two dozen successes beside one failure
    would be rare."""
    assert Block(3, "f" * 40).all_see("..").successes() + 6 <= 18
    assert Block(3, "f" * 40).all_see("..").see("p-0", "f").successes() + 6 <= 26


def test_of_a_full_block_a_dozen_successes_are_not_enough_however_much_each_says() -> None:
    block = Block(3, "F" * 40).all_see(".....")
    now = block.series.present
    assert now is not None
    assert now.nats > QUICK.ending.end_micronats
    assert not block.over
    assert block.all_see(".").over


@pytest.mark.parametrize(("failed", "passed"), [(3, 3), (3, 19), (5, 43), (40, 60), (300, 30)])
def test_the_share_that_is_expected_is_the_mean_of_those_that_are_possible(
    failed: int, passed: int
) -> None:
    """By numerical integration."""
    steps = 20_000
    low = ending.WEAKEST_PER_MILLE / 1000
    shares = [low + (1 - low) * (number + 0.5) / steps for number in range(steps)]
    weights = [
        math.exp((failed - 1) * math.log(share) + (passed - 1) * math.log(1 - share))
        for share in shares
    ]
    mean = sum(map(operator.mul, shares, weights)) / sum(weights)
    assert ending._mean_above(failed, passed) == pytest.approx(1000 * mean, abs=1)


def test_when_nothing_is_left_it_begins_anew() -> None:
    block = Block(2, "FF.FF").see("p-0", ".")
    assert block.see("p-1", "F").series.ending is None
    since = block.see("p-0", ".").series.ending
    assert since is not None
    assert since.since == block.minute * MINUTE


def test_a_pause_of_ten_minutes_is_no_end_however_many_succeed_in_it() -> None:
    block = Block(12, "FFFF", policy=POLICY)
    while block.series.ending is None or block.series.ending.last < block.series.ending.since + (
        1000 * POLICY.ending.close_good_seconds
    ):
        assert not block.over
        block.all_see(".")
    assert block.over


def test_one_owner_alone_never_says_that_it_has_ended() -> None:
    block = Block(3, "FFFF")
    while block.nats < 2 * QUICK.ending.end_micronats / cusum.MICRO:
        block.see("p-0", ".")
        assert not block.over
    while not block.over:
        block.see("p-1", ".")
    block.members = dict.fromkeys(block.members, block.members["p-0"])
    assert block.over, "nobody else saw it"


def test_the_longer_it_lasted_the_more_evidence_its_end_takes() -> None:
    def needed(said: str) -> float:
        block = Block(2, said)
        block.successes()
        return block.nats

    assert needed("F." * 200) > needed("F." * 10) + 2


@pytest.mark.parametrize("share", [0.35, 0.6, 0.85])
def test_chance_hardly_ever_ends_a_block_that_goes_on(share: float) -> None:
    """Three vantages, 200 measurements each at the pace of retests; natural failures as well."""
    rng, wrong = random.Random(f"ending {share}"), 0
    for _ in range(60):
        block = Block(3, "FF")
        for _ in range(200):
            for probe in block.members:
                block.see(probe, "F" if rng.random() < share else "f."[rng.random() > 0.02])
            if block.over:
                wrong += 1
                break
    assert wrong <= 1


@pytest.mark.parametrize(
    ("before", "share", "most"),
    [(8, 0.5, 1), (8, 0.3, 3), (40, 0.3, 3), (40, 0.2, 6)],
    ids=lambda value: str(value),
)
def test_a_block_that_weakens_is_seldom_taken_for_over(
    before: int, share: float, most: int
) -> None:
    """Three vantages, 54 measurements each: three hours at the pace of retests."""
    rng, wrong = random.Random(f"weaker {before} {share}"), 0
    for _ in range(60):
        block = Block(3, "F" * before)
        for _ in range(54):
            for probe in block.members:
                block.see(probe, "F" if rng.random() < share else "f."[rng.random() > 0.02])
            if block.over:
                wrong += 1
                break
    assert wrong <= most


def test_what_a_block_is_now_is_forgotten_once_all_fail_again() -> None:
    block = Block(2, "F" * 8)
    for letter in ".F.F.FFFFFF":
        block.see("p-0", letter)
    assert block.series.present is None
    assert block.successes() <= Block(2, "F" * 8).successes() + 1


@pytest.mark.parametrize(
    ("said", "share"),
    [("", None), ("F.FF", None), ("F..F..F", 333), ("F..F..F....F", 272), (".........", None)],
    ids=["full", "little is known", "a third", "a quarter", "it ends"],
)
def test_what_share_is_left_of_a_block(said: str, share: int | None) -> None:
    block = Block(2, "F" * 8)
    block.all_see(said)
    assert ending.present_per_mille(block.series) == share


def test_an_end_takes_more_where_the_block_has_let_connections_pass_of_late() -> None:
    """However long it failed throughout before."""
    block = Block(3, "F" * 60)
    block.all_see("F..F..F..F")
    assert block.successes() > Block(3, "F" * 60).successes() + 2


@pytest.mark.parametrize("failed", [0, 3])
def test_natural_failures_before_the_block_do_not_delay_its_end(failed: int) -> None:
    block = Block(2, ("f" * failed + "." * 12) * 8 + "FFFFFFFF")
    assert block.successes() == Block(2, "FFFFFFFF").successes()


@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE], ids=["signed", "silent"])
def test_a_vantage_that_failed_at_times_for_hours_before_does_not_delay_the_end(
    verdict: Verdict,
) -> None:
    """Alarmed alone, with some forty failures among two hundred, when the block of all begins."""

    def rounds_to_close(before: int) -> int:
        rng = random.Random(3)
        people = [*vantages(3), *vantages(3, "DE", 64504)]
        world = (
            World(people)
            .quiet(20)
            .run(
                before,
                lambda n, who: verdict if who is people[0] and rng.random() < 0.2 else ok(),
            )
        )
        world.run(14, in_network(64501, verdict))
        assert [event.tier for event in world.events.values() if event.ongoing] == [Tier.CONFIRMED]
        number = 0
        while any(event.ongoing for event in world.events.values()):
            world.quiet(1)
            number += 1
        return number

    assert rounds_to_close(200) <= rounds_to_close(0)


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("verdict", [blocked(), BLACKHOLE], ids=["signed", "silent"])
def test_a_vantage_that_failed_alone_for_hours_before_does_not_delay_the_end(
    verdict: Verdict, size: int
) -> None:
    """A block of half of the flows ends, and it goes on to fail as before the block."""

    def rounds_to_close(fails: bool) -> int:
        people, rng = [*vantages(size), *vantages(3, "DE", 64504)], random.Random(7)

        def alone(_n: int, who: Vantage) -> Verdict:
            return verdict if fails and who is people[0] else ok()

        def half(n: int, who: Vantage) -> Verdict:
            blocks = who.asn == 64501 and rng.random() < 0.5
            return verdict if blocks else alone(n, who)

        world = World(people).quiet(20).run(240, alone).run(200, half)
        assert Tier.CONFIRMED in {event.tier for event in world.events.values() if event.ongoing}
        number = 0
        while any(
            event.ongoing and event.tier is not Tier.UNCONFIRMED for event in world.events.values()
        ):
            world.run(1, alone)
            number += 1
        return number

    assert rounds_to_close(True) <= rounds_to_close(False) + 3


def test_the_fewer_show_how_weak_a_block_is_the_less_a_success_says() -> None:
    """Half of what was seen failed, four times or forty."""

    def gain(times: int) -> int:
        block = Block(2, "F" * 20)
        block.all_see(".F" * times)
        before = block.series.present
        after = block.see("p-0", ".").series.present
        assert before is not None
        assert after is not None
        return after.nats - before.nats

    assert gain(2) < 0.9 * gain(20)


def test_a_vantage_that_usually_fails_says_less() -> None:
    block = Block(2, "FFFF")
    poor = Baseline(total=1000, failed=250)
    for probe, track in block.series.tracks.items():
        block.series.tracks[probe] = Track(poor, track.last_good, track.last_bad, track.suspicion)
    assert block.all_see("...").nats < 0.8 * Block(2, "FFFF").all_see("...").nats
    now, usual = block.series.present, Block(2, "FFFF").all_see("...").series.present
    assert now is not None
    assert usual is not None
    assert now.nats < usual.nats
