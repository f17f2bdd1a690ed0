# SPDX-License-Identifier: Apache-2.0
"""Options of `reachwatch catalogue`."""

from __future__ import annotations

from collections.abc import Callable

from monitor.commands.compare_options import add_format
from probes.runtime.broker_url import way_url
from probes.runtime.options import Parser, moment, path


def add_catalogue(
    top: Parser, connection: Callable[[Parser], None], store: Callable[[Parser], None]
) -> None:
    """Add the commands; `connection` adds the options of a broker, `store` those of a store and of
    the catalogue."""
    catalogue = top.group("catalogue", "check, sign or publish a catalogue of services")
    lint = catalogue.command(
        "lint", "print the errors in a catalogue; exit with status 1 if there are any"
    )
    lint.add_argument(
        "directory",
        type=path,
        nargs="?",
        metavar="DIR",
        help="catalogue of services (default: the built-in catalogue)",
    )
    sign = catalogue.command(
        "sign", "make one signed file of a catalogue, for the probes that trust the key"
    )
    sign.add_argument("directory", type=path, metavar="DIR", help="catalogue of services")
    sign.option(
        "--key FILE", "file with the private Ed25519 key (PEM), mode 0600", read=path, required=True
    )
    sign.option("--new-key", "create the key file first, and print the public key")
    sign.option(
        "--way URL",
        "URL at which probes reach this monitor from now on (repeatable), once one of them works: "
        "mqtts://, wss:// or https://, with ?address=IP one that needs no name",
        read=way_url,
        many=True,
    )
    sign.option(
        "--serial N",
        "serial number; a probe takes no catalogue with a lower one than it has (default: the time "
        "in seconds)",
        read=_serial,
    )
    sign.option(
        "--allow-private",
        "do not apply the limits of probes, for a laboratory whose probes have this option as well",
    )
    sign.option("--output FILE", "output file (default: standard output)", read=path)
    publish = catalogue.command(
        "publish", "publish a signed catalogue to the probes; the broker retains it"
    )
    publish.add_argument("file", type=path, metavar="FILE", help="a file made by `catalogue sign`")
    publish.option(
        "--replace-key",
        "publish it also in the place of a catalogue that another key has signed; probes that "
        "trust that key keep what they have",
    )
    connection(publish)
    drift = catalogue.command(
        "drift",
        "show which endpoints OONI's tests contact that the catalogue lacks, which it has that "
        "they do not contact, and in how many countries each works",
    )
    store(drift)
    drift.option("--since T", "only rounds from then on, e.g. 2026-05-04", read=moment)
    drift.option("--until T", "only rounds up to then", read=moment)
    add_format(drift, "endpoints that need a look; csv and jsonl have all")
    drift.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="OONI's measurements (as for `import ooni`) to use instead of the store, which keeps "
        "only what belongs to the catalogue; - is standard input",
    )


def _serial(text: str) -> int:
    """A whole number from 1; `positive` ends before the present time in seconds."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 2**53:
        raise ValueError(f"must be a whole number from 1 to 2^53, not {text[:40]!r}")
    return int(text)
