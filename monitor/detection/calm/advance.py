# SPDX-License-Identifier: Apache-2.0
"""One round for a block: everybody's newest outcome, then what it adds to sums and baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.detection.calm import bank, crowd, learning
from monitor.detection.calm.bank import Failures
from monitor.detection.calm.block import DEPTH, GOOD, Block, Column
from monitor.detection.calm.evidence import Evidence
from monitor.detection.policy import Policy


def meet(block: Block, said: Evidence, round: int) -> Block:
    """A copy for this round, with the newest outcome of all who spoke."""
    new = replace(
        block,
        round=block.round.copy(),
        outcome=block.outcome.copy(),
        hours_total=list(block.hours_total),
        hours_failed=list(block.hours_failed),
        old_total=list(block.old_total),
        old_failed=list(block.old_failed),
    )
    new.round[said.row] = round
    new.outcome[said.row] = said.outcome
    return new


def take(block: Block, said: Evidence, round: int, shut: Column, policy: Policy) -> Column:
    """Fold what was said into a block of `meet`; `shut` (N) are networks whose failures do not
    count. Returns the networks in which a vantage's evidence has reached the threshold: they are
    calm no more."""
    wide = len(block.probes)
    high_of = np.full(len(DEPTH), -1, np.int64)
    for high, name in enumerate(block.layers):
        high_of[DEPTH[name]] = high
    # who saw what
    well = np.zeros(wide, np.bool_)
    well[said.row[said.outcome == GOOD]] = True
    good = block.exists & well
    good[high_of[said.fine_layer], said.fine_row] = True
    lost = np.zeros(wide, np.bool_)
    lost[said.row[said.groundless]] = True
    counts = _no_echo(block, said, policy)
    rows = said.bad_row[counts]
    closed = shut[block.net[rows]]
    # A gate that is shut takes the ground from all that its vantages hold.
    shaken = said.accuses | said.shaken
    lost[said.row[shaken & shut[block.net[said.row]]]] = True
    where = high_of[said.bad_layer[counts]] * wide + rows
    order = np.argsort(where, kind="stable")
    open_ = order[~closed[order]]
    bank.succeed(block, good, np.broadcast_to(lost, good.shape), policy)
    risen = _fail(block, said, round, np.flatnonzero(counts), where, open_, policy)
    # what is learnt of it
    failed = np.zeros(good.shape, np.bool_)
    failed.reshape(-1)[where[open_][risen < policy.threshold_micronats]] = True
    if good.any():
        block.good = np.where(good, round, block.good)
    if where.size:
        block.bad = block.bad.copy()
        block.bad.reshape(-1)[where] = round
    learning.learn(block, round, good | failed, failed, policy)
    hot = where[open_][risen >= policy.threshold_micronats] % wide
    return np.unique(block.net[hot])


def _no_echo(block: Block, said: Evidence, policy: Policy) -> Column:
    """Which of the failures count; remembers when and how deep each vantage last failed."""
    at, depth = block.failed_at[said.bad_row], block.failed_depth[said.bad_row]
    echo = (said.bad_started - at <= policy.ms(policy.residual_seconds)) & (said.bad_layer < depth)
    counts = ~echo
    if counts.any():
        rows = said.bad_row[counts]
        block.failed_at, block.failed_depth = block.failed_at.copy(), block.failed_depth.copy()
        block.failed_depth[rows] = -1
        block.failed_at[rows] = said.bad_started[counts]
        np.maximum.at(block.failed_depth, rows, said.bad_layer[counts].astype(np.int8))
    return counts


def _fail(
    block: Block,
    said: Evidence,
    round: int,
    number: Column,
    where: Column,
    open_: Column,
    policy: Policy,
) -> Column:
    """Let the failures count whose gate is open; returns the largest sum of each of them."""
    rows = said.bad_row[number[open_]]
    votes = crowd.grown(block, round, policy)[rows] & ~block.chronic.reshape(-1)[where[open_]]
    bank.drop(block, where[open_][~votes])
    counted = number[open_[votes]]
    chosen = counted.tolist()
    failures = Failures(
        at=where[open_][votes],
        weight=said.bad_weight[counted],
        started=said.bad_started[counted].tolist(),
        id=[said.id[n] for n in chosen],
        rule=[said.rule[n] for n in chosen],
        technique=[said.technique[n] for n in chosen],
        part=[said.part[n] for n in chosen],
    )
    risen = np.zeros(len(open_), np.int64)
    risen[votes] = bank.fail(block, round, failures, policy)
    return risen
