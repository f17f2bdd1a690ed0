"""The files of deploy/ as the programs that will read them see them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from monitor.commands.options import build

pytestmark = pytest.mark.needs("docker-compose", "shellcheck")

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GIVEN = {
    "REACHWATCH_HOST": "reach.example",
    "REACHWATCH_PUBLIC_URL": "https://reach.example",
    "REACHWATCH_WEBHOOK": "https://pager.example/hook",
    "REACHPROBE_ACCEPT_RISKS": "0123456789abcdef",
    "REACHPROBE_COUNTRY": "FR",
    "REACHPROBE_ASN": "64503",
}
COMPOSE = {
    "centre": ("docker-compose.yml",),
    "control": ("deploy/control/compose.yml",),
    "laboratory": ("docker-compose.yml", "deploy/laboratory/compose.yml"),
}


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def compose(name: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    files = [word for path in COMPOSE[name] for word in ("-f", path)]
    return run("docker-compose", *files, *words, **variables)


def resolved(name: str, **variables: str) -> Mapping[str, dict[str, object]]:
    answer = compose(name, "config", "--format", "json", **GIVEN, **variables)
    assert answer.returncode == 0, answer.stderr
    services: Mapping[str, dict[str, object]] = json.loads(answer.stdout)["services"]
    return services


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_valid(name: str) -> None:
    answer = compose(name, "config", "--quiet", **GIVEN)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_profile_scale_shares_the_work() -> None:
    services = resolved("centre", COMPOSE_PROFILES="scale")
    assert set(services) - set(resolved("centre")) == {"collector-2", "detector-2", "web-2"}
    shards = {name: shard_of(services[name]) for name in ("detector", "detector-2")}
    assert shards == {"detector": "1/2", "detector-2": "2/2"}
    assert shard_of(resolved("centre")["detector"]) == ""
    for name in ("collector", "detector", "web"):
        second = services[f"{name}-2"]
        assert {mount["source"] for mount in second["volumes"]} <= {  # type: ignore[attr-defined]
            mount["source"]
            for mount in services[name]["volumes"]  # type: ignore[attr-defined]
        }
        for key in ("read_only", "cap_drop", "security_opt", "restart", "mem_limit"):
            assert second[key] == services[name][key], (name, key)


def test_every_variable_of_the_guide_reaches_a_service() -> None:
    guide = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    section = guide.partition("## A monitor on one machine")[2].partition("\n## ")[0]
    named = set(re.findall(r"REACH(?:WATCH|PROBE)_[A-Z_0-9]*[A-Z0-9]", section))
    # Ports and numbers must be such, and the test names the others itself.
    numbers = {"REACHWATCH_HTTP_2", "REACHWATCH_FOLLOWERS"}
    given = {name: f"given-{name}" for name in named - numbers - set(GIVEN)}
    assert {"REACHWATCH_PROXY", "REACHWATCH_NO_RETESTS"} <= set(given)
    services = resolved("centre", COMPOSE_PROFILES="scale", **given)
    passed = json.dumps(services)
    assert {name for name, value in given.items() if value not in passed} == set()
    for service in ("detector", "detector-2"):
        assert services[service]["environment"]["REACHWATCH_NO_RETESTS"], service  # type: ignore[index]


def test_nothing_public_is_followed_unless_it_is_asked_for() -> None:
    assert resolved("centre")["follower"]["scale"] == 0
    assert resolved("centre", REACHWATCH_FOLLOWERS="1")["follower"]["scale"] == 1


def shard_of(service: dict[str, object]) -> object:
    return service["environment"]["REACHWATCH_SHARD"]  # type: ignore[index]


@pytest.mark.parametrize("variable", GIVEN)
def test_compose_says_what_is_missing(variable: str) -> None:
    given = {key: value for key, value in GIVEN.items() if key != variable}
    answer = compose("centre", "config", "--quiet", **given)
    assert answer.returncode != 0
    assert variable in answer.stderr


@pytest.mark.parametrize("name", COMPOSE)
def test_every_service_is_locked_in(name: str) -> None:
    for service, said in resolved(name).items():
        assert said.get("read_only") is True, service
        assert said.get("cap_drop") == ["ALL"], service
        assert said.get("security_opt") == ["no-new-privileges:true"], service
        assert "privileged" not in said, service
        assert "cap_add" not in said, service
        if name != "laboratory":
            assert said.get("mem_limit"), service
            assert said.get("restart") == "unless-stopped", service
        for mount in said.get("volumes", []):  # type: ignore[attr-defined]
            assert "docker.sock" not in mount["source"], service


def test_only_these_doors_are_open() -> None:
    doors = {
        (service, port["target"], port.get("host_ip", ""))
        for service, said in resolved("centre").items()
        for port in said.get("ports", [])  # type: ignore[attr-defined]
    }
    assert doors == {
        ("mosquitto", 8883, ""),
        ("reflector", 8443, ""),
        ("web", 8080, "127.0.0.1"),
        ("grafana", 3000, "127.0.0.1"),
    }


def test_probes_see_no_secret_of_the_centre() -> None:
    seen = {
        service: {mount["source"] for mount in said.get("volumes", [])}  # type: ignore[attr-defined]
        for service, said in resolved("centre").items()
    }
    assert seen["probe"] == {"probe-state", "for-probe"}
    assert seen["control"] == {"control-state", "for-control"}
    assert seen["reflector"] == {"reflector-state"}
    for secret, audience in {
        "authority": {"setup"},
        "certificates": {"setup", "mosquitto"},
        "monitor": {"setup", "web", "collector", "detector", "follower"},
        "database-password": {"setup", "postgres"},
        "grafana-password": {"setup", "grafana"},
    }.items():
        assert {service for service, mounts in seen.items() if secret in mounts} == audience


def test_images_have_a_version() -> None:
    for service, said in resolved("centre").items():
        image = str(said["image"])
        if not image.startswith(("reachwatch", "reachprobe")):
            assert re.search(r":v?\d+", image), f"{service}: {image}"


@pytest.mark.parametrize("folder", ["probe", "monitor", "debian"])
def test_dockerfiles_have_no_faults(folder: str) -> None:
    program = Path(sys.executable).with_name("hadolint")
    answer = run(str(program), "--no-color", f"deploy/{folder}/Dockerfile")
    assert (answer.returncode, answer.stdout) == (0, "")


@pytest.mark.parametrize("folder", ["probe", "monitor"])
def test_our_images_run_as_nobody_in_particular_and_know_their_health(folder: str) -> None:
    text = (DEPLOY / folder / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert "\nUSER 10001:10001\n" in last
    assert "\nHEALTHCHECK " in last
    assert "--require-hashes" in text


def test_the_probes_image_holds_nothing_of_the_monitor() -> None:
    copied = re.findall(
        r"^COPY (?:--\S+ )*(.+) \S+$", (DEPLOY / "probe/Dockerfile").read_text(), re.M
    )
    assert copied == ["requirements/probe.txt", "probes", "/opt/reachprobe", "deploy/probe/entry"]


def test_shell_scripts_have_no_faults() -> None:
    paths = [
        path
        for folder in (DEPLOY, ROOT / "scripts")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
    ]
    assert len(paths) > 8
    answer = run("shellcheck", "--severity=warning", *map(str, paths))
    assert (answer.returncode, answer.stdout) == (0, "")
    for path in paths:
        assert os.access(path, os.X_OK), path


UNITS = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.service"))


@pytest.mark.parametrize("name", UNITS)
def test_units_are_valid_and_locked_in(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text()
    unit = tmp_path / Path(name).name
    # Where the program is installed is not the unit's fault.
    program = r"/opt/(reachprobe/bin/reachprobe|reachwatch/bin/reachwatch)"
    unit.write_text(re.sub(program, shutil.which("true") or "", text))
    answer = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert (answer.returncode, answer.stderr) == (0, "")
    answer = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))
    assert answer.returncode == 0, answer.stdout[-300:]


def test_units_start_what_the_guide_says(tmp_path: Path) -> None:
    """The commands of the units are commands, and the guide's file is one that they read."""
    guide = (DEPLOY / "systemd/README.md").read_text(encoding="utf-8")
    file = tmp_path / "reachwatch.toml"
    file.write_text(guide.partition("reachwatch.toml <<END\n")[2].partition("\nEND")[0])
    commands = set()
    for unit in (DEPLOY / "systemd").glob("*.service"):
        for line in re.findall(r"^ExecStart=\S+/reachwatch (.+)$", unit.read_text(), re.M):
            for part in ("serve", "collect", "detect") if line == "%i" else (line,):
                given = build().read([*part.split(), "--config", str(file)], {})
                commands.add(given.command)
        assert f"{unit.stem.removesuffix('@')}" in guide
    assert commands == {"serve", "collect", "detect", "follow ooni", "broker init", "db prune"}


def test_quadlet_names_what_the_image_knows() -> None:
    text = (DEPLOY / "probe/reachprobe.container").read_text()
    for line in ("ReadOnly=true", "DropCapability=all", "NoNewPrivileges=true"):
        assert f"\n{line}\n" in text
    assert "Volume=reachprobe.volume:/var/lib/reachprobe" in text
    assert (DEPLOY / "probe/reachprobe.volume").is_file()
    for variable in re.findall(r"^Environment=(\w+)=", text, re.M):
        known = variable.removeprefix("REACHPROBE_").lower()
        assert known in {"accept_risks", "country", "asn", "token_file"}


def test_yaml_is_yaml() -> None:
    for path in [*DEPLOY.rglob("*.yml"), ROOT / "docker-compose.yml"]:
        assert yaml.safe_load(path.read_text()), path
