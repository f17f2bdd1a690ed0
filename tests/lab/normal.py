"""A laboratory's measurement with everything drawn, timed or made anew replaced by what is stable.

What a rule may read stays what it is: families and special ranges of addresses, who is the same as
whom, the order of the steps at one address, how fast a transfer was, and whether bytes came at all.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections import defaultdict
from typing import Any

from monitor.detection.observed.ranges import special_range
from probes.wire.codec import encode
from probes.wire.measurement import Measurement
from tests.lab.plan import Plan, Service

ROUND = 1_800_000_000_000
_HOUR_MS = 3_600_000
_DROPPED = (
    "monotonic_us", "epoch", "sequence", "software", "catalogue", "took_us", "cipher", "alpn",
    "version", "server", "body_bytes", "first_us", "silence_us", "progress",
)  # fmt: skip
_SENT = ("sent_bytes", "received_bytes")
_LARGE_HELLO = 1400

_UNLISTED = re.compile(r"\b[0-9a-f]{12}\.example\b")
"""The name that nobody has, which a probe shows to our own host."""
_MADE_UP = re.compile(r"[0-9a-f]{10}\.(.+)")
"""A name below another, which a probe asks resolvers for."""


class Normaliser:
    """Replaces the same by the same, over all measurements of one laboratory."""

    def __init__(self, plan: Plan, victim: Service, speeds: bool = False) -> None:
        """`speeds`: transfers are kept, in two figures; elsewhere they say nothing."""
        self._speeds = speeds
        # Liveness first: it is then the same whoever is hit.
        kinds = [
            ("world", (*plan.international, plan.echo)),
            ("home", (plan.domestic,)),
            ("resolver", (plan.reference,)),
            ("service", victim.hosts),
            ("other", plan.hosts),
        ]
        self._names: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self._count: dict[str, int] = defaultdict(int)
        for kind, hosts in kinds:
            for host in hosts:
                if host.name not in self._names:
                    self._count[kind] += 1
                    self._names[host.name] = f"{kind}-{self._count[kind]}.test"
                    self._names[host.country_domain] = f"www.{kind}-{self._count[kind]}.fr"
                for address in host.addresses:
                    self._address(address)
        for address in (plan.resolver, plan.silent, plan.reflector, plan.warner, plan.private):
            self._address(address)
        self._hashes: dict[str, str] = {}
        self._targets = {victim.target: "service/function"}
        known = sorted((*self._names, *self._addresses), key=len, reverse=True)
        self._known = re.compile("|".join(rf"(?<![\w.:-]){re.escape(k)}(?![\w.-])" for k in known))

    def plain(self, measurement: Measurement, begun: int) -> dict[str, Any]:
        """Return a measurement as JSON values; `begun` is the round of the vantage's."""
        values: dict[str, Any] = json.loads(encode(measurement))
        observations = sorted(values.pop("observations", []), key=lambda o: o.get("at_us", 0))
        turns: dict[tuple[str, str], int] = defaultdict(int)
        for seen in observations:
            place = (seen["endpoint"], seen.get("address") or seen.get("resolver", ""))
            seen["at_us"] = turns[place]
            turns[place] += 1
        away = round((measurement.round - begun) / 300_000) * 300_000
        for name in _DROPPED:
            values.pop(name, None)
        if "clock_offset_ms" in values:
            hours = round(values["clock_offset_ms"] / _HOUR_MS)
            values["clock_offset_ms"] = hours * _HOUR_MS
        values |= {
            "id": "0" * 32,
            "probe": "p-" + "0" * 16,
            "target": self._targets.get(measurement.target, measurement.target),
            "round": ROUND + away,
            "started": ROUND + away,
        }
        kept = [
            self._observation(seen)
            for seen in observations
            if self._speeds or seen["step"] != "transfer"
        ]
        kept.sort(key=_place)
        values = self._tree(values, "")
        return values | {"observations": [self._tree(seen, "") for seen in kept]}

    def _observation(self, seen: dict[str, Any]) -> dict[str, Any]:
        if seen["step"] == "transfer":
            return {k: _rough(v) if type(v) is int else v for k, v in seen.items()} | {
                "at_us": seen["at_us"], "port": seen["port"], "progress": []
            }  # fmt: skip
        kept = {k: v for k, v in seen.items() if k not in _DROPPED} | {
            k: min(seen[k], 1) for k in _SENT if k in seen
        }
        if "hello_bytes" in kept:
            kept["hello_bytes"] = 1500 if kept["hello_bytes"] > _LARGE_HELLO else 517
        for number, reply in enumerate(kept.get("replies", ())):
            reply["after_us"] = number + 1
        kept["chain"] = [{"sha256": c["sha256"]} for c in kept.get("chain", ())]
        return {
            k: v for k, v in kept.items() if v not in (0, [], None) or k in ("rcode", "icmp_code")
        }

    def _tree(self, value: Any, key: str) -> Any:
        match value:
            case dict():
                return {k: self._tree(v, k) for k, v in value.items()}
            case list() if key == "answers":
                return sorted(map(self._address, value))
            case list():
                return [self._tree(item, key) for item in value]
            case str() if key in ("sha256", "body_sha256"):
                return self._hashes.setdefault(value, f"{len(self._hashes) + 1:064x}")
            case str() if key == "excerpt":
                text = base64.b64decode(value).decode("latin-1")
                return base64.b64encode(self._text(text).encode("latin-1")).decode()
            case str():
                return self._text(value)
            case _:
                return value

    def _text(self, text: str) -> str:
        """A text with names and addresses replaced; an address alone also when it is unknown."""
        try:
            ipaddress.ip_address(text)
        except ValueError:
            if (made_up := _MADE_UP.fullmatch(text)) and made_up[1] in self._names:
                return f"0123456789.{self._names[made_up[1]]}"
            known = self._known.sub(
                lambda m: self._names.get(m[0]) or self._addresses.get(m[0], m[0]), text
            )
            return _UNLISTED.sub("unlisted.example", known)
        return self._address(text)

    def _address(self, address: str) -> str:
        """The stable one: documentation addresses are numbered, as is one that was drawn from
        private space; all others are the laboratory's constants."""
        if address in self._addresses:
            return self._addresses[address]
        kind = special_range(address)
        drawn = address.startswith("10.77.")
        if kind != "documentation" and not drawn:
            return address
        family = "10.77.0." if drawn else "2001:db8::" if ":" in address else "192.0.2."
        self._count[family] += 1
        number = self._count[family]
        self._addresses[address] = f"{family}{number:x}" if ":" in address else f"{family}{number}"
        return self._addresses[address]


def _rough(number: int) -> int:
    """Two figures."""
    size = max(len(str(number)) - 2, 0)
    return int(round(number, -size))


def _place(seen: dict[str, Any]) -> tuple[str, ...]:
    order = ("dns", "tcp", "tls", "quic", "http", "transfer", "app", "path")
    step = seen["step"]
    return (
        seen["endpoint"],
        f"{order.index(step) if step in order else 99:02}",
        seen.get("purpose", "subject"),
        seen.get("contrast", ""),
        seen.get("qtype", ""),
        seen.get("resolver", ""),
        seen.get("transport", ""),
        seen.get("address", ""),
        f"{seen.get('at_us', 0):04}",
    )
