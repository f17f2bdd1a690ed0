from __future__ import annotations

import pytest

from monitor.demo.block import DemoBlock
from monitor.demo.isp import ISP

INSIDE, OUTSIDE = "127.1.1.101", "127.1.1.104"


@pytest.fixture
def isp() -> ISP:
    return ISP(
        network_of={INSIDE: 64501, OUTSIDE: 64502},
        service_of_name={"web.wechat.test": "wechat", "chat.signal.test": "signal"},
        service_of_address={"127.1.1.3": "wechat"},
    )


def test_without_a_block_everything_passes(isp: ISP) -> None:
    assert isp.dns(INSIDE, "web.wechat.test") is None
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.3") is None
    assert isp.http(INSIDE, "web.wechat.test") is None


def test_only_this_service_in_this_network_at_this_layer(isp: ISP) -> None:
    isp.block(DemoBlock("wechat", 64501, "dns.nxdomain"))
    assert isp.dns(INSIDE, "WEB.wechat.test.") == "dns.nxdomain"
    assert isp.dns(OUTSIDE, "web.wechat.test") is None
    assert isp.dns("127.9.9.9", "web.wechat.test") is None
    assert isp.dns(INSIDE, "chat.signal.test") is None
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.3") is None


def test_two_blocks_last_at_once_and_end_by_themselves(isp: ISP) -> None:
    first, second = (
        DemoBlock("wechat", 64501, "tls.reset.sni"),
        DemoBlock("signal", 64502, "dns.nxdomain"),
    )
    isp.block(first)
    isp.block(second)
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.3") == "tls.reset.sni"
    assert isp.dns(OUTSIDE, "chat.signal.test") == "dns.nxdomain"
    isp.lift(first)
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.3") is None
    assert isp.dns(OUTSIDE, "chat.signal.test") == "dns.nxdomain"
    isp.block(DemoBlock("signal", 64502, "dns.refused"))
    assert isp.dns(OUTSIDE, "chat.signal.test") == "dns.refused"


def test_a_filter_by_name_works_at_any_address(isp: ISP) -> None:
    isp.block(DemoBlock("wechat", 64501, "tls.reset.sni"))
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.54") == "tls.reset.sni"
    assert isp.tls(INSIDE, "www.maple.test", "127.1.1.3") is None
    assert isp.tls(INSIDE, "", "127.1.1.3") is None


def test_a_filter_by_address_works_for_any_name(isp: ISP) -> None:
    isp.block(DemoBlock("wechat", 64501, "tls.reset.other"))
    assert isp.tls(INSIDE, "www.maple.test", "127.1.1.3") == "tls.reset.other"
    assert isp.tls(INSIDE, "web.wechat.test", "127.1.1.54") is None
