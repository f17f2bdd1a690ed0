"""The same facts through the objects alone and through columns wherever they can be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.detection.calm import learning
from monitor.detection.model import Event, Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence import state as states
from monitor.detection.sequence.fold import initial, step
from monitor.detection.sequence.state import Network, ServiceState
from tests.monitor.detection.worlds import POLICY

NEVER = 10**9


def networks(state: ServiceState) -> dict[str, Network]:
    """Every network as an object, calm or not."""
    awake = dict(state.networks)
    calm = {} if state.calm is None else dict(state.calm.networks())
    assert not awake.keys() & calm.keys()
    return awake | calm


@dataclass
class Both:
    """Two folds that must say the same; the second gets its facts in another order and, when
    asked, starts anew from its bytes after every round."""

    policy: Policy = POLICY
    restarts: bool = False
    plain: ServiceState = field(default_factory=lambda: initial("wechat"))
    columns: ServiceState = field(default_factory=lambda: initial("wechat"))
    most: int = 0
    """The most networks that were calm at once."""

    def feed(self, at: int, facts: Sequence[Fact], compare: bool = True) -> tuple[Event, ...]:
        """Fold a round twice; what both say. AssertionError where they differ."""
        mixed = list(facts)
        random.Random(at).shuffle(mixed)
        before = states.encode(self.columns) if compare else b""
        self.plain, said = step(self.plain, at, facts, self.policy, calm_from=NEVER)
        after, same = step(self.columns, at, mixed, self.policy, calm_from=0)
        assert same == said
        assert after.cases == self.plain.cases
        if compare:
            assert states.encode(self.columns) == before, "an older state was changed"
            assert networks(after) == networks(self.plain)
        self.columns = after
        self.most = max(self.most, 0 if after.calm is None else len(after.calm))
        if self.restarts:
            raw = states.encode(after)
            self.columns = states.decode(raw)
            assert states.encode(self.columns) == raw
        if compare:
            _chronic_is_up_to_date(self.columns)
        return said


def _chronic_is_up_to_date(state: ServiceState) -> None:
    for blocks in state.calm.blocks.values() if state.calm is not None else ():
        for block in blocks:
            known = block.chronic
            learning.refresh(block, np.flatnonzero(block.exists), state.calm.policy)
            assert ((known == block.chronic) | ~block.live[block.net]).all()
