# SPDX-License-Identifier: Apache-2.0
"""The attempts of one kind of step at one address: which of them stands for the step, and how all
of them ended.

A success stands for the step if there was one, so that a network that let it pass once is not
accused, else the first failure; a repeat in place of one for which the machine itself was late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from monitor.detection.observed.kinds import Kind
from probes.wire.observation import (
    AppExchange,
    Contrast,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)

_UNANSWERED = (Kind.TIMEOUT, Kind.LATE)
T = TypeVar("T", TCPConnect, TLSHandshake, QUICHandshake, HTTPExchange, AppExchange)


def better(old: T | None, new: T, kind: Kind) -> T:
    """The attempt that stands for both. `kind`: how the new one ended."""
    return new if old is None or (kind is Kind.OK and old.failure is not None) else old


class Attempts(msgspec.Struct, Generic[T]):
    """The attempts of one kind of step at one address."""

    kind_of: Callable[[T], Kind]
    """How an attempt of this step ended."""
    subject: T | None = None
    """The attempt with the service's name, as the app would make it; None when there was none."""
    repeated: bool = False
    """A repeat of the subject passed."""
    innocuous: T | None = None
    """The attempt with an innocuous name."""
    beside: T | None = None
    """The same address over another transport, as a contrast: only the transport differs."""
    every: list[T] = []
    """Every attempt with the service's name, repeats included, in their order."""
    every_innocuous: list[T] = []

    def add(self, attempt: T) -> None:
        """Take in an attempt; those of other contrasts are ignored."""
        kind = self.kind_of(attempt)
        match attempt.contrast:
            case None if attempt.purpose is Purpose.CONTRAST:
                self.beside = better(self.beside, attempt, kind)
            case None:
                self.subject = better(self.subject, attempt, kind)
                self.every.append(attempt)
            case Contrast.REPEAT:
                self.repeated = self.repeated or kind is Kind.OK
                if self.kind is Kind.LATE and kind not in (Kind.OK, Kind.LATE):
                    self.subject = attempt
                self.every.append(attempt)
            case Contrast.INNOCUOUS_NAME:
                self.innocuous = better(self.innocuous, attempt, kind)
                self.every_innocuous.append(attempt)
            case _:
                pass

    @property
    def tried(self) -> bool:
        """The step was taken with the service's name, as the app would take it."""
        return self.subject is not None

    @property
    def kind(self) -> Kind | None:
        """How the subject ended; None when there was none."""
        return None if self.subject is None else self.kind_of(self.subject)

    @property
    def passed(self) -> bool:
        """An attempt with the service's name passed, repeats included."""
        return self.repeated or self.kind is Kind.OK

    @property
    def kinds(self) -> list[Kind]:
        """How every attempt with the service's name ended."""
        return [self.kind_of(attempt) for attempt in self.every]

    def ended(self, kind: Kind) -> list[T]:
        """Every attempt with the service's name that ended in this way."""
        return [attempt for attempt in self.every if self.kind_of(attempt) is kind]

    @property
    def unanswered(self) -> list[T]:
        """Every attempt with the service's name that got no answer, whoever was late."""
        return [attempt for attempt in self.every if self.kind_of(attempt) in _UNANSWERED]

    @property
    def innocuous_kind(self) -> Kind | None:
        """How the attempt with an innocuous name ended; None when there was none."""
        return None if self.innocuous is None else self.kind_of(self.innocuous)

    @property
    def innocuous_kinds(self) -> list[Kind]:
        """How every attempt with an innocuous name ended."""
        return [self.kind_of(attempt) for attempt in self.every_innocuous]
