# SPDX-License-Identifier: Apache-2.0
"""Where this probe is, and which addresses and names are its own.

Country and network come from options or from the offline table on this machine (`geo`). Own
addresses and names are gathered only to be removed from measurements (`scrub`) and from the log;
they are never sent. The public address is asked of the collector, regularly and after each new
connection, because it may change.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import platform
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from probes.config import AgentConfig
from probes.log import Log
from probes.runtime import geo_table
from probes.wire.countries import COUNTRIES
from probes.wire.measurement import Role, Vantage

PROC = Path("/proc/self/net")
"""Not /proc/net, which does not exist under `subset=pid` (systemd's ProcSubset=pid)."""
CARDS = Path("/sys/class/net")
ASK_SECONDS = 3600.0
FIRST_ANSWER_SECONDS = 8.0
RECENT_SECONDS = 60.0
"""If the collector was asked this recently, a new connection does not ask again."""
MAX_PREVIOUS = 16
"""Previous addresses that are still removed from measurements."""
_HOST_LOCAL = re.compile(r"\|--\s+(\d+\.\d+\.\d+\.\d+)\s+/32 host LOCAL")


def own_identifiers(
    bind: str = "", outside: Iterable[str] = (), proc: Path = PROC, cards: Path = CARDS
) -> tuple[str, ...]:
    """Return the addresses of this machine's interfaces, the one it measures from (`bind`), those
    that the collector sees (`outside`), those of its network cards, and its names; no loopback
    addresses."""
    words = {bind, *outside, platform.node(), platform.node().partition(".")[0]}
    with contextlib.suppress(OSError):  # Linux lists its addresses in files: no socket is needed
        words.update(_HOST_LOCAL.findall((proc / "fib_trie").read_text()))
    with contextlib.suppress(OSError):
        for line in (proc / "if_inet6").read_text().splitlines():
            words.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
    for card in cards.glob("*/address"):
        with contextlib.suppress(OSError):
            if (address := card.read_text().strip()).strip("0:"):
                words.add(address)
    return tuple(sorted(word for word in words if word and not _is_loopback(word)))


def is_address(word: str) -> bool:
    """Whether the word is an IP address."""
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _is_loopback(word: str) -> bool:
    return ipaddress.ip_address(word).is_loopback if is_address(word) else word == "localhost"


def locate(
    *,
    country: str,
    asn: int | None,
    role: str = "vantage",
    outside: Iterable[str] = (),
    nameserver: str = "",
    resolver_class: str = "unknown",
    directory: Path | None = None,
) -> Vantage:
    """Return the Vantage: from the options, else from the table in the directory, else unknown.

    `outside` are the public addresses of this machine. A table that cannot be used is ignored.
    The network of the nameserver is looked up too; its address is not part of the Vantage.
    What a table has in place of a country (`EU`) is unknown: the collector would not accept it.
    """
    here, there, version = geo_table.Location(), geo_table.Location(), ""
    if directory is not None and (directory / geo_table.FILE_NAME).exists():
        with (
            contextlib.suppress(geo_table.GeoError),
            geo_table.GeoTable(directory / geo_table.FILE_NAME) as table,
        ):
            found = (table.lookup(address) for address in outside)
            here = next(filter(None, found), here)
            there = table.lookup(nameserver) or there
            version = table.version
    given = bool(country) or asn is not None
    in_table = here != geo_table.Location()
    return Vantage(
        country=country
        or (here.country if here.country in COUNTRIES else geo_table.UNKNOWN_COUNTRY),
        asn=here.asn if asn is None else asn,
        role=Role(role),
        resolver_class=resolver_class,
        resolver_asn=there.asn,
        geo="flag" if given else f"table:{version}" if in_table else "none",
    )


class LocationTracker:
    """Keeps the probe's location and own addresses up to date."""

    def __init__(
        self,
        config: AgentConfig,
        log: Log,
        *,
        ask: Callable[[str], tuple[str, ...]],
        on_change: Callable[[Vantage], None],
        nameserver: str = "",
        resolver_class: str = "unknown",
    ) -> None:
        """`ask` returns the public addresses that a collector (its base URL) sees, and may block;
        `on_change` receives every new Vantage."""
        self.own: tuple[str, ...] = ()
        """Addresses and names that must not leave this machine."""
        self._config, self._log, self._ask_collector = config, log, ask
        self._on_change = on_change
        self._nameserver, self._resolver_class = nameserver, resolver_class
        self._answered = asyncio.Event()
        self._asking = asyncio.Lock()
        self._asked_at = -RECENT_SECONDS
        self._addresses: list[str] = []
        """Public addresses, newest first."""
        self._on_new_address: Callable[[], Awaitable[None]] | None = None

    def update(self, outside: Sequence[str] = ()) -> None:
        """Determine location and own words again; `outside` are the public addresses, if known."""
        config = self._config
        self.own = own_identifiers(config.bind, (*outside, *self._addresses))
        secrets = {way.proxy.secret for way in config.brokers if way.proxy} | {config.secret}
        self._log.hide = {*filter(is_address, self.own), *secrets} - {""}
        self._on_change(
            locate(
                country=config.country,
                asn=config.asn,
                outside=outside,
                nameserver=self._nameserver,
                resolver_class=self._resolver_class,
                directory=config.directory,
            )
        )

    async def first_answer(self) -> None:
        """Wait a little for the public address: as long as it is unknown it cannot be removed from
        measurements."""
        if self._config.collector:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ANSWER_SECONDS):
                    await self._answered.wait()

    async def run(self, on_new_address: Callable[[], Awaitable[None]]) -> None:
        """Ask regularly. `on_new_address` is awaited for every new public address: measurements
        stored before may contain it."""
        self._on_new_address = on_new_address
        while self._config.collector:
            await self._ask()
            await asyncio.sleep(ASK_SECONDS if self._addresses else ASK_SECONDS / 10)

    async def reconnected(self) -> bool:
        """Ask at once, before anything is sent: after an interruption the public address has often
        changed. Return whether it has."""
        now = asyncio.get_running_loop().time()
        if not self._config.collector or now - self._asked_at < RECENT_SECONDS:
            return False
        return await self._ask()

    async def _ask(self) -> bool:
        async with self._asking:
            outside = await asyncio.to_thread(self._ask_collector, self._config.collector)
            self._asked_at = asyncio.get_running_loop().time()
            new = [address for address in outside if address not in self._addresses]
            first = not self._answered.is_set()
            self._addresses = [*new, *self._addresses][:MAX_PREVIOUS]
            if outside or first:
                self.update(outside)
            if new and self._on_new_address is not None:
                await self._on_new_address()
            self._answered.set()
            return bool(new)
