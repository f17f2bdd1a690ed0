# SPDX-License-Identifier: Apache-2.0
"""What OONI's tests concluded of their own runs, as an import keeps it in the record of a run.

Nothing here is read where we judge. It is for comparing: which of OONI's flags speak of which of
our targets, and which of their values say that it is blocked (probe-cli, `internal/experiment`,
read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from monitor.detection.observed.imported_run import RUN_STEP
from probes.wire.measurement import Measurement
from probes.wire.observation import Unrecognised

FlagValue = str | bool | None
_LONGEST = 80


class FlaggedFunction(NamedTuple):
    """Something that a test draws one conclusion of."""

    name: str
    targets: tuple[str, ...]
    """Ours that it is about; all of the run without one."""
    flags: tuple[str, ...]
    """The keys of the conclusion: any of them may accuse."""
    remarks: tuple[str, ...] = ()
    """Further keys that say more of it."""

    def speaks_of(self, target: str) -> bool:
        """Whether it is about one of our targets."""
        return not self.targets or target in self.targets


def _hosts(*words: str) -> tuple[str, ...]:
    return tuple(f"facebook_{host}_{word}" for host in _FACEBOOK for word in words)


_FACEBOOK = ("b_api", "b_graph", "edge", "external_cdn", "scontent_cdn", "star", "stun")
FUNCTIONS: Mapping[str, tuple[FlaggedFunction, ...]] = {
    "telegram": (
        FlaggedFunction(
            "data centres", ("telegram/dc",), ("telegram_tcp_blocking", "telegram_http_blocking")
        ),
        FlaggedFunction("web", ("telegram/web",), ("telegram_web_status",),
                        ("telegram_web_failure",)),
    ),
    "whatsapp": (
        FlaggedFunction("endpoints", ("whatsapp/messaging",), ("whatsapp_endpoints_status",)),
        FlaggedFunction("registration", ("whatsapp/login",), ("registration_server_status",),
                        ("registration_server_failure",)),
        FlaggedFunction("web", ("whatsapp/web",), ("whatsapp_web_status",),
                        ("whatsapp_web_failure",)),
    ),
    "signal": (
        FlaggedFunction("backend", (), ("signal_backend_status",), ("signal_backend_failure",)),
    ),
    "facebook_messenger": (
        FlaggedFunction("service", (), ("facebook_tcp_blocking", "facebook_dns_blocking"),
                        _hosts("reachable", "dns_consistent")),
    ),
    "web_connectivity": (
        FlaggedFunction("site", (), ("blocking",),
                        ("accessible", "control_failure", "dns_experiment_failure",
                         "http_experiment_failure")),
    ),
}  # fmt: skip
"""By OONI's name of the test."""


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of OONI's concluded of one function."""

    function: FlaggedFunction
    flags: dict[str, FlagValue]
    """Those that the run has, and of the remarks those that say that something is wrong."""
    accuses: bool | None
    """Whether it says blocked; None when it draws no conclusion."""


class KeptRun(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a run, with OONI's keys undecoded."""

    report_id: str = ""
    input: str = ""
    test_name: str = ""
    test_version: str = ""
    left: _Left | None = None
    left_out: int = 0
    """Bytes of `left`, if they were too many."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for all measurements of a run that began at the same time."""
        return self.report_id, self.input, self.test_name


class _Left(msgspec.Struct, frozen=True):
    keys: dict[str, msgspec.Raw] = {}


_kept = msgspec.json.Decoder(KeptRun)


def kept_run(measurement: Measurement) -> KeptRun:
    """The record of the run that a measurement is of; empty when there is none."""
    for observation in measurement.observations:
        if isinstance(observation, Unrecognised) and observation.step == RUN_STEP:
            try:
                return _kept.decode(observation.raw)
            except msgspec.DecodeError:
                break
    return KeptRun()


def conclusions(runs: Iterable[KeptRun]) -> Sequence[Conclusion]:
    """What a run concluded of each function of its test, from the records of its measurements: one
    of them has OONI's keys. Empty for a test without such functions."""
    records = list(runs)
    name = records[0].test_name if records else ""
    keys = next((run.left.keys for run in records if run.left is not None), {})
    return [_conclusion(function, keys) for function in FUNCTIONS.get(name, ())]


def _conclusion(function: FlaggedFunction, keys: Mapping[str, msgspec.Raw]) -> Conclusion:
    flags = {key: _value(keys[key]) for key in function.flags if key in keys}
    said = [_accuses(value) for value in flags.values()]
    accuses = True if True in said else False if False in said else None
    more = {key: _value(keys[key]) for key in function.remarks if key in keys}
    return Conclusion(
        function=function,
        flags=flags | {key: value for key, value in more.items() if value not in (None, True)},
        accuses=accuses,
    )


def _value(raw: msgspec.Raw) -> FlagValue:
    value: Any = msgspec.json.decode(raw)
    if isinstance(value, str):
        return value[:_LONGEST]
    return value if isinstance(value, bool) else None


def _accuses(value: FlagValue) -> bool | None:
    """`ok` and false clear; true, `blocked` and the layers of web_connectivity accuse."""
    if value is None or value == "":
        return None
    return value is True or (isinstance(value, str) and value != "ok")
