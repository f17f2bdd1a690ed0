# SPDX-License-Identifier: Apache-2.0
"""`reachwatch rules`: its options, and the file of the alerting chain that they ask for."""

from __future__ import annotations

import argparse

from monitor.commands.options import OptionError, http_url


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add everything but `--pace`."""
    parser.add_argument(
        "--public-url",
        type=http_url,
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="base of the links (default: %(default)s)",
    )
    parser.add_argument(
        "--runbooks",
        default=None,
        metavar="URL",
        help="where the runbooks are published (default: deploy/runbooks, in the source tree)",
    )
    parser.add_argument(
        "--alertmanager", action="store_true", help="print Alertmanager's configuration"
    )
    parser.add_argument(
        "--prometheus", action="store_true", help="print Prometheus' own configuration"
    )
    parser.add_argument(
        "--webhook",
        type=http_url,
        default=None,
        metavar="URL",
        help="with --alertmanager: where pages, tickets and closing messages are posted",
    )
    parser.add_argument(
        "--heartbeat",
        type=http_url,
        default=None,
        metavar="URL",
        help="with --alertmanager: who raises the alarm when alerting falls silent",
    )


def text(given: argparse.Namespace) -> str:
    """The file that was asked for. Raises OptionError."""
    # Imported here: the command line of everything else need not wait for it.
    from monitor.alerts import routing, rules, scraping
    from monitor.detection.policy import Policy

    policy = Policy(pace=given.pace or 1)
    if given.alertmanager and given.prometheus:
        raise OptionError("--alertmanager, --prometheus: one file at a time")
    if (given.webhook or given.heartbeat) and not given.alertmanager:
        raise OptionError("--webhook, --heartbeat: only with --alertmanager")
    if given.alertmanager:
        return routing.render(policy, given.webhook or "", given.heartbeat or "")
    if given.prometheus:
        return scraping.render(policy)
    return rules.render(policy, given.public_url, given.runbooks or rules.RUNBOOKS)
