# SPDX-License-Identifier: Apache-2.0
"""Who gets which message: a tree of topic filters by level, and the retained messages. Pure.

A client with several filters that match gets one copy, with the highest QoS of them. Of a shared
subscription (`$share/GROUP/FILTER`) one member gets each message, in turn. Wildcards at the
first level do not match topics that begin with `$`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from monitor.broker.packets import AppMessage, Subscription, is_filter
from monitor.broker.properties import Property

SHARE = "$share/"
C = TypeVar("C")


def split_shared(topic_filter: str) -> tuple[str, str]:
    """Return group and filter of a subscription; the group is empty unless it is shared. An
    invalid one has an invalid filter: ""."""
    if not topic_filter.startswith(SHARE):
        return "", topic_filter if is_filter(topic_filter) else ""
    group, _, rest = topic_filter.removeprefix(SHARE).partition("/")
    valid = group and not {"+", "#"} & set(group) and is_filter(rest)
    return (group, rest) if valid else ("", "")


class _Node(Generic[C]):
    """One level of filters."""

    __slots__ = ("children", "groups", "own")

    def __init__(self) -> None:
        self.children: dict[str, _Node[C]] = {}
        self.own: dict[C, Subscription] = {}
        self.groups: dict[str, dict[C, Subscription]] = {}
        """Members of shared subscriptions; the first one is next."""

    def members(self, group: str) -> dict[C, Subscription]:
        """The subscriptions of a group; without a group the plain ones."""
        return self.groups.setdefault(group, {}) if group else self.own

    @property
    def empty(self) -> bool:
        return not (self.children or self.own or self.groups)


class Subscriptions(Generic[C]):
    """The subscriptions of clients, which are any hashable objects."""

    def __init__(self) -> None:
        self._root: _Node[C] = _Node()
        self._filters: dict[C, set[str]] = {}

    def add(self, client: C, subscription: Subscription) -> bool:
        """Add or replace a subscription with a valid filter; whether it is new."""
        group, topic_filter = split_shared(subscription.filter)
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        members = node.members(group)
        new = client not in members
        members[client] = subscription
        self._filters.setdefault(client, set()).add(subscription.filter)
        return new

    def count(self, client: C) -> int:
        """How many filters a client has."""
        return len(self._filters.get(client, ()))

    def remove(self, client: C, name: str) -> bool:
        """Remove the subscription with this filter; whether there was one."""
        own = self._filters.get(client)
        if own is None or name not in own:
            return False
        own.remove(name)
        if not own:
            del self._filters[client]
        group, topic_filter = split_shared(name)
        path = [self._root]
        levels = topic_filter.split("/")
        for level in levels:
            path.append(path[-1].children[level])
        members = path[-1].members(group)
        del members[client]
        if group and not members:
            del path[-1].groups[group]
        for parent, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            if not parent.children[level].empty:
                break
            del parent.children[level]
        return True

    def drop(self, client: C) -> None:
        """Remove every subscription of a client."""
        for name in tuple(self._filters.get(client, ())):
            self.remove(client, name)

    def has_reader(self, topic: str) -> bool:
        """Whether a message on this topic would reach anybody."""
        nodes = self._matching(self._root, topic.split("/"), 0)
        return any(node.own or node.groups for node in nodes)

    def receivers(self, topic: str, sender: C | None) -> dict[C, Subscription]:
        """Who gets a message on this topic, and by which subscription."""
        found: dict[C, Subscription] = {}
        for node in self._matching(self._root, topic.split("/"), 0):
            for client, subscription in node.own.items():
                if subscription.no_local and client is sender:
                    continue
                _keep_higher(found, client, subscription)
            for members in node.groups.values():
                client = next(iter(members))
                subscription = members[client] = members.pop(client)
                _keep_higher(found, client, subscription)
        return found

    def _matching(self, node: _Node[C], levels: list[str], at: int) -> Iterator[_Node[C]]:
        wild = at or not levels[0].startswith("$")
        # `a/#` matches `a` as well.
        if wild and (rest := node.children.get("#")) is not None:
            yield rest
        if at == len(levels):
            yield node
            return
        for level in (levels[at], "+") if wild else (levels[at],):
            if (child := node.children.get(level)) is not None:
                yield from self._matching(child, levels, at + 1)


def _keep_higher(found: dict[C, Subscription], client: C, subscription: Subscription) -> None:
    present = found.get(client)
    if present is None or present.qos < subscription.qos:
        found[client] = subscription


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a valid filter matches a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


class Retained:
    """The last retained message of each topic, at most `most` topics. `clock` counts seconds, for
    messages that expire."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._messages: dict[str, tuple[AppMessage, float]] = {}

    def put(self, message: AppMessage) -> bool:
        """Keep a message, or forget its topic when it is empty; False when there is no room."""
        if not message.payload:
            self._messages.pop(message.topic, None)
            return True
        if message.topic not in self._messages and len(self._messages) >= self._most:
            return False
        self._messages[message.topic] = (message, self._clock())
        return True

    def matching(self, topic_filter: str) -> list[AppMessage]:
        """The messages that a new subscription gets."""
        wild = "+" in topic_filter or "#" in topic_filter
        found = []
        for topic in list(self._messages) if wild else (topic_filter,):
            if wild and not matches(topic_filter, topic):
                continue
            if (message := self._fresh(topic)) is not None:
                found.append(message)
        return found

    def _fresh(self, topic: str) -> AppMessage | None:
        message, kept = self._messages.get(topic, (None, 0.0))
        if message is None or Property.MESSAGE_EXPIRY not in message.properties:
            return message
        left = message.properties[Property.MESSAGE_EXPIRY] - int(self._clock() - kept)
        if left <= 0:
            del self._messages[topic]
            return None
        lasting = {**message.properties, Property.MESSAGE_EXPIRY: left}
        return msgspec.structs.replace(message, properties=lasting)
