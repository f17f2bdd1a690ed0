from __future__ import annotations

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.nameserver import Nameserver

SERVER = Nameserver(
    {"web.wechat.test": "127.1.1.3"}, {"dns.injection.bogon": "127.1.1.250"}
)  # fmt: skip


def ask(name: str, qtype: str = "A", technique: str | None = None) -> dns.message.Message | None:
    query = dns.message.make_query(name, qtype)
    reply = SERVER.answer(query.to_wire(), "127.1.1.101", lambda source, asked: technique)
    if reply is None:
        return None
    message = dns.message.from_wire(reply)
    assert query.is_response(message)
    return message


def addresses(message: dns.message.Message | None) -> list[str]:
    assert message is not None
    return [item.to_text() for rrset in message.answer for item in rrset]


def test_a_known_name_has_its_address_and_no_ipv6() -> None:
    assert addresses(ask("WEB.wechat.test")) == ["127.1.1.3"]
    assert addresses(ask("web.wechat.test", "AAAA")) == []
    unknown = ask("else.test")
    assert unknown is not None
    assert unknown.rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("technique", "rcode"),
    [("dns.nxdomain", 3), ("dns.refused", 5), ("dns.servfail", 2), ("dns.empty", 0)],
)
def test_the_provider_answers_in_its_own_way(technique: str, rcode: int) -> None:
    message = ask("web.wechat.test", technique=technique)
    assert message is not None
    assert message.rcode() == rcode
    assert addresses(message) == []


def test_forged_addresses_and_silence() -> None:
    assert addresses(ask("web.wechat.test", technique="dns.injection.bogon")) == ["127.1.1.250"]
    assert ask("web.wechat.test", technique="dns.timeout") is None


def test_a_cached_answer_keeps_the_id_of_its_question() -> None:
    for _ in range(3):
        assert addresses(ask("web.wechat.test")) == ["127.1.1.3"]


def test_the_provider_is_asked_by_source_and_name() -> None:
    seen = []

    def censor(source: str, name: str) -> str | None:
        seen.append((source, name))
        return None

    SERVER.answer(dns.message.make_query("Web.WeChat.test", "A").to_wire(), "127.1.1.101", censor)
    assert seen == [("127.1.1.101", "web.wechat.test")]


@given(st.binary(max_size=80))
def test_any_bytes_give_an_answer_or_silence(noise: bytes) -> None:
    SERVER.answer(noise, "127.1.1.101", lambda source, name: None)
