from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.broker.packets import AppMessage, Subscription, is_filter
from monitor.broker.properties import Property
from monitor.broker.subscriptions import Retained, Subscriptions, matches, split_shared


@pytest.mark.parametrize(
    ("topic_filter", "topic", "wanted"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/a", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_the_standards_examples(topic_filter: str, topic: str, wanted: bool) -> None:
    assert matches(topic_filter, topic) is wanted
    subscriptions: Subscriptions[str] = Subscriptions()
    subscriptions.add("c", Subscription(topic_filter))
    assert bool(subscriptions.receivers(topic, None)) is wanted


LEVEL = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.lists(st.one_of(LEVEL, st.sampled_from(["+", "#"])), min_size=1, max_size=4)
    .map("/".join)
    .filter(is_filter)
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 3), FILTERS, st.integers(0, 1), st.booleans())), TOPICS)
def test_the_tree_says_what_single_filters_say(
    steps: list[tuple[int, str, int, bool]], topic: str
) -> None:
    tree: Subscriptions[int] = Subscriptions()
    model: dict[tuple[int, str], int] = {}
    for client, name, qos, remove in steps:
        if remove:
            assert tree.remove(client, name) is ((client, name) in model)
            model.pop((client, name), None)
        else:
            assert tree.add(client, Subscription(name, qos)) is ((client, name) not in model)
            model[client, name] = qos
    wanted: dict[int, int] = {}
    for (client, name), qos in model.items():
        if matches(name, topic):
            wanted[client] = max(qos, wanted.get(client, 0))
    found = tree.receivers(topic, None)
    assert {client: each.qos for client, each in found.items()} == wanted
    for client in range(4):
        assert tree.count(client) == sum(owner == client for owner, _ in model)
        tree.drop(client)
    assert tree._root.empty, "nothing is left of clients that went"


def test_one_member_of_a_group_gets_each_message_in_turn() -> None:
    tree: Subscriptions[str] = Subscriptions()
    for client in ("one", "two"):
        tree.add(client, Subscription("$share/g/a/+", 1))
    tree.add("three", Subscription("a/b", 0))
    got = [sorted(tree.receivers("a/b", None)) for _ in range(4)]
    assert got == [["one", "three"], ["three", "two"], ["one", "three"], ["three", "two"]]
    tree.drop("one")
    assert sorted(tree.receivers("a/b", None)) == ["three", "two"]


def test_shared_names() -> None:
    assert split_shared("$share/g/a/#") == ("g", "a/#")
    assert split_shared("a/#") == ("", "a/#")
    for wrong in ("$share/g", "$share//a", "$share/+/a", "$share/g/a#", "a#", ""):
        assert split_shared(wrong) == ("", "")


def test_no_local() -> None:
    tree: Subscriptions[str] = Subscriptions()
    tree.add("me", Subscription("a", no_local=True))
    assert tree.receivers("a", "me") == {}
    assert list(tree.receivers("a", "you")) == ["me"]


def test_retained_messages() -> None:
    now = [0.0]
    kept = Retained(2, lambda: now[0])
    one, two = AppMessage("a/b", b"1", 1, True), AppMessage("a/c", b"2", 1, True)
    assert kept.put(one)
    assert kept.put(two)
    assert not kept.put(AppMessage("a/d", b"3", 1, True)), "full"
    assert kept.put(two)
    assert kept.matching("a/+") == [one, two]
    assert kept.matching("a/b") == [one]
    assert kept.put(AppMessage("a/b", b"", 1, True))
    assert kept.matching("#") == [two]
    short = AppMessage("a/b", b"1", 1, True, {Property.MESSAGE_EXPIRY: 10})
    kept.put(short)
    now[0] = 4.0
    assert kept.matching("a/b")[0].properties == {Property.MESSAGE_EXPIRY: 6}
    now[0] = 10.0
    assert kept.matching("#") == [two]
