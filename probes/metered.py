# SPDX-License-Identifier: Apache-2.0
"""Whether this machine's connection is metered, as NetworkManager knows it.

`nmcli` is asked: it also knows of Android's hotspots, because NetworkManager reads the vendor
option in their DHCP answers. A machine without NetworkManager counts as not metered.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

MODES = ("thin", "pause", "ignore")
"""What to do on a metered connection: a quarter of the rounds and no retests, nothing, or as
usual."""
THIN = 4
"""Factor of the interval in mode `thin`."""
ASK_SECONDS = 300.0
_SECONDS = 10.0
_ROUTES = ("/proc/self/net/route", "/proc/self/net/ipv6_route")
_UP = 0x1
"""Flag of a route that is usable (RTF_UP, linux/route.h)."""
_REJECT = 0x200
"""Flag of a route that refuses (RTF_REJECT)."""


def available() -> bool:
    """Whether there is a NetworkManager to ask."""
    return shutil.which("nmcli") is not None


async def is_metered() -> bool:
    """Ask NetworkManager about the device of the default route; False when it does not answer.
    Takes at most ten seconds."""
    device = default_device(*routes())
    if not device:
        return False
    try:
        process = await asyncio.create_subprocess_exec(
            *("nmcli", "-t", "-f", "GENERAL.METERED", "device", "show", device),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    # `yes`, `no`, `unknown`, or either of the first two with ` (guessed)`.
    return out.startswith(b"GENERAL.METERED:yes")


def routes() -> tuple[str, str]:
    """The kernel's tables of IPv4 and IPv6 routes; empty where they cannot be read."""
    found = []
    for name in _ROUTES:
        try:
            found.append(Path(name).read_text())
        except OSError:
            found.append("")
    return found[0], found[1]


def default_device(ipv4: str, ipv6: str) -> str:
    """The device of the default route, '' without one. The tables are those of proc(5): columns
    of words, numbers in hexadecimal; of several routes that with the least metric counts."""
    found: list[tuple[int, int, str]] = []
    for line in ipv4.splitlines()[1:]:
        words = line.split()
        if len(words) >= 8 and words[1] == words[7] == "00000000" and int(words[3], 16) & _UP:
            found.append((0, int(words[6]), words[0]))
    for line in ipv6.splitlines():
        words = line.split()
        if len(words) == 10 and words[0] == "0" * 32 and words[1] == "00":
            flags = int(words[8], 16)
            if flags & _UP and not flags & _REJECT and words[9] != "lo":
                found.append((1, int(words[5], 16), words[9]))
    return min(found)[2] if found else ""
