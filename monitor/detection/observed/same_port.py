# SPDX-License-Identifier: Apache-2.0
"""Innocuous hosts at the service's port, and another port of the service's host, compared with the
same as a control saw them: is it the port that fails, here or of this host, or the host?

A host tells something where it answers the control and fails here: by a connection, or by an RST,
as machines answer at a port that they do not serve. Hosts that drop such packets from everybody
tell nothing, nor does an RST of another port where the service's own is refused too.
"""

from __future__ import annotations

from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind, app_kind, tcp_kind
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import AddressView
from probes.wire.observation import INNOCUOUS_REFUSED

PARTIAL_PORT = "partial:port"
"""Evidence that the host answers at another port."""
OTHER_PORT_FAILS = "other_port_fails"
"""Evidence that the host is not reached at another port either, at which it answers others."""
_ANSWERS = (Kind.OK, Kind.RESET)
_DIES = (Kind.TIMEOUT, Kind.RESET, Kind.UNREACHABLE)


def port_shut(context: EndpointContext, address: AddressView, kind: Kind) -> bool:
    """Whether the connect failed in the way (`kind`) in which innocuous hosts of this address
    family fail here at the same port, each of which answers a control there otherwise. Where
    liveness hosts pass at this port, only our own host tells something: in a network that lets only
    listed hosts through, no other service is reached either. Machines answer by RST as well at a
    port that they do not serve: there it tells that their SYNs are refused before they arrive."""
    if kind is Kind.RESET and _refused_alike(context):
        return True
    vantage = context.vantage
    is_open = (address.family, address.port) in vantage.passage.tcp
    if is_open and not vantage.background.only_listed:
        return False
    pairs = [
        (here, there)
        for host, here, there in _here_and_there(context)
        if vantage.background.only_listed or family(host) == address.family
    ]
    told = {here for here, there in pairs if here is not there}
    if vantage.background.only_listed:
        return kind in told  # a liveness host is on the list, whatever the port
    passes = any(here is Kind.OK or (here in _ANSWERS and here is not kind) for here, _ in pairs)
    return told == {kind} and not passes


def _refused_alike(context: EndpointContext) -> bool:
    """Whether innocuous hosts are refused at the hop at which this endpoint is."""
    return any(
        INNOCUOUS_REFUSED in trace.evidence
        for address in context.endpoint.addresses.values()
        for trace in address.paths
    )


def any_bytes_end(context: EndpointContext, kind: Kind) -> bool:
    """Whether other first bytes than the app's end in this way (`kind`) at our own host and port,
    and for a control in another one."""
    ours = context.endpoint.reflector.app
    theirs = {
        app_kind(exchange)
        for control in context.controls
        if (exchange := control.reflector.app) is not None
    }
    return ours is not None and app_kind(ours) is kind and bool(theirs) and kind not in theirs


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


def _here_and_there(context: EndpointContext) -> list[tuple[str, Kind, Kind]]:
    """How a connect to each host ended here and at a control, where the control was answered."""
    return [
        (host, tcp_kind(connect), there)
        for host, connect in context.endpoint.at_port.items()
        for there in _answers_there(context, host)
    ]


def _answers_there(context: EndpointContext, host: str) -> list[Kind]:
    """How a host answered the controls, the best of them."""
    kinds = {
        tcp_kind(control.at_port[host]) for control in context.controls if host in control.at_port
    }
    return [kind for kind in _ANSWERS if kind in kinds][:1]
