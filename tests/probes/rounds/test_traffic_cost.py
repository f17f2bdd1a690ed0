"""What the traffic of a measurement is counted as."""

import msgspec

from probes.rounds.traffic_cost import spent_bytes
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    DNSLookup,
    HTTPExchange,
    PathHop,
    PathTrace,
    TCPConnect,
    TLSHandshake,
)


def test_traffic_is_counted() -> None:
    seen = (
        TCPConnect(endpoint="e", address="192.0.2.1", port=443),
        TLSHandshake(
            endpoint="e", address="192.0.2.1", port=443, sni="a", sent_bytes=1500,
            received_bytes=4000,
        ),
        HTTPExchange(
            endpoint="e", address="192.0.2.1", port=443, host="a", sent_bytes=200,
            received_bytes=9000,
        ),
    )  # fmt: skip
    measurement = Measurement(
        v=1, id="0" * 32, probe="p-" + "0" * 16, target="a/b", round=1, started=1,
        observations=seen,
    )  # fmt: skip
    assert spent_bytes(measurement, 1000) == int(1.1 * (14_700 + 3 * 400 + 200))
    hops = (PathHop(ttl=1), PathHop(ttl=2))
    path = PathTrace(endpoint="e", address="192.0.2.1", port=443, sni="n", hops=hops)
    further = msgspec.structs.replace(measurement, observations=(path,))
    assert spent_bytes(further, 1000) == int(1.1 * (400 + 2 * 2_400 + 200))
    lookup = DNSLookup(endpoint="e", name="n", qtype="A", resolver="r")
    encrypted = msgspec.structs.replace(lookup, transport="doh")
    both = msgspec.structs.replace(measurement, observations=(lookup, encrypted))
    assert spent_bytes(both, 1000) == int(1.1 * (220 + 9_500 + 200))
