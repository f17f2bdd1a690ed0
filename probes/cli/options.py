# SPDX-License-Identifier: Apache-2.0
"""The commands of `reachprobe` and their options."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

import probes
from probes.local_http import ADDRESS as PAGE
from probes.metered import MODES
from probes.remote_catalogue import pinned_key
from probes.runtime.options import (
    Parser,
    asn,
    authority,
    country,
    host_port,
    ip_address,
    number,
    one_of,
    path,
    positive,
)
from probes.runtime.proxy import parse_proxy
from probes.wire.countries import COUNTRIES


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
            "--state DIR", "state directory", read=path, default=f"{state_home}/reachprobe"
        )
        return parser

    _once(command("once", "measure one full round and print it; needs no broker", _measuring))
    enrolling = "enrol: exchange a token for this probe's own credentials"
    _join(command("join", enrolling, _consent, _proxy))
    _run(
        command(
            "run",
            "run the daemon: measure, store, publish, wait for acknowledgements",
            _measuring,
            _consent,
            _proxy,
        )
    )
    _looking(command)
    _table(
        command(
            "update",
            "install an offline table of countries and networks",
            group=top.group("geo", "manage the offline table of countries and networks"),
        )
    )
    leave = command("leave", "revoke this probe's credentials and delete its state", _proxy)
    leave.option("--force", "delete the credentials even when they cannot be revoked now")
    key = command("key", "print the key that this probe's measurements are signed with", _proxy)
    key.option("--renew", "make a new key first, and give it to the monitor")
    command("pause", "stop measuring until `resume`; the probe stays enrolled")
    command("resume", "measure again after `pause`")
    _reflector(
        command(
            "reflector",
            "run the reflector: a server next to a control, for comparison measurements",
        )
    )
    return top


def _once(parser: Parser) -> None:
    parser.option(
        "--service ID", "measure only this service (repeatable)", read=_identifier, many=True
    )
    parser.option(
        "--target ID", "measure only this target (repeatable)", read=_identifier, many=True
    )
    parser.option("--json", "print measurements as JSON Lines instead of a table")
    parser.option(
        "--role ROLE",
        "role to print with the measurements: vantage or control",
        read=one_of("vantage", "control"),
        default="vantage",
    )


def _join(join: Parser) -> None:
    join.option("token", "token from the operator of the monitor", required=True)
    join.option(
        "--plain-http",
        "enrol although the token leads to an http:// address beyond this machine: in a network of "
        "your own, where nobody reads along",
    )

    join.option(
        "--excerpts CHOICE",
        "whether to send the beginnings of unexpected pages, if the operator asks for them: yes or "
        "no (default: you are asked on a terminal, else no)",
        read=one_of("yes", "no"),
        default="",
    )


def _proxy(parser: Parser) -> None:
    parser.option(
        "--proxy URL",
        "socks5h:// or http:// proxy, tried where the monitor cannot be reached without; names are "
        "resolved there. Nothing is measured through it",
        read=parse_proxy,
    )


def _run(parser: Parser) -> None:
    parser.option(
        "--broker URL",
        "where to deliver, instead of where the enrolment says: mqtts://, wss://, https://, "
        "mqtt://, ws:// or http:// URL; ?address=IP is dialled in place of the host's addresses",
        many=True,
    )
    parser.option(
        "--catalogue-key KEY",
        "public key (64 hex digits) whose signed catalogues are accepted from the monitor, or none "
        "(default: the key received at enrolment). With --catalogue, none is accepted",
        read=pinned_key,
    )
    parser.option(
        "--interval SECONDS",
        "time between rounds, at most a day (default: 1800; 300 with --full)",
        read=number(0.1),
    )
    parser.option(
        "--full",
        "measure everything in every round, at every address: for controls, and where "
        "traffic costs nothing",
    )
    parser.option(
        "--budget MB",
        "maximum traffic per month, 0 for no limit; rounds become less frequent to stay within it "
        "(default: 1000; 0 with --full or --interval)",
        read=number(0),
    )
    parser.option(
        "--metrics HOST:PORT", "serve /metrics and /healthz at this address", read=host_port
    )
    parser.option(
        "--local-page HOST:PORT",
        "show what this probe saw on a page for this machine alone, in the browser's language "
        f"(default address: {PAGE})",
        read=_loopback,
        bare=PAGE,
    )
    parser.option(
        "--metered MODE",
        "on a connection that NetworkManager reports as metered: a quarter of the rounds and no "
        "retests (thin), nothing (pause), or as usual (ignore)",
        read=one_of(*MODES),
        default=MODES[0],
    )
    parser.option(
        "--spool-limit MB",
        "maximum size of the measurements that wait on disk for the monitor",
        read=number(0.1),
        default="50",
    )


def _looking(command: Callable[..., Parser]) -> None:
    status = command("status", "show whether the probe works")
    status.option("--json", "print JSON")
    status.option("--check", "print nothing; exit with status 0 if the probe works, otherwise 1")
    show = command("show", "show the last measurements")
    show.option("--last N", "number of measurements", read=positive, default="20")
    show.option("--json", "print JSON")
    command("payload", "print exactly what is sent from this machine")
    command(
        "consent", "print the risks and their hash; with --accept-risks, agree to them", _consent
    )

    command(
        "excerpts", "show whether the beginnings of unexpected pages are sent; allow or refuse it"
    ).option(
        "--send CHOICE",
        "yes to send them if the operator asks for them, no to send none from now on",
        read=one_of("yes", "no"),
        default="",
    )


def _table(parser: Parser) -> None:
    parser.option(
        "--from FILE",
        "table to install: rows of first address, last address, AS number and country, separated "
        "by tabs or commas, gzipped or not (ip2asn-combined.tsv.gz of iptoasn.com is one), or the "
        "output of `location dump` (Debian's packages location and libloc-database)",
        read=path,
        required=True,
    )


def _reflector(parser: Parser) -> None:
    parser.option(
        "--listen HOST:PORT", "address to listen on", read=host_port, default="127.0.0.1:8443"
    )
    parser.option(
        "--certificate FILE", "PEM certificate (default: created in the state directory)", read=path
    )
    parser.option("--key FILE", "PEM key of the certificate", read=path)


def _measuring(parser: Parser) -> None:
    parser.option(
        "--catalogue DIR", "catalogue directory (default: the built-in catalogue)", read=path
    )
    parser.option(
        "--only ID,..", "measure only these services or targets", read=_identifier, many=True
    )
    parser.option(
        "--except ID,..", "do not measure these services or targets", read=_identifier, many=True
    )
    parser.option(
        "--country CC",
        "country this machine is in (default: looked up in the table of `geo update`)",
        read=_country,
        default="",
    )
    parser.option(
        "--asn N",
        "AS number of this network (default: looked up in the table of `geo update`)",
        read=asn,
    )
    parser.option("--bind ADDRESS", "local address to measure from", read=ip_address, default="")
    parser.option(
        "--resolver ADDRESS:PORT",
        "DNS resolver to use instead of those in resolv.conf",
        read=_resolver,
        default="",
    )
    parser.option(
        "--allow-private", "for laboratories only: allow private addresses and short intervals"
    )


def _country(text: str) -> str:
    """The collector accepts measurements from these countries alone."""
    code = country(text)
    if code not in COUNTRIES:
        meant = {"UK": ": the United Kingdom is GB", "EL": ": Greece is GR"}.get(code, "")
        raise ValueError(f"{code} is not a country code of ISO 3166-1{meant}")
    return code


def _consent(parser: Parser) -> None:
    parser.option(
        "--accept-risks HASH",
        "agree to the risks; HASH is printed by `reachprobe consent`",
        read=_hash,
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
    return authority(ip_address(host), port)


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ValueError("must be the 16 hex digits that `reachprobe consent` prints")
    return text


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)?", text):
        raise ValueError(f"{text!r} is not an id, e.g. wechat or wechat/messaging")
    return text
