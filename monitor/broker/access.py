# SPDX-License-Identifier: Apache-2.0
"""Who may publish to and subscribe to which topic, for every broker.

The embedded broker calls these functions for each packet; mosquitto gets the same rules as an
access list (`monitor.broker.mosquitto`). The monitor's own user may do everything and is not
checked here.
"""

from __future__ import annotations

from collections.abc import Callable

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

    The last three may be narrowed or taken whole (`events/#`); of retests it receives those that
    `near` allows. A wildcard above them would include what is not for this probe and is
    refused, as are `$share` and `$SYS`.
    """
    if topic_filter in (topics.ack(user), topics.CATALOGUE):
        return True
    return topic_filter.startswith((RETESTS, EVENTS, NETWORKS))


def anybody_may_receive(user: str, topic: str) -> bool:
    """The answer of a broker that does not know where probes are: whoever may subscribe to a topic
    may read it."""
    return True


def near(place_of: Callable[[str], tuple[str, int] | None]) -> Callable[[str, str], bool]:
    """Whether a probe gets a message to which it has subscribed: it reads the retests of its own
    network alone, so that nobody learns what is suspected elsewhere. `place_of`: the country and
    network of a probe's latest measurements, None when there are none."""

    def may_receive(user: str, topic: str) -> bool:
        if not topic.startswith(RETESTS):
            return True
        place = place_of(user)
        return place is not None and topic == topics.retest(*place)

    return may_receive
