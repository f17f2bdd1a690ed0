"""A service that turns a country away sends it another page, and no speed compares with that."""

from __future__ import annotations

from monitor.detection.judge.target import judge
from tests.monitor.detection.scenes import (
    A1,
    HTTPS,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    alive,
    control,
    dns,
    http,
    measured,
    tcp,
    tls,
    transfer,
)


def seen(status: int, **speed: int):  # type: ignore[no-untyped-def]
    answered = http(A1, at=HTTPS, status=status)
    way = [dns(A1, at=HTTPS), tcp(A1, at=HTTPS), tls(A1, at=HTTPS), answered]
    mine = [transfer(A1, at=HTTPS, turn=turn, status=status, **speed) for turn in (0, 3)]
    other = [transfer(A1, at=HTTPS, turn=turn, **speed, **INNOCUOUS) for turn in (1, 2)]
    elsewhere = [
        transfer(REFLECTOR, at=HTTPS, turn=turn, **OWN_HOST | {"sni": "harmless.example"})
        for turn in (0, 1)
    ]
    return [*way, *mine, *other, *elsewhere]


def test_a_small_page_in_place_of_a_large_one_is_not_slow() -> None:
    beyond = [control(*seen(200), endpoints=(HTTPS,))]
    for status in (403, 451):
        away = measured(*seen(status, rate=4_000), endpoints=(HTTPS,))
        said = judge(away, alive(), beyond)
        assert said.state != "throttled"
        assert said.rule in ("http.served_otherwise", "http.451")
        assert said.evidence == ("by_service",)
    same = judge(measured(*seen(200, rate=4_000), endpoints=(HTTPS,)), alive(), beyond)
    assert same.rule.startswith("throttle.")
