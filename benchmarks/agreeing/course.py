# SPDX-License-Identifier: Apache-2.0
"""How far a comparison has come, for whoever waits for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.agreeing.claims import Events

TOLD_SECONDS = 30.0
"""Longest time without a word."""


class Course:
    """Each act of the demonstration and each change of an event, told once; between them that it
    goes on. `acts`: how many there will be."""

    def __init__(self, acts: int) -> None:
        self._acts = acts
        self._told: set[str] = set()
        self._due = 0.0

    def news(self, seconds: float, acts: Sequence[str], events: Events) -> list[str]:
        """What is new `seconds` after the beginning, when these acts have happened."""
        known = [f"act {place} of {self._acts}: {act}" for place, act in enumerate(acts, 1)]
        for id, event in events.items():
            known += [
                f"event {id} ({event['service']}): {change['kind']}, round of {change['round']}"
                for change in event["history"]
            ]
        new = [line for line in known if line not in self._told]
        self._told.update(new)
        if not new and seconds >= self._due:
            new = [f"act {len(acts)} of {self._acts} goes on"]
        if new:
            self._due = seconds + TOLD_SECONDS
        return new
