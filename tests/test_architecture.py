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
from radon.visitors import ComplexityVisitor, Function

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600
LARGEST_MEDIAN = 170
SOURCES = sorted(
    path for package in ("probes", "monitor") for path in (ROOT / package).rglob("*.py")
)
VALUES_ONLY = {
    "monitor/store/records.py",
    "monitor/web/reception.py",
    "probes/net/network.py",
    "probes/runtime/clock.py",
    "probes/runtime/compression.py",
}
"""Files that decide nothing and need no test."""
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
    banned = {"monitor", "sqlalchemy", "aiohttp", "prometheus_client", "jinja2"}
    assert offenders(inside("probes"), banned) == []


def test_probe_loads_cryptography_only_when_it_is_needed() -> None:
    """It comes with the extras `quic` and `catalogue`, and no file loads it before the first
    handshake, signature, or catalogue of the monitor. Nor does the MQTT client, which imports
    aioquic by way of dnspython, where that is installed: a probe's installation does not have
    it."""
    assert {found.split(":")[0] for found in offenders(inside("probes"), {"cryptography"})} == {
        "probes/delivery/signing_key.py",
        "probes/net/quic.py",
        "probes/remote_catalogue.py",
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


FLOORS: dict[str, tuple[set[str], ...]] = {
    "probes": (
        {"runtime", "local_http", "metered"},
        {"wire"},
        {"catalogue", "net", "delivery", "privacy", "state_directory", "config", "log"},
        {"steps"},
        {"endpoint"},
        {"contrasts"},
        {"protocols"},
        {"rounds"},
        {"words"},
        {"contributions"},
        {"reflector", "metrics", "status", "summary", "local_page", "remote_catalogue"},
        {"daemon"},
        {"cli"},
    ),
    "monitor": (
        {"paths", "logs", "seldom_log", "strict_certificates", "taken_port"},
        {"detection", "enrolment_limits", "listener", "network_table"},
        {"store", "http_server"},
        {"signatures"},
        {"enrolment", "interop", "metrics", "text"},
        {"broker", "local", "probe_keys"},
        {"signed_catalogue", "available_store", "collector", "demo", "follow"},
        {"alerts", "detector", "web"},
        {"page_server"},
        {"commands", "pipeline"},
    ),
    "monitor/store": (
        {"records", "service_hours", "shard", "sqlite_engine", "tables"},
        {"driver_reads"},
        {"shared_transactions"},
        {"days", "engines", "quarantine", "statements"},
        {"cell_sums"},
        {
            "arrival_chain",
            "batches",
            "bulk_insert",
            "delivery",
            "evidence",
            "followed",
            "lease",
            "notes",
            "retests",
        },
        {"migrations", "partitions", "registry", "rollup", "schema", "verdicts"},
        {"cells", "facts", "move"},
        {"conclusions"},
        {"database", "retention"},
        {"reading", "simulated"},
        {"size"},
    ),
    "monitor/web": (
        {
            "answers",
            "assets",
            "background",
            "detector_health",
            "draw",
            "press_history",
            "queued",
            "quick_templates",
            "template_text",
            "websocket_frames",
        },
        {"present"},
        {"past"},
        {"connections", "day_files", "reception", "response_cache"},
        {"page_processes"},
        {"site"},
        {"first_pages", "fleet", "freshness", "moment", "mqtt_stream", "params"}
        | {"moment_addresses", "unmeasured"},
        {"render"},
        {"history", "network_conditions", "notes"},
        {"event_failures"},
        {"views"},
        {"both_sources", "returns"},
        {"api"},
        {"pages"},
        {"app", "extract"},
    ),
    "monitor/detection": (
        {"model", "policy"},
        {"lateness", "network_condition"},
        {"fingerprints"},
        {"observed"},
        {"rule"},
        {"layers", "vantage_rules"},
        {"all_rules"},
        {"judge"},
        {"events"},
    ),
    "monitor/detection/events": (
        {"state", "life", "contrasts", "retest_limits", "scope_in_time"},
        {"baseline", "standing", "state_change"},
        {"cusum", "hypotheses"},
        {"ending", "onset", "gates", "other_hosts", "usual_hours"},
        {"stand_in"},
        {"split", "series", "outages"},
        {"drift", "lifting", "quorum", "releases"},
        {"imported"},
        {"sources"},
        {"series_summary", "watch_coverage", "retest_requests", "end_requests", "confidence"}
        | {"other_witnesses"},
        {"description"},
        {"event_update", "explain", "present"},
        {"shortfalls"},
        {"fold"},
        {"history"},
    ),
}
"""Rooms and files of a folder, the lowest first. An import goes down or stays on its floor."""
CIRCLES: list[set[str]] = []
"""Files that still import one another. Delete an entry when its circle is gone; add none."""
MEASURING = {
    "probes/steps": {"context"},
    "probes/protocols": {"app_handshake", "aes", "public_keys"},
}
"""Folders whose files know nothing of each other, except these."""


def imported_files(path: Path) -> set[Path]:
    """Files of ours that a file imports, anywhere in it. A package that is named only to reach a
    module inside it does not count."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                wanted = [(alias.name, "") for alias in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                wanted = [(module, alias.name) for alias in names]
            case _:
                continue
        for module, name in wanted:
            places = [f"{module}.{name}", module] if name else [module]
            files = (
                file
                for place in places
                for file in (
                    ROOT / (place.replace(".", "/") + ".py"),
                    ROOT / place.replace(".", "/") / "__init__.py",
                )
            )
            if (file := next(filter(Path.is_file, files), None)) is not None:
                found.add(file)
    return found & set(SOURCES)


def room(file: Path, folder: Path) -> str:
    """The part of a folder that a file is or lies in; empty for the folder's own file."""
    name = file.relative_to(folder).parts[0].removesuffix(".py")
    return "" if name.startswith("__") else name


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_go_down(folder: str) -> None:
    home = ROOT / folder
    floor = {name: number for number, names in enumerate(FLOORS[folder]) for name in names}
    upward = [
        f"{path.relative_to(ROOT)}: {file.relative_to(ROOT)}"
        for path in inside(folder)
        for file in imported_files(path)
        if room(path, home)
        and file.is_relative_to(home)
        and room(file, home)
        and floor[room(file, home)] > floor[room(path, home)]
    ]
    assert upward == []


def test_no_files_import_one_another_in_a_circle() -> None:
    """Imports inside functions and for types alone count as well."""
    graph = {path: imported_files(path) - {path} for path in SOURCES}
    reached = {path: set(files) for path, files in graph.items()}
    for middle in SOURCES:  # Warshall's algorithm
        for path in SOURCES:
            if middle in reached[path]:
                reached[path] |= reached[middle]
    circles = {
        frozenset(str(q.relative_to(ROOT)) for q in reached[p] if p in reached[q])
        for p in SOURCES
        if p in reached[p]
    }
    assert sorted(map(sorted, circles)) == sorted(map(sorted, CIRCLES))


@pytest.mark.parametrize("folder", MEASURING)
def test_steps_and_protocols_do_not_import_each_other(folder: str) -> None:
    bad = [
        f"{path.name} imports {file.name}"
        for path in inside(folder)
        for file in imported_files(path)
        if file.parent == path.parent and file.stem not in MEASURING[folder]
    ]
    assert bad == []


def test_only_network_opens_sockets() -> None:
    # The reflector's half only listens: it dials nobody.
    listens = ROOT / "probes/reflector/quic.py"
    # To the monitor alone: nothing that is measured.
    to_monitor = {ROOT / f"probes/runtime/{name}.py" for name in ("dial", "http_connection")}
    allowed = {ROOT / "probes/net/socket_network.py", listens, *to_monitor}
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


MOST = {"complexity": 20, "lines": 60, "parameters": 10}
"""What a function may have at most: paths through it (McCabe, as radon counts them), lines,
parameters."""


def density(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, int]:
    """What there is of each in a function, those inside it included."""
    module = ast.Module([function], [])
    (measured,) = ComplexityVisitor.from_ast(module).functions
    assert isinstance(measured, Function)
    given = function.args
    return {
        "complexity": measured.complexity,
        "lines": (function.end_lineno or 0) - function.lineno + 1,
        "parameters": len([*given.posonlyargs, *given.args, *given.kwonlyargs]),
    }


def test_functions_read_from_top_to_bottom() -> None:
    dense = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {number} {what}"
        for folder in ("probes", "monitor/detection")
        for path in inside(folder)
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for what, number in density(node).items()
        if number > MOST[what]
    ]
    assert dense == []


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


VAGUE_NAMES = {"told", "shown", "said", "kept", "stand", "meet", "take"}


def test_each_name_means_one_thing() -> None:
    """Class names are unique in both packages, and no function has a name that says nothing."""
    classes: dict[str, list[str]] = {}
    vague = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        vague += [
            f"{name}:{node.lineno} {node.name}"
            for node in nodes(path)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.lstrip("_") in VAGUE_NAMES
        ]
        tree = nodes(path)[0]
        for node in tree.body if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append(name)
    assert vague == []
    assert {name: files for name, files in classes.items() if len(files) > 1} == {}
