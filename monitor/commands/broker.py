# SPDX-License-Identifier: Apache-2.0
"""`reachwatch broker`: make mosquitto's directory, replace its secrets, and say what to do next."""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor import taken_port
from monitor.broker import installation
from monitor.broker.installation import PID, SECRET, TRUSTED, Choice
from monitor.broker.mosquitto import PROBES, reload_by_pid_file
from monitor.commands import broker_options
from probes.runtime.options import OptionError, authority

USER = "reachwatch"


def run(given: argparse.Namespace) -> int:
    """Run one command; return the exit status."""
    directory: Path = given.directory.absolute()
    try:
        if given.command == "broker init":
            _init(given, directory)
        else:
            _rotate(given, directory)
    except OSError as error:
        raise OptionError(f"{error.filename or directory}: {error.strerror or error}") from None
    return 0


def _init(given: argparse.Namespace, directory: Path) -> None:
    choice = _choice(given, installation.kept_choice(directory))
    runs = _is_running(directory)
    for line in [] if runs else _obstacles(choice):
        print(f"reachwatch: {line}", file=sys.stderr)
    changed = installation.prepare(directory, choice)
    reload_by_pid_file(directory / PID)()
    print(f"{directory}: " + (f"made {', '.join(changed)}" if changed else "nothing to change"))
    print(*_next_steps(directory, choice), sep="\n")


def _choice(given: argparse.Namespace, kept: Choice | None) -> Choice:
    """What is given now, and else what was chosen before. Raises OptionError."""
    if bool(given.certificate) != bool(given.key):
        raise OptionError("command line: --certificate and --key belong together")
    if given.authority and not given.certificate:
        raise OptionError("command line: --authority belongs to --certificate")
    if not given.host and kept is None:
        raise OptionError("command line: --host is missing: where will probes reach the broker?")
    user = USER if os.geteuid() == 0 else getpass.getuser()
    before = kept or Choice(host=given.host, user=user)
    names = ("host", "user", "port", "monitor_port", "websockets_port")
    chosen = {name: getattr(given, name) for name in names if getattr(given, name)}
    if given.certificate:
        own = (given.certificate, given.key, given.authority)
        files = [str(path.absolute()) if path else "" for path in own]
        chosen |= dict(zip(("certificate", "key", "authority"), files, strict=True))
    return msgspec.structs.replace(before, **chosen)


def _obstacles(choice: Choice) -> Iterator[str]:
    """What would keep mosquitto from starting, each with its remedy."""
    if shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        yield "mosquitto is not installed here; on Debian: apt install mosquitto"
    for host, port in (("127.0.0.1", choice.monitor_port), ("", choice.port)):
        if taken_port.taken(host, port):
            yield (
                f"port {port} is used by another program; Debian starts a mosquitto of its own: "
                "systemctl disable --now mosquitto"
            )


def _is_running(directory: Path) -> bool:
    try:
        os.kill(int((directory / PID).read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _next_steps(directory: Path, choice: Choice) -> Iterator[str]:
    place = authority(choice.host, choice.port)
    urls = [f"--broker mqtts://{place}"]
    if choice.websockets_port:
        urls.append(f"--broker wss://{authority(choice.host, choice.websockets_port)}")
    own = f"--broker mqtt://127.0.0.1:{choice.monitor_port} --mqtt-secret-file {directory / SECRET}"
    yield f"Start these as the user {choice.user}, the last three with one --database or --data:"
    yield f"  mosquitto -c {directory / 'mosquitto.conf'}"
    yield (
        f"  reachwatch serve {' '.join(urls)} --mosquitto-passwords {directory / PROBES} "
        f"--mosquitto-pid {directory / PID} --public-url URL"
    )
    yield f"  reachwatch collect {own}"
    yield f"  reachwatch detect {own}"
    yield "deploy/systemd in the repository has units for them."
    if (directory / TRUSTED).exists():
        yield (f"Give {directory / TRUSTED} to every probe, which needs its path in SSL_CERT_FILE.")


def _rotate(given: argparse.Namespace, directory: Path) -> None:
    if given.finish and given.what != broker_options.AUTHORITY:
        raise OptionError("command line: --finish belongs to `rotate authority`")
    match given.what:
        case broker_options.CERTIFICATE:
            changed = installation.renew_certificate(directory)
            after = "mosquitto shows the new certificate; probes notice nothing."
        case broker_options.SECRET:
            changed = installation.renew_secret(directory)
            after = (
                "Restart `reachwatch collect` and `reachwatch detect`, which mosquitto has logged "
                "out; probes keep what they measure meanwhile."
            )
        case _ if given.finish:
            changed = installation.finish_authority(directory)
            after = (
                "The new authority is in use. A probe without it keeps its measurements, and sends "
                f"them once it has {directory / TRUSTED}."
            )
        case _:
            changed = installation.begin_authority(directory)
            after = (
                f"{directory / TRUSTED} holds the old and the new authority. Give it to every "
                "probe, and restart each; when all have it: "
                f"reachwatch broker rotate authority {directory} --finish"
            )
    running = _is_running(directory)
    reload_by_pid_file(directory / PID)()
    print(f"{directory}: made {', '.join(changed)}")
    if not running:
        print("mosquitto does not run: it reads them when it starts.")
    print(after)
