"""What an address must have passed to count as working."""

from __future__ import annotations

import pytest

from monitor.detection.layers.working import needed_layer, works
from monitor.detection.model import Layer
from monitor.detection.observed.view import EndpointView, view
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef
from probes.wire.observation import AnyObservation
from tests.monitor.detection.app_scenes import CHAT, app
from tests.monitor.detection.scenes import (
    A1,
    DNS,
    HTTP,
    HTTPS,
    QUIC,
    REPEAT,
    TCP,
    TLS,
    foreign,
    http,
    measured,
    quic,
    tcp,
    tls,
)

RESET = Failure.RESET


@pytest.mark.parametrize(
    ("ref", "layer"),
    [
        (DNS, Layer.DNS),
        (TCP, Layer.TCP),
        (TLS, Layer.TLS),
        (HTTPS, Layer.TLS),  # a request is made at one address alone
        (HTTP, Layer.HTTP),
        (QUIC, Layer.QUIC),
        (CHAT, Layer.APP),
    ],
)
def test_the_needed_step(ref: EndpointRef, layer: Layer) -> None:
    assert needed_layer(EndpointView(ref)) is layer


@pytest.mark.parametrize(
    ("ref", "seen", "expected"),
    [
        (TCP, (tcp(at=TCP),), True),
        (TCP, (tcp(A1, RESET, at=TCP),), False),
        (TCP, (tcp(A1, RESET, at=TCP), tcp(A1, at=TCP, **REPEAT)), True),
        (TLS, (tcp(),), False),
        (TLS, (tcp(), tls()), True),
        (TLS, (tcp(), tls(A1, RESET)), False),
        (TLS, (tcp(), foreign()), False),
        (HTTP, (tcp(at=HTTP), http()), True),
        (HTTP, (tcp(at=HTTP), http(A1, RESET)), False),
        (HTTP, (tcp(at=HTTP), http(A1, RESET), http(A1, **REPEAT)), True),
        (QUIC, (quic(),), True),
        (QUIC, (quic(A1, RESET),), False),
        (CHAT, (tcp(at=CHAT), app()), True),
        (CHAT, (tcp(at=CHAT), app(A1, RESET)), False),
    ],
)
def test_what_works(ref: EndpointRef, seen: tuple[AnyObservation, ...], expected: bool) -> None:
    (endpoint,) = view(measured(*seen, endpoints=(ref,))).values()
    (address,) = endpoint.addresses.values()
    assert works(address, needed_layer(endpoint)) is expected
