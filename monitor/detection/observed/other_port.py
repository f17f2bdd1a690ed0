# SPDX-License-Identifier: Apache-2.0
"""Another port of an address that cannot be reached, compared with the same port as a control saw
it: is the host cut off, or one port of it?

A host answers by a connection, or by an RST where it does not serve the port. One that drops such
packets from everybody tells nothing, nor does an RST where the port in question is refused too.
"""

from __future__ import annotations

from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind, tcp_kind
from monitor.detection.observed.view import AddressView

PARTIAL_PORT = "partial:port"
"""Evidence that the host answers at another port."""
OTHER_PORT_FAILS = "other_port_fails"
"""Evidence that the host is not reached at another port either, at which it answers others."""
_DIES = (Kind.TIMEOUT, Kind.RESET, Kind.UNREACHABLE)


def other_port_remarks(
    context: EndpointContext, address: AddressView, kind: Kind
) -> tuple[str, ...]:
    """Return what another port says of an address to which the connect ended in this way."""
    connect = context.endpoint.at_other_port.get(address.address)
    if kind not in _DIES or connect is None:
        return ()
    here = tcp_kind(connect)
    if here is Kind.OK or (here is Kind.RESET and kind is not Kind.RESET):
        return (PARTIAL_PORT,)
    answers = (Kind.OK,) if here is Kind.RESET else (Kind.OK, Kind.RESET)
    there = {
        tcp_kind(control.at_other_port[address.address])
        for control in context.controls
        if address.address in control.at_other_port
    }
    return (OTHER_PORT_FAILS,) if here in _DIES and there.intersection(answers) else ()
