"""The words that a volunteer reads: from observations to a line a service."""

import pytest

from probes.summary import Cause, FunctionSummary, service_lines, summarise
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Catalogue, Endpoint, Service, Target

E = "a.test:443/tls"
AT = {"endpoint": E, "address": "192.0.2.1", "port": 443}
FOUND = DNSLookup(
    endpoint=E, name="a.test", qtype="A", resolver="system",
    replies=(DNSReply(after_us=1, rcode=0, answers=("192.0.2.1",)),),
)  # fmt: skip
NO_AAAA = DNSLookup(
    endpoint=E, name="a.test", qtype="AAAA", resolver="system", failure=Failure.DNS_NO_ANSWER
)
OPEN = TCPConnect(**AT)
SHOOK = TLSHandshake(**AT, sni="a.test")
RESET = TLSHandshake(**AT, sni="a.test", failure=Failure.RESET)
INNOCUOUS = TLSHandshake(
    **AT, sni="example.org", purpose=Purpose.CONTRAST, contrast=Contrast.INNOCUOUS_NAME
)
NO_IPV6 = TCPConnect(
    endpoint=E, address="2001:db8::1", port=443, failure=Failure.NETWORK_UNREACHABLE
)


def measured(
    *seen: AnyObservation, ends: tuple[str, ...] = (E,), combine: str = "any_of"
) -> Measurement:
    return Measurement(
        v=1, id="0" * 32, probe="p-" + "0" * 16, target="wechat/web", round=0, started=0,
        combine=combine, observations=seen,
        endpoints=tuple(EndpointRef(id=end, protocol=end.rpartition("/")[2]) for end in ends),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ((FOUND, NO_AAAA, OPEN, NO_IPV6, SHOOK), None),
        ((FOUND, OPEN, RESET), "TLS connection reset"),
        ((FOUND, OPEN, RESET, INNOCUOUS), "TLS connection reset when the name appears"),
        ((FOUND, TCPConnect(**AT, failure=Failure.TIMEOUT)), "no answer"),
        ((NO_AAAA,), "DNS gives no address"),
        (
            (FOUND, OPEN, TLSHandshake(**AT, sni="a", failure=Failure.SSL_UNKNOWN_AUTHORITY)),
            "not the service's certificate",
        ),
        ((FOUND, OPEN, TLSHandshake(**AT, sni="a", failure="odd")), "failed (odd)"),
        ((FOUND,), "failed (incomplete)"),
    ],
)
def test_what_a_measurement_shows(seen: tuple[AnyObservation, ...], words: str | None) -> None:
    shown = summarise(measured(*seen))
    assert shown is not None
    assert shown.works == (words is None)
    assert (shown.cause.words("en") if shown.cause else None) == words


def test_pages_and_apps() -> None:
    page, app = "a.test:80/http", "a.test:80/mtproto"
    legal = HTTPExchange(endpoint=page, address="192.0.2.1", port=80, host="a.test", status=451)
    shown = summarise(measured(legal, ends=(page,)))
    assert shown is not None
    assert shown.cause == Cause("legal")
    other = AppExchange(endpoint=app, address="192.0.2.1", port=80, protocol="mtproto", spoke=False)
    shown = summarise(measured(other, ends=(app,)))
    assert shown is not None
    assert shown.cause == Cause("foreign")


def test_nothing_measured_shows_nothing() -> None:
    assert summarise(measured()) is None
    assert summarise(measured(INNOCUOUS)) is None


def test_endpoints_combine_as_the_catalogue_says() -> None:
    other = "b.test:443/tls"
    works = TLSHandshake(endpoint=other, address="192.0.2.2", port=443, sni="b.test")
    for combine, expected in (("any_of", True), ("all_of", False)):
        shown = summarise(measured(FOUND, OPEN, RESET, works, ends=(E, other), combine=combine))
        assert shown == FunctionSummary("wechat/web", expected, Cause("reset", "TLS "))


def test_a_line_a_service() -> None:
    def service(id: str, name: str, functions: str) -> Service:
        end = (Endpoint(host="a.test", port=443, protocol="tls"),)
        targets = tuple(Target(id=f"{id}/{f}", endpoints=end) for f in functions.split())
        return Service(id=id, name=name, targets=targets)

    def catalogue(*services: Service) -> Catalogue:
        return Catalogue(version="0", services=services)

    reset = Cause("reset", "TLS ", by_name=True)
    both = catalogue(
        service("wechat", "WeChat", "messaging web"), service("line", "LINE", "messaging")
    )
    found = [FunctionSummary("wechat/web", False, reset), FunctionSummary("wechat/messaging", True)]
    assert service_lines(both, found) == [
        "WeChat: messaging works; web: TLS connection reset when the name appears"
    ]
    assert service_lines(both, [FunctionSummary("line/messaging", True)]) == [
        "LINE: messaging works"
    ]
    calls = catalogue(service("line", "LINE", "calls"))
    assert service_lines(calls, [FunctionSummary("line/calls", True)]) == ["LINE: calls work"]
    many = catalogue(service("wechat", "WeChat", "messaging web login push site"))
    ids = [target.id for target in many.targets]
    partly = [*(FunctionSummary(id, True) for id in ids[:4]), FunctionSummary(ids[4], True, reset)]
    assert service_lines(many, partly, "zh") == [
        "WeChat: 消息, 网页, 登录等 2 项正常; 官网: 部分地址出现域名时TLS 连接被重置"
    ]
