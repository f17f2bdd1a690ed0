# SPDX-License-Identifier: Apache-2.0
"""The commands of `reachwatch` and their options. Imports no command: `--help` waits for none."""

from __future__ import annotations

import monitor
from probes.runtime.options import (
    Parser,
    asn,
    country,
    duration,
    host_port,
    http_url,
    moment,
    one_of,
    path,
    positive,
    truth,
)


def build() -> Parser:
    """Return the parser of every command."""
    top = Parser(
        prog="reachwatch",
        prefix="REACHWATCH_",
        description="Which messaging services are blocked, in which network, since when, how, "
        "and how sure are we?",
        epilog="Every option can also be set by REACHWATCH_<OPTION> in the environment and by a "
        "TOML file (--config FILE or REACHWATCH_CONFIG), with underscores for dashes. "
        "The command line beats the environment, which beats the file.",
    )
    top.add_argument("--version", action="version", version=f"reachwatch {monitor.__version__}")
    _add_servers(top)
    _add_offline(top)
    _add_printed_files(top)
    _add_fingerprints(top)
    _add_exchange(top)
    _add_upkeep(top)
    return top


def _add_servers(top: Parser) -> None:
    up = top.command(
        "up",
        "everything in one process: embedded broker and store, "
        "collector, detector, pages, and one local probe as a child process, which "
        "contacts the services of the catalogue from this machine",
    )
    _store(up)
    _site(up)
    _pace(up)
    _fingerprints(up)
    _retests(up)
    up.option(
        "--mqtt",
        "where the embedded broker listens (default: 127.0.0.1:1883, or a free port when that "
        "one is taken)",
        read=host_port,
        metavar="HOST:PORT",
    )
    up.option("--no-local-probe", "start no probe here", read=truth)
    up.option(
        "--demo",
        "a simulated internet on loopback with ten probes and a scripted block; nothing outside "
        "this machine is contacted",
        read=truth,
    )
    up.option(
        "--demo-block",
        "what is blocked in the demonstration, or none (default: wechat:64501:tls.reset.sni)",
        metavar="SERVICE:ASN:TECHNIQUE",
    )
    collect = top.command(
        "collect", "take measurements from the broker into the store; any number of these may run"
    )
    _store(collect)
    _broker(collect)
    detect = top.command(
        "detect", "turn stored measurements into events; one leads, others stand by"
    )
    _store(detect)
    _broker(detect)
    _pace(detect)
    _retests(detect)
    _fingerprints(detect)
    serve = top.command("serve", "pages, API, metrics and enrolment")
    _store(serve)
    _site(serve)
    _pace(serve)
    _fingerprints(serve, "explain events with the imported fingerprints in here too")
    serve.option(
        "--broker",
        "broker URL given to probes that enrol; may be repeated",
        metavar="URL",
        many=True,
    )
    serve.option(
        "--mosquitto-passwords",
        "keep this password file of a mosquitto up to date",
        read=path,
        metavar="FILE",
    )
    serve.option(
        "--mosquitto-pid",
        "pid file of that mosquitto, which is signalled to reload the passwords",
        read=path,
        metavar="FILE",
    )


def _add_offline(top: Parser) -> None:
    judge = top.command(
        "judge", "offline: print a verdict for each target of one vantage's measurements"
    )
    judge.option(
        "--probe",
        "Measurement JSON Lines of a vantage; - is standard input",
        metavar="FILE",
        required=True,
    )
    judge.option("--control", "Measurement JSON Lines of a control", metavar="FILE")
    judge.option(
        "--window",
        "how far the nearest control round may lie",
        read=duration,
        metavar="SECONDS",
        default="300",
    )
    judge.option("--json", "JSON Lines in place of a table", read=truth)
    _fingerprints(judge)
    replay = top.command(
        "replay",
        "fold stored (or given) measurements through the present rules and detector and print "
        "the events",
    )
    _store(replay)
    _pace(replay)
    _fingerprints(replay)
    replay.option("--from", "first round", read=moment, metavar="T")
    replay.option("--to", "last round", read=moment, metavar="T")
    replay.option("--json", "JSON Lines in place of a table", read=truth)
    replay.option("--networks", "in the table, say of each network since when", read=truth)
    replay.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="Measurement JSON Lines in place of the store; - is standard input",
    )
    explain = top.command(
        "explain", "show round by round what each vantage added to an event, and which gates held"
    )
    _store(explain)
    _fingerprints(explain)
    explain.add_argument("event", metavar="EVENT", help="id of an event")
    explain.option("--json", "JSON in place of tables", read=truth)


