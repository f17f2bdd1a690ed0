"""A normalised measurement in few words: what its endpoint or its place already say is left out,
and put back when it is read. No field that a rule reads is lost.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.lab.normal import ROUND

_BLANK = {"v": 1, "id": "0" * 32, "probe": "p-" + "0" * 16}
_VANTAGES = {
    "vantage": {"country": "RU", "asn": 64501, "resolver_class": "isp", "geo": "flag"},
    "control": {
        "country": "FR",
        "asn": 64503,
        "role": "control",
        "resolver_class": "isp",
        "geo": "flag",
    },
}
_NEVER = ("endpoint", "sent_bytes")
_BY_STEP = {"dns": ("at_us",), "tcp": ("at_us",), "tls": ("errno",)}


def pack(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a measurement as it stands in a golden file."""
    packed: dict[str, Any] = {"target": plain["target"]}
    who = next((k for k, v in _VANTAGES.items() if v == plain["vantage"]), None)
    packed["vantage"] = who or plain["vantage"]
    if away := plain["round"] - ROUND:
        packed["away_ms"] = away
    packed |= {k: plain[k] for k in ("combine", "clock_offset_ms", "retest") if k in plain}
    listed = [ref["id"] for ref in plain.get("endpoints", ())]
    if plain["target"].startswith("liveness/"):
        listed.sort()  # they are asked in an order drawn anew each time
    rows: dict[str, list[dict[str, Any]]] = {id: [] for id in listed}
    for seen in plain["observations"]:
        rows.setdefault(seen["endpoint"], []).append(_short(seen))
    return packed | {"endpoints": rows}


def unpack(packed: dict[str, Any]) -> dict[str, Any]:
    """Return the measurement again."""
    who = packed["vantage"]
    round = ROUND + packed.get("away_ms", 0)
    plain = _BLANK | {k: v for k, v in packed.items() if k not in ("away_ms", "endpoints")}
    refs, observations = [], []
    for id, rows in packed["endpoints"].items():
        host, _, protocol = _parts(id)
        refs.append({"id": id, "protocol": protocol, "host": host})
        observations += [_long(row, id) for row in rows]
    return plain | {
        "vantage": _VANTAGES[who] if isinstance(who, str) else who,
        "round": round,
        "started": round,
        "endpoints": refs,
        "observations": observations,
    }


def _parts(id: str) -> tuple[str, int, str]:
    """Host (empty for an address), port and protocol in an endpoint's id."""
    authority, _, protocol = id.rpartition("/")
    host, _, port = authority.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host, int(port), protocol
    return "", int(port), protocol


def _implied(step: str, id: str) -> dict[str, Any]:
    """What an observation has when it does not say otherwise."""
    host, port, _ = _parts(id)
    if step == "dns":
        return {"name": host, "resolver": "system"}
    named = {"http": {"host": host}, "tcp": {}, "app": {}}.get(step, {"sni": host})
    more = {"hello_bytes": 1500} if step == "tls" else {}
    return {"port": port} | named | more


def _short(seen: dict[str, Any]) -> dict[str, Any]:
    step = seen["step"]
    implied = _implied(step, seen["endpoint"])
    drop = (*_NEVER, *_BY_STEP.get(step, ()))
    kept = {k: v for k, v in seen.items() if k not in drop and implied.get(k) != v}
    if "contrast" in kept and kept.get("purpose") == "contrast":
        del kept["purpose"]
    if step == "tls" and "failure" not in kept:
        kept.pop("received_bytes", None)
    if "chain" in kept:
        kept["chain"] = [_brief(c["sha256"]) for c in kept["chain"]]
    if "body_sha256" in kept:
        kept["body_sha256"] = _brief(kept["body_sha256"])
    return kept


def _long(row: dict[str, Any], id: str) -> dict[str, Any]:
    seen = {"endpoint": id} | _implied(row["step"], id) | row
    if "contrast" in row:
        seen.setdefault("purpose", "contrast")
    if "chain" in row:
        seen["chain"] = [{"sha256": f"{int(c, 16):064x}"} for c in row["chain"]]
    if "body_sha256" in row:
        seen["body_sha256"] = f"{int(row['body_sha256'], 16):064x}"
    return seen


def _brief(sha256: str) -> str:
    return sha256.lstrip("0")
