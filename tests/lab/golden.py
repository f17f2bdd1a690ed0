"""Golden files: what was measured in each case of the laboratory, what the rules read in it, and
what they said. `python -m tests.lab.golden [--only CASE]... [SEED]`, as root, plays the cases and
writes them; `--judge` only judges the measurements that are stored, and writes what is said now.

Names, addresses and times are replaced by stable ones, so that a file changes when the probe or
the rules do. A test (`test_golden.py`) judges every stored measurement again, anywhere.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from monitor.detection.judge.endpoint import judge_endpoint
from monitor.detection.judge.target import Control, judge, online_controls
from monitor.detection.layers.app import app_facts
from monitor.detection.layers.dns import lookup_facts
from monitor.detection.layers.http import http_facts
from monitor.detection.layers.quic import quic_facts
from monitor.detection.layers.tcp import tcp_facts
from monitor.detection.layers.throttle import transfer_facts
from monitor.detection.layers.tls import tls_facts
from monitor.detection.model import Verdict
from monitor.detection.observed.endpoint_context import endpoint_context
from monitor.detection.observed.liveness import during, vantage_status
from monitor.detection.observed.view import view
from probes.wire.codec import decode, read_lines
from probes.wire.measurement import Measurement
from tests.lab.cases import BY_NAME
from tests.lab.normal import Normaliser
from tests.lab.packing import pack, unpack
from tests.lab.plan import Plan, draw
from tests.lab.run import play

FOLDER = Path(__file__).parent / "golden"
SHARED = FOLDER / "shared.json"
"""What controls saw, and liveness, by a short hash: most cases share it."""
SEED = 1
_TIMED = ("throttle.", "pace.", "tls.late_", "benign.hangs_up", "trap.mid_reset")
"""Cases whose transfers are kept."""
AT_ONCE = 6
_STEPS = {
    "tcp": tcp_facts,
    "tls": tls_facts,
    "transfer": transfer_facts,
    "quic": quic_facts,
    "http": http_facts,
    "app": app_facts,
}


class Stored:
    """One case's measurements as they are kept."""

    def __init__(self, entry: dict[str, Any], shared: dict[str, Any]) -> None:
        self.subject = _decoded(entry["measurement"])
        self.liveness = [_decoded(m) for m in shared[entry["liveness"]]]
        control = shared.get(entry["control"])
        self.control = _decoded(control) if control else None
        self.beyond = [_decoded(m) for m in shared[entry["control_liveness"]]]

    @property
    def controls(self) -> list[Control]:
        """What the subject is judged beside: nothing when the clocks are too far apart."""
        near = self.control and abs(self.control.round - self.subject.round) <= 300_000
        return [(self.control, self.beyond)] if self.control and near else []

    def verdict(self) -> Verdict:
        """What the present rules say."""
        return judge(self.subject, self.liveness, self.controls)

    def facts(self) -> dict[str, str]:
        """What the rules read, one line for each step at each address."""
        views = view(self.subject)
        here = during(vantage_status(self.liveness), self.subject, views.values())
        chosen = online_controls(self.controls)
        found = {"vantage": _line(here)}
        for id, endpoint in views.items():
            case = endpoint_context(
                endpoint,
                tuple(views.values()),
                [c[id] for c in chosen if id in c],
                here,
                self.subject.vantage.country,
            )
            for qtype in sorted(endpoint.name.lookups):
                found[f"{id} {qtype}"] = _line(lookup_facts(case, qtype))
            forged = judge_endpoint(case).forged
            for place in sorted(endpoint.addresses.values(), key=lambda p: (p.address, p.port)):
                if not place.seen:
                    continue
                for step, of in _STEPS.items():
                    if (facts := of(case, place, place.address in forged)) is not None:
                        found[f"{id} {place.address} {step}"] = _line(facts)
        return found


def _decoded(packed: dict[str, Any]) -> Measurement:
    return decode(msgspec.json.encode(unpack(packed)))


def _line(facts: Any) -> str:
    """The fields of a value that differ from their defaults."""
    words = []
    for field in fields(facts) if is_dataclass(facts) else msgspec.structs.fields(facts):
        value = getattr(facts, field.name)
        if value == field.default or value in (None, False, (), frozenset()):
            continue
        words.append(field.name if value is True else f"{field.name}={_word(value)}")
    return " ".join(words)


def _word(value: Any) -> str:
    if is_dataclass(value) or isinstance(value, msgspec.Struct):
        return f"({_line(value)})"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | frozenset | list):
        words = map(_word, value)
        return ",".join(sorted(words) if isinstance(value, frozenset) else words)
    return str(value)


