# SPDX-License-Identifier: Apache-2.0
"""Our side: one process that measures rounds on demand, through the production path.

`worker.py TCP_PORT TLS_PORT DNS_PORT NAME CA_FILE CURVE` reads lines `WORK COUNT` on standard
input and writes how many observations there were and how many of them failed. A round is
`probes.rounds.round.measure_round` over the real network; each measurement is scrubbed and encoded
as the daemon does, and thrown away."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from probes.cli.daemon_process import keep_memory_low
from probes.endpoint.timeouts import Timeouts
from probes.net import tls
from probes.net.guard import Guard
from probes.net.resolvers import ResolverRoute
from probes.net.socket_network import SocketNetwork
from probes.privacy.scrub import scrub
from probes.privacy.withheld import without_quotations
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan, Setup
from probes.wire import codec
from probes.wire.measurement import Measurement, Software, Vantage
from probes.wire.target import Catalogue, Endpoint, Target

PER_TARGET = 2
"""Endpoints of one measurement; the shipped catalogue has 221 in 108 targets."""
PER_ROUND = 200
WINDOW = 0.3
"""Seconds of listening for second DNS answers, in place of 3: it costs time, not processor."""
QUESTIONS = 2
"""Each name is asked for A and AAAA."""


def targets(work: str, count: int, port: int, name: str, trust: str) -> list[Target]:
    """`count` endpoints of one protocol, a few to a target, each at its own address or name."""
    endpoints = []
    for number in range(count):
        place = f"127.0.{1 + number // 250}.{1 + number % 250}"
        match work:
            case "tcp":
                endpoints.append(Endpoint(address=place, port=port, protocol="tcp"))
            case "tls":
                endpoints.append(
                    Endpoint(address=place, port=port, protocol="tls", sni=name, trust=trust)
                )
            case _:
                host = f"n{number}.{name}"
                endpoints.append(Endpoint(host=host, port=port, protocol="dns"))
    return [
        Target(id=f"bench/t{start}", endpoints=tuple(endpoints[start : start + PER_TARGET]))
        for start in range(0, count, PER_TARGET)
    ]


async def measure(setup: Setup, chosen: Sequence[Target], count: int) -> tuple[int, int]:
    """Measure rounds until `count` endpoints are done; how many observations there were, and how
    many of them failed."""
    seen = failed = 0
    own = ("203.0.113.7", "2001:db8::7", "volunteer.example")

    def emit(draft: Measurement) -> None:
        nonlocal seen, failed
        clean = without_quotations(scrub(draft, own))
        codec.encode(clean)
        seen += len(clean.observations)
        failed += sum(o.failure is not None for o in clean.observations)

    for done in range(0, count, PER_ROUND):
        part = chosen[: -(-min(PER_ROUND, count - done) // PER_TARGET)]
        await measure_round(
            setup,
            RoundPlan(targets=part, round_ms=0, interval_ms=300_000),
            emit=emit,
            rng=random.Random(done),
        )
    return seen, failed


async def main(ports: dict[str, int], name: str, trust: str, curve: str) -> None:
    """Measure what standard input asks for, until it ends."""
    # The production context, shared by every handshake; here it offers one group alone.
    tls.context_for("default", trust).set_ecdh_curve(curve)
    setup = Setup(
        network=SocketNetwork(guard=Guard(allow_private=True)),
        catalogue=Catalogue(version="bench", services=()),
        vantage=Vantage(),
        software=Software(),
        probe="p-0123456789abcdef",
        system=(ResolverRoute("system", "udp", "127.0.0.1", ports["dns"]),),
        timeouts=Timeouts(window=WINDOW),
    )
    chosen = {work: targets(work, PER_ROUND, ports[work], name, trust) for work in ports}
    loop = asyncio.get_running_loop()
    keep_memory_low()  # as the daemon does
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        work, count = line.split()
        seen, failed = await measure(setup, chosen[work], int(count))
        print(seen, failed, flush=True)


if __name__ == "__main__":
    tcp, tls_port, dns, name, ca_file, curve = sys.argv[1:]
    ports = {"tcp": int(tcp), "tls": int(tls_port), "dns": int(dns)}
    asyncio.run(main(ports, name, Path(ca_file).read_text(), curve))
