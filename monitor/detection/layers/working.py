# SPDX-License-Identifier: Apache-2.0
"""What an address must have passed to count as working."""

from __future__ import annotations

from monitor.detection.model import Layer
from monitor.detection.observed.view import AddressView, EndpointView
from probes.wire.protocol import Transport, protocol


def needed_layer(endpoint: EndpointView) -> Layer:
    """The step that every address of an endpoint must pass to count as working: the handshake where
    a certificate proves the server, else the last step of its protocol."""
    known = protocol(endpoint.ref.protocol)
    return Layer.TLS if known.tls and known.transport is Transport.TCP else Layer(known.layer)


def works(address: AddressView, needed: Layer) -> bool:
    """Whether every step with the service's name passed here, the needed one included."""
    if needed is not Layer.TCP and not (address.deeper or address.proven):
        return False  # it was only connected to
    if address.tls.tried and not address.proven:
        return False
    if address.http.tried and not address.http.passed:
        return False
    if address.app.tried:
        return address.app.passed
    return address.tcp.passed or address.proven
