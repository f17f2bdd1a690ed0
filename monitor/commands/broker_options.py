# SPDX-License-Identifier: Apache-2.0
"""Options of `reachwatch broker`."""

from __future__ import annotations

import re

from probes.runtime.options import Parser, path, positive

CERTIFICATE, SECRET, AUTHORITY = "certificate", "secret", "authority"


def add_broker(top: Parser) -> None:
    """Add the commands that make a directory for mosquitto, and renew what is in it."""
    broker = top.group("broker", "make all that mosquitto needs to be the broker, and renew it")
    init = broker.command(
        "init",
        "make configuration, access list, passwords and certificate in a directory, and print what "
        "to start. May be repeated: it keeps what fits and makes what is missing or due, such as a "
        "certificate that ends within 30 days",
    )
    init.add_argument("directory", type=path, metavar="DIR", help="directory of the broker")
    init.option(
        "--host NAME",
        "name or address at which probes reach the broker; needed the first time, as all that "
        "follows is kept for the next",
        read=_host,
    )
    init.option("--port N", "port for probes, MQTT over TLS (default: 8883)", read=_port)
    init.option("--monitor-port N", "port on 127.0.0.1 for the monitor (default: 1883)", read=_port)
    init.option("--websockets-port N", "second port for probes, over WebSockets", read=_port)
    init.option(
        "--user NAME",
        "system user that runs mosquitto and the monitor (default: reachwatch, or who calls this "
        "if that is not root)",
    )
    init.option(
        "--certificate FILE",
        "your own certificate with its chain (PEM), copied at each call; without it a private "
        "authority issues one, which probes must be given",
        read=path,
    )
    init.option("--key FILE", "private key of --certificate", read=path)
    init.option(
        "--authority FILE", "private CA that issued --certificate, for the probes", read=path
    )
    rotate = broker.command(
        "rotate", "replace a secret or certificate of the broker without losing probes"
    )
    rotate.add_argument(
        "what",
        choices=(CERTIFICATE, SECRET, AUTHORITY),
        help="the broker's certificate; the monitor's password; or the private CA, in two steps",
    )
    rotate.add_argument("directory", type=path, metavar="DIR", help="directory of the broker")
    rotate.option(
        "--finish",
        "second step of `authority`: use the new CA, once every probe has been given the ca.pem of "
        "the first step",
    )


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}|::[A-Za-z0-9.:]*", text):
        raise ValueError(f"must be a host name or address, not {text!r}")
    return text.lower()


def _port(text: str) -> int:
    if (number := positive(text)) > 65535:
        raise ValueError("must be from 1 to 65535")
    return number
