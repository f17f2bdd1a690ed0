# SPDX-License-Identifier: Apache-2.0
"""`reachwatch`: the command line of the research centre. Parsing and dispatch only; what a
command does is in the module that it names. Bad input is one line on stderr and exit 2.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import monitor
from monitor.alerts import printing
from monitor.commands import options
from monitor.commands.options import OptionError, Parser, duration, host_port, moment, positive
from monitor.interop.fingerprints.options import add_commands, add_directory
from monitor.interop.options import add_commands as add_interop

DEFAULT_DATA = Path("reachwatch-data")


def build() -> Parser:
    """Return the parser of every command."""
    top = Parser(
        prog="reachwatch",
        description="Which messaging services are blocked, in which network, since when, how, "
        "and how sure are we?",
        epilog="Every option can also be set by REACHWATCH_<OPTION> in the environment and by a "
        "TOML file (--config FILE), with underscores for dashes. The command line beats the "
        "environment, which beats the file.",
    )
    top.add_argument("--version", action="version", version=f"reachwatch {monitor.__version__}")
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    _add_servers(commands)
    _add_offline(commands)
    add_commands(commands.add_parser("fingerprints", help="known block pages and addresses"))
    add_interop(commands, _command, _store)
    _add_upkeep(commands)
    return top


Commands = argparse._SubParsersAction


def _command(commands: Commands[Parser], name: str, text: str) -> Parser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same options")
    return parser


def _store(parser: Parser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        metavar="DIR",
        help="where the store and secrets are (default: ./reachwatch-data)",
    )
    parser.add_argument(
        "--database",
        default=None,
        metavar="URL",
        help="SQLAlchemy URL (default: SQLite in the data directory)",
    )


def _policy(parser: Parser) -> None:
    parser.add_argument(
        "--pace",
        type=positive,
        default=None,
        metavar="N",
        help="divide every duration of detecting and alerting by N (default: 1; "
        "10 with --demo); for demonstrations and laboratories",
    )


def _retests(parser: Parser) -> None:
    parser.add_argument(
        "--no-retests",
        action="store_true",
        help="never ask probes to measure a target again at once",
    )


def _mqtt(parser: Parser) -> None:
    parser.add_argument(
        "--broker",
        required=False,
        default="mqtt://127.0.0.1:1883",
        metavar="URL",
        help="mqtt:// or mqtts:// (default: %(default)s)",
    )
    parser.add_argument(
        "--mqtt-user",
        default="monitor",
        metavar="NAME",
        help="the monitor's user on the broker (default: %(default)s)",
    )
    parser.add_argument(
        "--mqtt-secret-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="file with the monitor's secret, mode 0600",
    )


def _site(parser: Parser) -> None:
    parser.add_argument(
        "--http",
        type=host_port,
        default=("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="pages, API and metrics (default: 127.0.0.1:8080)",
    )
    parser.add_argument(
        "--public-url",
        default=None,
        metavar="URL",
        help="base of permalinks and of the tokens' address",
    )
    parser.add_argument(
        "--catalogue",
        type=Path,
        default=None,
        metavar="DIR",
        help="catalogue of services (default: the one shipped)",
    )
    parser.add_argument(
        "--interval",
        type=positive,
        default=None,
        metavar="SECONDS",
        help="interval of the vantages' rounds (default: 300; 60 with --demo, before the pace)",
    )


def _add_servers(commands: Commands[Parser]) -> None:
    up = _command(
        commands,
        "up",
        "everything in one process: embedded broker and store, "
        "collector, detector, pages, and one local probe as a child process, which "
        "contacts the services of the catalogue from this machine",
    )
    _store(up)
    _site(up)
    _policy(up)
    add_directory(up)
    up.add_argument(
        "--mqtt",
        type=host_port,
        default=None,
        metavar="HOST:PORT",
        help="where the embedded broker listens (default: 127.0.0.1:1883, or a free "
        "port when that one is taken)",
    )
    up.add_argument("--no-local-probe", action="store_true", help="start no probe here")
    up.add_argument(
        "--demo",
        action="store_true",
        help="a simulated internet on loopback with ten probes and a scripted block; "
        "nothing outside this machine is contacted",
    )
    up.add_argument(
        "--demo-block",
        default=None,
        metavar="SERVICE:ASN:TECHNIQUE",
        help="what is blocked in the demonstration (default: wechat:64501:tls.reset.sni), or none",
    )
    _retests(up)
    collect = _command(
        commands,
        "collect",
        "take measurements from the broker into the store; any number of these may run",
    )
    _store(collect)
    _mqtt(collect)
    detect = _command(
        commands, "detect", "turn stored measurements into events; one leads, others stand by"
    )
    _store(detect)
    _mqtt(detect)
    _policy(detect)
    _retests(detect)
    add_directory(detect)
    serve = _command(commands, "serve", "pages, API, metrics and enrolment")
    _store(serve)
    _site(serve)
    _policy(serve)
    add_directory(serve, "explain events with the imported fingerprints in here too")
    serve.add_argument(
        "--broker",
        action="append",
        default=None,
        metavar="URL",
        help="broker URL given to probes that enrol; may be repeated",
    )
    serve.add_argument(
        "--mosquitto-passwords",
        type=Path,
        default=None,
        metavar="FILE",
        help="keep this password file of a mosquitto up to date",
    )
    serve.add_argument(
        "--mosquitto-pid",
        type=Path,
        default=None,
        metavar="FILE",
        help="pid file of that mosquitto, which is told to read the passwords again",
    )


def _add_offline(commands: Commands[Parser]) -> None:
    judge = _command(
        commands, "judge", "offline: print a verdict for each target of one vantage's measurements"
    )
    judge.add_argument(
        "--probe",
        required=True,
        metavar="FILE",
        dest="probe_file",
        help="Measurement JSON Lines of a vantage; - is standard input",
    )
    judge.add_argument(
        "--control",
        default=None,
        metavar="FILE",
        dest="control_file",
        help="Measurement JSON Lines of a control",
    )
    judge.add_argument(
        "--window",
        type=duration,
        default=300,
        metavar="SECONDS",
        help="how far the nearest control round may lie (default: %(default)s)",
    )
    judge.add_argument("--json", action="store_true", help="JSON Lines in place of a table")
    add_directory(judge)
    replay = _command(
        commands,
        "replay",
        "fold stored (or given) measurements through the "
        "present rules and detector and print the events",
    )
    _store(replay)
    _policy(replay)
    add_directory(replay)
    replay.add_argument(
        "--from", type=moment, default=None, metavar="T", dest="from_", help="first round"
    )
    replay.add_argument(
        "--to", type=moment, default=None, metavar="T", dest="to", help="last round"
    )
    replay.add_argument("--json", action="store_true", help="JSON Lines in place of a table")
    replay.add_argument(
        "--networks", action="store_true", help="in the table, say of each network since when"
    )
    replay.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="Measurement JSON Lines in place of the store; - is standard input",
    )
    explain = _command(
        commands,
        "explain",
        "show round by round what each vantage added to an event, and which gates held",
    )
    _store(explain)
    add_directory(explain)
    explain.add_argument("event", metavar="EVENT", help="id of an event")
    explain.add_argument("--json", action="store_true", help="JSON in place of tables")
    rules = _command(
        commands, "rules", "print the Prometheus rules, or another file of the alerting chain"
    )
    _policy(rules)
    printing.add_options(rules)
    schema = _command(commands, "schema", "print the JSON Schema of a Measurement")
    schema.add_argument(
        "--markdown", action="store_true", help="the data dictionary in place of the schema"
    )
    catalogue = commands.add_parser("catalogue", help="the catalogue of services")
    leaves = catalogue.add_subparsers(
        dest="leaf", metavar="COMMAND", required=True, parser_class=Parser
    )
    lint = _command(leaves, "lint", "say what is wrong with a catalogue; exit 1 when anything is")
    lint.add_argument(
        "directory", type=Path, nargs="?", metavar="DIR", help="default: the one shipped"
    )


def _add_upkeep(commands: Commands[Parser]) -> None:
    token = commands.add_parser("token", help="rights to enrol a probe")
    leaves = token.add_subparsers(
        dest="leaf", metavar="COMMAND", required=True, parser_class=Parser
    )
    new = _command(leaves, "new", "make a token and print it, once")
    _store(new)
    new.add_argument(
        "--role", choices=("vantage", "control"), default="vantage", help="default: vantage"
    )
    new.add_argument(
        "--owner",
        default="",
        metavar="NAME",
        help="who runs the probe; two owners must agree before anything is confirmed",
    )
    new.add_argument(
        "--uses", type=positive, default=1, metavar="N", help="how many probes (default: 1)"
    )
    new.add_argument(
        "--expires",
        type=duration,
        default=7 * 86400,
        metavar="DURATION",
        help="e.g. 24h or 7d (default: 7d)",
    )
    new.add_argument(
        "--public-url", default=None, metavar="URL", help="where probes reach this monitor"
    )
    _store(_command(leaves, "list", "all tokens"))
    revoke = _command(leaves, "revoke", "a token can no longer be used")
    _store(revoke)
    revoke.add_argument("id", metavar="ID")
    probes = commands.add_parser("probes", help="enrolled probes")
    leaves = probes.add_subparsers(
        dest="leaf", metavar="COMMAND", required=True, parser_class=Parser
    )
    _store(_command(leaves, "list", "all probes"))
    revoke = _command(leaves, "revoke", "a probe may no longer send")
    _store(revoke)
    revoke.add_argument("id", metavar="ID")
    db = commands.add_parser("db", help="the store")
    leaves = db.add_subparsers(dest="leaf", metavar="COMMAND", required=True, parser_class=Parser)
    _store(_command(leaves, "migrate", "bring the schema up to date"))
    _store(_command(leaves, "size", "rows and bytes of each table"))
    prune = _command(
        leaves, "prune", "let go of full measurements that are old; events and hourly counts stay"
    )
    _store(prune)
    prune.add_argument(
        "--older-than", type=duration, default=90 * 86400, metavar="DURATION", help="default: 90d"
    )
    move = _command(leaves, "move", "copy everything into another, empty database")
    _store(move)
    move.add_argument(
        "--to", required=True, metavar="URL", dest="to_url", help="SQLAlchemy URL of the other"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        given = options.parse(build(), sys.argv[1:] if arguments is None else arguments)
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


_MODULES = {
    **dict.fromkeys(("up", "collect", "detect", "serve"), "monitor.pipeline"),
    "judge": "monitor.commands.judge",
    "replay": "monitor.commands.replay",
    "explain": "monitor.commands.explain",
    "import": "monitor.interop.importing",
    "export": "monitor.interop.exporting",
    "fingerprints": "monitor.interop.fingerprints.command",
}
"""Where the `run` of a command is; the others are upkeep."""


def _dispatch(given: argparse.Namespace) -> int:
    # Imported here: `judge` should not wait for SQLAlchemy, nor `--help` for anything.
    module = importlib.import_module(_MODULES.get(given.command, "monitor.commands.upkeep"))
    status: int | Coroutine[Any, Any, int] = module.run(given)
    return status if isinstance(status, int) else asyncio.run(status)


if __name__ == "__main__":
    sys.exit(main())
