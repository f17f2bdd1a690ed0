"""Laws of judgement over random measurements: it never raises, and fewer facts never accuse more.

Removing a control or liveness never moves a state towards blocked, removing failing facts never
opens, and nothing at all is insufficient.
"""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.judge.target import judge
from monitor.detection.model import State, layer_of
from probes.wire.codec import decode, encode
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    DNSLookup,
    HTTPExchange,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)
from tests.monitor.detection.app_scenes import CALLS, CHAT, PAGE, app, with_udp
from tests.monitor.detection.scenes import (
    A1,
    A2,
    CLASSICAL,
    FORGED,
    HTTPS,
    INNOCUOUS,
    OWN_HOST,
    QUIC,
    REPEAT,
    SILENT,
    TCP,
    TLS,
    V6,
    alive,
    control,
    dns,
    foreign,
    http,
    measured,
    quic,
    reference,
    tcp,
    tls,
    transfer,
)

ALL = (TLS, HTTPS, TCP, QUIC, CHAT, CALLS)
OPEN = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
RULE_IDS = {rule.id for rule in ALL_RULES} | {"target.insufficient", "target.works"}

# What real probes send, mixed at will.
addresses = st.sampled_from([A1, A2, FORGED, V6, "10.0.0.1"])
refs = st.sampled_from([TLS, HTTPS, TCP, QUIC, CHAT])
words = st.sampled_from([None, *Failure])
changes = st.sampled_from([{}, {}, REPEAT, INNOCUOUS, CLASSICAL, OWN_HOST])
lookups = st.builds(
    lambda ref, own, later, word, qtype: dns(
        *own,
        at=ref,
        qtype=qtype,
        failure=None if own else word,
        later=() if word is Failure.TIMEOUT else later,
    ),
    refs,
    st.lists(addresses, max_size=2, unique=True),
    st.lists(st.lists(addresses, max_size=1), max_size=1),
    st.sampled_from([None, Failure.TIMEOUT, Failure.DNS_NXDOMAIN, Failure.DNS_SERVFAIL]),
    st.sampled_from(["A", "AAAA"]),
)
others = st.builds(
    lambda own, transport, silent: reference(*own, transport=transport, **(silent or {})),
    st.lists(addresses, max_size=1),
    st.sampled_from(["udp", "dot"]),
    st.sampled_from([None, SILENT]),
)
connects = st.builds(
    lambda a, word, ref, change: tcp(
        a, word, at=ref, **{k: v for k, v in change.items() if k not in ("sni", "profile")}
    ),
    addresses,
    words,
    refs,
    changes,
)
handshakes = st.builds(
    lambda a, word, ref, change: tls(a, word, at=ref, **change), addresses, words, refs, changes
)
datagrams = st.builds(
    lambda a, word, change: quic(a, word, **{k: v for k, v in change.items() if k != "profile"}),
    addresses,
    words,
    changes,
)
certificates = st.builds(
    lambda a, code: foreign(a, code), addresses, st.sampled_from([9, 10, 18, 20, 62])
)
exchanges = st.builds(
    lambda a, word, status: http(a, word, at=HTTPS, **({} if word else {"status": status})),
    addresses,
    st.sampled_from([None, None, Failure.RESET]),
    st.sampled_from([200, 302, 403, 451]),
)
transfers = st.builds(
    lambda a, change, rate, turn, ended: transfer(
        a, rate=rate, turn=turn, at=HTTPS, frozen_after=ended, **change
    ),
    addresses,
    st.sampled_from([{}, {}, INNOCUOUS, OWN_HOST, OWN_HOST | {"sni": "harmless.example"}]),
    st.sampled_from([20_000, 300_000, 5_000_000]),
    st.integers(0, 3),
    st.sampled_from([0, 0, 16_000]),
)
firsts = st.builds(
    lambda a, word, at, change, said: app(
        a, word, at=at, **change, **({} if word or said else {"spoke": False, "excerpt": PAGE})
    ),
    addresses,
    words,
    st.sampled_from([CHAT, CALLS]),
    st.sampled_from([{}, {}, REPEAT]),
    st.booleans(),
)
seen = st.lists(
    st.one_of(
        lookups,
        others,
        datagrams,
        connects,
        handshakes,
        certificates,
        exchanges,
        transfers,
        firsts,
    ),
    max_size=14,
)
livenesses = st.builds(
    lambda international, domestic, v6, offset: (with_udp if international else alive)(
        international=international, domestic=domestic, v6=v6, clock_offset_ms=offset
    ),
    st.lists(st.sampled_from([True, True, False]), max_size=3),
    st.lists(st.booleans(), max_size=2),
    st.booleans(),
    st.sampled_from([None, None, 5, 9_999_999]),
)
combines = st.sampled_from(["any_of", "all_of", "most", "whatever"])


def distinct(observations: list[AnyObservation]) -> list[AnyObservation]:
    """Each step of each purpose once at each place, as probes take them."""
    kept: dict[object, AnyObservation] = {}
    for o in observations:
        place = [getattr(o, n, None) for n in ("address", "qtype", "resolver", "transport", "turn")]
        kept.setdefault((type(o), o.endpoint, o.contrast, *place), o)
    return list(kept.values())


def whole(observations: list[AnyObservation], how: str = "any_of") -> Measurement:
    return measured(*observations, endpoints=ALL, combine=how)


controls = st.lists(
    st.builds(lambda observations, liveness: (whole(observations), liveness), seen, livenesses),
    max_size=2,
) | st.builds(lambda: [control()])


