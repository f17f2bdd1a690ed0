from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.block import DEFAULT, TECHNIQUES, DemoBlock, parse_block
from monitor.demo.plan import NETWORKS, SERVICES, speaks


def test_none_is_no_block() -> None:
    assert parse_block("none") is None


def test_what_is_printed_is_what_is_parsed() -> None:
    assert parse_block("wechat:64501:tls.reset.sni") == DEFAULT
    assert parse_block("signal:AS64502:dns.nxdomain") == DemoBlock("signal", 64502, "dns.nxdomain")
    for service in SERVICES:
        for network in NETWORKS:
            for technique in TECHNIQUES:
                if speaks(service, "http") or not technique.startswith("http."):
                    block = DemoBlock(service.id, network.asn, technique)
                    assert parse_block(str(block)) == block


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected SERVICE:ASN:TECHNIQUE or none, got ''"),
        ("wechat:64501", "expected SERVICE:ASN:TECHNIQUE"),
        ("wechta:64501:dns.nxdomain", "no service 'wechta' .* did you mean wechat?"),
        ("wechat:64599:dns.nxdomain", "no network '64599'"),
        ("wechat:x:dns.nxdomain", r"\(64501, 64502, 64503\)"),
        ("wechat:64501:dns.nxdomian", "did you mean dns.nxdomain"),
        ("wechat:64501:tcp.timeout", "needs a firewall on the path.*tests/lab"),
        ("wechat:64501:quic.timeout.sni", "needs a firewall"),
        ("signal:64501:http.451", "signal has no plain HTTP"),
    ],
)  # fmt: skip
def test_a_block_that_cannot_be_shown_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_block(text)


@given(st.text())
def test_any_text_gives_a_block_or_one_line(text: str) -> None:
    line = ""
    try:
        parse_block(text)
    except ValueError as error:
        line = str(error)
    assert line.isprintable()
