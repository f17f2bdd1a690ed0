# SPDX-License-Identifier: Apache-2.0
"""What a probe costs: `./scripts/bench probe [--repeats N] [--part X] [--rounds N] [--only PART]`.

Processor time for one probe beside Debian's blackbox_exporter, in turns on the same servers of
this machine; then the daemon itself on the shipped catalogue, in a network namespace where
everything is answered by stand-ins; then, with `--only link`, over a mobile link, to a
monitor. Nothing outside this machine is contacted. See docs/evaluation/probe-cost.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.probing import link, peer, standins, whole
from benchmarks.probing.compare import compare, report


def main() -> int:
    """Run the parts asked for and print their figures."""
    parser = argparse.ArgumentParser(prog="bench probe", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=25, help="of each side and work (25)")
    parser.add_argument("--part", type=float, default=1.0, help="of the usual counts (1)")
    parser.add_argument(
        "--rounds",
        type=int,
        help="of the daemon (48 of the lean profile, which are a day; 12 with --full)",
    )
    parser.add_argument("--only", choices=("compare", "round", "link"))
    parser.add_argument(
        "--seconds", type=float, default=1440, help="of the link; a day of the default (1440)"
    )
    parser.add_argument("--quic", action="store_true", help="the daemon has the extra quic")
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="interpreter for our side, of an environment with no more than it needs (this one; "
        "scripts/bench gives that of the image)",
    )
    given = parser.parse_args()
    needed = ("nginx", "iptables") if given.only == "link" else ("nginx", peer.PROGRAM)
    missing = [name for name in needed if not standins.program(name)]
    if missing:
        print(f"bench probe: not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    hidden = "" if given.quic else whole.HIDDEN
    if given.only == "link":
        names = [profile.name for profile in link.PROFILES]
        return asyncio.run(link.run(names, given.seconds, hidden, given.python))
    if given.only != "round":
        for held in (False, True):
            costs = asyncio.run(compare(given.repeats, given.part, given.python, held=held))
            print("Both held to one core:" if held else "Both as anybody starts them:")
            print("", *report(costs), "", sep="\n", flush=True)
    if given.only != "compare":
        print(flush=True)
        return max(
            asyncio.run(whole.run(given.rounds or (12 if full else 48), hidden, given.python, full))
            for full in (False, True)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
