# SPDX-License-Identifier: Apache-2.0
"""All calm networks of a service: which they are, who of them wakes, what they say together.

A vantage that is in a calm network is in no other network of the target: who moves is left to
the objects. Networks wake when something is said of them that their columns cannot take, or
when they are calm no more; they are packed again when they have calmed down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.detection.calm import advance, crowd, stored
from monitor.detection.calm.block import Block, Column
from monitor.detection.calm.evidence import Evidence, gathered, strangers
from monitor.detection.calm.merge import merged
from monitor.detection.calm.packing import calm, fits, packed
from monitor.detection.calm.waking import awake as awakened
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.state import Case, Network, ServiceState, network_key

YOUNG = 2
"""A target's youngest block is merged into the one before it when it has more than one in so many
of its networks."""
AT_ONCE = 256
"""Networks that are made objects together."""
Place = tuple[str, int]
"""A block: target and its number there."""
Said = dict[Place, Evidence]


@dataclass(frozen=True)
class Calm:
    """Blocks by target, the oldest first. Never changed in place."""

    policy: Policy
    blocks: Mapping[str, tuple[Block, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(int(b.live.sum()) for blocks in self.blocks.values() for b in blocks)

    def replaced(self, new: Mapping[Place, Block]) -> Calm:
        """The same with some blocks replaced."""
        blocks = {
            target: tuple(new.get((target, n), block) for n, block in enumerate(old))
            for target, old in self.blocks.items()
        }
        return Calm(self.policy, blocks)

    def encoded(self) -> bytes:
        """Canonical bytes, for `decoded`."""
        return stored.encode(self.policy, self.blocks)

    def networks(self, target: str | None = None) -> Iterable[tuple[str, Network]]:
        """Every network (of a target) as an object, by key. Slow: for questions seldom asked."""
        for name, blocks in self.blocks.items():
            for block in blocks if target in (None, name) else ():
                yield from _named(block, np.flatnonzero(block.live), self.policy)

    def intervals(self, country: str, asns: Collection[int]) -> list[int]:
        """The intervals of all vantages in these networks of a country."""
        found: list[int] = []
        for block, nets in self._in(country, asns):
            found += block.interval[np.isin(block.net, nets)].tolist()
        return found

    def some(self, country: str, asns: Collection[int]) -> list[tuple[str, Network]]:
        """These networks of a country, as objects, by key."""
        return [
            each
            for block, nets in self._in(country, asns)
            for each in _named(block, nets, self.policy)
        ]

    def _in(self, country: str, asns: Collection[int]) -> Iterator[tuple[Block, Column]]:
        for block in (block for blocks in self.blocks.values() for block in blocks):
            if country in block.countries:
                here = block.live & (block.place == block.countries.index(country))
                yield block, np.flatnonzero(here & np.isin(block.asn, list(asns)))

    # what `monitor.detection.sequence.gates` asks

    def fares(
        self, target: str, cases: Mapping[str, Case], round: int, policy: Policy
    ) -> dict[str, gates.Abroad]:
        """How a target fares here, by country."""
        counts: dict[str, gates.Abroad] = {}
        for block in self.blocks.get(target, ()):
            for country, now in crowd.fares(block, cases, round, policy).items():
                had = counts.get(country, gates.Abroad())
                counts[country] = gates.Abroad(
                    had.seen + now.seen, had.failed + now.failed, had.vantages + now.vantages
                )
        return counts

    def unproven(self, target: str, round: int, policy: Policy) -> set[str]:
        """Countries in which the target fails together with its control in this round."""
        found = [crowd.unproven(block, round, policy) for block in self.blocks.get(target, ())]
        return set().union(*found)

    def members(self, target: str, country: str) -> list[Network]:
        """Networks of a country that see a target, with their members alone."""
        return [
            crowd.members(block, n)
            for block in self.blocks.get(target, ())
            for n in np.flatnonzero(block.live).tolist()
            if block.countries[block.place[n]] == country
        ]


def _named(block: Block, nets: Column, policy: Policy) -> Iterator[tuple[str, Network]]:
    """These networks as objects, by key."""
    for start in range(0, len(nets), AT_ONCE):
        some = nets[start : start + AT_ONCE]
        for n, network in zip(some.tolist(), awakened(block, some, policy), strict=True):
            yield block.keys[n], network


def decoded(raw: bytes) -> Calm:
    """What `encoded` wrote. Raises msgspec.DecodeError or ValueError."""
    return Calm(*stored.decode(raw))


def woken(calm: Calm, which: Mapping[Place, Column]) -> tuple[Calm, dict[str, Network]]:
    """Wake networks, by number in their block: without them, and they as objects."""
    new: dict[Place, Block] = {}
    awake: dict[str, Network] = {}
    for (target, number), nets in which.items():
        block = calm.blocks[target][number]
        live = block.live.copy()
        live[nets] = False
        new[target, number] = replace(block, live=live)
        awake.update(_named(block, nets, calm.policy))
    return calm.replaced(new), awake


def forgotten(calm: Calm, oldest: int) -> dict[Place, Column]:
    """Networks with a vantage that was last heard before a round."""
    return {
        (target, number): nets
        for target, blocks in calm.blocks.items()
        for number, block in enumerate(blocks)
        if (nets := np.unique(block.net[(block.round < oldest) & block.live[block.net]])).size
    }


def told(
    calm: Calm, facts: Iterable[Fact]
) -> tuple[dict[Place, Evidence], dict[Place, Column], list[Fact]]:
    """Facts as evidence for the blocks; which networks they wake; the facts that are not for the
    blocks."""
    spoken: dict[Place, tuple[Column, list[Fact]]] = {}
    odd: dict[Place, set[int]] = defaultdict(set)
    rest: list[Fact] = []
    by_target: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        known = fact.target in calm.blocks and fact.source == gates.PROBE
        (by_target[fact.target] if known else rest).append(fact)
    for target, left in by_target.items():
        for number, block in enumerate(calm.blocks[target]):
            rows, mine, left = _found(block, left)
            same = _same(block, rows, mine)
            if not same.all():
                odd[target, number].update(block.net[rows[~same]].tolist())
                rest += [fact for fact, fits in zip(mine, same.tolist(), strict=True) if not fits]
                mine = [fact for fact, fits in zip(mine, same.tolist(), strict=True) if fits]
                rows = rows[same]
            spoken[target, number] = rows, mine
        rest += left
    for target, key in {(fact.target, key_of(fact)) for fact in rest if fact.target in calm.blocks}:
        for number, block in enumerate(calm.blocks[target]):
            n = block.named.get(key)
            if n is not None and block.live[n]:
                odd[target, number].add(n)
    said, wake = {}, {}
    for place in spoken.keys() | odd.keys():
        rows, mine = spoken[place]
        block = calm.blocks[place[0]][place[1]]
        evidence = gathered(rows, mine)
        nets = np.union1d(strangers(block, evidence), np.array(sorted(odd[place]), np.int64))
        if nets.size:
            wake[place] = nets.astype(np.int64)
            gone = np.flatnonzero(np.isin(block.net, nets))
            lost = np.isin(evidence.row, gone)
            rest += [mine[n] for n in np.flatnonzero(lost).tolist()]
            evidence = evidence.without(gone)
        if evidence.row.size:
            said[place] = evidence
    return said, wake, rest


def _found(block: Block, facts: list[Fact]) -> tuple[Column, list[Fact], list[Fact]]:
    """Rows of the vantages that are in this block, what they say, and what others say."""
    get = block.index.get
    rows = np.array([get(fact.probe, -1) for fact in facts], np.int64)
    here = (rows >= 0) & block.live[block.net[rows]]
    if here.all():
        return rows, facts, []
    mine: list[Fact] = []
    others: list[Fact] = []
    for fact, there in zip(facts, here.tolist(), strict=True):
        (mine if there else others).append(fact)
    return rows[here], mine, others


def _same(block: Block, rows: Column, facts: Sequence[Fact]) -> Column:
    """Whether each vantage is in this network, and everything fixed about it unchanged."""
    places = {country: n for n, country in enumerate(block.countries)}
    owners, nets = block.owners, block.net[rows]

    def like(column: Column, said: list[int]) -> Column:
        return np.equal(column, np.array(said, np.int64))

    same: Column = (
        like(block.enrolled[rows], [fact.enrolled for fact in facts])
        & like(block.interval[rows], [fact.interval for fact in facts])
        & like(block.asn[nets], [fact.asn for fact in facts])
        & like(block.place[nets], [places.get(fact.country, -1) for fact in facts])
        & np.array(
            [owners[row] == fact.owner for row, fact in zip(rows.tolist(), facts, strict=True)],
            np.bool_,
        )
    )
    return same


def met(calm: Calm, said: Mapping[Place, Evidence], round: int) -> Calm:
    """Copies for this round, with the newest outcome of all who spoke."""
    return calm.replaced(
        {
            (target, n): advance.meet(calm.blocks[target][n], evidence, round)
            for (target, n), evidence in said.items()
        }
    )


def shut(
    state: ServiceState,
    said: Mapping[Place, Evidence],
    round: int,
    policy: Policy,
    fares: Callable[[str], Mapping[str, gates.Abroad]],
) -> dict[Place, Column]:
    """Networks whose failures must not count, of those who spoke. (`state.calm` is of `met`.)
    `fares`: how a target fares by country."""
    gone = {}
    for target in sorted({target for target, _ in said}):
        counts = fares(target)
        stale = gates.stale(state, target, round, policy)
        for number, block in enumerate(state.calm.blocks[target]):
            if (target, number) in said:
                rows = said[target, number].row
                gone[target, number] = crowd.shut(
                    block, rows, state.cases, counts, stale, round, policy
                )
    return gone


def taken(
    calm: Calm, said: Mapping[Place, Evidence], round: int, shut: Mapping[Place, Column]
) -> dict[Place, Column]:
    """Fold what was said into the blocks of `met`; the networks that are calm no more."""
    hot = {}
    for (target, number), evidence in said.items():
        block = calm.blocks[target][number]
        nets = advance.take(block, evidence, round, shut[target, number], calm.policy)
        if nets.size:
            hot[target, number] = nets
    return hot


def heard(calm: Calm, said: Mapping[Place, Evidence]) -> set[tuple[str, str]]:
    """(country, source) of all who spoke."""
    found = set()
    for (target, number), evidence in said.items():
        block = calm.blocks[target][number]
        nets = np.zeros(len(block.keys), np.bool_)
        nets[block.net[evidence.row]] = True
        places = np.unique(block.place[nets])
        found |= {(block.countries[place], gates.PROBE) for place in places.tolist()}
    return found


def settled(calm_: Calm, networks: dict[str, Network], keys: Collection[str]) -> Calm:
    """Pack those networks of `keys` that have calmed down; they are taken out of `networks`."""
    policy = calm_.policy
    ready = [
        key for key in sorted(keys) if calm(networks[key], policy) and fits(networks[key], policy)
    ]
    if not ready:
        return calm_
    count = Counter(
        (network.target, probe)
        for network in networks.values()
        if network.source == gates.PROBE
        for probe in network.members
    )
    by_target: dict[str, list[tuple[str, Network]]] = defaultdict(list)
    for key in ready:
        target = networks[key].target
        if all(count[target, probe] == 1 for probe in networks[key].members):
            by_target[target].append((key, networks.pop(key)))
    blocks = {target: old for target, old in calm_.blocks.items() if any(b.live.any() for b in old)}
    for target, chosen in by_target.items():
        blocks[target] = _joined([*blocks.get(target, ()), packed(target, chosen, policy)])
    return Calm(policy, blocks)


def _joined(blocks: list[Block]) -> tuple[Block, ...]:
    """The blocks with small ones merged, so that they stay few and each is worth its while."""
    blocks = [block for block in blocks if block.live.any()]
    while len(blocks) > 1 and YOUNG * len(blocks[-1].keys) > len(blocks[-2].keys):
        blocks[-2:] = [merged(blocks[-2:])]
    return tuple(blocks)


def key_of(fact: Fact) -> str:
    """The key of the network that a fact speaks of."""
    return network_key(fact.target, fact.country, fact.asn, fact.source)
