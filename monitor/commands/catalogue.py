# SPDX-License-Identifier: Apache-2.0
"""`reachwatch catalogue`: check, sign and publish a catalogue of services."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from monitor.paths import read_secret
from probes.runtime.clock import wall_clock
from probes.runtime.options import OptionError


async def run(given: argparse.Namespace) -> int:
    """Run one command; return the exit status."""
    match given.command:
        case "catalogue sign":
            _sign(given)
        case "catalogue publish":
            await _publish(given)
        case "catalogue drift":
            from monitor.commands import drift

            return await drift.run(given)
        case _:
            return lint(given.directory)
    return 0


def lint(directory: Path | None) -> int:
    """Print the problems of a catalogue, and on stderr what would improve it; return 1 when there
    are problems."""
    from probes.catalogue import lint as linter
    from probes.catalogue.load import SHIPPED

    chosen = directory or SHIPPED
    problems = linter.lint(chosen)
    for problem in problems:
        print(problem)
    today = dt.datetime.fromtimestamp(wall_clock() / 1000, dt.UTC).date()
    for line in (*linter.advise(chosen), *linter.not_read_again(chosen, today)):
        print(f"advice: {line}", file=sys.stderr)
    return 1 if problems else 0


def _sign(given: argparse.Namespace) -> None:
    # Here and below: `lint` needs neither cryptography nor an MQTT client.
    from monitor.signed_catalogue import make_key, read_document, sign

    if given.new_key:
        print(f"public key: {make_key(given.key)}", file=sys.stderr)
    serial = given.serial or wall_clock() // 1000
    document = sign(
        given.directory, given.key, serial, ways=given.way, laboratory=given.allow_private
    )
    if given.output is None:
        sys.stdout.buffer.write(document)
        return
    try:
        given.output.write_bytes(document)
    except OSError as error:
        raise OptionError(f"--output: {given.output}: {error.strerror or error}") from None
    _, found = read_document(given.output)
    print(f"{given.output}: {_described(found.header.key, len(document))}", file=sys.stderr)


def _described(key: str, size: int) -> str:
    return f"{size:,} bytes, signed by {key}"


async def _publish(given: argparse.Namespace) -> None:
    from monitor.signed_catalogue import publish, read_document
    from probes.runtime.mqtt import BrokerError

    document, found = read_document(given.file)
    secret = read_secret(given.mqtt_secret_file) if given.mqtt_secret_file else ""
    try:
        await publish(
            document, given.broker, given.mqtt_user, secret, replace_key=given.replace_key
        )
    except (BrokerError, ValueError) as error:
        raise OptionError(str(error)) from None
    print(f"published: {_described(found.header.key, len(document))}", file=sys.stderr)
