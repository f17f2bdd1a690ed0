# SPDX-License-Identifier: Apache-2.0
"""One straight-line function per protocol, made of steps. A new experiment is one file here and
one name in ALL; a test fails when the name is forgotten. Experiments do not know each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from probes.endpoint.endpoint_run import Visit
from probes.protocols import (
    dns,
    http,
    https,
    matrix,
    mmtls,
    mmtls_http,
    mtproto,
    quic,
    stun,
    tcp,
    tls,
    whatsapp,
    xmpp,
)


class Experiment(NamedTuple):
    """How endpoints of one protocol are measured."""

    protocol: str
    measure: Callable[[Visit], Awaitable[None]]


ALL: tuple[Experiment, ...] = (
    Experiment(dns.PROTOCOL, dns.measure),
    Experiment(tcp.PROTOCOL, tcp.measure),
    Experiment(tls.PROTOCOL, tls.measure),
    Experiment(https.PROTOCOL, https.measure),
    Experiment(http.PROTOCOL, http.measure),
    Experiment(quic.PROTOCOL, quic.measure),
    Experiment(mtproto.PROTOCOL, mtproto.measure),
    Experiment(stun.PROTOCOL, stun.measure),
    Experiment(whatsapp.PROTOCOL, whatsapp.measure),
    Experiment(mmtls.PROTOCOL, mmtls.measure),
    Experiment(mmtls_http.PROTOCOL, mmtls_http.measure),
    Experiment(xmpp.PROTOCOL, xmpp.measure),
    Experiment(matrix.PROTOCOL, matrix.measure),
)
BY_PROTOCOL = {experiment.protocol: experiment for experiment in ALL}
