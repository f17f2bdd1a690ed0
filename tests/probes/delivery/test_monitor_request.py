"""Requests to the monitor's web server: who can read them, and what a proxy is asked for."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from probes.delivery import enrolment, monitor_request
from probes.delivery.monitor_request import EnrolmentError
from probes.runtime.monitor_tls import monitor_tls
from probes.runtime.proxy import Proxy
from probes.wire.enrolment_token import EnrolmentToken
from tests.probes.delivery.test_enrolment import GIVEN, fresh_roots
from tests.probes.runtime.test_mqtt import certificate
from tests.probes.runtime.test_proxy import microsocks, tinyproxy
from tests.world.desk import desk
from tests.world.ports import free_port

__all__ = ["fresh_roots"]


def test_what_others_can_read() -> None:
    for url, is_open in {
        "http://collector.example": True,
        "http://10.0.0.1:8080": True,
        "http://localhost.example": True,
        "http://127.0.0.1.example": True,
        "http://localhost:8080": False,
        "http://monitor.localhost": False,
        "http://127.9.9.9": False,
        "http://[::1]:8080": False,
        "https://collector.example": False,
    }.items():
        assert monitor_request.is_open(url) is is_open, url


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name leads to nothing here; a proxy, which is another process, resolves it rightly."""
    real = socket.getaddrinfo

    def wrong(host: str, *more: Any, **options: Any) -> Any:
        return real("127.0.0.9" if host == "localhost" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wrong)


@pytest.fixture(params=["socks5h", "http"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    running = microsocks() if request.param == "socks5h" else tinyproxy(tmp_path)
    with running as port:
        yield Proxy(scheme=request.param, host="127.0.0.1", port=port)


def test_enrolling_and_leaving_through_a_proxy(elsewhere: None, proxy: Proxy) -> None:
    with desk() as front:
        front.answer("/api/v1/enrol", 201, {**GIVEN, "country": "FR", "asn": 64501})
        front.answer("/api/v1/leave", 200, {})
        token = EnrolmentToken(url=f"http://localhost:{front.port}", id="a", secret="b")
        with pytest.raises(EnrolmentError, match="cannot be reached"):
            enrolment.enrol(token, "x")
        enrolled = enrolment.enrol(token, "x", proxy)
        assert enrolled.user == GIVEN["user"]
        # The place of the proxy is none of this machine's.
        assert (enrolled.country, enrolled.asn) == ("", 0)
        enrolment.leave(enrolled, proxy)
        assert [path for path, _ in front.asked] == ["/api/v1/enrol", "/api/v1/leave"]


def test_a_proxy_is_not_asked_where_the_monitor_answers() -> None:
    proxy = Proxy(scheme="http", host="127.0.0.1", port=free_port())
    with desk() as front:
        front.answer("/api/v1/enrol", 201, {**GIVEN, "country": "FR", "asn": 64501})
        token = EnrolmentToken(url=front.url, id="a", secret="b")
        assert enrolment.enrol(token, "x", proxy).country == "FR"
        front.answer("/api/v1/enrol", 403, {"error": "the token is used up"})
        with pytest.raises(EnrolmentError, match="used up"):
            enrolment.enrol(token, "x", proxy)
        assert len(front.asked) == 2
        front.answer("/api/v1/enrol", 200, b"<html>Blocked by order")
        with pytest.raises(EnrolmentError, match=f"through http://127.0.0.1:{proxy.port}"):
            enrolment.enrol(token, "x", proxy)


def test_what_a_proxy_carries_is_encrypted_for_the_monitor(
    elsewhere: None, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monitor_tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            plain, _peer = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as end:
                end.recv(9999)
                end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        answered = monitor_request.post(url, "/", {}, proxy)
        thread.join()
    assert (answered.status, answered.is_direct) == (200, False)
