"""The manifests of deploy/kubernetes: against the schemas of Kubernetes, its strictest standard for
pods, the program whose commands they run, and each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitor.commands.options import build

FOLDER = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
VERSIONS = ("1.31", "1.37")
"""The oldest and the newest that are supported."""
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
README = (FOLDER / "README.md").read_text()
Manifest = Mapping[str, Any]


def manifests() -> Iterator[Manifest]:
    for name in KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((FOLDER / name).read_text())


ALL = list(manifests())
NAMES = [f"{one['kind']} {one['metadata']['name']}" for one in ALL]


def templates() -> Iterator[tuple[str, Manifest]]:
    """Name and template of everything that makes pods."""
    for one in ALL:
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["metadata"]["name"], one["spec"]["template"]
        elif one["kind"] == "CronJob":
            yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"]


def containers(*, first: bool = True) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Name, pod and container; `first`: those that run before the others as well."""
    for name, template in templates():
        pod = template["spec"]
        for one in [*(pod.get("initContainers", ()) if first else ()), *pod["containers"]]:
            yield f"{name}/{one['name']}", pod, one


def find(kind: str, name: str) -> Manifest:
    return ALL[NAMES.index(f"{kind} {name}")]


def test_every_file_is_applied_and_no_object_is_there_twice() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", range(len(ALL)), ids=NAMES)
def test_manifests_are_what_kubernetes_knows(number: int, version: str) -> None:
    kubernetes_validate.validate(ALL[number], version, strict=True)


def test_an_unknown_key_is_found() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**ALL[0], "replica": 2}, VERSIONS[0], strict=True)


def test_pods_are_restricted_and_read_only() -> None:
    for name, pod, one in containers():
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] == 10001, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert one["resources"]["limits"]["memory"], name
        assert {*one} <= {
            *("name", "image", "command", "args", "env", "envFrom", "ports", "resources"),
            *("securityContext", "volumeMounts", "startupProbe", "livenessProbe", "readinessProbe"),
        }, name


def test_what_runs_on_is_probed_at_ports_that_it_has() -> None:
    jobs = [one["metadata"]["name"] for one in ALL if one["kind"] == "CronJob"]
    for name, _, one in containers(first=False):
        if name.partition("/")[0] in jobs:
            continue
        ports = {port["name"] for port in one["ports"]}
        for probe in (one["livenessProbe"], one["readinessProbe"]):
            assert (probe.get("httpGet") or probe["tcpSocket"])["port"] in ports, name
        if one["image"] == "reachwatch":
            assert one["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_services_and_policies_choose_pods_and_their_ports() -> None:
    pods = dict(templates())
    for one in ALL:
        kind, spec = one["kind"], one.get("spec", {})
        if kind in ("Deployment", "StatefulSet"):
            labels = spec["template"]["metadata"]["labels"]
            assert spec["selector"]["matchLabels"] == labels
            assert labels == {"app.kubernetes.io/name": one["metadata"]["name"]}
        if kind == "Service":
            pod = pods[spec["selector"]["app.kubernetes.io/name"]]["spec"]
            ports = {port["name"] for each in pod["containers"] for port in each["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if kind in ("NetworkPolicy", "PodDisruptionBudget"):
            key = "podSelector" if kind == "NetworkPolicy" else "selector"
            assert spec[key]["matchLabels"]["app.kubernetes.io/name"] in pods


def test_volumes_are_there_and_what_they_need_is_created() -> None:
    created = set(re.findall(r"create (?:secret \w+|configmap) ([a-z-]+)", README))
    created |= {one["metadata"]["name"] for one in ALL if one["kind"] == "ConfigMap"}
    for name, pod, one in containers():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes.keys(), name
        for volume in volumes.values():
            needed = volume.get("secret", {}).get("secretName")
            needed = needed or volume.get("configMap", {}).get("name")
            assert needed is None or needed in created, name
        for source in one.get("envFrom", ()):
            assert source["configMapRef"]["name"] in created, name
        assert one["image"] == "reachwatch" or ":" in one["image"], name
    assert [image["name"] for image in KUSTOMIZATION["images"]] == ["reachwatch"]


SETTINGS = find("ConfigMap", "settings")["data"]
COMMANDS = [(name, one) for name, _, one in containers(first=False) if one["image"] == "reachwatch"]


@pytest.mark.parametrize("one", [one for _, one in COMMANDS], ids=[name for name, _ in COMMANDS])
def test_the_program_knows_the_commands_and_settings(
    one: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "monitor.secret"
    secret.write_text("secret")
    toml = re.search(r"<<END\n(.*?)END\n", README, re.S)
    assert toml is not None
    config = tmp_path / "reachwatch.toml"
    config.write_text(toml[1].replace("/made/monitor/monitor.secret", str(secret)))
    known = SETTINGS | {"REACHWATCH_CONFIG": str(config), "POD_NUMBER": "2"}
    for each in one.get("env", ()):
        if "value" in each:
            known[each["name"]] = expanded(each["value"], known)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    words = [expanded(word, known) for word in one["args"]]
    parser = build()
    given = parser.read(words)
    assert list(parser.unknown_variables(known)) == []
    assert given.database.startswith("postgresql+asyncpg://")
    if "POD_NUMBER" in {each["name"] for each in one.get("env", ())}:
        assert (given.shard.index, given.shard.count) == (2, 2)
    if one["args"][0] in ("collect", "detect"):
        assert given.broker == "mqtt://broker:1883"
        assert given.mqtt_secret_file == secret


def expanded(text: str, known: Mapping[str, str]) -> str:
    """As Kubernetes does it."""
    return re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], text)


def test_detectors_have_all_parts() -> None:
    detector = find("StatefulSet", "detector")["spec"]
    env = {each["name"]: each for each in detector["template"]["spec"]["containers"][0]["env"]}
    assert env["REACHWATCH_SHARD"]["value"] == f"$(POD_NUMBER)/{detector['replicas']}"
    assert detector["ordinals"] == {"start": 1}
    field = env["POD_NUMBER"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_the_broker_gets_the_files_that_it_is_started_with(tmp_path: Path) -> None:
    """The script in the manifest, with its paths in a directory."""
    pod = find("Deployment", "broker")["spec"]["template"]["spec"]
    (script,) = (each["command"][2] for each in pod["initContainers"] if each["command"][1] == "-c")
    (tmp_path / "monitor").mkdir()
    secret = tmp_path / "monitor/monitor.secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    exec(script.replace('Path("/made', f'Path("{tmp_path}'), {})
    files = {path.name for path in (tmp_path / "mosquitto").iterdir()}
    assert files == {"mosquitto.conf", "acl", "monitor.passwd", "probes.passwd"}
    configuration = (tmp_path / "mosquitto/mosquitto.conf").read_text()
    assert "password_file /made/probes.passwd" in configuration
    entry = (FOLDER.parent / "mosquitto/entry").read_text()
    assert "config=/made/mosquitto.conf" in entry
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert (mounts["files"], mounts["entry"]) == ("/made", "/entry")
    for path in ("/mosquitto/data", "/mosquitto/certs"):
        assert path in configuration
        assert path in mounts.values()
