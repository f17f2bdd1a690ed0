"""What an event concerns and where."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.text import (
    event_evidence,
    event_headlines,
    event_subject,
)
from monitor.text.event_subject import OtherFunctions, Reached
from probes.catalogue import load as catalogue
from probes.wire.measurement import function_of
from tests.world import site as world

CONFIRMED = next(event for event in world.events() if event.id == world.CONFIRMED)


def test_other_functions_are_named_with_what_was_measured_of_them() -> None:
    wechat = next(each for each in world.CATALOGUE.services if each.id == "wechat")
    counts = {"wechat/messaging": Reached(22, 24), "wechat/web": Reached(0, 9)}
    apart = event_subject.other_functions(CONFIRMED, wechat, counts)
    assert apart == OtherFunctions((("messaging", Reached(22, 24)),), ())
    said = event_evidence.doubts(CONFIRMED, apart)
    assert (
        "Affected: web client; measured as well: messaging, reachable in 22 of 24 measurements "
        "meanwhile." in said
    )
    whole = replace(CONFIRMED, targets=tuple(each.id for each in wechat.targets))
    assert event_subject.other_functions(whole, wechat, counts) == OtherFunctions()
    assert event_subject.other_functions(CONFIRMED, None, counts) == OtherFunctions()


def test_a_function_that_nobody_measured_is_not_called_reachable() -> None:
    wechat = next(each for each in world.CATALOGUE.services if each.id == "wechat")
    for counts in ({}, {"wechat/messaging": Reached(0, 0)}):
        apart = event_subject.other_functions(CONFIRMED, wechat, counts)
        assert apart == OtherFunctions((), ("messaging",))
        assert not any("messaging" in said for said in event_evidence.doubts(CONFIRMED, apart))


def test_the_headline_says_exactly_what_is_concerned() -> None:
    """A web client that is cut off while messaging works is not the service; nor one network the
    country."""
    event = replace(CONFIRMED, targets=("wechat/web",), asns=(64501,))
    scoped = replace(event, targets_measured=2, networks_measured=2)
    assert event_headlines.headline(scoped, "WeChat") == (
        "WeChat's web client is blocked in one of two networks measured in Russia."
    )
    whole = replace(event, targets_measured=1, networks_measured=1)
    # Of functions that nobody measures nothing is known.
    assert event_headlines.headline(whole, "WeChat") == (
        "WeChat's web client is blocked in one network in Russia."
    )
    two = replace(scoped, targets=("wechat/api", "wechat/web"), targets_measured=3)
    assert event_subject.subject(two, "WeChat") == "WeChat (API and web client)"
    every = replace(two, targets=("wechat/api", "wechat/login", "wechat/web"))
    assert event_subject.subject(every, "WeChat") == "WeChat (all three functions measured)"
    assert event_subject.common_subject([every, every], "WeChat") == (
        "WeChat (all three functions measured)"
    )
    assert event_subject.common_subject([every, two], "WeChat") == "WeChat (some functions)"
    many = replace(scoped, service="telegram", targets=("telegram/dc",))
    assert event_headlines.headline(many, "Telegram") == (
        "Telegram (data centres) is blocked in one of two networks measured in Russia."
    )


def test_every_function_of_the_catalogue_has_a_name() -> None:
    """Else a headline would say "WeChat's platform api hk is blocked", in every language."""
    targets = [each.id for one in catalogue.load().services for each in one.targets]
    assert len(targets) > 100
    assert {id for id in targets if function_of(id) not in event_subject.FUNCTIONS} == set()


def test_a_remark_in_a_services_name_shares_its_brackets_with_the_functions() -> None:
    name = "Matrix (matrix.org, Element)"
    one = replace(CONFIRMED, targets=("matrix/web",), targets_measured=2)
    two = replace(one, targets=("matrix/api", "matrix/web"), targets_measured=3)
    assert event_subject.subject(one, name) == "Matrix (matrix.org, Element; web client)"
    assert event_subject.subject(two, name) == "Matrix (matrix.org, Element; API and web client)"
    assert event_subject.common_subject([one, two], name) == (
        "Matrix (matrix.org, Element; some functions)"
    )
