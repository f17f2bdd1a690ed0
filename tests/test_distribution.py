"""What is in the two distributions, `reachwatch` (the probe) and `reachwatch-monitor`."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import probes

ROOT = Path(__file__).resolve().parents[1]


def build(source: Path, out: Path, kind: str, *, release: bool) -> Path:
    out.mkdir(exist_ok=True)
    before = set(out.iterdir())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)],
        cwd=source,
        env={**os.environ, "REACHWATCH_RELEASE": "1" if release else "0"},
        check=True,
        capture_output=True,
    )
    (made,) = set(out.iterdir()) - before
    return made


def files(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def metadata(wheel: Path, name: str = "METADATA") -> bytes:
    archive = zipfile.ZipFile(wheel)
    (path,) = (found for found in archive.namelist() if found.endswith(f".dist-info/{name}"))
    return archive.read(path)


def headers(wheel: Path) -> Message:
    return message_from_bytes(metadata(wheel))


def tracked(package: str) -> set[str]:
    listing = subprocess.run(
        ["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name for name in listing if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("wheels")
    return (
        build(ROOT, out, "wheel", release=False),
        build(ROOT / "monitor", out, "wheel", release=False),
    )


def test_the_probe_comes_alone(wheels: tuple[Path, Path]) -> None:
    assert tracked("probes") <= files(wheels[0])
    assert all(name.startswith("probes/") for name in files(wheels[0]))
    assert "probes/py.typed" in files(wheels[0])
    entries = configparser.ConfigParser()
    entries.read_string(metadata(wheels[0], "entry_points.txt").decode())
    assert dict(entries["console_scripts"]) == {"reachprobe": "probes.__main__:main"}
    # `pipx run` looks for a command with the name of the distribution.
    assert dict(entries["pipx.run"]) == {"reachwatch": "probes.__main__:main"}


def test_the_monitor_comes_without_the_probe(wheels: tuple[Path, Path]) -> None:
    beside_the_package = {"monitor/LICENSE", "monitor/pyproject.toml"}
    assert tracked("monitor") - beside_the_package <= files(wheels[1])
    assert all(name.startswith("monitor/") for name in files(wheels[1]) - beside_the_package)
    assert "monitor/py.typed" in files(wheels[1])
    assert (
        "reachwatch = monitor.commands.main:main"
        in metadata(wheels[1], "entry_points.txt").decode()
    )


def test_both_have_one_version_and_the_licence(wheels: tuple[Path, Path]) -> None:
    for wheel in wheels:
        assert headers(wheel)["Version"] == probes.__version__
        assert headers(wheel)["License-Expression"] == "Apache-2.0"
    assert f"reachwatch=={probes.__version__}" in headers(wheels[1]).get_all("Requires-Dist", [])
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "monitor/LICENSE").read_bytes()


def test_the_extra_names_the_folder_here_and_the_version_in_a_release(
    wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    def monitor(wheel: Path) -> list[str]:
        required = headers(wheel).get_all("Requires-Dist", [])
        return [line for line in required if line.startswith("reachwatch-monitor")]

    here = f"reachwatch-monitor @ {(ROOT / 'monitor').as_uri()}"
    assert [line.split(" ; ")[0] for line in monitor(wheels[0])] == [here]
    archive = build(ROOT, tmp_path / "sdist", "sdist", release=True)
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(tmp_path, filter="data")
    # What is built from a released source archive is the release, wherever it is built.
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    wheel = build(source, tmp_path / "wheel", "wheel", release=False)
    released = f"reachwatch-monitor=={probes.__version__}"
    assert [line.split(";")[0].strip() for line in monitor(wheel)] == [released]
    assert files(wheel) == files(wheels[0])


def test_the_monitor_can_be_built_from_its_source_archive(
    wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    archive = build(ROOT / "monitor", tmp_path / "sdist", "sdist", release=True)
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(tmp_path, filter="data")
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    wheel = build(source, tmp_path / "wheel", "wheel", release=True)
    assert files(wheel) == files(wheels[1])
    assert headers(wheel)["Version"] == probes.__version__
