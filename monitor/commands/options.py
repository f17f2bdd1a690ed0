# SPDX-License-Identifier: Apache-2.0
"""The commands of `reachwatch` and their options. Imports no command: `--help` waits for none."""

from __future__ import annotations

import re

import monitor
from monitor.commands.broker_options import add_broker
from monitor.commands.catalogue_options import add_catalogue
from monitor.commands.compare_options import add_compare
from monitor.commands.follow_options import add_selection
from monitor.store.shard import shard
from probes.runtime.broker_url import broker_url, way_url
from probes.runtime.options import (
    Parser,
    asn,
    country,
    duration,
    host_port,
    http_url,
    moment,
    network,
    one_of,
    path,
    positive,
)

_OTHER_VARIABLES = (
    *("VENV", "RELEASE"),  # scripts, and the build
    *("TEST_RUN", "NO_SKIPS", "INSTALL", "LAB_SEED"),  # tests
    # docker-compose.yml, scripts/compose and deploy/
    *("IMAGE", "CERTIFICATES", "MQTT_PORT", "PROFILES", "OWN_PROBES", "COMPOSE_INSIDE"),
    *("DEBIAN_MIRROR", "SHARE", "MADE", "GIVEN", "FOLLOWERS"),
)
"""Variables that begin with `REACHWATCH_` and are no options."""


def build() -> Parser:
    """Return the parser of every command."""
    top = Parser(
        prog="reachwatch",
        prefix="REACHWATCH_",
        others=_OTHER_VARIABLES,
        description="Which messaging services are blocked, in which network, since when, how, "
        "and how sure are we?",
        epilog="Every option can also be set by REACHWATCH_<OPTION> in the environment and by a "
        "TOML file (--config FILE or REACHWATCH_CONFIG), with underscores for dashes. "
        "The command line takes precedence over the environment, the environment over the file. "
        "`reachwatch COMMAND --help` lists the options of a command.",
    )
    top.add_argument("--version", action="version", version=f"reachwatch {monitor.__version__}")
    _add_servers(top)
    _add_offline(top)
    _add_printed_files(top)
    _add_fingerprints(top)
    _add_exchange(top)
    _add_upkeep(top)
    add_broker(top)
    return top


def _add_servers(top: Parser) -> None:
    up = top.command(
        "up",
        "run everything in one process: embedded broker and store, collector, detector, web "
        "pages, and one local probe as a child process, which contacts the services in the "
        "catalogue from this machine",
    )
    _store(up)
    _site(up, demo="; with --demo 60 divided by --pace")
    _pace(up, demo="; 10 with --demo")
    _fingerprints(up)
    _retests(up)
    _webhooks(up)
    _signed_catalogue(
        up,
        "publish this file of `catalogue sign` to the probes, and give its key to those that enrol",
    )
    up.option(
        "--mqtt HOST:PORT",
        "where the embedded broker listens (default: 127.0.0.1:1883, or a free port if that "
        "one is in use)",
        read=host_port,
    )
    up.option("--no-local-probe", "do not start a local probe")
    up.option(
        "--follow NAME",
        "also follow a public source of measurements, as `reachwatch follow NAME` does: ooni",
        read=one_of("ooni"),
    )
    add_selection(up)
    up.option(
        "--demo",
        "run a simulated internet on loopback with ten probes and scripted blocks; nothing "
        "outside this machine is contacted",
    )
    up.option(
        "--demo-block SERVICE:ASN:TECHNIQUE",
        "what alone is blocked in the demonstration, or none (default: wechat:64501:tls.reset.sni "
        "and, for a while at the same time, signal:64503:dns.nxdomain)",
    )
    collect = top.command(
        "collect", "store measurements from the broker; any number of collectors may run"
    )
    _store(collect)
    _broker(collect)
    _catalogue(collect)
    _metrics(collect)
    detect = top.command(
        "detect",
        "detect events in stored measurements; of several detectors of one shard, one is active "
        "and the others are on standby",
    )
    _store(detect)
    _broker(detect)
    _metrics(detect)
    _pace(detect)
    _retests(detect)
    _webhooks(detect)
    _signed_catalogue(
        detect, "keep this file of `catalogue sign` published; a new one needs no restart"
    )
    detect.option("--public-url URL", "base URL of links in webhooks", read=http_url)
    _fingerprints(detect)
    detect.option(
        "--shard I/N",
        "process only shard I of N of the services, so that N detectors share the work "
        "(default: 1/1)",
        read=shard,
    )
    serve = top.command("serve", "serve web pages, API, metrics and enrolment")
    _store(serve)
    _site(serve)
    serve.option(
        "--processes N",
        "processes that make pages, some 100 MB each (default: 2, on one core 1); with 1 the web "
        "server makes them itself",
        read=positive,
    )
    _signed_catalogue(serve, "give the key of this file of `catalogue sign` to probes that enrol")
    _pace(serve)
    serve.option(
        "--broker URL",
        "broker URL given to probes when they enrol (repeatable)",
        read=broker_url,
        many=True,
    )
    serve.option(
        "--mosquitto-passwords FILE", "password file of mosquitto to keep up to date", read=path
    )
    serve.option(
        "--mosquitto-pid FILE",
        "PID file of mosquitto, which is signalled to reload the passwords",
        read=path,
    )


