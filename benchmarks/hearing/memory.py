# SPDX-License-Identifier: Apache-2.0
"""Memory of the daemon after ten rounds of the shipped catalogue, with and without QUIC."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.probing import whole

ROUNDS = 10
GOAL_MB = {"": 60.0, whole.HIDDEN: 50.0}
"""By the packages that are hidden."""
_ALONE = (
    "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && "
    'ip -6 route add local ::/0 dev lo && exec "$@"'
)


@dataclass(frozen=True)
class Resident:
    """Memory after so many rounds, in MB of 10^6 bytes."""

    hidden: str
    python: str
    last: float
    most: float

    @property
    def reached(self) -> bool:
        """Whether it is small enough."""
        return self.last <= GOAL_MB[self.hidden]

    def line(self) -> str:
        """One line of the table."""
        return (
            f"memory {'without' if self.hidden else 'with'} QUIC, Python {self.python}, after "
            f"{ROUNDS} rounds: {self.last:.1f} MB, most {self.most:.1f} (goal "
            f"{GOAL_MB[self.hidden]:.0f})  " + ("reached" if self.reached else "MISSED")
        )


async def run(hidden: str, python: str) -> Resident:
    """Measure, in a network namespace in which every address is this machine."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "sh", "-c", _ALONE, "sh", sys.executable, __file__, hidden, python),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # as in the image
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"memory: exit status {process.returncode}")
    rss = json.loads(told)
    version = await asyncio.create_subprocess_exec(
        *(python, "-c", "import platform; print(platform.python_version())"),
        stdout=asyncio.subprocess.PIPE,
    )
    named, _ = await version.communicate()
    return Resident(hidden, named.decode().strip(), rss[-1], max(rss))


def main(hidden: str, python: str) -> int:
    """Measure, inside the namespace."""
    print(json.dumps(asyncio.run(whole.measure(ROUNDS, hidden, python, full=False)).rss))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
