# SPDX-License-Identifier: Apache-2.0
"""Whether a port that a server will listen on is taken, asked before anything else is prepared.

Run as a program, it does so for `reachwatch up` before any package is there, so it imports the
standard library alone; exit status 2 and one line when the port of `--http` is taken.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Mapping, Sequence

DEFAULT_HTTP = "127.0.0.1:8080"


def taken(host: str, port: int) -> bool:
    """Whether another program listens on the address. Anything else that is wrong with it is left
    to whoever binds it."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                attempt.bind(address)
                attempt.listen(1)  # two may bind with SO_REUSEADDR, and one listen
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def reason(option: str, host: str, port: int) -> str:
    """The line about a taken port."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        f"--{option}: {place} is used by another program; stop it, or choose another port with "
        f"--{option} HOST:PORT"
    )


def requested(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The value of `--http` on a command line, in the environment, or the default."""
    value = environment.get("REACHWATCH_HTTP") or DEFAULT_HTTP
    for index, word in enumerate(arguments):
        if word.startswith("--http="):
            value = word.partition("=")[2]
        elif word == "--http" and index + 1 < len(arguments):
            value = arguments[index + 1]
    return value


def main(arguments: Sequence[str]) -> int:
    """Exit status 2 when the port is taken. What cannot be read is left to `reachwatch up`."""
    if {"-h", "--help", "--config"}.intersection(arguments) or "REACHWATCH_CONFIG" in os.environ:
        return 0
    host, _, port = requested(arguments, os.environ).rpartition(":")
    host = host.strip("[]")
    if port.isdecimal() and 0 < int(port) < 65536 and taken(host, int(port)):
        print(f"reachwatch: {reason('http', host, int(port))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
