from __future__ import annotations

import asyncio
import ssl

import pytest

from probes.runtime.broker_url import parse_way
from probes.runtime.http_connection import open_http
from probes.runtime.monitor_tls import MOST_SESSIONS, MonitorTLS, monitor_tls
from probes.runtime.traffic_meter import TrafficMeter
from tests.world.pki import Authority

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


async def asked(port: int, tls: MonitorTLS) -> tuple[int, bool]:
    """What one request over a new connection carries, and whether the session was resumed."""
    meter = TrafficMeter()
    way = parse_way(f"https://reach.test:{port}?address=127.0.0.1")
    connection = await open_http(way, meter, lambda _: True, tls)
    resumed = connection._writer.get_extra_info("ssl_object").session_reused
    assert (await connection.post("/", b"", {}, 100)).body == b"ok"
    connection.close()
    return meter.total(), resumed


async def test_a_second_connection_resumes_the_session_and_is_much_smaller() -> None:
    ca = Authority()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ca.issue("reach.test").context())
    port = server.sockets[0].getsockname()[1]
    tls = MonitorTLS(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cadata=ca.pem)
    first, resumed_first = await asked(port, tls)
    second, resumed = await asked(port, tls)
    assert (resumed_first, resumed) == (False, True)
    assert second < first
    for number in range(2 * MOST_SESSIONS):
        tls._sessions[str(number)] = tls._sessions["reach.test"]
    await asked(port, tls)
    other = MonitorTLS(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asked(port, other)
    server.close()


def test_names_and_chains_are_verified() -> None:
    tls = monitor_tls()
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.verify_flags == ssl.create_default_context().verify_flags
    assert tls.cert_store_stats()["x509_ca"] > 50