def _add_offline(top: Parser) -> None:
    judge = top.command(
        "judge", "offline: print a verdict for each target of one vantage's measurements"
    )
    judge.option(
        "--probe FILE",
        "measurements of a vantage (JSON Lines), or OONI's; - is standard input",
        required=True,
    )
    judge.option(
        "--control FILE",
        "measurements of a control (JSON Lines); without them, nothing is judged blocked",
    )
    judge.option(
        "--window SECONDS",
        "maximum time between a round and the nearest round of the control",
        read=_seconds,
        default="300",
    )
    judge.option("--json", "print JSON Lines instead of a table")
    _fingerprints(judge)
    replay = top.command(
        "replay",
        "run measurements from the store or from files through the current rules and detector, "
        "and print the events",
    )
    _store(replay)
    _pace(replay)
    _fingerprints(replay)
    replay.option("--from T", "first round, e.g. 2026-05-04", read=moment)
    replay.option("--to T", "last round", read=moment)
    replay.option("--json", "print JSON Lines instead of a table")
    _archive(replay)
    replay.option(
        "--networks",
        "also list the networks of each event with their onsets, and those that could not be "
        "judged",
    )
    replay.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="measurements (JSON Lines, or OONI's; plain, .gz or .zst) to use instead of the "
        "store; - is standard input",
    )
    explain = top.command(
        "explain", "show the evidence of each vantage and the closed gates, round by round"
    )
    _store(explain)
    _fingerprints(explain)
    _pace(explain)
    explain.add_argument("event", metavar="EVENT", help="id of an event")
    explain.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="measurements to use instead of the store, as for `replay`",
    )
    explain.option("--json", "print JSON instead of tables")


def _add_printed_files(top: Parser) -> None:
    rules = top.command(
        "rules", "print the alert rules, or the configuration of Prometheus or Alertmanager"
    )
    _pace(rules)
    rules.option(
        "--public-url URL",
        "base URL of the links in alerts",
        read=http_url,
        default="http://127.0.0.1:8080",
    )
    rules.option(
        "--runbooks URL",
        "where the runbooks are published (default: /runbooks of --public-url)",
        read=http_url,
    )
    rules.option(
        "--import-tickets",
        "a ticket also for blocks that measurements of others (OONI's) show and no vantage does",
    )
    rules.option("--alertmanager", "print the configuration of Alertmanager")
    rules.option("--prometheus", "print the configuration of Prometheus")
    rules.option(
        "--webhook URL",
        "with --alertmanager: URL that receives pages, tickets and closing messages",
        read=http_url,
    )
    rules.option(
        "--heartbeat URL",
        "with --alertmanager: URL of a service that raises an alarm when alerting stops",
        read=http_url,
    )
    schema = top.command("schema", "print the JSON Schema of a Measurement")
    schema.option(
        "--markdown DIR", "write the pages of the data dictionary into DIR instead", read=path
    )
    add_catalogue(top, _broker, _listed_store)


