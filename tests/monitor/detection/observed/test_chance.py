"""How often chance looks like a block, and a block like chance: made-up rounds, always the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from monitor.detection.observed.chance import (
    NOISY,
    QUIET,
    Fared,
    Others,
    chance,
    explains,
    rates,
    tail,
)
from monitor.detection.observed.kinds import Kind, partial_loss
from probes.contrasts.partial_loss import STAGES

HOSTS, TARGETS, ADDRESSES = 5, 12, 3
"""Liveness hosts of a round, its targets, and the most addresses of a target."""
ROUNDS = 2_000
Dies = Callable[[], bool]


def tried(dies: Dies) -> Fared:
    """What the probe does at an address: two more attempts after a failure, and where one of them
    passes, so many that it is known whether half of the attempts fail."""
    if not dies():
        return Fared(1, 0)
    died = 1 + dies() + dies()
    passed = 3 - died
    for attempts, many in STAGES if passed else ():
        while died < many and passed <= attempts - many:
            if dies():
                died += 1
            else:
                passed += 1
        if died < many:
            break
    return Fared(passed + died, died)


@dataclass
class Counted:
    """What was said of the targets of some rounds."""

    targets: int = 0
    accused: int = 0
    """Of which an address was said to be blocked, for all or for half of its connections."""
    noisy: int = 0
    """The same in rounds in which something of the background died."""


def ends(fared: Fared) -> list[Kind]:
    """The same, attempt by attempt."""
    return [Kind.TIMEOUT] * fared.died + [Kind.OK] * (fared.tries - fared.died)


def accused(fared: list[Fared], others: Others) -> bool:
    """Whether one of a target's addresses is accused."""
    whole = all(each.died == each.tries for each in fared)
    suspects = [
        each for each in fared if each.died == each.tries or partial_loss(Kind.TIMEOUT, ends(each))
    ]
    return any(not explains(each, ([others], fared), (), whole) for each in suspects)


def rounds(rate: float, blocked: Callable[[int], float] | None = None) -> Counted:
    """`rate`: how many connections die by chance. `blocked`: the share of the connections to each
    address of one target that a censor kills; only this target is counted then."""
    rng = random.Random(f"{rate}")
    counted = Counted()

    def at(share: float) -> Dies:
        return lambda: rng.random() < 1 - (1 - share) * (1 - rate)

    for _ in range(ROUNDS if blocked is None else ROUNDS // 10):
        everyone = [
            [tried(at(0)) for _ in range(rng.randint(1, ADDRESSES))] for _ in range(TARGETS)
        ]
        alive = sum(rng.random() < rate for _ in range(HOSTS))
        if blocked is not None:
            everyone[0] = [tried(at(blocked(n))) for n in range(ADDRESSES)]
        for n, fared in enumerate(everyone if blocked is None else everyone[:1]):
            worked = [
                each
                for m, them in enumerate(everyone)
                if m != n
                for each in them
                if each.died < each.tries
            ]
            others = Others(
                HOSTS + sum(each.tries for each in worked), alive + sum(e.died for e in worked)
            )
            counted.targets += 1
            said = accused(fared, others)
            counted.accused += said
            counted.noisy += said and others.died > 0
    return counted


@pytest.mark.parametrize(
    ("rate", "most"),
    [(0.001, 0), (0.01, 1), (0.03, 2), (0.06, 12), (0.1, 14), (0.2, 14), (0.3, 4), (0.45, 2)],
)
def test_chance_accuses_hardly_anybody(rate: float, most: int) -> None:
    """Of 24,000 targets, next to none where something else died in the round. Where one connection
    in 30 to 10 dies, nothing else does in one round of many, and several dead attempts at one
    address are a sign."""
    found = rounds(rate)
    print(
        f"{rate:.1%} of the connections die: {found.accused} of {found.targets} accused, "
        f"{found.noisy} of them where something else died as well"
    )
    assert found.targets == ROUNDS * TARGETS
    assert found.accused <= most
    assert found.noisy <= found.targets * 2e-4


@pytest.mark.parametrize(
    ("what", "share", "least"),
    [
        ("everything", lambda _: 1.0, (1.0, 1.0, 1.0, 0.95, 0.4)),
        ("one address of three", lambda n: float(n == 0), (0.9, 0.75, 0.15, 0.0, 0.0)),
        ("half of the connections", lambda _: 0.5, (0.7, 0.6, 0.35, 0.1, 0.0)),
    ],
)
def test_blocks_are_found_beside_it(
    what: str, share: Callable[[int], float], least: tuple[float, ...]
) -> None:
    for rate, at_least in zip((0.001, 0.01, 0.05, 0.1, 0.25), least, strict=True):
        found = rounds(rate, share)
        part = found.accused / found.targets
        print(f"{what} is blocked, {rate:.1%} of the connections die by chance: {part:.0%} found")
        assert part >= at_least


def test_probabilities() -> None:
    assert tail(0, 5, 0.3) == 1
    assert tail(2, 2, 0.3) == pytest.approx(0.09)
    assert tail(1, 2, 0.5) == pytest.approx(0.75)
    for others in (Others(0, 0), Others(50, 3), Others(9_000, 4_000), Others(50, 20, 3)):
        assert sum(share for _, share in rates(others)) == pytest.approx(1)
    # An attempt of three packets dies when all are lost.
    ((lost, _), *_), ((died, _), *_) = rates(Others(9, 1)), rates(Others(9, 1, 3))
    assert died == pytest.approx(lost**3)


def test_what_makes_chance_likelier() -> None:
    dead, fine = Fared(2, 2), Fared(1, 0)
    some = Others(30, 2)
    assert chance(some, dead, [dead]) < chance(some, dead, [dead, fine, fine])
    assert chance(some, dead, [dead, dead]) < chance(some, dead, [dead])
    assert chance(some, dead, [dead]) < chance(Others(30, 9), dead, [dead])
    assert chance(some, dead, [dead]) < chance(Others(10, 2), dead, [dead])
    assert chance(some, fine, [fine, dead]) == pytest.approx(1)


def test_what_is_asked_for() -> None:
    dead, half = Fared(2, 2), Fared(6, 3)
    quiet, noisy = Others(30, 0), Others(30, 3)
    assert NOISY < chance(quiet, dead, [dead]) < QUIET
    assert not explains(dead, ([quiet], [dead, Fared(1, 0)]), (), whole=False)
    assert explains(dead, ([noisy], [dead]), (), whole=True)
    assert explains(half, ([noisy], [half]), (), whole=False)
    # Whatever is in doubt over one family is none where the other fails as well.
    assert not explains(dead, ([noisy], [dead]), [([quiet], [dead, dead])], whole=True)
    assert explains(dead, ([noisy], [dead]), [([quiet], [Fared(1, 0)])], whole=True)
    # Where the other family is not quiet either, what was spared in this one was few.
    assert explains(half, ([Others(20, 0, uneasy=True)], [half]), (), whole=False)
    assert not explains(half, ([Others(20, 0)], [half]), (), whole=False)
    # With next to nothing known, a whole target that is dead is still accused; a part is not.
    unknown = Others(1, 0)
    assert not explains(dead, ([unknown], [dead]), (), whole=True)
    assert explains(dead, ([unknown], [dead, Fared(1, 0)]), (), whole=False)
