"""Which networks can be judged, and what is missing in the others."""

from __future__ import annotations

from monitor.detection.events.fold import initial
from monitor.detection.events.state import Member, TargetNetwork
from monitor.detection.events.watch_coverage import network_coverage
from monitor.detection.policy import Policy
from tests.monitor.detection.imported_runs import HOUR, START, World, measurement, stored

POLICY = Policy()


def imported(world: World) -> dict[int, str]:
    return {each.asn: each.missing for each in network_coverage(world.state, POLICY)}


def test_imports_need_a_history_that_worked() -> None:
    world = World(networks=(("KE", 1), ("KE", 2), ("ZZ", 3))).run(3)
    assert imported(world) == {
        1: "6 of 8 runs that worked",
        2: "6 of 8 runs that worked",
        3: "country or network not known",
    }
    world.run(1)
    assert (imported(world)[1], imported(world)[2]) == ("", "")


def test_imports_that_fail_too_often_or_show_nothing() -> None:
    world = World(networks=(("KE", 1),)).run(24, lambda hour, asn: 6).run(4)
    assert imported(world) == {1: "fails too often"}
    world.update([stored(measurement([], START + 100 * HOUR, 2))])
    assert imported(world)[2] == "no run that shows anything"


def test_imports_that_have_not_worked_since_a_fault_of_all_the_world() -> None:
    networks = (("KE", 1), ("TZ", 2), ("TZ", 3), ("UG", 4))
    world = World(networks=networks).run(24).run(6, lambda hour, asn: 6)
    assert set(imported(world).values()) == {"not reached since the service failed everywhere"}


def test_own_vantages_need_age_and_two_owners() -> None:
    state = initial("wechat")
    state.round = 10 * HOUR

    def network(asn: int, *members: tuple[str, int]) -> TargetNetwork:
        known = {
            f"p{n}": Member(owner=owner, enrolled=enrolled, interval=0, round=0, outcome="good")
            for n, (owner, enrolled) in enumerate(members)
        }
        return TargetNetwork("wechat/web", "RU", asn, "probe", known, {})

    state.networks = {
        "a": network(1, ("x", 0), ("y", 0)),
        "b": network(2, ("x", 0), ("x", 0), ("y", 9 * HOUR)),
        "c": network(3, ("x", 9 * HOUR)),
        "d": network(0, ("x", 0), ("y", 0)),
    }
    assert {each.asn: each.missing for each in network_coverage(state, POLICY)} == {
        0: "country or network not known",
        1: "",
        2: "vantages of one owner only",
        3: "all vantages too young",
    }
