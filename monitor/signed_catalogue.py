# SPDX-License-Identifier: Apache-2.0
"""Signed catalogues: keys, signing, and publishing them to the probes.

The private key is an Ed25519 key as PEM (PKCS 8) in a file that only its owner may read. The
document names its public key, and probes that enrol get that key as the only one they accept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from monitor.broker.client import connected, read_retained
from monitor.paths import read_secret
from probes.catalogue.limits import beyond_limits
from probes.catalogue.lint import lint
from probes.catalogue.load import load
from probes.runtime.broker_url import parse_way
from probes.runtime.mqtt import BrokerConnection, BrokerError
from probes.runtime.options import OptionError
from probes.wire import topics
from probes.wire.codec import WireError
from probes.wire.signed_catalogue import (
    CONTEXT,
    MAX_DOCUMENT_BYTES,
    SignatureHeader,
    SignedCatalogue,
    decode_files,
    decode_signed,
    encode_files,
    encode_signed,
)

LOG = logging.getLogger("reachwatch")
READ_SECONDS = 10.0
"""Time limit for what the broker retains."""
LOOK_SECONDS = 5.0
"""How often the file is looked at, so that a new catalogue needs no restart."""
RECONNECT_SECONDS = 5.0


def make_key(path: Path) -> str:
    """Make a key pair; the private key goes into a new file of mode 0600. Return the public key,
    hex. Raises OptionError, also when the file exists."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            os.fsync(file.fileno())
    except OSError as error:
        raise OptionError(f"--new-key: {path}: {error.strerror or error}") from None
    return key.public_key().public_bytes_raw().hex()


def sign(
    directory: Path,
    key_file: Path,
    serial: int,
    *,
    ways: Sequence[str] = (),
    laboratory: bool = False,
) -> bytes:
    """Return the signed catalogue of a directory; `ways` replace the monitor's addresses. Raises
    OptionError for a catalogue that does not lint, or that probes would refuse outside a
    laboratory, and for a key file that others may read."""
    if problems := lint(directory):
        raise OptionError(f"{problems[0]} ({len(problems)} in all: `reachwatch catalogue lint`)")
    if not laboratory and (beyond := beyond_limits(load(directory), load())):
        raise OptionError(
            f"{directory}: probes would refuse it: {beyond[0]} ({len(beyond)} in all)"
        )
    if not laboratory and (open_ways := [url for url in ways if parse_way(url).exposed]):
        raise OptionError(f"--way: {open_ways[0]}: not encrypted: probes would refuse it")
    names = sorted([*directory.glob("*.toml"), *directory.glob("services/*.toml")])
    names += sorted([*directory.glob("*.pem"), *directory.glob("services/*.pem")])
    files = {path.relative_to(directory).as_posix(): path.read_text("utf-8") for path in names}
    key = _private_key(key_file)
    try:
        body = encode_files(serial, files, ways)
        header = SignatureHeader(
            key=key.public_key().public_bytes_raw().hex(), signature=key.sign(CONTEXT + body).hex()
        )
        return encode_signed(header, body)
    except WireError as error:
        raise OptionError(f"{directory}: {error}") from None


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(read_secret(path).encode(), None)
    except (ValueError, TypeError):
        raise OptionError(f"--key: {path}: not a private key without password in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise OptionError(f"--key: {path}: not an Ed25519 key")
    return key


def read_document(path: Path) -> tuple[bytes, SignedCatalogue]:
    """Return a signed catalogue that is in a file, with its bytes, once its signature was verified.
    Raises OptionError."""
    try:
        with path.open("rb") as file:
            document = file.read(MAX_DOCUMENT_BYTES + 1)
        found = _verified(document)
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}") from None
    except (WireError, ValueError) as error:
        raise OptionError(f"{path}: {error}") from None
    except InvalidSignature:
        raise OptionError(f"{path}: signed catalogue: the signature is wrong") from None
    return document, found


