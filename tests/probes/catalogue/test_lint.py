from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from probes.catalogue.lint import advise, lint, not_read_again, operator
from probes.catalogue.load import SHIPPED, load
from probes.wire.protocol import PROTOCOLS
from tests.probes.catalogue.conftest import SERVICE

W = "services/wechat.toml"
FIRST = ("wechat", "linkedin", "whatsapp", "telegram", "signal")


def test_the_shipped_catalogue_is_clean() -> None:
    assert lint(SHIPPED) == []
    assert advise(SHIPPED) == [
        "resolvers.toml: silent: is missing: injected answers are detected less reliably"
    ]


def test_the_shipped_catalogue_holds_what_was_promised() -> None:
    catalogue = load()
    assert len(catalogue.services) >= 25
    assert {service.id for service in catalogue.services} >= set(FIRST)
    assert all(
        endpoint.protocol in PROTOCOLS for t in catalogue.targets for endpoint in t.endpoints
    )
    whatsapp = next(target for target in catalogue.targets if target.id == "whatsapp/messaging")
    ports = {(each.host, each.port) for each in whatsapp.endpoints}
    assert {(f"e{n}.whatsapp.net", port) for n in range(1, 17) for port in (443, 5222)} <= ports
    assert len([r for r in catalogue.resolvers if r.role == "reference"]) >= 5
    assert {r.id for r in catalogue.resolvers if r.role == "subject"} >= {"yandex", "alidns"}
    assert {host.country for host in catalogue.liveness} == {"", "CN", "RU"}


def test_signal_is_never_verified_against_public_roots() -> None:
    for target in load().targets:
        for endpoint in target.endpoints:
            if endpoint.host.endswith("signal.org") and endpoint.protocol in ("tls", "https"):
                assert "BEGIN CERTIFICATE" in endpoint.trust


def test_each_shipped_file_is_named_after_its_service() -> None:
    stems = {path.stem for path in (SHIPPED / "services").glob("*.toml")}
    assert stems == {service.id for service in load().services}


@pytest.mark.parametrize(
    ("written", "instead", "line"),
    [
        ('source = "here"\n', "", f"{W}: target[0].endpoint[0].source: is missing"),
        ("verified = 2026-11-24\n", "",
         f"{W}: target[0].endpoint[0].verified: is missing: "
         "the date on which the fact was read or seen"),
        ("port = 443", "prot = 1\nport = 443", f"{W}: target[0].endpoint[0].prot: unknown key"),
        ('"tcp"', '"smoke"',
         f"{W}: target[0].endpoint[0].protocol: unknown protocol smoke, skipped"),
        ('source = "here"', 'source = "here"\nconfidence = "medium"',
         f"{W}: target[0].endpoint[0].confidence: expected high or low, got 'medium'"),
        ("port = 443", "port = 0", f"{W}: target[0].endpoint[0].port: expected 1..65535, got 0"),
    ],
)  # fmt: skip
def test_each_problem_is_one_line(directory: Path, written: str, instead: str, line: str) -> None:
    assert lint(directory) == []
    (directory / W).write_text(SERVICE.replace(written, instead, 1))
    assert lint(directory) == [line]


def test_all_problems_are_listed_not_only_the_first(directory: Path) -> None:
    (directory / W).write_text(SERVICE.replace("443", "0").replace('source = "here"\n', ""))
    assert len(lint(directory)) == 4


def test_a_directory_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    assert lint(tmp_path / "none") == [f"{tmp_path}/none: no such directory"]
    assert advise(tmp_path / "none") == []


def test_sources_that_were_not_read_again_are_listed(directory: Path) -> None:
    read = dt.date(2026, 11, 24)
    assert not_read_again(directory, read + dt.timedelta(days=180)) == []
    (line,) = not_read_again(directory, read + dt.timedelta(days=181))
    assert line.startswith("wechat: ")
    assert "the oldest since 2026-11-24" in line
    assert lint(directory) == []
    assert not_read_again(directory / "none", read) == []


@pytest.mark.parametrize(
    ("service", "functions"),
    [
        ("wechat", "messaging pay-merchant pay-web pay-wallet moments images files mini-programs "
         "games official-accounts platform-api login"),
        ("linkedin", "messaging media login api"),
    ],
)  # fmt: skip
def test_the_first_services_are_measured_by_function(service: str, functions: str) -> None:
    targets = {target.id for target in load().targets}
    assert {f"{service}/{function}" for function in functions.split()} <= targets


def test_few_controls_are_advised_against_but_not_refused(directory: Path) -> None:
    assert advise(directory) == [
        "controls.toml: liveness: international hosts of 1 operators, 3 or more are wanted",
        "resolvers.toml: resolver: 1 with role reference, 2 or more are wanted",
        "resolvers.toml: silent: is missing: injected answers are detected less reliably",
    ]
    assert lint(directory) == []


def test_two_hosts_of_one_operator_count_once() -> None:
    assert operator("a.b.example.org") == operator("example.org") == "example.org"
    assert operator("x.example.co.uk") == "example.co.uk"
    assert operator("ya.ru") == "ya.ru"
