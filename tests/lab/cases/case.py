"""What a case is: what the ISP (or the world) does, and what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass

TLS = ("tls", "https")
ANY = ("tls", "https", "http")
WORKS = ("tls.certificate_valid", "http.same_answer", "http.answered", "http.repeat_answered")
GONE = ("vantage.resolver_dead",)
DOWN = ("tcp.control_fails_too",)
DRAWN = "drawn"
"""Where forged answers come from is the seed's choice."""


@dataclass(frozen=True)
class Case:
    """One kind of interference, or of harmless trouble that must not be called so."""

    name: str
    state: str
    rules: tuple[str, ...]
    """Rules one of which must decide; they are part of what is promised."""
    technique: str | None = None
    protocols: tuple[str, ...] = TLS
    """Which services it can hit."""
    geographic: bool = False
    evidence: tuple[str, ...] = ()
    """Remarks all of which must be there."""
    origin: str = ""
    """Where a forged answer came from, which must be said and nothing else: `on_path`,
    `lying_resolver`, or DRAWN."""
    several: str = ""
    """It hits the target of several endpoints that combine so, else one of a single endpoint."""
    endpoints: tuple[int, int] | None = None
    """How many of how many endpoints fail (total, failed), where that is not one of one."""
    resolver: str = ""
    """The vantage asks this resolver, in place of the ISP's."""
    clock: str = ""
    """How wrong the probe's clock is, as libfaketime takes it; its own process alone."""
    rounds: int = 1
    """The probe measures so often, each time knowing what failed before; the last one counts."""
    or_state: str = ""
    """Chance decides between this state of the victim and the first."""
    or_bystander: str = ""
    """Chance decides between this state of the other services and `ok`."""
    by_round: bool = False
    """The other services of the round tell it, so it has no golden file, which holds one alone."""
    everyone: bool = False
    """It concerns every service: there is no bystander, though some may not feel it."""

    @property
    def accuses(self) -> bool:
        """Somebody blocks, the whole or a part."""
        return self.technique is not None and self.state != "inconclusive"

    @property
    def part(self) -> bool:
        """Somebody blocks a part."""
        return self.state == "impaired"

    @property
    def promise(self) -> str:
        """State and technique in words: a row of the confusion matrix."""
        return label(self.state, self.technique)


def label(state: str | None, technique: str | None) -> str:
    """State and technique in words. A technique that is named without accusing is no part."""
    accuses = technique and state in ("blocked", "impaired", "throttled")
    return f"{state} {technique}" if accuses else str(state)
