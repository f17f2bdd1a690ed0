# SPDX-License-Identifier: Apache-2.0
"""Rules about the vantage itself, which come before every accusation: a vantage that is offline, or
whose connections are all changed, shows nothing about one service.
"""

from __future__ import annotations

from monitor.detection.model import State
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.rule import Rule

UNSEEN = "vantage.liveness_unseen"
VANTAGE_RULES: tuple[Rule[VantageStatus], ...] = (
    Rule(
        "vantage.clock_wrong",
        lambda vantage: vantage.clock_wrong,
        State.INCONCLUSIVE,
        "The clock is wrong by over an hour, or the liveness hosts' certificates are outside their "
        "dates too.",
        evidence=("clock_wrong",),
    ),
    Rule(
        "vantage.tls_interception",
        lambda vantage: vantage.intercepted,
        State.INCONCLUSIVE,
        "The liveness hosts show someone else's certificate too: an antivirus or an office proxy.",
        evidence=("tls_interception",),
    ),
    Rule(
        "vantage.captive_portal",
        lambda vantage: vantage.portal and not vantage.online,
        State.VANTAGE_OFFLINE,
        "A liveness host answers with a redirect to another site or with HTTP in place of TLS: a "
        "sign-in page.",
        evidence=("captive_portal",),
    ),
    Rule(
        "vantage.allow_list_network",
        lambda vantage: vantage.international is False and vantage.domestic is True,
        State.INCONCLUSIVE,
        "Domestic hosts pass and international ones do not: the network lets only listed addresses "
        "through.",
        evidence=("allow_list_network",),
    ),
    Rule(
        "vantage.resolver_dead",
        lambda vantage: not vantage.online and vantage.resolver.dead,
        State.VANTAGE_OFFLINE,
        "The resolver answers for no name.",
        evidence=("resolver_dead",),
    ),
    Rule(
        "vantage.offline",
        lambda vantage: vantage.international is False,
        State.VANTAGE_OFFLINE,
        "Most liveness hosts fail.",
    ),
    Rule(
        "vantage.went_offline",
        lambda vantage: vantage.went_offline,
        State.VANTAGE_OFFLINE,
        "While the target failed, the liveness hosts that were reached before failed together.",
        evidence=("went_offline",),
    ),
    Rule(
        UNSEEN,
        lambda vantage: vantage.international is None,
        State.INCONCLUSIVE,
        "Liveness was not measured in the same round.",
        evidence=("no_liveness",),
    ),
)