def _seconds(text: str) -> int:
    """Seconds, as a number alone or as a duration; an option that names its unit in `--help`."""
    return positive(text) if text.isdecimal() else duration(text)


def _add_fingerprints(top: Parser) -> None:
    known = top.group("fingerprints", "import, list or check known block pages and addresses")
    read = known.command(
        "import",
        "import CSV lists published by OONI (blocking-fingerprints) or the Citizen Lab "
        "(filtering-annotations) into the directory given by --fingerprints",
    )
    _fingerprints(read, "directory to write to; created if it does not exist", required=True)
    read.add_argument("files", nargs="+", metavar="FILE", help="a published CSV file")
    listed = known.command("list", "print the built-in and the imported fingerprints")
    _fingerprints(listed, "directory with imported fingerprints")
    lint = known.command(
        "lint", "print the errors in a directory; exit with status 1 if there are any"
    )
    _fingerprints(lint, "directory with imported fingerprints", required=True)


def _add_exchange(top: Parser) -> None:
    ooni = top.group("import", "import measurements of other projects into the store").command(
        "ooni",
        "import OONI measurements (JSON or JSON Lines, also as returned by OONI Explorer) of "
        "web_connectivity, whatsapp, telegram, signal and facebook_messenger, or OONI observations "
        "(CSV in the columns of obs_web); plain, .gz or .zst. Malformed rows are reported and "
        "skipped; measurements that are already stored are not added again",
    )
    _store(ooni)
    _catalogue(ooni)
    ooni.add_argument("files", nargs="+", metavar="FILE", help="a file; - is standard input")
    follow = top.group("follow", "follow public sources of measurements as they are published")
    _follow(
        follow.command(
            "ooni",
            "read OONI's public bucket into the store, first the hours since --since, then each "
            "hour as it is published; goes on where it was when it is started again",
        )
    )
    add_compare(top, _judged_store)
    export = top.group("export", "export stored measurements; they contain no volunteer's address")
    for name, text in (
        ("ooni", "measurements as OONI JSON (data_format_version 0.2.0), one per line"),
        ("csv", "CSV rows in the columns of OONI's obs_web"),
        ("parquet", "the same rows as Parquet (extra `parquet`)"),
    ):
        one = export.command(name, text)
        _store(one)
        one.option("--service ID", "only this service")
        one.option("--target ID", "only this target")
        one.option("--country CC", "only from this country", read=country)
        one.option("--asn N", "only from this network", read=asn)
        one.option("--since T", "first round, e.g. 2026-05-04", read=moment)
        one.option("--until T", "last round", read=moment)
        one.option("--output FILE", "output file (default: standard output)", read=path)
        one.option(
            "--without NAME",
            "leave out the data of a public source (repeatable): ooni, whose licence is "
            "CC BY-NC-SA 4.0",
            read=one_of("ooni"),
            many=True,
        )
        _archive(one)


def _follow(parser: Parser) -> None:
    _store(parser)
    _catalogue(parser)
    add_selection(parser)
    parser.option("--once", "end when everything that is there has been read")


