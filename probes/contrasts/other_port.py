# SPDX-License-Identifier: Apache-2.0
"""Another port of the very address at which a connect failed.

Whether a host is cut off, or one port of it, does not show at that port: a service that closes an
old port looks like a block of the address. Any answer at another port, be it an RST, says that the
host is reached. What the host does there where nothing is in the way, controls show, which always
make this contrast. Nothing is judged here.
"""

from __future__ import annotations

from probes.endpoint.endpoint_run import EndpointRun
from probes.wire.observation import OTHER_PORT, Purpose

MOST_ADDRESSES, MOST_AT_CONTROL = 2, 16
"""Addresses of one endpoint at which another port is tried. A control tries those that failed
elsewhere as well."""
HTTPS, HTTP = 443, 80
"""Ports that hosts of the catalogue's services mostly serve, or refuse by RST."""


async def connect_beside(run: EndpointRun, address: str) -> None:
    """Connect to another port of an address, once."""
    course = run.course
    most = MOST_AT_CONTROL if course.control else MOST_ADDRESSES
    if not course.contrasts or not run.once(f"other port of {address}"):
        return
    if run.up_to("other port", most):
        port = HTTP if run.endpoint.port == HTTPS else HTTPS
        connection = await run.connect(address, port=port, purpose=Purpose.CONTRAST)
        connection.close()
        run.add_evidence(connection.tcp, OTHER_PORT)
