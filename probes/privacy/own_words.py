# SPDX-License-Identifier: Apache-2.0
"""Where this probe stands, and by which words it could be recognised.

Country and network come from flags or from the offline table on this machine. Own addresses
and names are gathered only to be struck out of what is measured (`probes.privacy.scrub`) and of the
log; they are never sent. Linux lists its addresses in /proc, so no socket is needed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import platform
import re
from collections.abc import Iterable
from pathlib import Path

from probes.net.resolvers import resolver_class
from probes.privacy import geo
from probes.wire.measurement import Role, Vantage

PROC = Path("/proc/self/net")
"""Not /proc/net, which is not there under `subset=pid` (systemd's ProcSubset=pid)."""
_HOST_LOCAL = re.compile(r"\|--\s+(\d+\.\d+\.\d+\.\d+)\s+/32 host LOCAL")


def own_words(bind: str = "", outside: Iterable[str] = (), proc: Path = PROC) -> tuple[str, ...]:
    """Addresses of this machine's interfaces, the one it measures from, those that the world
    sees (`outside`), and its names. Loopback is left out: it is everybody's."""
    words = {bind, *outside, platform.node(), platform.node().partition(".")[0]}
    with contextlib.suppress(OSError):
        words.update(_HOST_LOCAL.findall((proc / "fib_trie").read_text()))
    with contextlib.suppress(OSError):
        for line in (proc / "if_inet6").read_text().splitlines():
            words.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
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


def stand(
    *,
    country: str,
    asn: int | None,
    role: str = "vantage",
    outside: Iterable[str] = (),
    nameservers: Iterable[str] = (),
    directory: Path | None = None,
) -> Vantage:
    """The Vantage: flags first, else the table in the state directory, else unknown.

    A table that cannot be used counts as none. `nameservers` are looked up too, for their
    network; the answers alone travel.
    """
    resolver = next(iter(nameservers), "")
    here, there, version = geo.Place(), geo.Place(), ""
    if directory is not None and (directory / geo.FILE_NAME).exists():
        with contextlib.suppress(geo.GeoError), geo.Table(directory / geo.FILE_NAME) as table:
            seen = (table.lookup(address) for address in outside)
            here = next(filter(None, seen), here)
            there = table.lookup(resolver) or there
            version = table.version
    flagged = bool(country) or asn is not None
    found = here != geo.Place()
    source = "flag" if flagged else f"table:{version}" if found else "none"
    return Vantage(
        country=country or here.country,
        asn=here.asn if asn is None else asn,
        role=Role(role),
        resolver_class=resolver_class(resolver) if resolver else "unknown",
        resolver_asn=there.asn,
        geo=source,
    )