@given(seen, livenesses, controls, combines)
def test_total_and_consistent(observations, liveness, beside, how) -> None:  # type: ignore[no-untyped-def]
    said = judge(whole(observations, how), liveness, beside)
    assert said.rule in RULE_IDS
    assert said.evidence == tuple(sorted(set(said.evidence)))
    assert 0 <= said.endpoints.failed <= said.endpoints.total == len(ALL)
    assert 0 <= said.addresses.failed <= said.addresses.total
    layers = [finding.layer for finding in said.findings]
    assert len(layers) == len(set(layers))
    if said.state in OPEN:
        assert any(finding.blocked for finding in said.findings)
        assert said.layer is not None
    else:
        assert not any(finding.blocked for finding in said.findings)
    if said.technique is not None:
        assert layer_of(said.technique) == said.layer


@given(seen, livenesses, controls, combines, st.data())
def test_less_control_and_liveness_never_accuse_more(  # type: ignore[no-untyped-def]
    observations, liveness, beside, how, data
) -> None:
    subject = whole(observations, how)
    before = judge(subject, liveness, beside).state
    less = data.draw(
        st.sampled_from(
            [
                ([], beside),
                (liveness[:1], beside),
                (liveness[1:], beside),
                (liveness, []),
                (liveness, [(c, []) for c, _ in beside]),
            ]
        )
    )
    after = judge(subject, *less).state
    assert after not in OPEN or before in OPEN
    assert after is not State.BLOCKED or before is State.BLOCKED


@given(seen, livenesses, st.integers(0, 200))
def test_unseen_liveness_never_accuses_more(observations, liveness, index) -> None:  # type: ignore[no-untyped-def]
    """The same, one observation of liveness at a time."""
    if not liveness:
        return
    subject, beside = whole(observations), [control()]
    first = liveness[0]
    at = index % len(first.observations)
    part = msgspec.structs.replace(
        first, observations=first.observations[:at] + first.observations[at + 1 :]
    )
    after = judge(subject, [part, *liveness[1:]], beside).state
    assert after not in OPEN or judge(subject, liveness, beside).state in OPEN


@given(seen, livenesses, combines)
def test_fewer_failures_never_open(observations, liveness, how) -> None:  # type: ignore[no-untyped-def]
    observations, beside = distinct(observations), [control()]
    before = judge(whole(observations, how), liveness, beside).state
    if before in OPEN:
        return
    for index, observation in enumerate(observations):
        if observation.failure is None:
            continue
        fewer = observations[:index] + observations[index + 1 :]
        assert judge(whole(fewer, how), liveness, beside).state not in OPEN


def test_of_two_controls_one_may_be_all_that_speaks_for_an_answer() -> None:
    """Less control never accuses more, but for this: what one control alone has got as well."""
    subject = whole([dns("10.0.0.1")])
    same, other = (control(dns(a), endpoints=ALL) for a in ("10.0.0.1", A1))
    assert judge(subject, alive(), [same, other]).state not in OPEN
    assert judge(subject, alive(), [other]).state in OPEN
    assert judge(subject, alive(), [same]).state not in OPEN
    assert judge(subject, alive(), []).state not in OPEN


def test_without_a_control_a_target_of_which_one_endpoint_is_enough_works() -> None:
    works, dies = tls(A1, at=TLS), tls(A2, Failure.RESET, at=CHAT)
    both = (tcp(A1, at=TLS), works, tcp(A2, at=CHAT), dies)
    subject = measured(*both, endpoints=(TLS, CHAT), combine="any_of")
    seen = (tcp(A1, at=TLS), works, tcp(A2, at=CHAT), tls(A2, at=CHAT))
    there = control(*seen, endpoints=(TLS, CHAT))
    assert judge(subject, alive(), [there]).state is State.IMPAIRED
    assert judge(subject, alive(), []).state is State.OK


def test_nothing_is_insufficient() -> None:
    for how in ("any_of", "all_of"):
        for liveness in ([], alive(), alive(international=(False,))):
            assert judge(whole([], how), liveness, [control()]).state is State.INSUFFICIENT


text = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(st.data())
def test_never_raises_on_anything_decoded(data) -> None:  # type: ignore[no-untyped-def]
    """Fields of every kind at will, through the codec, as subject, liveness and control."""
    step = data.draw(
        st.sampled_from(
            [DNSLookup, TCPConnect, TLSHandshake, HTTPExchange, QUICHandshake, AppExchange]
        )
    )
    base = {
        DNSLookup: dns(A1),
        TCPConnect: tcp(A1),
        TLSHandshake: tls(A1),
        HTTPExchange: http(A1),
        QUICHandshake: quic(A1),
        AppExchange: app(A1),
    }[step]
    changed = msgspec.structs.replace(
        base,
        endpoint=data.draw(text),
        failure=data.draw(st.none() | text),
        **{
            name: data.draw(text)
            for name in ("name", "sni", "host", "location", "title")
            if hasattr(base, name) and data.draw(st.booleans())
        },
        **(
            {"address": data.draw(st.sampled_from(["", "::", "fe80::1%x", "[::1]", "999.9.9.9"]))}
            if hasattr(base, "address")
            else {}
        ),
        **(
            {"status": data.draw(st.none() | st.integers(-5, 9999))}
            if hasattr(base, "status")
            else {}
        ),
    )
    odd = Unrecognised(step="smoke", raw=b'{"step":"smoke","endpoint":"x"}')
    given_ = decode(encode(measured(changed, odd, endpoints=())))
    liveness = msgspec.structs.replace(given_, target="liveness/international")
    for beside in ([], [(given_, [liveness])], [(given_, alive())]):
        said = judge(given_, [liveness], beside)
        assert said.state in State