def _add_upkeep(top: Parser) -> None:
    token = top.group("token", "create, list or revoke enrolment tokens")
    new = token.command("new", "create a token and print it; it is not shown again")
    _store(new)
    new.option(
        "--role {vantage,control,operator}",
        "role of the probes that enrol with it; no probe enrols with `operator`: whoever has that "
        "token may write notes on events, and retract events, until it expires",
        read=one_of("vantage", "control", "operator"),
        default="vantage",
    )
    new.option(
        "--owner NAME",
        "who runs the probe; two or three owners must agree before a block is confirmed, and all "
        "probes without an owner count as those of one",
        default="",
    )
    new.option("--uses N", "number of probes that may enrol with it", read=positive, default="1")
    new.option("--expires DURATION", "lifetime of the token, e.g. 24h", read=duration, default="7d")
    new.option("--public-url URL", "URL at which probes reach this monitor", read=http_url)
    new.option(
        "--container",
        "instead of the token, print a command that starts a container, which then enrols",
    )
    _store(token.command("list", "list all tokens"))
    revoke = token.command("revoke", "revoke a token, so that no more probes can enrol with it")
    _store(revoke)
    revoke.add_argument("id", metavar="ID", help="id of the token, from `token list`")
    probes = top.group("probes", "list, trust or revoke enrolled probes")
    _store(probes.command("list", "list all probes"))
    trust = probes.command(
        "trust",
        "accept a probe's claimed country and network, so that it has a vote; or vouch for an "
        "owner, who then counts as known for long",
    )
    _store(trust)
    trust.add_argument(
        "id", metavar="ID|OWNER", help="id of the probe, or name of the owner, from `probes list`"
    )
    revoke = probes.command("revoke", "revoke a probe, so that it can send no more measurements")
    _store(revoke)
    revoke.add_argument("id", metavar="ID", help="id of the probe, from `probes list`")
    revoke_key = probes.command(
        "revoke-key",
        "revoke the key that a probe signs with, because it was lost or stolen; the probe stays "
        "enrolled and may give another one",
    )
    _store(revoke_key)
    revoke_key.add_argument("id", metavar="ID", help="id of the probe, from `probes list`")
    db = top.group("db", "maintain the database")
    _store(db.command("migrate", "bring the schema up to date"))
    size = db.command(
        "size", "print the size of each table, the growth per day, and a forecast for a year"
    )
    _store(size)
    size.option(
        "--retention DURATION",
        "how long measurements are kept: the value given to `db prune --older-than`",
        read=duration,
        default="90d",
    )
    prune = db.command(
        "prune", "drop old days of measurements; events, their evidence and counts are kept"
    )
    _store(prune)
    prune.option(
        "--older-than DURATION",
        "drop the days (UTC) that ended longer ago than this",
        read=duration,
        default="90d",
    )
    prune.option("--yes", "drop more than two days without a question")
    prune.option(
        "--hours-older-than DURATION",
        "merge the hourly counts of dropped days older than this, at least 9d, into daily counts",
        read=_hours_kept,
        default="90d",
    )
    prune.option(
        "--archive DIR",
        "archive each day in DIR before it is dropped; what cannot be archived is not dropped "
        "(extra `parquet`)",
        read=path,
    )
    audit = top.command(
        "audit",
        "show for each probe which measurements have arrived, and which of the others are still at "
        "the probe, were dropped there, or are lost, and whether what arrived was altered since; "
        "exit with status 1 if any are lost or a day was altered",
    )
    _store(audit)
    audit.option("--probe ID", "only this probe, from `probes list`")
    audit.option("--since T", "only gaps from this day (UTC) on, e.g. 2026-05-04", read=moment)
    audit.option(
        "--chain FILE",
        "an answer of /api/v1/chain that was kept: also name the days that differ from it",
        read=path,
    )
    audit.option("--json", "print JSON Lines instead of a table")
    verify = top.command(
        "verify", "check that a probe signed a measurement, from the file of /m/ID/proof"
    )
    verify.add_argument("file", metavar="FILE", type=path, help="the answer of /m/ID/proof")
    verify.option("--public-key HEX", "the key that it must be signed with", read=_public_key)
    archive = top.command(
        "archive", "write days of measurements to Parquet files (extra `parquet`)"
    )
    _store(archive)
    archive.option(
        "--before DATE", "archive the days before this one (default: today, UTC)", read=moment
    )
    archive.option(
        "--archive DIR",
        "directory of the archive (default: archive, in the data directory)",
        read=path,
    )
    move = db.command("move", "copy everything into another, empty database")
    _store(move)
    move.option("--to URL", "SQLAlchemy URL of the empty database", required=True)


