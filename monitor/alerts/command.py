# SPDX-License-Identifier: Apache-2.0
"""`reachwatch rules`: the file of the alerting chain that its options ask for."""

from __future__ import annotations

import argparse

from probes.runtime.options import OptionError


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
