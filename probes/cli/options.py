# SPDX-License-Identifier: Apache-2.0
"""The commands of `reachprobe` and their options."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

import probes
from probes.local_page import ADDRESS as PAGE
from probes.metered import MODES
from probes.remote_catalogue import pinned_key
from probes.runtime.options import (
    Parser,
    asn,
    country,
    host_port,
    ip_address,
    number,
    one_of,
    path,
    positive,
    truth,
)


def build(environment: Mapping[str, str]) -> Parser:
    """Return the parser of every command. The default state directory depends on
    `XDG_STATE_HOME`."""
    top = Parser(
        prog="reachprobe",
        prefix="REACHPROBE_",
        others=("IMAGE", "REFLECTOR_PORT", "TOKEN_FILE"),  # docker-compose.yml and deploy/
        description="Measure whether messaging services are reachable from this network.",
        epilog="Every option can also be set by REACHPROBE_<OPTION> in the environment and by "
        "a TOML file (--config FILE or REACHPROBE_CONFIG), with underscores for dashes. "
        "The command line takes precedence over the environment, the environment over the file. "
        "`reachprobe COMMAND --help` lists the options of a command.",
    )
    top.add_argument("--version", action="version", version=f"reachprobe {probes.__version__}")
    state_home = environment.get("XDG_STATE_HOME") or "~/.local/state"

    def command(
        name: str, text: str, *options: Callable[[Parser], None], group: Parser = top
    ) -> Parser:
        parser = group.command(name, text)
        for add in options:
            add(parser)
        parser.option(
            "--state",
            "state directory",
            read=path,
            metavar="DIR",
            default=f"{state_home}/reachprobe",
        )
        return parser

    once = command("once", "measure one full round and print it; needs no broker", _measuring)
    once.option(
        "--service",
        "measure only this service (repeatable)",
        read=_identifier,
        metavar="ID",
        many=True,
    )
    once.option(
        "--target",
        "measure only this target (repeatable)",
        read=_identifier,
        metavar="ID",
        many=True,
    )
    once.option("--json", "print measurements as JSON Lines instead of a table", read=truth)
    once.option(
        "--role",
        "role to print with the measurements: vantage or control",
        read=one_of("vantage", "control"),
        default="vantage",
    )
    join = command("join", "enrol: exchange a token for this probe's own credentials", _consent)
    join.option("token", "token from the operator of the monitor", required=True)
    run = command(
        "run",
        "run the daemon: measure, store, publish, wait for acknowledgements",
        _measuring,
        _consent,
    )
    run.option(
        "--broker",
        "broker to use instead of the enrolled one: mqtt://, mqtts://, ws:// or wss:// URL",
        metavar="URL",
        many=True,
    )
    run.option(
        "--catalogue-key",
        "public key (64 hex digits) whose signed catalogues are taken from the monitor, or none "
        "(default: the one of the enrolment). With --catalogue none is taken",
        read=pinned_key,
        metavar="KEY",
    )
    run.option(
        "--interval",
        "time between rounds, at most a day (default: 1800; 300 with --full)",
        read=number(0.1),
        metavar="SECONDS",
    )
    run.option(
        "--full",
        "measure everything in every round, at every address: for controls, and where "
        "traffic costs nothing",
        read=truth,
    )
    run.option(
        "--budget",
        "maximum traffic per month, 0 for no limit; rounds become less frequent to stay within it "
        "(default: 1000; 0 with --full or --interval)",
        read=number(0),
        metavar="MB",
    )
    run.option(
        "--metrics",
        "serve /metrics and /healthz at this address",
        read=host_port,
        metavar="HOST:PORT",
    )
    run.option(
        "--local-page",
        "show what this probe saw on a page for this machine alone, in the browser's language "
        f"(default address: {PAGE})",
        read=_loopback,
        metavar="HOST:PORT",
        bare=PAGE,
    )
    run.option(
        "--metered",
        "on a connection that NetworkManager reports as metered: a quarter of the rounds and no "
        "retests (thin), nothing (pause), or as usual (ignore)",
        read=one_of(*MODES),
        metavar="MODE",
        default=MODES[0],
    )
    run.option(
        "--spool-limit",
        "maximum size of the measurements that wait on disk for the monitor",
        read=number(0.1),
        metavar="MB",
        default="50",
    )
    status = command("status", "show whether the probe works")
    status.option("--json", "print JSON", read=truth)
    status.option(
        "--check", "print nothing; exit with status 0 if the probe works, otherwise 1", read=truth
    )
    show = command("show", "show the last measurements")
    show.option("--last", "number of measurements", read=positive, metavar="N", default="20")
    show.option("--json", "print JSON", read=truth)
    command("payload", "print exactly what is sent from this machine")
    command(
        "consent", "print the risks and their hash; with --accept-risks, agree to them", _consent
    )
    update = command(
        "update",
        "install an offline table of countries and networks",
        group=top.group("geo", "manage the offline table of countries and networks"),
    )
    update.option(
        "--from",
        "table to install: rows of first address, last address, AS number and country, separated "
        "by tabs or commas, gzipped or not (ip2asn-combined.tsv.gz of iptoasn.com is one)",
        read=path,
        metavar="FILE",
        required=True,
    )
    leave = command("leave", "revoke this probe's credentials and delete its state")
    leave.option(
        "--force", "delete the credentials even when they cannot be revoked now", read=truth
    )
    command("pause", "stop measuring until `resume`; the probe stays enrolled")
    command("resume", "measure again after `pause`")
    reflector = command(
        "reflector",
        "run the reflector: a server next to a control, for comparison measurements",
    )
    reflector.option(
        "--listen",
        "address to listen on",
        read=host_port,
        metavar="HOST:PORT",
        default="127.0.0.1:8443",
    )
    reflector.option(
        "--certificate",
        "PEM certificate (default: created in the state directory)",
        read=path,
        metavar="FILE",
    )
    reflector.option("--key", "PEM key of the certificate", read=path, metavar="FILE")
    return top


def _measuring(parser: Parser) -> None:
    parser.option(
        "--catalogue",
        "catalogue directory (default: the built-in catalogue)",
        read=path,
        metavar="DIR",
    )
    parser.option(
        "--only",
        "measure only these services or targets",
        read=_identifier,
        metavar="ID,..",
        many=True,
    )
    parser.option(
        "--except",
        "do not measure these services or targets",
        read=_identifier,
        metavar="ID,..",
        many=True,
    )
    parser.option(
        "--country",
        "country this machine is in (default: looked up in the table of `geo update`)",
        read=country,
        metavar="CC",
        default="",
    )
    parser.option(
        "--asn",
        "AS number of this network (default: looked up in the table of `geo update`)",
        read=asn,
        metavar="N",
    )
    parser.option(
        "--bind", "local address to measure from", read=ip_address, metavar="ADDRESS", default=""
    )
    parser.option(
        "--resolver",
        "DNS resolver to use instead of those in resolv.conf",
        read=_resolver,
        metavar="ADDRESS:PORT",
        default="",
    )
    parser.option(
        "--allow-private",
        "for laboratories only: allow private addresses and short intervals",
        read=truth,
    )


def _consent(parser: Parser) -> None:
    parser.option(
        "--accept-risks",
        "agree to the risks; HASH is printed by `reachprobe consent`",
        read=_hash,
        metavar="HASH",
        default="",
    )


def _loopback(text: str) -> tuple[str, int]:
    # In environment and file the flag without an address is a truth value.
    host, port = host_port(PAGE if text == "true" else text)
    if not ipaddress.ip_address(ip_address(host)).is_loopback:
        raise ValueError("must be a loopback address: the page is for this machine alone")
    return host, port


def _resolver(text: str) -> str:
    host, port = host_port(text, 53)
    address = ip_address(host)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ValueError("must be the 16 hex digits that `reachprobe consent` prints")
    return text


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)?", text):
        raise ValueError(f"{text!r} is not an id, e.g. wechat or wechat/messaging")
    return text
