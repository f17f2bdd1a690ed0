# SPDX-License-Identifier: Apache-2.0
"""`reachwatch`: the command line of the research centre. Parsing and dispatch only; what a
command does is in the module that it names. Bad input is one line on stderr and exit 2.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import os
import sys
from collections.abc import Coroutine, Sequence
from types import ModuleType
from typing import Any

from monitor import taken_port
from monitor.commands.options import build
from probes.runtime.early_end import end_when_asked
from probes.runtime.options import OptionError

_LASTING = ("up", "collect", "detect", "serve", "follow")
"""Commands that go on until they are ended; the modules of most take seconds to load."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    if arguments is None and sys.argv[1:2] and sys.argv[1] in _LASTING:
        end_when_asked()
    try:
        parser = build()
        given = parser.read(sys.argv[1:] if arguments is None else arguments)
        for line in parser.unknown_variables(os.environ):
            print(f"reachwatch: {line}", file=sys.stderr)
        _refuse_taken_ports(given)
        return _dispatch(given)
    except OptionError as error:
        print(f"reachwatch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse_taken_ports(given: argparse.Namespace) -> None:
    """Before any module is loaded that takes seconds. Raises OptionError."""
    for option in ("http", "mqtt", "metrics"):
        address = getattr(given, option, None)
        if address is not None and address[1] and taken_port.taken(*address):
            raise OptionError(taken_port.reason(option, *address))


SWITCH_SECONDS = 0.001
"""Python's own is 0.005."""
_SERVER = "monitor.pipeline"
_MODULES = {
    **dict.fromkeys(("up", "collect", "detect", "serve"), _SERVER),
    "audit": "monitor.commands.audit",
    "broker": "monitor.commands.broker",
    "catalogue": "monitor.commands.catalogue",
    "compare": "monitor.commands.compare",
    "judge": "monitor.commands.judge",
    "replay": "monitor.commands.replay",
    "explain": "monitor.commands.explain",
    "import": "monitor.interop.importing",
    "export": "monitor.interop.exporting",
    "verify": "monitor.commands.verify",
    "fingerprints": "monitor.commands.fingerprints",
    "follow": "monitor.commands.follow",
}
"""Where the `run` of a command is; the others are upkeep."""


def _dispatch(given: argparse.Namespace) -> int:
    # Imported here: `judge` should not wait for SQLAlchemy, nor `--help` for anything.
    name = _MODULES.get(given.command.split()[0], "monitor.commands.upkeep")
    module = _server() if name == _SERVER else importlib.import_module(name)
    status: int | Coroutine[Any, Any, int] = module.run(given)
    return status if isinstance(status, int) else asyncio.run(status)


def _server() -> ModuleType:
    """The module of the servers. Modules stay until the end of the process: without this the
    garbage collector looks through them again and again, and stops every answer for 0.2 s."""
    gc.disable()
    try:
        # What a thread computes shall not keep the event loop waiting for 5 ms at each turn.
        sys.setswitchinterval(SWITCH_SECONDS)
        return importlib.import_module(_SERVER)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
