# SPDX-License-Identifier: Apache-2.0
"""Reads a catalogue directory into a `Catalogue`, or raises an error of one line.

Only files are read: no name is resolved and nothing is contacted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probes.catalogue import entries, syntax
from probes.catalogue.syntax import one_line, quoted
from probes.catalogue.table import CatalogueError, Findings, Table
from probes.wire.protocol import PROTOCOLS
from probes.wire.target import (
    Catalogue,
    LivenessHost,
    Resolver,
    Service,
    SilentAddress,
    SNIContrast,
)

__all__ = ["SHIPPED", "CatalogueError", "load", "read"]

SHIPPED = Path(__file__).parent
"""The catalogue that comes with the probe."""
MAX_FILE_BYTES = 1 << 20
"""Longest file of a catalogue; the longest shipped one has under 10 kB."""

_log = logging.getLogger(__name__)


def load(directory: Path | None = None) -> Catalogue:
    """Return the catalogue in a directory, the shipped one when None.

    Unknown keys and protocols are logged as warnings, so that an old probe survives a newer
    catalogue. Raises CatalogueError, one line `file: key: reason`.
    """
    catalogue, findings = read(directory or SHIPPED)
    if findings.faults:
        raise CatalogueError(findings.faults[0])
    for line in findings.unknown:
        _log.warning("catalogue: %s", line)
    return catalogue


def read(source: Path | Mapping[str, str]) -> tuple[Catalogue, Findings]:
    """Return what could be read of a directory, or of the texts of its files by name, and
    everything that is wrong with it.

    The catalogue is usable only when the findings have no fault. Raises CatalogueError when
    the directory itself cannot be read.
    """
    files: _Files
    if isinstance(source, Path):
        files = _Files(source, Findings())
    else:
        files = _Texts(Path(), Findings(), texts=source)
    services = _services(files)
    resolvers, silent = _resolvers(files)
    liveness, contrast = _controls(files)
    catalogue = Catalogue(
        version=files.version(),
        services=services,
        resolvers=resolvers,
        silent=silent,
        liveness=liveness,
        sni=contrast,
    )
    return catalogue, files.findings


def _resolvers(files: _Files) -> tuple[tuple[Resolver, ...], tuple[SilentAddress, ...]]:
    if (table := files.table("resolvers.toml")) is None:
        return (), ()
    inner = table.tables("resolver")
    resolvers = tuple(entries.resolver(each, files.trust) for each in inner)
    entries.refuse_repeats(inner, resolvers, lambda resolver: resolver.id, "id")
    silent = tuple(entries.silent_address(each) for each in table.tables("silent"))
    table.close()
    return resolvers, silent


def _controls(files: _Files) -> tuple[tuple[LivenessHost, ...], SNIContrast]:
    if (table := files.table("controls.toml")) is None:
        return (), SNIContrast()
    hosts = [entries.liveness_host(each, files.trust) for each in table.tables("liveness")]
    sni = table.table("sni")
    contrast = SNIContrast() if sni is None else entries.sni_contrast(sni, files.trust)
    table.close()
    # A host of a protocol that cannot be measured would look like an offline vantage.
    return tuple(host for host in hosts if host.protocol in PROTOCOLS), contrast


def _services(files: _Files) -> tuple[Service, ...]:
    tables, found = [], []
    for name in files.service_files():
        if (table := files.table(name)) is not None:
            tables.append(table)
            found.append(entries.service(table, files.trust))
    services = tuple(found)
    entries.refuse_repeats(tables, services, lambda service: service.id, "id")
    first: dict[str, str] = {}
    for table, service in zip(tables, services, strict=True):
        for index, target in enumerate(service.targets):
            place = table.where(f"target[{index}].id")
            if target.id in first:
                table.fault(f"target[{index}].id", f"{target.id} is already {first[target.id]}")
            elif target.id:
                first[target.id] = place
    return services


@dataclass(frozen=True)
class _Files:
    """The files of one catalogue that were read."""

    directory: Path
    findings: Findings
    contents: dict[str, bytes] = field(default_factory=dict)

    def service_files(self) -> list[str]:
        """Names of the service files in order. Raises CatalogueError when there is none."""
        place = one_line(str(self.directory))
        try:
            if not self.directory.is_dir():
                reason = "not a directory" if self.directory.exists() else "no such directory"
                raise CatalogueError(f"{place}: {reason}")
            found = sorted(
                f"services/{name}"
                for name in os.listdir(self.directory / "services")
                if name.endswith(".toml")
            )
        except FileNotFoundError:
            raise CatalogueError(f"{place}: contains no folder 'services'") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CatalogueError(f"{place}: cannot be read: {reason}") from None
        if not found:
            raise CatalogueError(f"{place}/services: contains no *.toml file")
        return found

    def table(self, name: str) -> Table | None:
        """The file as a table; None when it does not exist or (with a fault) is unreadable."""
        shown_name = one_line(name)
        if not name.startswith("services/") and not self._has(name):
            self.findings.advice.append(f"{shown_name}: is not there")
            return None
        try:
            return Table(_parsed(self._bytes(name)), shown_name, "", self.findings)
        except ValueError as error:
            self.findings.faults.append(f"{shown_name}: {error}")
            return None

    def trust(self, table: Table, key: str) -> str:
        """The PEM text of the file that the key names, relative to the table's own file."""
        named = table.value(key, str, "", syntax.text)
        if not named:
            return ""
        name = os.path.normpath(os.path.join(os.path.dirname(table.file), named))
        try:
            pem = self._bytes(name).decode("ascii")
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except UnicodeDecodeError:
            table.fault(key, f"{quoted(named)} is not PEM text")
        except ssl.SSLError:
            table.fault(key, f"{quoted(named)} holds no valid PEM certificate")
        except ValueError as error:
            table.fault(key, f"{quoted(named)} {error}")
        else:
            return pem
        return ""

    def version(self) -> str:
        """First 12 hex digits of SHA-256 over names and bytes of all files, in name order."""
        digest = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            digest.update(name.encode("utf-8", "surrogateescape"))
            digest.update(b"\0%d\0" % len(content))
            digest.update(content)
        return digest.hexdigest()[:12]

    def _has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def _bytes(self, name: str) -> bytes:
        """The file's bytes. Raises ValueError with a reason that fits after its name."""
        path = self.directory / name
        try:
            if not path.exists():
                raise ValueError("does not exist")
            if not path.is_file():
                raise ValueError("is not a file")
            with path.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"is longer than {MAX_FILE_BYTES} bytes")
        self.contents[Path(name).as_posix()] = content
        return content


@dataclass(frozen=True)
class _Texts(_Files):
    """The files of a catalogue that is no directory."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def service_files(self) -> list[str]:
        """As in a directory."""
        found = sorted(name for name in self.texts if re.fullmatch(r"services/.*\.toml", name))
        if not found:
            raise CatalogueError("services: contains no *.toml file")
        return found

    def _has(self, name: str) -> bool:
        return name in self.texts

    def _bytes(self, name: str) -> bytes:
        if name not in self.texts:
            raise ValueError("does not exist")
        content = self.texts[name].encode("utf-8", "surrogatepass")
        self.contents[name] = content
        return content


def _parsed(content: bytes) -> dict[str, object]:
    """TOML to a table. Raises ValueError, with the line if it is known."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: not UTF-8") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:  # also for a number with thousands of digits
        message = one_line(str(error))
        reason, at, place = message.rpartition(" (at ")
        if not at:
            raise ValueError(f"not TOML: {message[:200]}") from None
        raise ValueError(f"{place.rstrip(')')}: not TOML: {reason[:200]}") from None
