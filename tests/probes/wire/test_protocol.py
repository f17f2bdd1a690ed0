"""Each part of each entry of the table is needed: changed or removed, one of the checks fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import probes.protocols
from monitor.detection.judge.target import judge
from monitor.detection.model import State
from probes.catalogue import entries
from probes.catalogue.table import Findings, Table
from probes.rounds.liveness import liveness_targets
from probes.wire.observation import KNOWN, AnyObservation, step_of
from probes.wire.protocol import PROTOCOLS, UNKNOWN, Transport, protocol
from probes.wire.target import LivenessHost
from tests.monitor.detection.app_scenes import app
from tests.monitor.detection.scenes import (
    A1,
    alive,
    control,
    dns,
    endpoint,
    http,
    measured,
    quic,
    tcp,
    tls,
)

STEPS = {
    "dns": "dns",
    "tcp": "dns tcp",
    "tls": "dns tcp tls",
    "https": "dns tcp tls http",
    "http": "dns tcp http",
    "quic": "dns quic",
    "mtproto": "dns tcp app",
    "whatsapp": "dns tcp app",
    "mmtls": "dns tcp app",
    "mmtls-http": "dns tcp app",
    "xmpp": "dns tcp app",
    "matrix": "dns tcp tls app",
    "stun": "dns app",
}
"""What an app does at an endpoint of each protocol, in order. Known independently of the table."""
SCENES = {"tcp": tcp, "tls": tls, "http": http, "quic": quic, "app": app}
FOLDER = Path(probes.protocols.__file__).parent
NO_PROTOCOL = {"__init__", "registry", "app_handshake", "aes", "public_keys"}


def every_protocol_is_known(name: str) -> None:
    assert PROTOCOLS.keys() == STEPS.keys()


def every_file_has_an_entry(name: str) -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - NO_PROTOCOL
    assert {known.module for known in PROTOCOLS.values()} == files
    assert name.replace("-", "_").startswith(protocol(name).module)


def only_an_endpoint_that_passes_its_last_step_works(name: str) -> None:
    steps = STEPS[name].split()
    ref = endpoint(name)
    whole: list[AnyObservation] = [
        dns(A1, at=ref) if step == "dns" else SCENES[step](A1, at=ref) for step in steps
    ]
    beside = [control(*whole, endpoints=(ref,))]
    for count in range(len(whole) + 1):
        seen = measured(*whole[:count], endpoints=(ref,))
        verdict = judge(seen, alive(), beside)
        assert (verdict.state is State.OK) == (count == len(whole)), (steps[:count], verdict)


def the_transport_is_that_of_the_first_step_at_an_address(name: str) -> None:
    first = STEPS[name].split()[1:2]
    carriers = {(): Transport.NONE, ("tcp",): Transport.TCP}
    assert protocol(name).transport is carriers.get(tuple(first), Transport.UDP)


def the_last_step_is_the_one_that_an_app_takes(name: str) -> None:
    assert STEPS[name].split()[-1] == step_of(protocol(name).last_step)
    assert protocol(name).last_step in KNOWN


def catalogued(name: str, **values: object) -> list[str]:
    table = Table(
        {"protocol": name, "source": "here", "verified": "2026-11-24"} | values,
        "a.toml",
        "",
        Findings(),
    )
    entries.endpoint(table, lambda _, key: "")
    return [line for line in table.findings.faults if "verified" not in line]


def the_catalogue_asks_for_what_is_needed(name: str) -> None:
    resolved = name == "dns"
    assert bool(catalogued(name, host="a.example")) != resolved  # the port is missing
    assert catalogued(name, host="a.example", port=443) == []
    proven = bool({"tls", "quic"} & set(STEPS[name].split()))
    assert protocol(name).tls == proven
    named = catalogued(name, address="192.0.2.1", port=443, sni="a.example")
    assert bool(named) == resolved
    assert bool(catalogued(name, address="192.0.2.1", port=443)) == (resolved or proven)


def liveness_offers_what_browsers_do(name: str) -> None:
    host = LivenessHost(host="a.example", port=443, protocol=name, scope="international")
    (target,) = liveness_targets([host], "")
    wanted = {"https": ("h2", "http/1.1"), "quic": ("h3",)}
    assert target.endpoints[0].alpn == wanted.get(name, ())


def traffic_is_expected(name: str) -> None:
    """Three lookups of 400 bytes at least."""
    assert protocol(name).usual_bytes >= 1_200


CHECKS: list[Callable[[str], None]] = [
    every_protocol_is_known,
    every_file_has_an_entry,
    only_an_endpoint_that_passes_its_last_step_works,
    the_transport_is_that_of_the_first_step_at_an_address,
    the_last_step_is_the_one_that_an_app_takes,
    the_catalogue_asks_for_what_is_needed,
    liveness_offers_what_browsers_do,
    traffic_is_expected,
]


def passes(name: str) -> bool:
    """Every check passes for this protocol; a mutated entry may also make one raise."""
    try:
        for check in CHECKS:
            check(name)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_entry_is_right(check: Callable[[str], None], name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", STEPS)
def test_a_missing_entry_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(cast("dict[str, Any]", PROTOCOLS), name)
    assert not passes(name)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("part", UNKNOWN.__struct_fields__)
def test_a_wrong_part_of_an_entry_fails(
    name: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part in turn is what it is for any other protocol, or for an unknown one."""
    own = getattr(PROTOCOLS[name], part)
    others = {getattr(known, part) for known in (*PROTOCOLS.values(), UNKNOWN)} - {own}
    for other in {0} if part == "usual_bytes" else others:
        wrong = msgspec.structs.replace(PROTOCOLS[name], **{part: other})
        monkeypatch.setitem(cast("dict[str, Any]", PROTOCOLS), name, wrong)
        assert not passes(name), f"{part} = {other!r}"
