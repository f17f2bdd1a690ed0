"""Play one case in one laboratory and write down what was measured and judged.

`python -m tests.lab.run SEED NUMBER FOLDER`, as root in namespaces of its own (see `play`). The
case is known here, by its place in the seed's order, and to nobody who measures.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.cases import BY_NAME
from tests.lab.interferer import EVERY
from tests.lab.plan import Plan, Service, draw
from tests.lab.world import ROOT, World, command

LIMIT_SECONDS = 100
UNSHARE = (
    "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private",
)  # fmt: skip


def play(seed: int, number: int, folder: Path) -> dict[str, Any]:
    """Play a case in a child process with namespaces of its own; return its record."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.lab.run", str(seed), str(number), str(folder)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS + 30,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{folder}: {done.stdout}\n{done.stderr}")
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def disturb(world: World, plan: Plan, case: str, victim: Service) -> None:
    """Make the trouble of one case."""
    host, name = victim.host, victim.host.name
    match case.split("."):
        case ["dns", "injected_first"]:
            someone = next(h for h in plan.international if plan.forged in h.v4)
            order = {"name": name, "address": plan.forged, "address6": someone.v6[0]}
            world.interfere({"inject": order})
        case ["dns", how]:
            lie = _LIES.get(how) or {"address": plan.bogon if how == "bogon" else plan.forged}
            whole = {"upstream": plan.resolver, "whole_path": plan.whole_path}
            world.interfere({"dns": {"name": name} | whole | lie})
        case ["tcp", how]:
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {'ip6' if v6 else 'ip'} daddr {a} "
                    f"tcp dport {host.port} {_ENDS[how][v6]}"
                    for a in host.addresses
                    if (v6 := ":" in a) or how != "family"
                )
            )
        case ["tls", "foreign_certificate"]:
            world.interfere({"tls": _pretend(world, name)})
        case ["tls", "address"]:
            # Connections come about; nothing with a payload passes, whatever the name.
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {'ip6' if ':' in a else 'ip'} daddr {a} "
                    "tcp dport 443 tcp flags & psh == psh drop"
                    for a in host.addresses
                )
            )
        case ["tls", how]:
            world.interfere({"tls": {"name": name, "act": how}})
        case ["http", how]:
            act = _HTTP[how][plan.seed % 2]
            world.interfere({"http": {"name": name, "act": act}})
        case _:
            _trouble(world, plan, case)


_LIES: dict[str, dict[str, Any]] = {
    "nxdomain": {"rcode": "NXDOMAIN"},
    "refused": {"rcode": "REFUSED"},
    "servfail": {"rcode": "SERVFAIL"},
    "empty": {"empty": True},
    "drop": {"silent": True},
}
_ENDS = {
    "drop": ("drop", "drop"),
    "family": ("drop", "drop"),
    "reset": ("reject with tcp reset", "reject with tcp reset"),
    "admin_prohibited": (
        "reject with icmp type admin-prohibited",
        "reject with icmpv6 type admin-prohibited",
    ),
    "port_unreachable": (
        "reject with icmp type port-unreachable",
        "reject with icmpv6 type port-unreachable",
    ),
}
_HTTP = {
    "block_page": ("page", "page_as_if_well"),
    "451": ("law", "law"),
    "redirect": ("away", "away"),
    "reset": ("reset", "reset"),
    "drop": ("drop", "drop"),
}


def _pretend(world: World, name: str) -> dict[str, str]:
    certificate, key = world.stranger_certificate("any.invalid" if name == EVERY else name)
    return {"name": name, "act": "pretend", "certificate": str(certificate), "key": str(key)}


def _trouble(world: World, plan: Plan, case: str) -> None:
    """Harmless trouble that concerns everybody."""
    match case:
        case "vantage_offline":
            world.ip("-n", "isp", "link", "set", "up0", "down")
        case "v6_broken":
            world.nft("add rule inet c f meta nfproto ipv6 drop")
        case "loss":
            world.nft("add rule inet c f numgen random mod 100 < 10 drop")
        case "slow":
            world.delay(0.3)
        case "portal":
            act = {"name": EVERY, "act": "page"}
            world.interfere({"http": act, "tls": act})
        case "interception":
            world.interfere({"tls": _pretend(world, EVERY)})
        case "allow_list":
            kept = [*plan.domestic.addresses, plan.resolver, plan.reference.v4[0]]
            world.nft(
                *(
                    f"add rule inet c f iifname pr1 {'ip6' if ':' in a else 'ip'} daddr {a} accept"
                    for a in kept
                ),
                "add rule inet c f iifname pr1 drop",
            )
        case _:
            pass  # the world itself is the case: a server that is not there, answers by place


def main(seed: int, number: int, folder: Path) -> None:
    """Build, disturb, measure from both sides at once, judge, write down."""
    subprocess.run(["hostname", "laboratory"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    began = time.monotonic()
    plan = draw(seed)
    case = plan.order[number]
    victim = plan.service(plan.victims[case])
    world = World(plan, folder)
    try:
        world.build(unserved=victim.id if case == "service_down" else "")
        disturb(world, plan, case, victim)
        built = time.monotonic()
        files = {"probe": folder / "probe.jsonl", "control": folder / "control.jsonl"}
        runs = {
            "probe": world.measure("probe", "vantage", plan.resolver, files["probe"]),
            "control": world.measure("control", "control", plan.reference.v4[0], files["control"]),
        }
        codes = {space: process.wait(LIMIT_SECONDS) for space, process in runs.items()}
        measured = time.monotonic()
        with files["probe"].open("rb") as given:
            judged = subprocess.run(
                [*command("reachwatch"), "judge", "--probe", "-", "--control",
                 str(files["control"]), "--json"],
                stdin=given, capture_output=True, text=True, env=world.environment(), check=False,
            )  # fmt: skip
    finally:
        world.close()
    record = {
        "case": case,
        "victim": victim.target,
        "codes": codes,
        "judge_code": judged.returncode,
        "judge_err": judged.stderr,
        "verdicts": [json.loads(line) for line in judged.stdout.splitlines()],
        "seen_by_probe": {
            "arguments": [str(a) for a in runs["probe"].args],  # type: ignore[union-attr]
            "environment": world.environment(),
            "host": platform.node(),
            "catalogue": {
                str(p.relative_to(world.catalogue)): p.read_text()
                for p in sorted(world.catalogue.rglob("*"))
                if p.is_file()
            },
        },
        "seconds": {
            "build": round(built - began, 2),
            "measure": round(measured - built, 2),
            "whole": round(time.monotonic() - began, 2),
        },
    }
    assert case in BY_NAME
    (folder / "record.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
