import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.catalogue.load import load
from probes.rounds.profile import FAILED_REST_MS, REST_MS, REST_ROUNDS, Profile, core_targets
from probes.wire.target import Catalogue, Endpoint, Service, Target

INTERVAL = 1_800_000
ENDPOINT = Endpoint(host="a.test", port=443, protocol="tls")


def target(id: str, *, core: bool = False) -> Target:
    return Target(id=id, endpoints=(ENDPOINT,), core=core)


CHAT = Service(
    id="chat",
    name="Chat",
    targets=(target("chat/messaging", core=True), *(target(f"chat/f{n}") for n in range(12))),
)
PLAIN = Service(id="plain", name="Plain", targets=(target("plain/a"), target("plain/b")))
CATALOGUE = Catalogue(version="", services=(CHAT, PLAIN))


@given(interval=st.sampled_from([60_000, 300_000, INTERVAL, 21_600_000]), seed=st.integers(0, 99))
def test_core_in_every_round_and_the_rest_once_in_its_interval(interval: int, seed: int) -> None:
    profile = Profile(CATALOGUE, f"p-{seed:016x}")
    intervals = profile.intervals(interval)
    rounds = intervals["chat/f0"] // interval
    assert rounds >= REST_ROUNDS
    assert intervals["chat/f0"] >= REST_MS
    seen = [each.id for n in range(rounds) for each in profile.due(n * interval, interval)]
    assert seen.count("chat/messaging") == rounds
    assert all(seen.count(f"chat/f{n}") == 1 for n in range(12))


def test_without_core_every_target_is() -> None:
    assert core_targets(PLAIN) == PLAIN.targets
    due = Profile(CATALOGUE, "p").due(0, INTERVAL)
    assert {"plain/a", "plain/b"} <= {each.id for each in due}


def test_what_failed_is_measured_more_often() -> None:
    profile = Profile(CATALOGUE, "p")
    ailing = {"chat/f3", "chat/messaging"}
    rounds = profile.intervals(INTERVAL)["chat/f3"] // INTERVAL
    seen = [t.id for n in range(rounds) for t in profile.due(n * INTERVAL, INTERVAL, None, ailing)]
    assert profile.intervals(INTERVAL, failed=True)["chat/f3"] == FAILED_REST_MS
    assert seen.count("chat/f3") == REST_MS // FAILED_REST_MS
    assert seen.count("chat/f4") == 1
    assert seen.count("chat/messaging") == rounds


@pytest.mark.parametrize("thin", [1, 2, 4, 8])
def test_a_short_budget_leaves_out_what_works_and_never_what_fails(thin: int) -> None:
    """The core function of a service of which anything fails is in every round."""
    profile, ailing = Profile(CATALOGUE, "p"), {"chat/f3"}
    rounds = range(64)
    seen = [
        each.id
        for n in rounds
        for each in profile.due(n * INTERVAL, INTERVAL, None, ailing, thin=thin)
    ]
    assert seen.count("chat/messaging") == len(rounds)
    assert seen.count("plain/a") == len(rounds) // thin
    intervals = profile.intervals(INTERVAL, thin=thin)
    assert intervals["plain/a"] == thin * INTERVAL
    assert intervals["chat/f4"] <= 86_400_000
    assert profile.intervals(INTERVAL, failed=True, thin=thin)["plain/a"] == INTERVAL


def test_vantages_with_places_share_the_rest_evenly() -> None:
    """Four of them measure every function in each two hours."""
    profiles = [Profile(CATALOGUE, f"p-{n}") for n in range(4)]
    for begin in range(0, 16, 4):
        seen = {
            each.id
            for place, profile in enumerate(profiles)
            for n in range(begin, begin + 4)
            for each in profile.due(n * INTERVAL, INTERVAL, 250 * place)
        }
        assert {f"chat/f{n}" for n in range(12)} <= seen


def test_vantages_take_different_rounds() -> None:
    taken = {
        tuple(each.id for each in Profile(CATALOGUE, f"p-{n}").due(0, INTERVAL)) for n in range(20)
    }
    assert len(taken) > 5


def test_full_measures_everything_and_costs_more() -> None:
    full, lean = Profile(CATALOGUE, "p", full=True), Profile(CATALOGUE, "p")
    assert full.due(0, INTERVAL) == CATALOGUE.targets
    assert set(full.intervals(INTERVAL).values()) == {INTERVAL}
    assert full.guessed_bytes(INTERVAL) > 4 * lean.guessed_bytes(INTERVAL)


def test_every_service_of_the_shipped_catalogue_has_one_or_two_core_functions() -> None:
    for service in load(None).services:
        marked = [each.id for each in service.targets if each.core]
        assert 1 <= len(marked) <= 2, service.id
