# SPDX-License-Identifier: Apache-2.0
"""One OONI run, and the Measurements it becomes: one for each target.

A run may visit several functions of a service; each gets its own Measurement and so its own
series. OONI's conclusions are not read. What cannot be mapped is kept in an observation of the
step `ooni.run`, which also counts how much of the whole run passed: the only sign that the vantage
was online.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from monitor.detection.model import Stored
from monitor.detection.observed.imported_run import ROUND_MS, RUN_STEP, Helper, SitePage
from monitor.interop.ooni.target_index import TargetEndpoint, TargetIndex
from probes.wire.bounds import MAX_LINE_BYTES, MAX_OBSERVATIONS
from probes.wire.measurement import (
    VERSION,
    EndpointRef,
    Measurement,
    Role,
    Software,
    Vantage,
    service_of,
)
from probes.wire.observation import AnyObservation, Known, Unrecognised

SOURCE = "ooni"
TESTS = ("facebook_messenger", "signal", "telegram", "web_connectivity", "whatsapp")
"""OONI's tests that are read. Others (speed, middleboxes, circumvention tools) measure no service,
or not as its app does."""
WEB = "web_connectivity"
MAX_ENDPOINTS = 128
_LONGEST_RECORD = MAX_LINE_BYTES // 2
_encoder = msgspec.json.Encoder(order="deterministic")


class UnsupportedTestError(Exception):
    """A run of a test that is not read; the text is its name."""

    def reason(self) -> str:
        """One line for people."""
        return f"OONI's test {self} is not supported (supported: {', '.join(TESTS)})"


@dataclass
class Run:
    """The identity of a run, and what it observed."""

    report: str
    input: str
    name: str
    """OONI's name of the test."""
    started: int
    """Unix milliseconds."""
    country: str
    asn: int
    version: str = ""
    resolver_asn: int = 0
    software: Software = field(default_factory=lambda: Software(name="ooni"))
    took_us: int = 0
    network_type: str = ""
    """`wifi`, `mobile`, `vpn`, ... as the device says."""
    helper: Helper | None = None
    page: SitePage | None = None
    """What a request of the site in clear text led to."""
    left: dict[str, Any] = field(default_factory=dict)
    """What our observations cannot hold, kept for the record."""
    seen: dict[str, list[Known]] = field(default_factory=dict)
    """Observations by target."""
    own: tuple[AnyObservation, ...] | None = None
    """All observations in order, if it is an export of ours: nothing is added."""
    refs: tuple[EndpointRef, ...] = ()
    """Its endpoints; the default is those of the catalogue."""
    combine: str = ""
    id: str = ""
    """Its id, so that the store it came from recognises it as a duplicate."""
    passed: int = 0
    """Steps of the whole run that got an answer, whatever the target."""
    steps: int = 0

    def add_step(self, place: TargetEndpoint | None, seen: Known | None, answered: bool) -> None:
        """Count a step and keep its observation if it belongs to a target."""
        self.steps += 1
        self.passed += answered
        if place is not None and seen is not None:
            self.seen.setdefault(place.target, []).append(seen)


def pseudonym(country: str, asn: int) -> str:
    """The probe id of all imported measurements of a network: one pseudo-vantage each."""
    digest = hashlib.sha256(f"{SOURCE}\0{country}\0{asn}".encode()).hexdigest()
    return f"p-{digest[:16]}"


def stored(measurement: Measurement) -> Stored:
    """An imported measurement for the store and the detector."""
    return Stored(
        measurement=measurement, owner=SOURCE, role=Role.VANTAGE, enrolled=0, source=SOURCE
    )


def measurements(run: Run, targets_by_name: TargetIndex) -> list[Measurement]:
    """The run as Measurements, ordered by target; empty without a service of the catalogue."""
    if run.name == WEB and not targets_by_name.has_site(run.input):
        return []
    vantage = Vantage(
        country=run.country,
        asn=run.asn,
        resolver_asn=run.resolver_asn,
        resolver_class="isp" if run.resolver_asn and run.resolver_asn == run.asn else "unknown",
        geo="table:ooni",
    )
    made = []
    for first, target in enumerate(sorted(run.seen)):
        observations = run.own
        if observations is None:
            # What cannot be mapped is kept once a run, not once a target.
            record = _record(run, target, targets_by_name, {} if first else run.left)
            observations = (*run.seen[target][: MAX_OBSERVATIONS - 1], record)
        endpoints = {seen.endpoint for seen in run.seen[target]}
        made.append(
            Measurement(
                v=VERSION,
                id=run.id or _id(run, target),
                probe=pseudonym(run.country, run.asn),
                target=target,
                round=run.started - run.started % ROUND_MS,
                started=run.started,
                took_us=run.took_us,
                epoch=SOURCE,
                vantage=vantage,
                software=run.software,
                # Not measured with any catalogue; and its version would make the same run another.
                combine=run.combine or targets_by_name.combine.get(target, "any_of"),
                endpoints=run.refs or targets_by_name.refs(target, endpoints)[:MAX_ENDPOINTS],
                observations=observations,
            )
        )
    return made


def _id(run: Run, target: str) -> str:
    words = (SOURCE, run.report, run.input, run.name, str(run.started), target)
    return hashlib.sha256("\0".join(words).encode()).digest()[:16].hex()


def _record(
    run: Run, target: str, targets_by_name: TargetIndex, left: dict[str, Any]
) -> Unrecognised:
    record: dict[str, Any] = {
        "passed": run.passed,
        "steps": run.steps,
        "report_id": run.report,
        "input": run.input,
        "test_name": run.name,
        "test_version": run.version,
    }
    if run.network_type:
        record["network_type"] = run.network_type
    if run.helper is not None:
        record["helper"] = run.helper
    if run.page is not None:
        record["page"] = run.page
    if service_of(target) in targets_by_name.own_authority:
        record["own_authority"] = True
    raw = _encoder.encode({**record, "left": left} if left else record)
    if len(raw) > _LONGEST_RECORD:
        raw = _encoder.encode({**record, "left_out": len(raw)})
    # First, as in every observation: `decode` looks for it there.
    return Unrecognised(step=RUN_STEP, raw=b'{"step":"%b",%b' % (RUN_STEP.encode(), raw[1:]))


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._:+-]")


def text(value: object, most: int = 1024) -> str:
    """A string within the limits of the wire format: printable and short enough."""
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():
        return value[:most]
    return _UNPRINTABLE.sub("\ufffd", value)[:most]


def token(value: object) -> str:
    """A token within the limits of the wire format."""
    return _token(value[:64]) if isinstance(value, str) else ""


@lru_cache(maxsize=1024)
def _token(words: str) -> str:
    return _NO_TOKEN.sub("-", words)
