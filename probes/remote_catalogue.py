# SPDX-License-Identifier: Apache-2.0
"""The catalogue that the monitor sends (`reachwatch/v1/catalogue`): whether this probe takes it.

It is taken only when the key that is pinned here has signed it, its serial number is higher than
that of the last one, nothing in it is wrong, and it stays within the limits of
`probes.catalogue.limits`. It is kept in the state directory as it came, so that no older one is
taken after a restart either. cryptography is loaded when a new one arrives and not before.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from probes import state_directory
from probes.catalogue.limits import beyond_limits
from probes.catalogue.load import load, read
from probes.catalogue.selection import all_ids
from probes.catalogue.table import CatalogueError
from probes.log import Log, printable
from probes.runtime.broker_url import parse_way
from probes.state_directory import StateError
from probes.wire.codec import WireError
from probes.wire.signed_catalogue import (
    CatalogueFiles,
    SignedCatalogue,
    decode_files,
    decode_signed,
)
from probes.wire.target import Catalogue

FILE = "catalogue.signed"
NO_KEY = "none"
"""Value of `--catalogue-key` that pins no key, whatever the enrolment says."""


class RefusedCatalogueError(Exception):
    """A catalogue that is not taken. The text is the reason, in one line."""


class TakenCatalogue(msgspec.Struct, frozen=True):
    """A catalogue from the monitor that this probe measures."""

    serial: int
    catalogue: Catalogue
    """The part of it that the volunteer has chosen."""
    new_services: tuple[str, ...]
    """Services that are measured and are not in the catalogue that came with the probe."""
    ids: frozenset[str]
    """Of all services and targets in it, whether chosen or not."""
    ways: tuple[str, ...] = ()
    """URLs at which the monitor is reached from now on, if they work; none for those that are
    known."""


def pinned_key(text: str) -> str:
    """Return a public key as 64 hex digits, or NO_KEY. Raises ValueError."""
    if text != NO_KEY and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"must be 64 hex digits, or {NO_KEY}")
    return text


class RemoteCatalogue:
    """The catalogue that one probe has from the monitor, and the rules for another one."""

    def __init__(
        self,
        directory: Path,
        key: str,
        choose: Callable[[Catalogue], Catalogue],
        *,
        laboratory: bool = False,
    ) -> None:
        """`key` is the pinned public key. `choose` returns what is measured of a catalogue, and
        raises CatalogueError for one that cannot be used here. In a laboratory, where private
        addresses are allowed, the limits do not apply."""
        self._path = directory / FILE
        self._key, self._choose, self._laboratory = key, choose, laboratory
        self._document = b""
        self._serial = 0
        self._offered = b""
        """What arrived and was not looked at yet."""
        self.on_taken: Callable[[TakenCatalogue], None] = lambda taken: None
        self.refused = ""
        """Why the last one that arrived was not taken; empty if it was."""

    def load_kept(self) -> TakenCatalogue | None:
        """Return the one that was taken last; None if there is none of this key. Raises
        RefusedCatalogueError when it cannot be used (any more); its serial number still counts."""
        try:
            document = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RefusedCatalogueError(f"{self._path}: {error.strerror or error}") from None
        signed = _unpacked(document)
        if signed.header.key != self._key:
            return None
        # This file is as safe as the key beside it: the signature was verified when it came.
        found = _files(signed)
        self._document, self._serial = document, found.serial
        return self._usable(found)

    def offer(self, document: bytes) -> None:
        """Remember what has arrived until `newest`. An empty message clears what a broker
        retains, and changes nothing here."""
        self._offered = document or self._offered

    async def newest(self, log: Log) -> TakenCatalogue | None:
        """Return what was offered since the last call, if it is taken and is not there already."""
        document, self._offered = self._offered, b""
        if not document:
            return None
        try:
            taken = await asyncio.to_thread(self.accept, document)
        except RefusedCatalogueError as error:
            self.refused = printable(str(error))[:300]
            log("a catalogue of the monitor was not taken", reason=self.refused)
            return None
        self.refused = ""
        if taken is not None:
            log(
                "catalogue of the monitor taken",
                serial=taken.serial,
                targets=len(taken.catalogue.targets),
                new_services=",".join(taken.new_services),
            )
            self.on_taken(taken)
        return taken

    def accept(self, document: bytes) -> TakenCatalogue | None:
        """Keep and return a catalogue that arrived; None for the one that is there already.
        Blocks; raises RefusedCatalogueError."""
        if document == self._document:
            return None
        signed = _unpacked(document)
        if signed.header.key != self._key:
            raise RefusedCatalogueError(
                f"signed by {signed.header.key[:16]}…, not by the pinned key"
            )
        _verify(signed)
        found = _files(signed)
        if found.serial <= self._serial:
            raise RefusedCatalogueError(
                f"serial number {found.serial}; this probe has {self._serial}"
            )
        taken = self._usable(found)
        try:
            state_directory.write(self._path, document)
        except StateError as error:
            raise RefusedCatalogueError(str(error)) from None
        self._document, self._serial = document, found.serial
        return taken

    def _usable(self, found: CatalogueFiles) -> TakenCatalogue:
        try:
            catalogue, findings = read(found.files)
            shipped = load()
            # What an old probe does not know (`findings.unknown`) does not matter.
            wrong = [*findings.faults, *findings.gaps]
            if not self._laboratory:
                wrong += beyond_limits(catalogue, shipped)
            if wrong:
                more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                raise RefusedCatalogueError(f"{wrong[0]}{more}")
            known, chosen = {each.id for each in shipped.services}, self._choose(catalogue)
            return TakenCatalogue(
                found.serial,
                chosen,
                tuple(each.id for each in chosen.services if each.id not in known),
                frozenset(all_ids(catalogue)),
                self._private(found.ways),
            )
        except CatalogueError as error:
            raise RefusedCatalogueError(str(error)) from None

    def _private(self, urls: tuple[str, ...]) -> tuple[str, ...]:
        """The URLs, if this probe's secret can be read by nobody on the way to them. Raises
        RefusedCatalogueError."""
        for url in urls:
            try:
                way = parse_way(url)
            except ValueError as error:
                raise RefusedCatalogueError(f"way {url!r}: {error}") from None
            if (way.exposed and not self._laboratory) or way.user or way.secret:
                raise RefusedCatalogueError(f"way {way.name}: not encrypted, or with a password")
        return urls


def _unpacked(document: bytes) -> SignedCatalogue:
    try:
        return decode_signed(document)
    except WireError as error:
        raise RefusedCatalogueError(str(error)) from None


def _files(signed: SignedCatalogue) -> CatalogueFiles:
    try:
        return decode_files(signed.body)
    except WireError as error:
        raise RefusedCatalogueError(str(error)) from None


def _verify(signed: SignedCatalogue) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise RefusedCatalogueError(
            "the package cryptography is missing: pip install 'reachwatch[catalogue]'"
        ) from None
    header = signed.header
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(header.key))
        public.verify(bytes.fromhex(header.signature), signed.signed)
    except (InvalidSignature, ValueError):
        raise RefusedCatalogueError("the signature is wrong") from None