def _hours_kept(text: str) -> int:
    """Seconds for which hourly counts stay: longer than pages draw hours
    (`monitor.store.service_hours.KEPT_HOURS`), and the day that is not over."""
    if (seconds := duration(text)) < 9 * 86_400:
        raise ValueError("must be at least 9d: the last eight days are shown by hour")
    return seconds


def _public_key(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be 64 hex digits")
    return text


def _archive(parser: Parser) -> None:
    parser.option(
        "--archive DIR",
        "also read the days that were archived in DIR and dropped (default: archive, in the data "
        "directory, if it exists)",
        read=path,
    )


def _store(parser: Parser) -> None:
    parser.option(
        "--data DIR",
        "directory of the store and the secrets (default: ./reachwatch-data)",
        read=path,
    )
    parser.option("--database URL", "SQLAlchemy URL (default: SQLite in the data directory)")


def _judged_store(parser: Parser) -> None:
    _store(parser)
    _fingerprints(parser)


def _listed_store(parser: Parser) -> None:
    _store(parser)
    _catalogue(parser)


def _site(parser: Parser, demo: str = "") -> None:
    parser.option(
        "--http HOST:PORT",
        "address of the web pages, API and metrics",
        read=host_port,
        default="127.0.0.1:8080",
    )
    parser.option(
        "--public-url URL", "base URL of permalinks and of enrolment tokens", read=http_url
    )
    parser.option(
        "--way URL",
        "further URL at which probes reach this monitor, given to those that enrol (repeatable): "
        "mqtts://, wss:// or https://, with ?address=IP one that needs no name",
        read=way_url,
        many=True,
    )
    parser.option(
        "--excerpts",
        "ask volunteers who enrol to send the titles and beginnings of unexpected pages, which "
        "imported fingerprints need; each may refuse",
    )
    parser.option(
        "--proxy ADDRESS",
        "address or network of a reverse proxy whose X-Forwarded-For header is trusted "
        "(repeatable); one on this machine is always trusted",
        read=network,
        many=True,
    )
    parser.option(
        "--geo FILE",
        "offline table of countries and networks (made by `reachprobe geo update`; default: "
        "geo.table in the data directory, else the one that the image has): a probe that claims a "
        "different country or network from the one it enrols from has no vote until `reachwatch "
        "probes trust`",
        read=path,
    )
    _catalogue(parser)
    parser.option(
        "--interval SECONDS",
        f"interval between the vantages' rounds (default: 1800{demo})",
        read=positive,
    )


def _metrics(parser: Parser) -> None:
    parser.option(
        "--metrics HOST:PORT",
        "serve /metrics, /healthz and /readyz of this process here (default: nowhere)",
        read=host_port,
    )


def _catalogue(parser: Parser) -> None:
    parser.option(
        "--catalogue DIR", "catalogue of services (default: the built-in catalogue)", read=path
    )


def _pace(parser: Parser, demo: str = "") -> None:
    parser.option(
        "--pace N",
        f"divide all durations in detection and alerting by N (default: 1{demo}); "
        "for demonstrations and laboratories",
        read=positive,
    )


def _signed_catalogue(parser: Parser, text: str) -> None:
    parser.option("--signed-catalogue FILE", text, read=path)


def _webhooks(parser: Parser) -> None:
    parser.option(
        "--webhooks FILE",
        "TOML file of URLs that receive a signed message for every change of an event's state",
        read=path,
    )


def _retests(parser: Parser) -> None:
    parser.option("--no-retests", "never ask probes for retests")


def _broker(parser: Parser) -> None:
    parser.option(
        "--broker URL",
        "mqtt://, mqtts://, ws:// or wss:// URL of the broker",
        read=broker_url,
        default="mqtt://127.0.0.1:1883",
    )
    parser.option("--mqtt-user NAME", "user name of the monitor at the broker", default="monitor")
    parser.option("--mqtt-secret-file FILE", "file with the monitor's secret, mode 0600", read=path)


def _fingerprints(
    parser: Parser,
    text: str = "also use the imported fingerprints in DIR",
    *,
    required: bool = False,
) -> None:
    parser.option("--fingerprints DIR", text, read=path, required=required)
