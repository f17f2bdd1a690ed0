import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.broker import certificates
from probes.delivery import enrolment
from probes.delivery.enrolment import Enrolment
from probes.delivery.monitor_request import EnrolmentError, MonitorReply
from probes.runtime.monitor_tls import monitor_tls
from probes.wire.enrolment_token import EnrolmentToken
from tests.monitor.broker.test_certificates import without_key_usage
from tests.probes.runtime.test_mqtt import certificate
from tests.world.desk import desk
from tests.world.ports import free_port

GIVEN = {
    "probe": "p-0123456789abcdef",
    "user": "p-0123456789abcdef",
    "secret": "hush",
    "broker": ["mqtt://127.0.0.1:1883"],
    "role": "vantage",
    "owner": "o-1",
    "later": "fields are ignored",
}


@pytest.fixture(autouse=True)
def fresh_roots() -> Iterator[None]:
    """Roots that a test names are not those of the next."""
    yield
    monitor_tls.cache_clear()


def test_enrolling_keeps_the_credentials_private(tmp_path: Path) -> None:
    with desk() as front:
        way = "mqtts://reach.example?address=192.0.2.1"
        given = {**GIVEN, "catalogue_key": "a" * 64, "ways": [way]}
        front.answer("/base/api/v1/enrol", 201, given)
        token = EnrolmentToken(url=f"{front.url}/base/", id="abc", secret="once")
        enrolled = enrolment.enrol(token, "reachprobe/1")
        assert front.asked == [
            (
                "/base/api/v1/enrol",
                {"token_id": "abc", "secret": "once", "software": "reachprobe/1"},
            )
        ]
    assert enrolled.probe == GIVEN["probe"]
    assert enrolled.broker == ("mqtt://127.0.0.1:1883",)
    assert enrolled.catalogue_key == "a" * 64
    assert enrolment.urls_of(enrolled) == ("mqtt://127.0.0.1:1883", way, f"{front.url}/base/")
    enrolment.save(tmp_path, enrolled)
    assert (tmp_path / enrolment.FILE).stat().st_mode & 0o777 == 0o600
    assert enrolment.load(tmp_path) == enrolled


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, {"error": "the token is unknown, used up, expired or revoked"}, "used up"),
        (403, b"<html>Blocked by order", "log in"),
        (409, {}, "HTTP status 409: ask your operator for a new token"),
        (429, {"error": 7}, "HTTP status 429: try again later"),
        (502, b"<html>", "HTTP status 502: try again later"),
        (500, {"error": "a\nb\x1b[31m" + "x" * 999}, "refused: ab[31mxx"),
        (307, b"", "something else answers there (HTTP status 307)"),
        (404, b"[" * 9999, "something else answers there"),
        (200, b"<html>Welcome to the hotel", "log in"),
        (200, {"probe": "p-1"}, "answer is invalid"),
        (201, {**GIVEN, "ways": ["mqtts://b?address=name"]}, "answer is invalid"),
        (201, {**GIVEN, "user": "\r\nFLUSHALL\r\n"}, "answer is invalid"),
        (201, {**GIVEN, "secret": "a b"}, "answer is invalid"),
        (201, {**GIVEN, "role": "\x1b[2J"}, "answer is invalid"),
        (201, {**GIVEN, "owner": "\x1b[2J"}, "answer is invalid"),
        (201, {**GIVEN, "catalogue_key": "a" * 63}, "answer is invalid"),
        (201, [1], "something else answers there"),
    ],
)
def test_refusals_are_one_line(status: int, body: object, words: str) -> None:
    with desk() as front:
        front.answer("/api/v1/enrol", status, body)
        with pytest.raises(EnrolmentError) as caught:
            enrolment.enrol(EnrolmentToken(url=front.url, id="a", secret="once"), "x")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert "once" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_web_server_alone_is_a_way_unless_others_could_read_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = MonitorReply(201, {**GIVEN, "broker": []})
    monkeypatch.setattr(enrolment, "post", lambda *_: answer)
    token = EnrolmentToken(url="https://reach.example", id="a", secret="once")
    assert enrolment.urls_of(enrolment.enrol(token, "x")) == ("https://reach.example",)
    token = EnrolmentToken(url="http://reach.example", id="a", secret="once")
    with pytest.raises(EnrolmentError, match="it names no way to deliver measurements"):
        enrolment.enrol(token, "x")


def test_an_unreachable_collector_is_one_line() -> None:
    token = EnrolmentToken(url=f"http://127.0.0.1:{free_port()}", id="a", secret="b")
    with pytest.raises(EnrolmentError, match="cannot be reached"):
        enrolment.enrol(token, "x")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_https_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        heads: list[bytes] = []

        def answer() -> None:
            for _ in range(2):
                plain, _peer = listener.accept()
                try:
                    with context.wrap_socket(plain, server_side=True) as secure:
                        heads.append(secure.recv(9999))
                        body = b'{"address": "192.0.2.9"}'
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + body)
                except OSError:
                    plain.close()

        thread = threading.Thread(target=answer)
        thread.start()
        token = EnrolmentToken(url=f"https://localhost:{port}", id="a", secret="b")
        with pytest.raises(EnrolmentError, match="certificate is not valid"):
            enrolment.enrol(token, "x")
        # The machine's own store counts as well: SSL_CERT_FILE names it.
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        monitor_tls.cache_clear()
        assert enrolment.whoami(token.url, "Basic eA==") == ("192.0.2.9",)
        thread.join()
        assert b"\r\nAuthorization: Basic eA==\r\n" in heads[-1]


