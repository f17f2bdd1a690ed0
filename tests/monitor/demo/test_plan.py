from __future__ import annotations

from monitor.demo import plan


def test_nothing_of_the_demonstration_can_leave_the_machine() -> None:
    assert all(host.endswith(".test") for host in plan.hosts())


def test_every_host_has_an_address_of_its_own() -> None:
    numbers = list(plan.hosts().values())
    numbers += [n for service in plan.SERVICES for n in plan.numbers_of(service)]
    numbers += [plan.REFERENCE, plan.REFLECTOR, plan.SILENT]
    numbers += [plan.FIRST_VANTAGE + n for n in range(10)]
    numbers += [plan.FIRST_RESOLVER + n for n in range(4)]
    assert len(numbers) == len(set(numbers))
    assert all(1 <= number <= 254 for number in numbers)


def test_each_network_has_volunteers_of_three_owners() -> None:
    assert [network.asn for network in plan.NETWORKS] == [64501, 64502, 64503]
    for network in plan.NETWORKS:
        assert len(network.owners) == 3
        assert len(set(network.owners)) == 3


def test_few_targets_resolve_names_so_that_a_round_stays_short() -> None:
    targets = [t for s in plan.SERVICES for t in s.targets if any(e.host for e in t.endpoints)]
    assert len(targets) <= 8
