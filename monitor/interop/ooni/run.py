# SPDX-License-Identifier: Apache-2.0
"""One OONI run as it is being mapped, and the Measurements it becomes: one a target of ours.

A run of OONI's visits several functions of a service at once; each gets its own Measurement,
so that each keeps its own series. What OONI concluded is not read. What cannot be mapped is kept
in an observation of the step `ooni.run`, which also says how much of the whole run passed: that
is the only sign of life beside a target.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from monitor.detection.imported import ROUND_MS, RUN_STEP
from monitor.detection.model import Stored
from monitor.interop.ooni.names import Atlas, Place
from probes.wire.bounds import MAX_LINE_BYTES, MAX_OBSERVATIONS
from probes.wire.measurement import VERSION, EndpointRef, Measurement, Role, Software, Vantage
from probes.wire.observation import AnyObservation, Known, Unrecognised

SOURCE = "ooni"
MAX_ENDPOINTS = 128
_LONGEST_RECORD = MAX_LINE_BYTES // 2
_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass
class Run:
    """What identifies a run, and what it saw."""

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
    left: dict[str, Any] = field(default_factory=dict)
    """What has no place in our observations, for the record."""
    seen: dict[str, list[Known]] = field(default_factory=dict)
    """Observations by target."""
    own: tuple[AnyObservation, ...] | None = None
    """All observations in order, of a measurement of ours that was exported: nothing is added."""
    refs: tuple[EndpointRef, ...] = ()
    """Its endpoints; the catalogue's otherwise."""
    combine: str = ""
    id: str = ""
    """Its id: in the store that it came from it is known, and no second witness."""
    passed: int = 0
    """Steps of the whole run in which somebody answered, whatever the target."""
    steps: int = 0

    def note(self, place: Place | None, seen: Known | None, answered: bool) -> None:
        """Count a step and keep its observation where it belongs to one of our targets."""
        self.steps += 1
        self.passed += answered
        if place is not None and seen is not None:
            self.seen.setdefault(place.target, []).append(seen)


def pseudonym(country: str, asn: int, source: str = SOURCE) -> str:
    """The probe id of all imported measurements of one network: one pseudo-vantage each."""
    digest = hashlib.sha256(f"{source}\0{country}\0{asn}".encode()).hexdigest()
    return f"p-{digest[:16]}"


def stored(measurement: Measurement) -> Stored:
    """An imported measurement as the store and the detector take it."""
    return Stored(
        measurement=measurement, owner=SOURCE, role=Role.VANTAGE, enrolled=0, source=SOURCE
    )


def measurements(run: Run, atlas: Atlas) -> list[Measurement]:
    """The run as Measurements, in the order of their targets; empty when it saw nothing of a
    service that we know."""
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
            # What has no place of its own is kept once a run, not once a target.
            record = _record(run, target, atlas, {} if first else run.left)
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
                combine=run.combine or atlas.combine.get(target, "any_of"),
                endpoints=run.refs or atlas.refs(target, endpoints)[:MAX_ENDPOINTS],
                observations=observations,
            )
        )
    return made


def _id(run: Run, target: str) -> str:
    words = (SOURCE, run.report, run.input, run.name, str(run.started), target)
    return hashlib.sha256("\0".join(words).encode()).digest()[:16].hex()


def _record(run: Run, target: str, atlas: Atlas, left: dict[str, Any]) -> Unrecognised:
    record: dict[str, Any] = {
        "step": RUN_STEP,
        "passed": run.passed,
        "steps": run.steps,
        "report_id": run.report,
        "input": run.input,
        "test_name": run.name,
        "test_version": run.version,
    }
    if target.partition("/")[0] in atlas.own_authority:
        record["own_authority"] = True
    raw = _encoder.encode({**record, "left": left} if left else record)
    if len(raw) > _LONGEST_RECORD:
        raw = _encoder.encode({**record, "left_out": len(raw)})
    return Unrecognised(step=RUN_STEP, raw=raw)


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_TOKEN = re.compile(r"[^A-Za-z0-9._:+-]")


def text(value: object, most: int = 1024) -> str:
    """A string as the wire format takes it: printable, and not too long."""
    return _UNPRINTABLE.sub("\ufffd", value)[:most] if isinstance(value, str) else ""


def token(value: object) -> str:
    """A short word as the wire format takes it."""
    return _NO_TOKEN.sub("-", value)[:64] if isinstance(value, str) else ""
