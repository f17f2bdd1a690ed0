# SPDX-License-Identifier: Apache-2.0
"""The facts of a round as columns beside a block: who said what, and which layers failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.detection.calm.block import BAD, CODE, DEPTH, GOOD, Block, Column
from monitor.detection.model import Fact, State
from monitor.detection.sequence import gates, series

_BIT = {layer: 1 << depth for layer, depth in DEPTH.items()}


@dataclass(kw_only=True, eq=False)
class Evidence:
    """One row a fact in the first columns; in `bad_*` and `fine_*` one a finding of a fact that
    accuses. Nobody speaks twice."""

    row: Column
    """The vantage's row, each at most once."""
    outcome: Column
    accuses: Column
    """The fact's verdict accuses a layer, and its control bears it out."""
    groundless: Column
    """What the vantage holds loses its ground (`gates.groundless`)."""
    shaken: Column
    """The same where a gate is shut."""
    layers: Column
    """Bits of the layers that the fact speaks of, by depth."""
    fine_row: Column
    fine_layer: Column
    """Layer by its depth, here and below."""
    bad_row: Column
    bad_layer: Column
    bad_weight: Column
    bad_started: Column
    id: list[str]
    rule: list[str]
    technique: list[str]
    part: list[bool]

    def without(self, gone: Column) -> Evidence:
        """The same without what vantages in these rows (sorted) said."""
        keep = ~np.isin(self.row, gone)
        fine = ~np.isin(self.fine_row, gone)
        bad = ~np.isin(self.bad_row, gone)
        kept = np.flatnonzero(bad).tolist()
        return Evidence(
            row=self.row[keep],
            outcome=self.outcome[keep],
            accuses=self.accuses[keep],
            groundless=self.groundless[keep],
            shaken=self.shaken[keep],
            layers=self.layers[keep],
            fine_row=self.fine_row[fine],
            fine_layer=self.fine_layer[fine],
            bad_row=self.bad_row[bad],
            bad_layer=self.bad_layer[bad],
            bad_weight=self.bad_weight[bad],
            bad_started=self.bad_started[bad],
            id=[self.id[n] for n in kept],
            rule=[self.rule[n] for n in kept],
            technique=[self.technique[n] for n in kept],
            part=[self.part[n] for n in kept],
        )


def gathered(rows: Column, facts: Sequence[Fact]) -> Evidence:
    """Columns of facts, the n-th of the vantage in `rows[n]`."""
    codes, layers, accuses, groundless, shaken = [], [], [], [], []
    fine: list[tuple[int, int]] = []
    bad: list[tuple[int, int, int, int]] = []
    id: list[str] = []
    rule: list[str] = []
    technique: list[str] = []
    part: list[bool] = []
    for row, fact in zip(rows.tolist(), facts, strict=True):
        verdict = fact.verdict
        bits = 0
        if verdict.state is State.OK:
            codes.append(GOOD)
            for finding in verdict.findings:
                bits |= _BIT[finding.layer]
            layers.append(bits)
            accuses.append(False)
            groundless.append(False)
            shaken.append(False)
            continue
        code = CODE[gates.outcome(fact)]
        codes.append(code)
        groundless.append(gates.groundless(fact, False))
        shaken.append(gates.groundless(fact, True))
        accuses.append(code == BAD and verdict.state in series.FAILED)
        if accuses[-1]:
            for finding in series.findings(fact):
                depth = DEPTH[finding.layer]
                bits |= 1 << depth
                if not finding.blocked:
                    fine.append((row, depth))
                    continue
                bad.append((row, depth, max(0, finding.weight), fact.started))
                named = verdict.technique if verdict.layer == finding.layer else None
                id.append(fact.id)
                rule.append(finding.rule)
                technique.append(str(named or ""))
                part.append(verdict.state is not State.BLOCKED)
        layers.append(bits)
    fine_ = np.array(fine, np.int64).reshape(-1, 2)
    bad_ = np.array(bad, np.int64).reshape(-1, 4)
    return Evidence(
        row=rows,
        outcome=np.array(codes, np.uint8),
        accuses=np.array(accuses, np.bool_),
        groundless=np.array(groundless, np.bool_),
        shaken=np.array(shaken, np.bool_),
        layers=np.array(layers, np.int64),
        fine_row=fine_[:, 0],
        fine_layer=fine_[:, 1],
        bad_row=bad_[:, 0],
        bad_layer=bad_[:, 1],
        bad_weight=bad_[:, 2],
        bad_started=bad_[:, 3],
        id=id,
        rule=rule,
        technique=technique,
        part=part,
    )


def strangers(block: Block, said: Evidence) -> Column:
    """Networks (by number) of which something is said that their columns have no place for: a
    layer that a vantage has no track of, or two vantages' words in one row."""
    known = np.zeros(len(block.probes), np.int64)
    for high, name in enumerate(block.layers):
        known |= block.exists[high] * _BIT[name]
    odd = (said.layers & ~known[said.row]) != 0
    rows = said.row[odd]
    times = np.bincount(said.row, minlength=1)
    if times.max() > 1:
        rows = np.concatenate([rows, np.flatnonzero(times > 1)])
    pairs = np.concatenate(
        [said.fine_row * 64 + said.fine_layer, said.bad_row * 64 + said.bad_layer]
    )
    found, often = np.unique(pairs, return_counts=True)
    if len(found) < len(pairs):
        rows = np.concatenate([rows, found[often > 1] // 64])
    return np.unique(block.net[rows])
