"""No experiment is forgotten, and each protocol of the catalogue has one."""

from __future__ import annotations

import importlib
from pathlib import Path

from probes.protocols import registry
from probes.wire.target import PROTOCOLS


def test_every_file_is_in_all():
    folder = Path(registry.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry", "app_handshake"}
    modules = {importlib.import_module(f"probes.protocols.{name}") for name in files}
    assert {module.PROTOCOL for module in modules} == {e.protocol for e in registry.ALL}
    assert {module.measure for module in modules} == {e.measure for e in registry.ALL}
    assert len(registry.ALL) == len(files)


def test_every_protocol_of_the_catalogue_is_measured():
    assert set(registry.BY_PROTOCOL) == set(PROTOCOLS)
