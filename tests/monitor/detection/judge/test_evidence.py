"""Each word that a verdict can carry as evidence is earned: by a case of the laboratory or, where
no case says it, by a measurement written by hand. A word that nothing earns fails here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from monitor import detection
from monitor.detection.all_rules import ALL_RULES
from monitor.detection.layers.dns_origin import SAID
from monitor.detection.layers.imported_run import IMPORT_RULES
from monitor.detection.model import State, Technique, Verdict
from monitor.text.words import EVIDENCE, PREFIXES
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation, PathHop, PathTrace
from tests.lab import golden
from tests.monitor.detection.app_scenes import (
    CALLS,
    CHAT,
    ON_CALLS,
    ON_CHAT,
    app,
    calls,
    chat,
    foreign,
    twice,
)
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    BESIDE,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REFLECTOR,
    REPEAT,
    TLS,
    control,
    dns,
    quic,
    tcp,
    tls,
)
from tests.monitor.detection.scenes import foreign as shown
from tests.monitor.detection.sightings import GOOD_DNS, OK_TCP, OVER_QUIC, verdict

RESET, TIMEOUT = Failure.RESET, Failure.TIMEOUT
DEAD = (dns(A1), tcp(A1, TIMEOUT), tcp(A1, TIMEOUT, **REPEAT))
FAR = (tcp(A3, TIMEOUT), tcp(A3, TIMEOUT, **REPEAT))
CUT = (tls(A2, Failure.RESET), tls(A2, **INNOCUOUS))
WELCOME = b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome"
SILENT = (dns(A1, at=QUIC), quic(A1, TIMEOUT), quic(A1, TIMEOUT, **INNOCUOUS))
ELSEWHERE = quic(REFLECTOR, **OWN_HOST)
WITH_KEY = [control(*chat(app(evidence=("known_key",))), endpoints=(CHAT,))]
LOSSY = control(dns(A1, at=CALLS), app(at=CALLS, evidence=("sent_again",)), endpoints=(CALLS,))
Row = tuple[State, tuple[AnyObservation, ...], dict[str, Any]]
TRACED = PathTrace(
    endpoint=TLS.id,
    address=A1,
    port=443,
    sni="srv.example",
    hops=(
        PathHop(ttl=1, router=A2, hello="reset"),
        *(PathHop(ttl=ttl, router=A2) for ttl in (2, 3)),
    ),
)
EARNED: dict[str, Row] = {
    "no_control": (State.INCONCLUSIVE, DEAD, {"beside": []}),
    "control_fails": (
        State.INCONCLUSIVE,
        DEAD,
        {"beside": [control(dns(A1), tcp(A1, Failure.RESET))]},
    ),
    "no_liveness": (State.INCONCLUSIVE, DEAD, {"liveness": []}),
    # An address that no control tried is silent beside one that is cut by name.
    "weak_sign": (
        State.IMPAIRED,
        (dns(A1, A2, A3), tcp(A1), tls(A1), tcp(A2), *CUT, *FAR),
        {"beside": [control(dns(A1, A2, A3), tcp(A1), tls(A1), tcp(A2), tls(A2))]},
    ),
    "line_unseen": (
        State.INCONCLUSIVE,
        (dns(A1), tcp(A1, TIMEOUT, at_us=9, took_us=10_000_000)),
        {},
    ),
    "unchecked_answer": (
        State.INCONCLUSIVE,
        (
            *(dns(failure=Failure.DNS_SERVFAIL, **c) for c in ({}, REPEAT)),
            dns(A1, evidence=("checking_disabled",), **REPEAT),
        ),
        {},
    ),
    "asked_once": (State.INCONCLUSIVE, (dns(failure=Failure.DNS_REFUSED),), {}),
    "own_certificate": (
        State.INCONCLUSIVE,
        (dns(A1), tcp(A1), shown(A1)),
        {"beside": [control(dns(A1), tcp(A1), tls(A1, chain=shown(A1).chain))]},
    ),
    "system_root": (
        State.INCONCLUSIVE,
        (dns(A1), tcp(A1), shown(A1, evidence=("system_root",))),
        {},
    ),
    "lossy_there": (
        State.INCONCLUSIVE,
        calls(*twice(TIMEOUT, at=CALLS)),
        ON_CALLS | {"beside": [LOSSY]},
    ),
    "answer_lacks": (State.INCONCLUSIVE, chat(app()), ON_CHAT | {"beside": WITH_KEY}),
    "lacks": (State.INCONCLUSIVE, chat(app()), ON_CHAT | {"beside": WITH_KEY}),
    "foreign_answer": (State.INCONCLUSIVE, chat(foreign()), ON_CHAT),
    "clear_http": (
        State.INCONCLUSIVE,
        chat(foreign(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome")),
        ON_CHAT,
    ),
    "closed": (State.INCONCLUSIVE, chat(app(A1, Failure.EOF)), ON_CHAT),
    "foreign_certificate": (
        State.INCONCLUSIVE,
        (dns(A1, at=QUIC), quic(A1, Failure.SSL_UNKNOWN_AUTHORITY, verify_code=20)),
        OVER_QUIC,
    ),
    "quic_close": (
        State.INCONCLUSIVE,
        (dns(A1, at=QUIC), quic(A1, Failure.SSL_FAILED_HANDSHAKE, close_code=0x128)),
        OVER_QUIC,
    ),
    "tcp_fails_too": (
        State.BLOCKED,
        (*SILENT, ELSEWHERE, tcp(A1, TIMEOUT, at=QUIC, **BESIDE)),
        OVER_QUIC,
    ),
    "tls_fails_too": (
        State.BLOCKED,
        (*SILENT, ELSEWHERE, tcp(A1, at=QUIC, **BESIDE), tls(A1, TIMEOUT, at=QUIC, **BESIDE)),
        OVER_QUIC,
    ),
    # The server answers a SYN in 90 ms, and its name is cut off after 10.
    "sooner_than_server": (
        State.BLOCKED,
        (
            *(dns(A1), tcp(A1, took_us=90_000), tcp(A1, took_us=91_000)),
            *(tls(A1, RESET, took_us=10_000), tls(A1, **INNOCUOUS)),
        ),
        {},
    ),
    **{
        f"icmp_{sender}": (
            State.BLOCKED,
            (
                dns(A1),
                tcp(
                    A1,
                    Failure.HOST_UNREACHABLE,
                    icmp_type=3,
                    icmp_code=13,
                    evidence=(f"icmp_{sender}",),
                ),
            ),
            {},
        )
        for sender in ("private", "public")
    },
    "hops_before_server": (
        State.BLOCKED,
        (dns(A1), tcp(A1), tls(A1, RESET), tls(A1, **INNOCUOUS), TRACED),
        {},
    ),
}


SHOWN_ELSEWHERE = {"blockpage_abroad", "machine_late", "only_listed", "public_resolver", *SAID}
"""Earned where lists of block pages are tested (`tests.monitor.detection.fingerprints`), and in
tests of the layers: the targets of a round (`test_udp`), a resolver's own word (`test_dns_origin`),
whose resolver it is (`test_dns`), the probe's own machine (`test_machine_late`).
"""


def said(word: str) -> Verdict:
    _, seen, given = EARNED[word]
    found: Verdict = verdict(*seen, **given)
    return found


def kinds(evidence: Any) -> set[str]:
    return {each.partition(":")[0] for each in evidence}


@pytest.mark.parametrize("word", EARNED)
def test_a_word_is_earned(word: str) -> None:
    found = said(word)
    assert word in kinds(found.evidence)
    assert found.state is EARNED[word][0]


def in_the_laboratory() -> set[str]:
    """Words of the golden verdicts."""
    verdicts = (golden.load(case)[0]["verdict"] for case in golden.names())
    return {word for each in verdicts for word in kinds(each.get("evidence", ()))}


READ = {"icmp_own", "after_trigger", "sent_again", "sent_again_answered", "malformed", "gap"}
"""Words of observations, which the judge reads and does not repeat."""
MADE = {"ipv4_broken", "ipv6_broken"}


def of_the_judge() -> set[str]:
    """Words that the judge can say: the remarks of its rules, and in its files every constant that
    is a word and every text that begins a remark with a value."""
    imported = {id(rule) for rule in IMPORT_RULES}
    found = {word for rule in ALL_RULES if id(rule) not in imported for word in rule.evidence}
    known = {word.partition(":")[0] for word in (*EVIDENCE, *PREFIXES)}
    for part in ("judge", "layers", "observed"):
        for path in (Path(detection.__path__[0]) / part).glob("*.py"):
            if path.name.startswith("imported_"):
                continue  # what imports earn: tests.monitor.detection.judge.test_imported_run
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                    continue
                word, colon, rest = node.value.partition(":")
                if word in known or (colon and not rest and word.isidentifier()):
                    found.add(word)
    return (found | MADE) - READ


def test_every_word_is_earned() -> None:
    assert of_the_judge() - in_the_laboratory() - set(EARNED) - SHOWN_ELSEWHERE == set()


def test_what_the_laboratory_earns_needs_no_scene() -> None:
    assert set(EARNED) & in_the_laboratory() == set()
    assert set(EARNED) <= of_the_judge()


@pytest.mark.parametrize(
    ("ours", "another", "remarked"),
    [
        pytest.param(RESET, None, True, id="ours alone dies there"),
        pytest.param(RESET, RESET, False, id="every name dies there"),
        pytest.param(TIMEOUT, None, False, id="it dies otherwise there"),
        pytest.param(None, None, False, id="ours passes there"),
    ],
)
def test_a_name_that_fails_at_our_own_host_too(
    ours: Failure | None, another: Failure | None, remarked: bool
) -> None:
    own = (tls(REFLECTOR, another, **INNOCUOUS), tls(REFLECTOR, ours, **OWN_HOST))
    handshakes = [each for a in (A1, A2) for each in (tls(a, RESET), tls(a, **INNOCUOUS))]
    said = verdict(GOOD_DNS, *OK_TCP, *handshakes, *own)
    assert said.technique is Technique.TLS_RESET_SNI
    assert ("name_fails_anywhere" in said.evidence) is remarked
    assert ("name_passes_at_ours" in said.evidence) is (ours is None)
    untold = verdict(GOOD_DNS, *OK_TCP, *handshakes, own[1])
    assert "name_fails_anywhere" not in untold.evidence, "nothing shows that our host works"
