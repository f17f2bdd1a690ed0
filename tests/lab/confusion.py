"""What was promised against what was said, over many laboratories: the matrix and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.lab.cases import CASES, MORE, Case, label

_ROWS = tuple(sorted({case.promise for case in (*CASES, *MORE)}))
FAILED = "no verdict"


def _accuses(said: str) -> bool:
    return said.startswith(("blocked", "impaired", "throttled"))


@dataclass
class Confusion:
    """Counts over laboratories."""

    victims: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(promised, said) of the service that is hit."""
    bystanders: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """(something concerns everybody, said) of the others."""

    def add(self, case: Case, record: dict[str, Any]) -> None:
        """Count one laboratory; an empty record is one that gave no verdict."""
        seen = False
        for said in record.get("verdicts", ()):
            word = label(said["state"], said["technique"])
            if said["target"] == record["victim"]:
                self.victims[case.promise, word] += 1
                seen = True
            else:
                self.bystanders[case.everyone, word] += 1
        if not seen:
            self.victims[case.promise, FAILED] += 1

    @property
    def matrix(self) -> str:
        """Rows: promised; columns: said, by the number of the row. Dots are zeros."""
        said = {word for _, word in self.victims}
        rows = [row for row in _ROWS if any(promised == row for promised, _ in self.victims)]
        columns = [*rows, *sorted(said - set(rows))]
        wide = max(map(len, columns))
        lines = [" " * (wide + 4) + "".join(f"{n:>3}" for n, _ in enumerate(columns, 1))]
        for n, row in enumerate(columns, 1):
            cells = [self.victims[row, word] for word in columns]
            numbers = "".join(f"{cell or '.':>3}" for cell in cells) if row in rows else ""
            lines.append(f"{n:>3} {row:<{wide}}{numbers}".rstrip())
        return "\n".join(lines)

    @property
    def figures(self) -> Sequence[str]:
        """One line each."""
        played = self.victims.total()
        right = sum(n for (promised, said), n in self.victims.items() if promised == said)
        states = sum(
            n
            for (promised, said), n in self.victims.items()
            if promised.split()[0] == said.split()[0]
        )
        benign = {k: n for k, n in self.victims.items() if not _accuses(k[0])}
        called = sum(n for (_, said), n in benign.items() if _accuses(said))
        accused = sum(n for (_, said), n in self.bystanders.items() if _accuses(said))
        techniques = self.f1()
        return (
            f"laboratories: {played}, with exactly what was promised: {right}",
            f"state right: {states} of {played}",
            f"macro-F1 over {len(techniques)} techniques: "
            f"{sum(techniques.values()) / max(1, len(techniques)):.3f}",
            f"benign trouble called blocking: {called} of {sum(benign.values())}",
            f"bystanders accused: {accused} of {self.bystanders.total()}",
        )

    def f1(self) -> dict[str, float]:
        """F1 of each technique that was promised or said; a bystander's counts as said wrongly."""
        pairs = [(_technique(p), _technique(s), n) for (p, s), n in self.victims.items()]
        pairs += [("", _technique(s), n) for (_, s), n in self.bystanders.items()]
        named = {word for promised, said, _ in pairs for word in (promised, said) if word}
        return {word: _f1(word, pairs) for word in sorted(named)}


def _technique(word: str) -> str:
    return word.split()[-1] if _accuses(word) else ""


def _f1(word: str, pairs: Iterable[tuple[str, str, int]]) -> float:
    hit = wrong = 0
    for promised, said, n in pairs:
        hit += n * (promised == said == word)
        wrong += n * ((promised == word) != (said == word))
    return 2 * hit / (2 * hit + wrong)
