"""The reflector, met over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import time

import pytest

from probes.net import tls
from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.reflector.tcp import (
    CERTIFICATE_FILE,
    KEY_FILE,
    MAX_BYTES,
    ReflectorError,
    make_certificate,
    serve,
    server_context,
)
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("reflector"))


@contextlib.asynccontextmanager
async def reflecting(credentials, **options):
    stop, port = asyncio.Event(), asyncio.Future()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve(
                "127.0.0.1",
                0,
                context=server_context(*credentials),
                stop=stop,
                ready=port.set_result,
                **options,
            )
        )
        try:
            yield await port
        finally:
            stop.set()


def pinned(credentials) -> ssl.SSLContext:
    """As the docstring of the reflector tells a probe to do it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python 3.13's default
    context.load_verify_locations(cadata=credentials[0].read_text())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def connect(port: int, context: ssl.SSLContext, name: str, request: bytes) -> bytes:
    stream = await LAB.connect("127.0.0.1", port)
    try:
        client = tls.TLSClient(context, name)
        await tls.handshake(stream, client)
        await tls.send(stream, client, request)
        answer = b""
        while piece := await tls.receive(stream, client):
            answer += piece
        return answer
    finally:
        stream.close()


@pytest.mark.parametrize("name", ["szlong.weixin.qq.com", "chat.signal.org", "xn--e1afmkfd.test"])
async def test_any_name_gets_a_handshake_and_204(credentials, name):
    async with reflecting(credentials) as port:
        answer = await connect(
            port, pinned(credentials), name, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert answer == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("wanted", "given"), [(0, 0), (70_000, 70_000), (10**9 - 1, MAX_BYTES)])
async def test_so_many_bytes_when_asked_for(credentials, wanted, given):
    request = f"GET /bytes/{wanted} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    goodbye = b"" if given == MAX_BYTES else b"GET / HTTP/1.1\r\n\r\n"
    async with reflecting(credentials) as port:
        stream = await LAB.connect("127.0.0.1", port)
        try:
            client = tls.TLSClient(pinned(credentials), "a.test")
            await tls.handshake(stream, client)
            answer = b""
            await tls.send(stream, client, request)
            while piece := await tls.receive(stream, client):
                answer += piece
                head, _, body = answer.partition(b"\r\n\r\n")
                if len(body) == given and goodbye:
                    await tls.send(stream, client, goodbye)
                    goodbye = b""
        finally:
            stream.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {given}".encode() in head
    assert body[:given] == bytes(given)
    assert len(body) == given or body[given:].startswith(b"HTTP/1.1 204 ")


async def test_a_connection_gets_so_much_in_all(credentials):
    request = b"GET /bytes/1500000 HTTP/1.1\r\nHost: x\r\n\r\n"
    async with reflecting(credentials) as port:
        stream = await LAB.connect("127.0.0.1", port)
        try:
            client = tls.TLSClient(pinned(credentials), "a.test")
            await tls.handshake(stream, client)
            received = 0
            await tls.send(stream, client, request)
            asked_again = False
            while piece := await tls.receive(stream, client):
                received += len(piece)
                if received >= 1_500_000 and not asked_again:
                    asked_again = True
                    await tls.send(stream, client, request)
        finally:
            stream.close()
    assert MAX_BYTES < received < MAX_BYTES + 1_000


async def test_without_the_pin_it_is_a_stranger(credentials):
    async with reflecting(credentials) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(port, tls.context_for("default"), "chat.signal.org", b"")


@pytest.mark.parametrize("profile", ["default", "classical"])
@pytest.mark.parametrize("alpn", [(), ("h2",), ("http/1.1",)])
async def test_every_hello_of_the_probe_is_completed(credentials, profile, alpn):
    async with reflecting(credentials) as port:
        context = tls.context_for(profile, verify=False, alpn=alpn)
        assert (await connect(port, context, "a.test", b"HEAD / HTTP/1.1\r\n\r\n")).startswith(
            b"HTTP/1.1 204 "
        )


GARBAGE = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\nHost: plain\r\n\r\n",
    b"\x16\x03\x01\xff\xff" + bytes(70000),
    bytes(range(256)) * 100,
    b"\x15\x03\x03\x00\x02\x02\x28",
]


