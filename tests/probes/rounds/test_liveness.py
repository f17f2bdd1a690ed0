"""Which hosts count for whom, and the clock's offset."""

from __future__ import annotations

from probes.rounds.liveness import clock_offset_ms, liveness_targets, reached_hosts
from probes.wire.measurement import LIVENESS_DOMESTIC, LIVENESS_INTERNATIONAL, Measurement
from probes.wire.observation import TCPConnect
from probes.wire.target import LivenessHost

HOSTS = (
    LivenessHost(host="a.test", port=443, protocol="https", scope="international"),
    LivenessHost(host="192.0.2.1", port=443, protocol="tls", scope="international"),
    LivenessHost(host="2001:db8::1", port=53, protocol="tcp", scope="international"),
    LivenessHost(
        host="ru.test", port=8443, protocol="tls", scope="domestic", country="RU", trust="PEM"
    ),
    LivenessHost(host="fr.test", port=443, protocol="tls", scope="domestic", country="FR"),
)


def test_domestic_is_for_the_country_of_the_vantage():
    international, domestic = liveness_targets(HOSTS, "RU")
    assert (international.id, domestic.id) == (LIVENESS_INTERNATIONAL, LIVENESS_DOMESTIC)
    assert {t.combine for t in (international, domestic)} == {"most"}
    assert [e.id for e in international.endpoints] == [
        "a.test:443/https",
        "192.0.2.1:443/tls",
        "[2001:db8::1]:53/tcp",
    ]
    assert [(e.id, e.trust) for e in domestic.endpoints] == [("ru.test:8443/tls", "PEM")]
    assert [t.id for t in liveness_targets(HOSTS, "ZZ")] == [LIVENESS_INTERNATIONAL]
    assert liveness_targets((), "RU") == ()


def test_an_address_is_dialled_and_not_resolved():
    international = liveness_targets(HOSTS, "ZZ")[0]
    assert [(e.host, e.address) for e in international.endpoints] == [
        ("a.test", ""),
        ("", "192.0.2.1"),
        ("", "2001:db8::1"),
    ]


def test_offset_is_the_median_of_dates_cut_to_the_second():
    assert clock_offset_ms([]) is None
    assert clock_offset_ms([(1000, 1500)]) == 0
    lying = (1_000, 10_000_000)
    assert clock_offset_ms([(1000, 61_500), (2000, 62_500), lying]) == 60_000


def test_one_connection_is_enough_to_be_online():
    def seen(*failures: str | None) -> Measurement:
        return Measurement(
            v=1,
            id="0" * 32,
            probe="p-" + "0" * 16,
            target=LIVENESS_INTERNATIONAL,
            round=0,
            started=0,
            observations=tuple(
                TCPConnect(endpoint="e", address="192.0.2.1", port=443, failure=f) for f in failures
            ),
        )

    assert not reached_hosts(seen())
    assert not reached_hosts(seen("generic_timeout_error"))
    assert reached_hosts(seen("generic_timeout_error", None))
