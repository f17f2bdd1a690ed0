from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.catalogue import syntax


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("8.8.8.8", ("8.8.8.8", 53)),
        ("8.8.8.8:5353", ("8.8.8.8", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("2001:0DB8:0::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
    ],
)
def test_an_address_with_or_without_a_port_is_taken_apart(
    written: str, expected: tuple[str, int]
) -> None:
    assert syntax.split_address(written, 53) == expected


@pytest.mark.parametrize(
    "written",
    ["", "8.8.8.8:", "8.8.8.8:0", "8.8.8.8:65536", "8.8.8.8:5 3", "8.8.8.8:٣", "dns.google:53",
     "fe80::1%eth0", "[8.8.8.8", "[::1]53", "256.1.1.1", "1.2.3"],
)  # fmt: skip
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        syntax.split_address(written, 53)


@pytest.mark.parametrize("host", ["a", "WeChat.Example", "xn--d1acpjx3f.xn--p1ai", "_x.example"])
def test_a_host_name_comes_back_in_lower_case(host: str) -> None:
    assert syntax.host(host) == host.lower()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "is empty"),
        ("a b.example", "not a host name"),
        ("a\n.example", "not a host name"),
        ("a..example", "not a host name"),
        ("-a.example", "not a host name"),
        ("a" * 64 + ".example", "not a host name"),
        ("a." * 130 + "example", "not a host name"),
        ("пример.рф", "ASCII form"),
        ("xn--a-ecp.ru", "not a valid IDNA label"),
        ("a.example.", "without the dot"),
        ("192.0.2.1", "got the address"),
        ("::1", "got the address"),
        ("192.0.2.256", "neither a host name nor an address"),
    ],
)
def test_what_is_no_host_name_is_refused_with_a_reason(host: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        syntax.host(host)


def test_a_liveness_host_may_be_an_address() -> None:
    assert syntax.host_or_address("192.0.2.1") == "192.0.2.1"
    assert syntax.host_or_address("Example.org") == "example.org"
    with pytest.raises(ValueError, match="neither a host name nor an address"):
        syntax.host_or_address("192.0.2.300")


@pytest.mark.parametrize("url", ["https://dns.google/dns-query", "https://192.0.2.1:8443/dns?x=1"])
def test_a_doh_url_is_kept_as_written(url: str) -> None:
    assert syntax.https_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "http://dns.google/", "https://", "https://u:p@dns.google/", "https://a/#x",
     "https://a:0/", "https://a:99999/", "https://[::1/", "https://a b/", "https://exämple/"],
)  # fmt: skip
def test_what_is_no_doh_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        syntax.https_url(url)


@given(st.text(max_size=300))
def test_any_text_gives_a_value_or_a_one_line_reason(text: str) -> None:
    for read in (syntax.host, syntax.address_with_port, syntax.https_url, syntax.path, syntax.text):
        reason = ""
        try:
            read(text)
        except ValueError as error:
            reason = str(error)
        assert reason.isprintable()
