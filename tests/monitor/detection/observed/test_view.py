"""Sorting observations: which attempt stands, and where contrasts go."""

from __future__ import annotations

from monitor.detection.observed.view import answers, proven, view
from probes.wire.failure import Failure
from probes.wire.observation import (
    AppExchange,
    Contrast,
    PathTrace,
    Purpose,
    QUICHandshake,
    Transfer,
    Unrecognised,
)
from tests.monitor.detection.scenes import (
    A1,
    A2,
    CLASSICAL,
    HOST,
    HTTP,
    INNOCUOUS,
    NO_VERIFY,
    OWN_HOST,
    REFLECTOR,
    REPEAT,
    SILENT,
    TCP,
    TLS,
    dns,
    endpoint,
    http,
    measured,
    reference,
    tcp,
    tls,
)

TIMEOUT = Failure.TIMEOUT


def test_a_success_stands_whatever_the_order() -> None:
    for seen in ([tcp(A1, TIMEOUT), tcp(A1)], [tcp(A1), tcp(A1, TIMEOUT)]):
        place = view(measured(*seen))[TLS.id].addresses[A1, 443]
        assert place.tcp.subject is not None
        assert place.tcp.subject.failure is None


def test_contrasts_do_not_stand_for_the_subject() -> None:
    one = view(
        measured(
            tcp(A1, TIMEOUT),
            tcp(A1, **REPEAT),
            tls(A1, TIMEOUT),
            tls(A1, **INNOCUOUS),
            tls(A1, TIMEOUT, **REPEAT),
            tls(A1, **CLASSICAL),
            tls(REFLECTOR, **OWN_HOST),
            tls(A2, purpose=Purpose.CONTRAST),
            http(A1, at=TLS, port=443, **NO_VERIFY),
        )
    )[TLS.id]
    place = one.addresses[A1, 443]
    assert place.tcp.repeated
    assert place.tcp.passed
    assert place.tls.subject is not None
    assert place.tls.subject.failure == TIMEOUT
    assert place.tls.innocuous is not None
    assert not place.tls.repeated
    assert place.classical
    assert place.proven
    assert not place.http.tried
    assert place.unverified is not None
    assert one.reflector.tls is not None
    assert (REFLECTOR, 443) not in one.addresses
    assert not one.addresses[A2, 443].seen


def test_resolvers_are_kept_apart() -> None:
    one = view(
        measured(
            dns(A1, evidence=("sent_again",)),
            dns(qtype="AAAA", failure=TIMEOUT),
            dns(qtype="AAAA", failure=TIMEOUT, **REPEAT),
            dns(A2, resolver="other"),
            reference(A2),
            reference(A2, **SILENT),
        )
    )[TLS.id]
    assert set(one.name.lookups) == {"A", "AAAA"}
    assert one.name.asked_again == {"AAAA"}
    assert len(one.name.references) == 1
    assert len(one.name.silent) == 1
    assert answers(one.name.lookups.values()) == {A1}
    assert answers([dns(failure=TIMEOUT), dns()]) == set()


def test_every_endpoint_is_there_and_unknown_steps_are_passed_over() -> None:
    views = view(
        measured(Unrecognised(step="smoke", raw=b"{}"), http(at=HTTP), endpoints=(TLS, TCP))
    )
    assert list(views) == [TLS.id, TCP.id, HTTP.id]
    assert not views[TLS.id].seen
    guessed = views[HTTP.id].ref
    assert (guessed.protocol, guessed.host) == ("http", HTTP.host)
    literal = view(measured(tcp("11.0.0.1", at=endpoint("tcp", "11.0.0.1")), endpoints=()))
    assert literal["11.0.0.1:443/tcp"].ref.host == ""


def test_proof_holds_for_the_host_at_every_endpoint() -> None:
    views = view(measured(tls(A1), tcp(A1, at=TCP), endpoints=(TLS, TCP)))
    assert proven(list(views.values()), TLS.host) == {A1}
    assert proven(list(views.values()), "other.example") == set()


def test_quic_app_transfers_and_paths_find_their_place() -> None:
    at = {"endpoint": TLS.id, "address": A1, "port": 443}
    lost = QUICHandshake(**at, sni=HOST, failure=Failure.TIMEOUT)
    again = QUICHandshake(
        **at, sni=HOST, purpose=Purpose.CONTRAST, contrast=Contrast.REPEAT, verify_code=0
    )
    spoke = AppExchange(**at, protocol="mtproto", spoke=True)
    here = Transfer(**at, sni=HOST)
    ours = Transfer(**at, sni=HOST, purpose=Purpose.CONTRAST, contrast=Contrast.REFLECTOR)
    path = PathTrace(**at, sni=HOST)
    (endpoint,) = view(measured(lost, again, spoke, here, ours, path)).values()
    place = endpoint.at(A1, 443)
    assert (place.quic.subject, place.quic.repeated, place.app.subject) == (lost, True, spoke)
    assert (place.transfers, endpoint.reflector.transfers) == ([here], [ours])
    assert place.paths == [path]
