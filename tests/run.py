"""Run pytest as `scripts/test` does: name the servers, refuse skips, list what is left behind.

    tests/run.py                 the quick run: what is marked neither `rest` nor `alone`, in lanes
    tests/run.py --rest [...]    what the quick run leaves out, and hypothesis at length, in lanes
    tests/run.py ARGUMENTS       whatever the arguments of pytest select, in one process

The first two run a few tests that failed once more, with nothing beside them, as CPython's regrtest
does with `--rerun`: real servers on a busy machine fail one test of thousands now and then. A test
that fails twice fails the run, and one that passed at last is named as such.

Every process of the run carries an environment variable of its own, so that what is left is found
among all processes of the machine, and two runs at once do not accuse each other.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

MARK = "REACHWATCH_TEST_RUN"
LANES = 6
"""Processes side by side: the tests wait more than they compute."""
INTERRUPT_SECONDS = 5
REAPED_SECONDS = 20
FAILED = 1
"""What pytest returns when tests failed and nothing else went wrong."""
MOST_AGAIN = 3
"""Failed tests that are run once more; more than these are not chance."""
SERVERS = {
    "mosquitto": ["mosquitto", "-h"],
    "PostgreSQL": ["psql", "--version"],
    "Prometheus": ["prometheus", "--version"],
    "Alertmanager": ["prometheus-alertmanager", "--version"],
    "Chromium": ["chromium", "--version"],
    "nginx": ["nginx", "-v"],
    "unbound": ["unbound", "-V"],
    "nftables": ["nft", "--version"],
}


def print_versions() -> None:
    """One line a real server that the tests start."""
    path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
    for name, command in SERVERS.items():
        program = shutil.which(command[0], path=path)
        if program is None:
            print(f"{name}: not found")
            continue
        run = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, check=False, timeout=30
        )
        lines = (run.stdout + run.stderr).strip().splitlines()
        print(f"{name}: {lines[0] if lines else 'no version given'}", flush=True)


def processes(mark: str) -> list[str]:
    """Command lines of living processes that carry the mark of this run, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                found.append(f"{entry.name}: {line.strip() or '(ended, not yet reaped)'}")
        except OSError:
            continue  # ended meanwhile, or not ours to read
    return found


def namespaces() -> set[str]:
    """Names of network namespaces that `ip netns` knows."""
    folder = Path("/run/netns")
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def changes(root: Path) -> set[str]:
    """What git sees as changed or new in the work tree."""
    run = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False
    )
    return set(run.stdout.splitlines())


def selected(arguments: list[str]) -> list[str]:
    """What the arguments say, in pytest's words."""
    lanes = ["-p", "tests.lanes", "--lanes", str(LANES)]
    match arguments:
        case []:
            return [*lanes, "-m", "not rest and not alone"]
        case ["--rest", *more]:
            chosen = "rest or hypothesis or alone"
            return [*lanes, "--hypothesis-profile=long", "-m", chosen, *more]
    return arguments


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run pytest; its exit status. Whoever interrupts this process interrupts pytest, which then
    tears down what it has started."""
    with subprocess.Popen(command, env=environment) as pytest:
        try:
            return pytest.wait()
        except KeyboardInterrupt:
            print("interrupted: what was started is being ended", flush=True)
            try:
                return pytest.wait(INTERRUPT_SECONDS)  # a terminal interrupts both
            except subprocess.TimeoutExpired:
                pytest.send_signal(signal.SIGINT)
                return pytest.wait()


def run_twice(command: list[str], environment: dict[str, str], cache: Path) -> int:
    """Run pytest, and a few tests that failed once more in one lane; the exit status."""
    command = [*command, "-o", f"cache_dir={cache}"]
    status = run(command, environment)
    listed = cache / "v/cache/lastfailed"
    failed = list(json.loads(listed.read_text())) if status == FAILED and listed.exists() else []
    if not 0 < len(failed) <= MOST_AGAIN:
        return status
    print(f"failed, and run once more alone: {' '.join(failed)}", flush=True)
    status = run([*command, "--lanes=1", "--last-failed"], environment)
    if not status:
        print(f"passed at the second attempt only: {' '.join(failed)}", flush=True)
    return status


def main() -> int:
    """Return pytest's exit status, or 1 when something was left behind."""
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    mark = uuid.uuid4().hex
    print_versions()
    before_names, before_tree = namespaces(), changes(root)
    print(f"before: {len(before_names)} network namespaces, {len(before_tree)} changes in the tree")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reachwatch-test-") as scratch:
        own = Path(scratch) / "tmp"
        own.mkdir()
        own.chmod(0o1777)  # PostgreSQL runs as another user
        Path(scratch).chmod(0o755)
        environment = {
            **os.environ,
            MARK: mark,
            "TMPDIR": str(own),
            "REACHWATCH_INSTALL": "1",
            "REACHWATCH_NO_SKIPS": "1",
            # Compiled once, for all workers and all programs that tests start.
            "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        # A short name: paths of sockets below it may have 107 bytes.
        pytest = [sys.executable, "-m", "pytest", "-q", f"--basetemp={scratch}/t"]
        chosen = selected(sys.argv[1:])
        if "--lanes" in chosen:
            status = run_twice([*pytest, *chosen], environment, Path(scratch) / "cache")
        else:
            status = run([*pytest, *chosen], environment)
        deadline = time.monotonic() + REAPED_SECONDS
        while (living := processes(mark)) and time.monotonic() < deadline:
            time.sleep(0.2)  # children that were just ended need a moment to be reaped
        left = [f"process {line}" for line in living]
        left += [f"file {path}" for path in sorted(own.iterdir())]
    left += [f"namespace {name}" for name in sorted(namespaces() - before_names)]
    left += [f"work tree {line}" for line in sorted(changes(root) - before_tree)]
    used = os.times()
    print(
        f"after: {len(left)} things left behind, {time.monotonic() - began:.0f} s, "
        f"{used.children_user + used.children_system:.0f} s of processor time"
    )
    for line in left:
        print(f"left behind: {line}")
    return status or (1 if left else 0)


if __name__ == "__main__":
    sys.exit(main())
