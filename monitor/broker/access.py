# SPDX-License-Identifier: Apache-2.0
"""Who may publish to and subscribe to which topic, for every broker.

The embedded broker calls these functions for each packet; mosquitto gets the same rules as an
access list (`monitor.broker.mosquitto`). The monitor's own user may do everything and is not
checked here.
"""

from __future__ import annotations

from probes.wire import topics

RETESTS = f"{topics.PREFIX}/retest/"
EVENTS = f"{topics.PREFIX}/events/"
NETWORKS = f"{topics.PREFIX}/networks/"


def may_publish(user: str, topic: str) -> bool:
    """A probe publishes its own batches and its own status, also as its will."""
    return topic in (topics.measurements(user), topics.status(user))


def may_subscribe(user: str, topic_filter: str) -> bool:
    """A probe reads its own acknowledgements, the catalogue, retests, events and conditions of
    networks.

    The last three may be narrowed or taken whole (`events/#`). A wildcard above them would
    include what is not for this probe and is refused, as are `$share` and `$SYS`.
    """
    if topic_filter in (topics.ack(user), topics.CATALOGUE):
        return True
    return topic_filter.startswith((RETESTS, EVENTS, NETWORKS))
