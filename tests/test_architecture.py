"""The laws of the house: what may import what, how long a file is, that each has its test."""

from __future__ import annotations

import ast
import functools
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
LARGEST_MEDIAN = 170
SOURCES = sorted(
    path for package in ("probes", "monitor") for path in (ROOT / package).rglob("*.py")
)
VALUES_ONLY = {"monitor/store/records.py"}
"""Files of value classes alone, which decide nothing and need no test."""
FORBIDDEN_NAMES = {"utils", "helpers", "helper", "manager", "handler", "misc", "common"}
PURE_BANS = {"asyncio", "socket", "time", "sqlalchemy", "aiohttp", "aiomqtt", "monitor.store"}


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything in a file's syntax tree, which is read once for all laws."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def modules(path: Path) -> Iterator[str]:
    """Full names of everything that a file imports."""
    for node in nodes(path):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)


def offenders(files: list[Path], banned: set[str]) -> list[str]:
    """`file: module` for every import of a banned module or of what is inside it."""
    return [
        f"{path.relative_to(ROOT)}: {module}"
        for path in files
        for module in modules(path)
        if any(module == ban or module.startswith(f"{ban}.") for ban in banned)
    ]


def inside(folder: str) -> list[Path]:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    assert files, f"no file in {folder}: the law would hold for nothing"
    return files


def test_probe_is_free_of_the_monitor_and_its_weight() -> None:
    banned = {"monitor", "sqlalchemy", "aiohttp", "prometheus_client", "amqtt", "jinja2"}
    assert offenders(inside("probes"), banned) == []


def test_probe_loads_cryptography_only_with_quic() -> None:
    """It comes with the extra `quic`, and no file loads it before the first handshake. Nor does
    the MQTT client, which imports aioquic by way of dnspython, where that is installed: a probe's
    installation does not have it."""
    assert {found.split(":")[0] for found in offenders(inside("probes"), {"cryptography"})} == {
        "probes/net/quic.py"
    }
    code = (
        "import pkgutil, sys, probes\n"
        "sys.modules['dns'] = None\n"
        "for module in pkgutil.walk_packages(probes.__path__, 'probes.'):\n"
        "    if not module.name.endswith('__main__'): __import__(module.name)\n"
        "sys.exit(' '.join({'cryptography', 'aioquic'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr.strip()) == (0, "")


def test_monitor_imports_of_the_probe_only_wire_catalogue_and_runtime() -> None:
    bad = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in inside("monitor")
        for module in modules(path)
        if module.startswith("probes.")
        and module.split(".")[1] not in ("wire", "catalogue", "runtime")
    ]
    assert bad == []


def test_detection_is_pure() -> None:
    assert offenders(inside("monitor/detection"), PURE_BANS) == []


def test_only_the_store_knows_sql() -> None:
    """Elsewhere `database.reading()` and `monitor.store.reading` are the way to the data."""
    others = [path for path in SOURCES if not path.is_relative_to(ROOT / "monitor/store")]
    assert offenders(others, {"sqlalchemy", "monitor.store.tables"}) == []
    bad = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in others
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("engine", "engines")
    ]
    assert bad == []


@pytest.mark.parametrize("folder", ["probes/steps"])
def test_siblings_do_not_import_each_other(folder: str) -> None:
    package = folder.replace("/", ".")
    files = [path for path in inside(folder) if path.name != "__init__.py"]
    names = {path.stem for path in files}
    bad = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in files
        for module in modules(path)
        if module.startswith(f"{package}.")
        and module.removeprefix(f"{package}.").split(".")[0] in names - {path.stem, "goodput"}
    ]
    assert bad == []


def test_only_network_opens_sockets() -> None:
    # The reflector's half only listens: it dials nobody.
    listens = ROOT / "probes/reflector/quic.py"
    allowed = {ROOT / "probes/net/network.py", ROOT / "probes/runtime/mqtt.py", listens}
    files = [path for path in inside("probes") if path not in allowed]
    bad = []
    for path in files:
        for node in nodes(path):
            match node:
                case ast.Attribute(
                    value=ast.Name(id="socket"), attr="socket" | "create_connection"
                ):
                    bad.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case ast.Attribute(attr="open_connection" | "create_datagram_endpoint"):
                    bad.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert bad == []


def test_mqtt_library_is_behind_one_file() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if any(module.split(".")[0] in ("aiomqtt", "paho") for module in modules(path))
    }
    assert users == {"probes/runtime/mqtt.py"}


def test_tasks_are_started_in_groups() -> None:
    bad = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("create_task", "ensure_future", "gather")
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    ]
    assert bad == []


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    tests = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    long = {
        str(path.relative_to(ROOT)): lines
        for path, lines in (lengths | tests).items()
        if lines > MAX_LINES
    }
    assert long == {}
    written = [lines for path, lines in lengths.items() if path.name != "__init__.py"]
    assert statistics.median(written) <= LARGEST_MEDIAN


def test_every_file_has_its_tests() -> None:
    missing = []
    for path in SOURCES:
        relative = path.relative_to(ROOT)
        if path.name in ("__init__.py", "__main__.py") or "migrations" in relative.parts:
            continue
        if str(relative) in VALUES_ONLY:
            continue
        wanted = ROOT / "tests" / relative.parent / f"test_{path.name}"
        if not wanted.is_file():
            missing.append(str(wanted.relative_to(ROOT)))
    assert missing == []


def test_no_drawer_for_odds_and_ends() -> None:
    bad = [str(path.relative_to(ROOT)) for path in SOURCES if path.stem.lower() in FORBIDDEN_NAMES]
    assert bad == []


def test_the_repository_names_no_package_registry() -> None:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = ("pypi" + ".org", "pythonhosted" + ".org", "index" + "-url =", "npmjs" + ".org")
    bad = [
        name
        for name in listing
        if (ROOT / name).is_file()
        and (ROOT / name).stat().st_size < 2_000_000
        and any(
            word in (ROOT / name).read_text(encoding="utf-8", errors="ignore") for word in words
        )
    ]
    assert bad == []
