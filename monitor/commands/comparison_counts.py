# SPDX-License-Identifier: Apache-2.0
"""How often OONI's conclusions and our verdicts agree and differ, by test, country and reason: as
rows, and as a text with examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from monitor.commands.terminal import table, time_text
from monitor.detection.model import Verdict
from monitor.interop.ooni.conclusions import FlagValue
from monitor.interop.ooni.differences import (
    REASONS,
    Accord,
    ComparedFunction,
    DifferenceReason,
)

EXAMPLES = 5
"""Of each reason, in a text."""
_HEADINGS = {
    Accord.OURS_ALONE: "We say that it fails, OONI does not",
    Accord.OONI_ALONE: "OONI says blocked, we do not say that it fails",
    Accord.NO_FLAG: "OONI's flags are missing",
}

_HEAD = ("TEST", "COUNTRY", "BOTH FAIL", "NEITHER", "WE ALONE", "OONI ALONE", "NO FLAG")


class ComparisonCounts:
    """How many agree and differ, by test and country, and examples of each reason."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, Accord, str]] = Counter()
        """By test, country, agreement and id of the reason."""
        self.examples: dict[tuple[Accord, str], list[ComparedFunction]] = {}

    def add(self, compared: ComparedFunction) -> None:
        """Count one."""
        reason = compared.reason.id if compared.reason else ""
        country = compared.measurements[0].vantage.country
        self.counts[compared.run.test_name, country, compared.agreement, reason] += 1
        if reason:
            examples = self.examples.setdefault((compared.agreement, reason), [])
            if len(examples) < EXAMPLES:
                examples.append(compared)

    def total(self, agreement: Accord, reason: str | None = None) -> int:
        """All of a kind, and of a reason where one is given."""
        return sum(
            count
            for (_, _, how, why), count in self.counts.items()
            if how is agreement and reason in (None, why)
        )

    def text(self) -> str:
        """Everything, for people."""
        if not self.counts:
            return "no run of OONI's messenger or web tests was found\n"
        parts = [self._of(agreement, heading) for agreement, heading in _HEADINGS.items()]
        return "".join((*parts, self._by_country()))

    def _of(self, agreement: Accord, heading: str) -> str:
        if not (total := self.total(agreement)):
            return ""
        lines = [f"{heading}: {total:,}"]
        for reason in REASONS[agreement]:
            if count := self.total(agreement, reason.id):
                lines += self._reason(agreement, reason, count)
        return "\n".join(lines) + "\n\n"

    def _reason(self, agreement: Accord, reason: DifferenceReason, count: int) -> Iterator[str]:
        yield f"  {count:,}  {reason.id}: {reason.text}"
        examples = self.examples[agreement, reason.id]
        if agreement is not Accord.NO_FLAG:
            yield from (f"      {line}" for line in table([_example(one) for one in examples]))
            if (more := count - len(examples)) > 0:
                yield f"      and {more:,} more (--format csv)"

    def _by_country(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("TEST", "COUNTRY", "BOTH FAIL", "NEITHER", "WE ALONE", "OONI ALONE", "NO FLAG")
        ]
        order = (
            *(Accord.BOTH, Accord.NEITHER, Accord.OURS_ALONE),
            *(Accord.OONI_ALONE, Accord.NO_FLAG),
        )
        counts: Counter[tuple[str, str, Accord]] = Counter()
        for (test, country, agreement, _), count in self.counts.items():
            counts[test, country, agreement] += count
            counts[test, "all", agreement] += count
        for test, country in sorted({place[:2] for place in counts}, key=_all_last):
            rows.append((test, country, *(f"{counts[test, country, how]:,}" for how in order)))
        return "".join(f"{line}\n" for line in table(rows))

    def rows(self) -> list[tuple[str, str, str, str, int]]:
        """Test, country, agreement, reason and how many, in a fixed order."""
        return [(*key, count) for key, count in sorted(self.counts.items())]


SUMMARY = ("test", "country", "agreement", "reason", "count")


def _all_last(place: tuple[str, str]) -> tuple[str, bool, str]:
    test, country = place
    return test, country == "all", country


def _example(compared: ComparedFunction) -> tuple[str, ...]:
    first = compared.measurements[0]
    verdicts = compared.failing
    flags = flags_text(compared.conclusion.flags)
    ours = ", ".join(
        f"{verdict.target} {verdict.technique or verdict.state} ({share_text(verdict)} failed)"
        for verdict in verdicts[:2]
    )
    more = f" and {len(verdicts) - 2} more" if len(verdicts) > 2 else ""
    place = f"{first.vantage.country} AS{first.vantage.asn}"
    return time_text(first.started), place, compared.run.test_name, flags, f"{ours}{more}"


def flags_text(flags: Mapping[str, FlagValue]) -> str:
    """Flags with their values as in JSON, text without quotes."""
    values = (
        (key, value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for key, value in flags.items()
    )
    return " ".join(f"{key}={value}" for key, value in values)


def share_text(verdict: Verdict) -> str:
    """Endpoints that failed, of those that were tried."""
    return f"{verdict.endpoints.failed}/{verdict.endpoints.total}"