def _add_printed_files(top: Parser) -> None:
    rules = top.command(
        "rules", "print the Prometheus rules, or another file of the alerting chain"
    )
    _pace(rules)
    rules.option(
        "--public-url",
        "base of the links",
        read=http_url,
        metavar="URL",
        default="http://127.0.0.1:8080",
    )
    rules.option(
        "--runbooks",
        "where the runbooks are published (default: deploy/runbooks, in the source tree)",
        metavar="URL",
    )
    rules.option("--alertmanager", "print Alertmanager's configuration", read=truth)
    rules.option("--prometheus", "print Prometheus' own configuration", read=truth)
    rules.option(
        "--webhook",
        "with --alertmanager: where pages, tickets and closing messages are posted",
        read=http_url,
        metavar="URL",
    )
    rules.option(
        "--heartbeat",
        "with --alertmanager: who raises the alarm when alerting falls silent",
        read=http_url,
        metavar="URL",
    )
    schema = top.command("schema", "print the JSON Schema of a Measurement")
    schema.option("--markdown", "the data dictionary in place of the schema", read=truth)
    lint = top.group("catalogue", "the catalogue of services").command(
        "lint", "print what is wrong with a catalogue; exit 1 when anything is"
    )
    lint.add_argument(
        "directory", type=path, nargs="?", metavar="DIR", help="default: the one shipped"
    )


def _add_fingerprints(top: Parser) -> None:
    known = top.group("fingerprints", "known block pages and addresses")
    read = known.command(
        "import",
        "read lists that OONI (blocking-fingerprints) or the Citizen Lab (filtering-annotations) "
        "published as CSV into a directory that --fingerprints names",
    )
    _fingerprints(read, "directory to write to; it is made when it is not there", required=True)
    read.add_argument("files", nargs="+", metavar="FILE", help="a published CSV file")
    listed = known.command("list", "print what ships with the detector and what was imported")
    _fingerprints(listed, "what was imported")
    lint = known.command("lint", "print what is wrong with a directory; exit 1 when anything is")
    _fingerprints(lint, "what was imported", required=True)


def _add_exchange(top: Parser) -> None:
    ooni = top.group("import", "measurements that others made into the store").command(
        "ooni",
        "OONI measurements (JSON, JSON Lines, as Explorer wraps them) of web_connectivity, "
        "whatsapp, telegram, signal and facebook_messenger, or OONI observations (CSV in the shape "
        "of obs_web), plain, .gz or .zst; what is wrong is named line by line and left out, and "
        "what is there already is not added again",
    )
    _store(ooni)
    _catalogue(ooni)
    ooni.add_argument("files", nargs="+", metavar="FILE", help="a file; - is standard input")
    export = top.group("export", "stored measurements for others; no volunteer's address is in any")
    for name, text in (
        ("ooni", "OONI's measurement JSON (data_format_version 0.2.0), one a line"),
        ("csv", "flat rows in the columns of OONI's obs_web"),
        ("parquet", "the same rows as Parquet (extra `parquet`)"),
    ):
        one = export.command(name, text)
        _store(one)
        one.option("--service", "only of this service", metavar="ID")
        one.option("--target", "only of this target", metavar="ID")
        one.option("--country", "only from this country", read=country, metavar="CC")
        one.option("--asn", "only from this network", read=asn, metavar="N")
        one.option("--since", "first round, e.g. 2026-05-04", read=moment, metavar="T")
        one.option("--until", "last round", read=moment, metavar="T")
        one.option("--output", "where to (default: standard output)", read=path, metavar="FILE")


