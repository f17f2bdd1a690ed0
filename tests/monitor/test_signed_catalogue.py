"""Keys, signing and publishing, on each broker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from pathlib import Path

import aiomqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from monitor.signed_catalogue import (
    CatalogueFile,
    keep_published,
    make_key,
    publish,
    read_document,
    sign,
)
from probes.catalogue.load import SHIPPED, load
from probes.remote_catalogue import RemoteCatalogue
from probes.runtime.mqtt import BrokerError
from probes.runtime.options import OptionError
from probes.wire import topics
from probes.wire.signed_catalogue import decode_signed, encode_signed
from tests.monitor.broker.conftest import broker
from tests.world.brokers import MONITOR_SECRET, House
from tests.world.ports import free_port
from tests.world.tiny import write_catalogue
from tests.world.waiting import HANG_SECONDS

__all__ = ["broker"]
USER = "monitor"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    make_key(path)
    return path


@functools.cache
def signed(key: Path, serial: int) -> bytes:
    """The shipped catalogue, signed once for all tests."""
    return sign(SHIPPED, key, serial)


def test_a_probe_takes_what_is_signed_here(tmp_path: Path, key: Path) -> None:
    document = sign(SHIPPED, key, 7)
    assert document == sign(SHIPPED, key, 7), "the same catalogue is the same bytes"
    (tmp_path / "signed").write_bytes(document)
    again, found = read_document(tmp_path / "signed")
    assert again == document
    taken = RemoteCatalogue(tmp_path, found.header.key, lambda each: each).accept(document)
    assert taken is not None
    assert (taken.serial, taken.catalogue) == (7, load())


def test_a_file_that_is_replaced_is_read_again_and_a_bad_one_is_not_taken(
    tmp_path: Path, key: Path
) -> None:
    path = tmp_path / "signed"
    document = CatalogueFile(path)
    assert document() == b""
    for serial in (1, 2):
        (tmp_path / "new").write_bytes(signed(key, serial))
        (tmp_path / "new").replace(path)
        assert document() == signed(key, serial)
    (tmp_path / "new").write_bytes(b"damaged")
    (tmp_path / "new").replace(path)
    assert document() == signed(key, 2)


def test_the_key_is_private_and_never_overwritten(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key.pem")
    assert len(public) == 64
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(OptionError, match=r"--new-key: .*key\.pem: File exists"):
        make_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_bytes() == before
    (tmp_path / "key.pem").chmod(0o644)
    with pytest.raises(OptionError, match="others may read it"):
        sign(SHIPPED, tmp_path / "key.pem", 1)


def test_other_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    for text, words in ((b"rubbish", "not a private key"), (_elliptic(), "not an Ed25519 key")):
        path.write_bytes(text)
        with pytest.raises(OptionError, match=words):
            sign(SHIPPED, path, 1)


def _elliptic() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_catalogue_that_probes_would_refuse_is_not_signed(tmp_path: Path, key: Path) -> None:
    directory = write_catalogue(tmp_path / "c", 5222, 22)
    with pytest.raises(OptionError, match="probes would refuse it: "):
        sign(directory, key, 1)
    assert sign(directory, key, 1, laboratory=True)
    service = directory / "services" / "wechat.toml"
    service.write_text(service.read_text().replace("source", "sauce", 1))
    with pytest.raises(OptionError, match=r"wechat\.toml: .*catalogue lint"):
        sign(directory, key, 1, laboratory=True)


def test_a_file_with_a_wrong_signature_is_not_published(tmp_path: Path, key: Path) -> None:
    make_key(tmp_path / "other.pem")
    path = tmp_path / "signed"
    with pytest.raises(OptionError, match="signed: No such file"):
        read_document(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(OptionError, match="not zstd"):
        read_document(path)


async def retained(broker: House) -> bytes:
    """What a probe reads of the topic when it connects."""
    async with broker.client(broker.one) as client, asyncio.timeout(HANG_SECONDS):
        await client.subscribe(topics.CATALOGUE, qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload
    raise AssertionError("nothing is retained")


async def test_probes_read_what_is_published(broker: House, key: Path) -> None:
    to = (broker.monitor_url, USER, MONITOR_SECRET)
    document = signed(key, 7)
    await publish(document, *to)
    assert await retained(broker) == document
    await publish(document, *to)
    with pytest.raises(OptionError, match="the broker has serial number 7, this file has 6"):
        await publish(signed(key, 6), *to)
    assert await retained(broker) == document
    async with broker.client() as monitor:
        await monitor.publish(topics.CATALOGUE, b"rubbish", qos=1, retain=True)
    await publish(signed(key, 6), *to)
    assert await retained(broker) == signed(key, 6)


async def test_another_key_replaces_nothing_that_is_good(
    broker: House, key: Path, tmp_path: Path
) -> None:
    to = (broker.monitor_url, USER, MONITOR_SECRET)
    make_key(tmp_path / "other.pem")
    foreign = sign(SHIPPED, tmp_path / "other.pem", 9)
    await publish(signed(key, 7), *to)
    with pytest.raises(OptionError, match="probes that trust the first would refuse it") as refused:
        await publish(foreign, *to)
    assert "\n" not in str(refused.value)
    assert await retained(broker) == signed(key, 7)
    await publish(foreign, *to, replace_key=True)
    assert await retained(broker) == foreign
    # What no probe accepts is not worth keeping.
    forged = encode_signed(decode_signed(signed(key, 7)).header, decode_signed(signed(key, 8)).body)
    async with broker.client() as monitor:
        await monitor.publish(topics.CATALOGUE, forged, qos=1, retain=True)
    await publish(foreign, *to)
    assert await retained(broker) == foreign


async def test_a_probe_may_not_publish_one(broker: House, key: Path) -> None:
    await publish(signed(key, 7), broker.monitor_url, USER, MONITOR_SECRET)
    with contextlib.suppress(aiomqtt.MqttError):  # disconnected for it
        async with broker.client(broker.one) as probe:
            await probe.publish(topics.CATALOGUE, signed(key, 9), retain=True)
    assert await retained(broker) == signed(key, 7)


async def test_what_a_file_has_stays_published(
    broker: House, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.signed_catalogue.LOOK_SECONDS", 0.05)
    path = tmp_path / "signed"
    path.write_bytes(signed(key, 7))
    to = (broker.monitor_url, USER, MONITOR_SECRET)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_published(path, *to))
        async with broker.client(broker.one) as client, asyncio.timeout(HANG_SECONDS):
            await client.subscribe(topics.CATALOGUE, qos=1)
            messages = aiter(client.messages)
            assert (await anext(messages)).payload == signed(key, 7)
            path.write_bytes(signed(key, 8))
            assert (await anext(messages)).payload == signed(key, 8)
        task.cancel()


async def test_an_absent_broker_is_one_line(key: Path) -> None:
    with pytest.raises(BrokerError) as refused:
        await publish(signed(key, 7), f"mqtt://127.0.0.1:{free_port()}", USER, "x")
    assert "\n" not in str(refused.value)