def _verified(document: bytes) -> SignedCatalogue:
    """Decode a document whose signature is that of the key it names. Raises WireError, ValueError
    and InvalidSignature."""
    found = decode_signed(document)
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(found.header.key))
    public.verify(bytes.fromhex(found.header.signature), found.signed)
    decode_files(found.body)
    return found


async def publish(
    document: bytes, url: str, user: str, secret: str, *, replace_key: bool = False
) -> None:
    """Retain a document at the broker. One that is retained already is not sent to all probes once
    more. Raises BrokerError, and OptionError when the broker has a good one of the same key with a
    higher serial number, or of another key unless that is to be replaced."""
    found = decode_signed(document)
    async with connected(url, user, secret, purpose="catalogue") as connection:
        before = await _retained(connection)
        if before == found:
            return
        if before is not None and before.header.key != found.header.key:
            if not replace_key:
                raise OptionError(
                    f"the broker retains a catalogue signed by {before.header.key}, this file is "
                    f"signed by {found.header.key}: probes that trust the first would refuse it; "
                    "to replace it all the same: `catalogue publish --replace-key`"
                )
        elif before is not None:
            held, new = decode_files(before.body).serial, decode_files(found.body).serial
            if held > new:
                raise OptionError(
                    f"the broker has serial number {held}, this file has {new}: probes accept no "
                    "lower one"
                )
        if refusal := await connection.publish(topics.CATALOGUE, document, retain=True):
            raise BrokerError(f"the broker refused the catalogue: {refusal}")


async def _retained(connection: BrokerConnection) -> SignedCatalogue | None:
    """The signed catalogue that the broker has; None for none, or for something that every probe
    refuses."""
    messages, complete = await read_retained(connection, topics.CATALOGUE, READ_SECONDS)
    if not complete:
        raise BrokerError("the broker does not say which catalogue it retains")
    found: SignedCatalogue | None = None
    for message in messages:
        try:
            found = _verified(message.payload)
        except (WireError, ValueError, InvalidSignature):
            found = None
    return found


async def keep_published(path: Path, url: str, user: str, secret: str) -> None:
    """Keep the document of a file retained until cancelled: a broker forgets it when it is started
    again, and the file may be replaced."""
    reported = ""
    while True:
        try:
            document, _ = await asyncio.to_thread(read_document, path)
            await publish(document, url, user, secret)
            if reported:
                LOG.info("the signed catalogue is published again")
            reported = ""
            await _until_changed(document, path, url, user, secret)
        except (BrokerError, OptionError) as error:
            if (line := str(error).splitlines()[0][:200]) != reported:
                LOG.warning("the signed catalogue is not published: %s", line)
                reported = line
            await asyncio.sleep(RECONNECT_SECONDS * random.uniform(0.5, 1.5))


async def _until_changed(document: bytes, path: Path, url: str, user: str, secret: str) -> None:
    """Return when the file has another document. Raises BrokerError when the broker goes away, and
    OptionError."""
    async with connected(url, user, secret, purpose="catalogue") as connection:
        while (await asyncio.to_thread(read_document, path))[0] == document:
            # A connection that has died says so here.
            await connection.publish(topics.ack("catalogue"), b"")
            await asyncio.sleep(LOOK_SECONDS)


class CatalogueFile:
    """The document in a file, read again when the file is replaced. A bad one does not replace the
    last good one."""

    def __init__(self, path: Path) -> None:
        self._path, self._document = path, b""
        self._read: tuple[int, int] | None = None

    def __call__(self) -> bytes:
        """Return the document; empty if there never was a good one."""
        try:
            found = self._path.stat()
            version = found.st_mtime_ns, found.st_ino
            if version != self._read:
                self._read = version
                self._document, _ = read_document(self._path)
        except (OSError, OptionError) as error:
            LOG.warning("the signed catalogue cannot be read: %s", str(error)[:200])
        return self._document