def said(stored: Stored) -> dict[str, Any]:
    """Facts and verdict, as they stand in a golden file."""
    verdict = json.loads(msgspec.json.encode(stored.verdict()))
    kept = {k: v for k, v in verdict.items() if v not in ([], "")}
    return {"facts": stored.facts(), "verdict": kept}


def written(entry: dict[str, Any]) -> str:
    """A golden file as text: a line for each observation, each fact and each finding."""
    return _written(entry, 0) + "\n"


def _written(value: Any, depth: int) -> str:
    pad = " " * (depth + 1)
    if isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values()):
        opened = depth < _DEEP
    else:
        opened = isinstance(value, dict) and bool(value) and depth == 1
    if opened:
        rows = [f'{pad}"{k}": {_written(v, depth + 1)}' for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + pad[1:] + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict) and depth <= _DEEP:
        rows = [pad + json.dumps(v, ensure_ascii=False) for v in value]
        return "[\n" + ",\n".join(rows) + "\n" + pad[1:] + "]"
    return json.dumps(value, ensure_ascii=False)


_DEEP = 3


@functools.cache
def load(case: str) -> tuple[dict[str, Any], Stored]:
    """A golden file, and its measurements; read once, so nobody may change them."""
    entry: dict[str, Any] = json.loads((FOLDER / f"{case}.json").read_text())
    return entry, Stored(entry, json.loads(SHARED.read_text()))


def names() -> list[str]:
    """Cases that have a golden file."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path != SHARED)


def make(plan: Plan, case: str, folder: Path, shared: dict[str, Any]) -> dict[str, Any]:
    """A golden entry from a laboratory that was played; its liveness goes into `shared`."""
    victim = plan.service(plan.victims[case])
    normal = Normaliser(plan, victim, speeds=case.startswith(_TIMED))
    both = {}
    for space in ("probe", "control"):
        lines = (folder / f"{space}.jsonl").read_bytes().splitlines()
        taken = [m for _, m in read_lines(lines) if isinstance(m, Measurement)]
        both[space] = {m.target: m for m in taken}
    begun = both["probe"][victim.target].round
    entry: dict[str, Any] = {"case": case, "promise": BY_NAME[case].promise}
    for space, key in (("probe", "liveness"), ("control", "control_liveness")):
        alive = [
            pack(normal.plain(m, begun)) for t, m in sorted(both[space].items()) if "liveness/" in t
        ]
        entry[key] = _share(alive, shared)
    entry["measurement"] = pack(normal.plain(both["probe"][victim.target], begun))
    far = both["control"].get(victim.target)
    entry["control"] = _share(pack(normal.plain(far, begun)), shared) if far else ""
    return entry | said(Stored(entry, shared))


def _share(value: Any, shared: dict[str, Any]) -> str:
    mark = hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]
    shared[mark] = value
    return mark


def _keep(entries: dict[str, dict[str, Any]], shared: dict[str, Any]) -> None:
    """Write entries, and of the shared liveness what some file refers to."""
    FOLDER.mkdir(exist_ok=True)
    for case, entry in entries.items():
        (FOLDER / f"{case}.json").write_text(written(entry))
    used: set[str] = set()
    for name in names():
        entry = json.loads((FOLDER / f"{name}.json").read_text())
        used |= {entry[key] for key in ("liveness", "control", "control_liveness")}
    rows = [
        f' "{mark}": {json.dumps(shared[mark], separators=(",", ":"))}'
        for mark in sorted(used - {""})
    ]
    SHARED.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def main() -> int:
    """1 when a case could not be played."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(BY_NAME), help="only this case")
    parser.add_argument("--judge", action="store_true", help="judge what is stored, play nothing")
    parser.add_argument("seed", nargs="?", type=int, default=SEED)
    given = parser.parse_args()
    shared = json.loads(SHARED.read_text()) if SHARED.exists() else {}
    if given.judge:
        stored = {case: load(case) for case in given.only or names()}
        _keep({case: entry | said(kept) for case, (entry, kept) in stored.items()}, shared)
        return 0
    plan = draw(given.seed)
    kept = [name for name, case in BY_NAME.items() if not case.by_round]
    wanted = [(n, c) for n, c in enumerate(plan.order) if c in (given.only or kept)]
    entries, failed = {}, 0
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(play, given.seed, n, Path(root) / str(n)) for n, _ in wanted]
        for (n, case), job in zip(wanted, jobs, strict=True):
            try:
                job.result()
                entries[case] = make(plan, case, Path(root) / str(n), shared)
            except (RuntimeError, OSError) as error:
                failed += 1
                print(f"{case}: {error}", file=sys.stderr)
            else:
                print(f"{case}: {entries[case]['verdict']['state']}", flush=True)
                _keep({case: entries[case]}, shared)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