def _add_upkeep(top: Parser) -> None:
    token = top.group("token", "rights to enrol a probe")
    new = token.command("new", "make a token and print it, once")
    _store(new)
    new.option(
        "--role",
        "role of the probes that enrol with it",
        read=one_of("vantage", "control"),
        metavar="{vantage,control}",
        default="vantage",
    )
    new.option(
        "--owner",
        "who runs the probe; two or three owners must agree before anything is confirmed, and all "
        "probes without one count as one owner",
        metavar="NAME",
        default="",
    )
    new.option("--uses", "how many probes", read=positive, metavar="N", default="1")
    new.option("--expires", "e.g. 24h or 7d", read=duration, metavar="DURATION", default="7d")
    new.option("--public-url", "where probes reach this monitor", metavar="URL")
    _store(token.command("list", "all tokens"))
    revoke = token.command("revoke", "a token can no longer be used")
    _store(revoke)
    revoke.add_argument("id", metavar="ID")
    probes = top.group("probes", "enrolled probes")
    _store(probes.command("list", "all probes"))
    revoke = probes.command("revoke", "a probe may no longer send")
    _store(revoke)
    revoke.add_argument("id", metavar="ID")
    db = top.group("db", "the store")
    _store(db.command("migrate", "bring the schema up to date"))
    _store(db.command("size", "rows and bytes of each table"))
    prune = db.command("prune", "delete old full measurements; events and hourly counts stay")
    _store(prune)
    prune.option(
        "--older-than", "age of what is deleted", read=duration, metavar="DURATION", default="90d"
    )
    move = db.command("move", "copy everything into another, empty database")
    _store(move)
    move.option("--to", "SQLAlchemy URL of the other", metavar="URL", required=True)


def _store(parser: Parser) -> None:
    parser.option(
        "--data",
        "where the store and secrets are (default: ./reachwatch-data)",
        read=path,
        metavar="DIR",
    )
    parser.option(
        "--database",
        "SQLAlchemy URL (default: SQLite in the data directory)",
        metavar="URL",
    )


def _site(parser: Parser) -> None:
    parser.option(
        "--http",
        "pages, API and metrics",
        read=host_port,
        metavar="HOST:PORT",
        default="127.0.0.1:8080",
    )
    parser.option("--public-url", "base of permalinks and of the tokens' address", metavar="URL")
    _catalogue(parser)
    parser.option(
        "--interval",
        "interval of the vantages' rounds (default: 300; 60 with --demo, before the pace)",
        read=positive,
        metavar="SECONDS",
    )


def _catalogue(parser: Parser) -> None:
    parser.option(
        "--catalogue",
        "catalogue of services (default: the one shipped)",
        read=path,
        metavar="DIR",
    )


def _pace(parser: Parser) -> None:
    parser.option(
        "--pace",
        "divide every duration of detecting and alerting by N (default: 1; 10 with --demo); "
        "for demonstrations and laboratories",
        read=positive,
        metavar="N",
    )


def _retests(parser: Parser) -> None:
    parser.option("--no-retests", "never ask probes to measure a target again at once", read=truth)


def _broker(parser: Parser) -> None:
    parser.option(
        "--broker",
        "mqtt://, mqtts://, ws:// or wss:// URL of the broker",
        metavar="URL",
        default="mqtt://127.0.0.1:1883",
    )
    parser.option(
        "--mqtt-user", "the monitor's user on the broker", metavar="NAME", default="monitor"
    )
    parser.option(
        "--mqtt-secret-file",
        "file with the monitor's secret, mode 0600",
        read=path,
        metavar="FILE",
    )


def _fingerprints(
    parser: Parser,
    text: str = "judge with the imported fingerprints in here too",
    *,
    required: bool = False,
) -> None:
    parser.option("--fingerprints", text, read=path, metavar="DIR", required=required)