def test_who_asks_is_told_over_tls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def note(*_: object, **options: object) -> tuple[int, bytes]:
        told.append(options["authorization"])
        return 404, b""

    monkeypatch.setattr(enrolment, "exchange", note)
    for url in ("http://collector.example", "https://collector.example"):
        enrolment.whoami(url, "Basic eA==")
    assert told == ["", "", "Basic eA==", "Basic eA=="]


def test_a_certificate_that_python_3_13_refuses_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any Python: what 3.13 sets by itself is set here."""
    authority = without_key_usage()
    server = certificates.issue(authority, ["localhost"]).server_context()
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monitor_tls.cache_clear()
    lenient = ssl.create_default_context

    def strict(purpose: ssl.Purpose) -> ssl.SSLContext:
        context = lenient(purpose)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}"

        def answer() -> None:
            plain, _peer = listener.accept()
            with contextlib.suppress(OSError), server.wrap_socket(plain, server_side=True) as end:
                end.recv(9)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(EnrolmentError) as refused:
            enrolment.enrol(EnrolmentToken(url=url, id="a", secret="b"), "x")
        thread.join()
    assert "the CA has no key usage, which Python 3.13 requires: ask whoever" in str(refused.value)
    assert "clock" not in str(refused.value)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    assert enrolment.load(tmp_path) is None
    (tmp_path / enrolment.FILE).write_text("{}")
    with pytest.raises(EnrolmentError, match="run `reachprobe leave --force`, and join again"):
        enrolment.load(tmp_path)
    (tmp_path / enrolment.IDENTITY).write_text("x")
    with pytest.raises(EnrolmentError, match="damaged"):
        enrolment.own_identity(tmp_path)


def test_an_own_identity_is_made_once(tmp_path: Path) -> None:
    first = enrolment.own_identity(tmp_path)
    assert first == enrolment.own_identity(tmp_path)
    assert len(first) == 18


def test_leaving_and_whoami() -> None:
    with desk() as front:
        enrolled = Enrolment(
            probe="p-0123456789abcdef", user="u", secret="hush", broker=("mqtt://x",),
            url=front.url,
        )  # fmt: skip
        front.answer("/api/v1/leave", 200, {})
        enrolment.leave(enrolled)
        assert front.asked[-1][1]["secret"] == "hush"
        front.answer("/api/v1/leave", 403, {"error": "not known here"})
        enrolment.leave(enrolled)
        front.answer("/api/v1/leave", 503, {"error": "try again"})
        with pytest.raises(EnrolmentError, match="try again"):
            enrolment.leave(enrolled)
        for status in (200, 302, 403, 404):  # of a portal: nothing was revoked
            front.answer("/api/v1/leave", status, b"<html>Welcome to the hotel")
            with pytest.raises(EnrolmentError, match="log in"):
                enrolment.leave(enrolled)
        front.answer("/api/v1/whoami", 200, {"address": "2001:DB8::1"})
        assert enrolment.whoami(front.url) == ("2001:db8::1",)
        for body in ({"address": ""}, {"address": "somewhere"}, {}, b"<html>"):
            front.answer("/api/v1/whoami", 200, body)
            assert enrolment.whoami(front.url) == ()
    assert enrolment.whoami(f"http://127.0.0.1:{free_port()}") == ()


async def test_both_families_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a probe that reaches its collector over IPv6 would publish its IPv4 address."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        told = b"2001:db8::7" if ":" in writer.get_extra_info("peername")[0] else b"192.0.2.9"
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b'{"address": "%s"}' % told)
        writer.close()

    port = free_port()
    server = await asyncio.start_server(tell, "127.0.0.1", port)
    other = await asyncio.start_server(tell, "::1", port)
    real = socket.getaddrinfo

    def both(host: str, *more: Any, **options: Any) -> Any:
        found = ("::1", "127.0.0.1") if host == "collector.test" else (host,)
        return [entry for name in found for entry in real(name, *more, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    url = f"http://collector.test:{port}"
    assert await asyncio.to_thread(enrolment.whoami, url) == ("192.0.2.9", "2001:db8::7")
    server.close()
    assert await asyncio.to_thread(enrolment.whoami, url) == ("2001:db8::7",)
    other.close()


def test_the_address_outside_is_asked_of_the_own_collector(tmp_path: Path) -> None:
    assert enrolment.seen_from_outside(tmp_path) == ()
    with desk() as front:
        enrolled = Enrolment(
            probe="p-0123456789abcdef", user="u", secret="hush", broker=("mqtt://x",),
            url=front.url,
        )  # fmt: skip
        enrolment.save(tmp_path, enrolled)
        front.answer("/api/v1/whoami", 200, {"address": "192.0.2.9"})
        assert enrolment.seen_from_outside(tmp_path) == ("192.0.2.9",)
    (tmp_path / enrolment.FILE).write_text("{}")
    assert enrolment.seen_from_outside(tmp_path) == ()
