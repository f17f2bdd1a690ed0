# SPDX-License-Identifier: Apache-2.0
"""What `token new` prints beside the token: how a volunteer uses it. Pure, except for the QR code,
for which segno is loaded."""

from __future__ import annotations

import ipaddress
from typing import TextIO
from urllib.parse import urlsplit

from monitor.interop.forms import rfc3339

_CONTAINER = (
    "docker run -d --name reachprobe --restart unless-stopped --read-only --tmpfs /tmp "
    "--cap-drop ALL --security-opt no-new-privileges --memory 128m --pids-limit 64 "
    "-v reachprobe:/var/lib/reachprobe -e REACHPROBE_TOKEN={token} "
    "-e REACHPROBE_ACCEPT_RISKS=HASH -e REACHPROBE_COUNTRY=CC -e REACHPROBE_ASN=N reachprobe"
)


def unreachable(url: str) -> str:
    """Return a warning when volunteers elsewhere cannot enrol at this address, '' otherwise."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
        local = address.is_loopback or address.is_unspecified
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    if not local:
        return (
            f"this token leads to {url}, and probes refuse plain http (unless they are given "
            "--plain-http): give an https:// address with --public-url"
            if url.startswith("http://")
            else ""
        )
    return (
        f"this token leads to {url}, which only this machine can reach: for volunteers elsewhere, "
        "give the address at which they reach this monitor with --public-url"
    )


def container_line(token: str) -> str:
    """Return the one command that runs a container which enrols itself."""
    return _CONTAINER.format(token=token)


def commands(token: str, uses: int, expires_ms: int) -> list[str]:
    """Return the lines for a volunteer: three commands, and what they must fill in."""
    return [
        "The token is not shown again. On the volunteer's machine:",
        "",
        "  pip install '.[quic]'     # in a copy of the sources of Reachwatch",
        f"  reachprobe join {token}",
        "  reachprobe run --country CC --asn N",
        "",
        "`join` shows the risks and asks for agreement before it uses the token. CC and N are the "
        "country and the AS number of the volunteer's network.",
        "For a container: `reachwatch token new --container`.",
        f"It enrols {'one probe' if uses == 1 else f'{uses} probes'} until {rfc3339(expires_ms)}.",
    ]


def print_qr_code(token: str, out: TextIO) -> None:
    """Print the token as a QR code, two modules a character; nothing on a terminal that has no
    block characters."""
    import segno  # only this needs it

    try:
        "▀▄█".encode(out.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return
    segno.make_qr(token, error="l").terminal(out=out, compact=True, border=2)