async def test_survives_garbage_and_says_nothing_of_it(credentials, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    async with reflecting(credentials) as port:
        for payload in GARBAGE:
            stream = await LAB.connect("127.0.0.1", port)
            with contextlib.suppress(OSError):
                await stream.send(payload)
                await asyncio.sleep(0.01)
            stream.close()
        answer = await connect(port, pinned(credentials), "a.test", b"x" * 20000)
        assert answer.startswith(b"HTTP/1.1 204 ")
    assert "127.0.0.1" not in caplog.text + "".join(capfd.readouterr())


async def test_malformed_hello_gets_an_alert(credentials):
    async with reflecting(credentials) as port:
        stream = await LAB.connect("127.0.0.1", port)
        try:
            await stream.send(b"\x16\x03\x03\x00\x05\x01\x00\x00\x01\x00")
            assert (await stream.receive())[:1] == b"\x15"
        finally:
            stream.close()


async def test_time_is_bounded(credentials):
    async with reflecting(credentials, connection_seconds=0.2) as port:
        begun = time.monotonic()
        stream = await LAB.connect("127.0.0.1", port)
        with contextlib.suppress(OSError):
            assert await stream.receive() == b""
        stream.close()
        assert 0.15 < time.monotonic() - begun < HANG_SECONDS


async def ended(stream) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        with contextlib.suppress(OSError):
            assert await stream.receive() == b""


async def test_who_holds_every_place_resets_no_probe(credentials):
    """A reset at the reflector says of a name that it is filtered."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    async with reflecting(credentials, max_connections=3) as port:
        held = [await LAB.connect("127.0.0.1", port) for _ in range(3)]
        for _ in range(5):
            assert b" 204 " in await connect(port, pinned(credentials), "a.test", request)
            held.append(await LAB.connect("127.0.0.1", port))
        for stream in held[:-3]:
            await ended(stream)
        for stream in held:
            stream.close()


async def test_one_client_takes_no_place_of_another(credentials, monkeypatch):
    monkeypatch.setattr("probes.reflector.quic.MAX_PER_CLIENT", 2)
    async with reflecting(credentials) as port:
        other = SocketNetwork("127.0.0.2", Guard(allow_private=True))
        elder = await other.connect("127.0.0.1", port)
        held = [await LAB.connect("127.0.0.1", port) for _ in range(3)]
        await ended(held[0])
        assert b" 204 " in await connect(
            port, pinned(credentials), "a.test", b"GET / HTTP/1.1\r\n\r\n"
        )
        with pytest.raises(TimeoutError):  # it may stay
            async with asyncio.timeout(0.3):
                await elder.receive()
        for stream in (*held, elder):
            stream.close()


async def test_stop_ends_an_open_connection(credentials):
    async with asyncio.timeout(HANG_SECONDS):
        async with reflecting(credentials) as port:
            stream = await LAB.connect("127.0.0.1", port)
            await asyncio.sleep(0.02)
        stream.close()
        with pytest.raises(OSError):  # noqa: PT011
            await LAB.connect("127.0.0.1", port)


async def test_taken_port_is_one_line(credentials):
    async with reflecting(credentials) as port:
        with pytest.raises(ReflectorError, match=rf"^127\.0\.0\.1:{port}: .*in use"):
            await serve(
                "127.0.0.1", port, context=server_context(*credentials), stop=asyncio.Event()
            )


def test_certificate_is_made_once_and_its_key_is_private(tmp_path):
    made = make_certificate(tmp_path)
    assert made == (tmp_path / CERTIFICATE_FILE, tmp_path / KEY_FILE)
    assert made[1].stat().st_mode & 0o777 == 0o600
    before = made[0].read_bytes()
    assert make_certificate(tmp_path) == made
    assert made[0].read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([CERTIFICATE_FILE, KEY_FILE])


def test_no_openssl_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReflectorError, match="--certificate FILE --key FILE"):
        make_certificate(tmp_path)


def test_half_a_certificate_does_not_stay(tmp_path, monkeypatch):
    """As openssl leaves it on a full disk, without a word."""
    fake = tmp_path / "openssl"
    fake.write_text('#!/bin/sh\nfor word; do case "$word" in *.new) : > "$word";; esac; done\n')
    fake.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(fake))
    with pytest.raises(ReflectorError, match="is the disk full"):
        make_certificate(tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []
    monkeypatch.undo()
    assert all(path.stat().st_size for path in make_certificate(tmp_path / "state"))


def test_openssl_that_fails(tmp_path, monkeypatch):
    script = tmp_path / "openssl"
    script.write_text("#!/bin/sh\necho first >&2\necho broken inside >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    with pytest.raises(ReflectorError, match=r"could not make a certificate: broken inside$"):
        make_certificate(tmp_path / "state")


def test_bad_certificate_files(tmp_path, credentials):
    junk = tmp_path / "junk.pem"
    junk.write_text("no PEM")
    for pair in ((junk, credentials[1]), (credentials[0], junk), (tmp_path / "none", junk)):
        with pytest.raises(ReflectorError) as caught:
            server_context(*pair)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
