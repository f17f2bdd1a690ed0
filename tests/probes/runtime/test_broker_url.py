"""URLs of brokers."""

import pytest

from probes.runtime.broker_url import broker_url, parse_broker, parse_way, way_url


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883", ""),
        ("mqtts://u:s%40@host:99", "mqtts://host:99", ""),
        ("ws://[::1]:8080/x?version=3.1.1", "ws://[::1]:8080", "3.1.1"),
        ("wss://host", "wss://host:443", ""),
    ],
)
def test_urls(text: str, name: str, version: str) -> None:
    broker = parse_broker(text)
    assert (broker.name, broker.version) == (name, version)
    assert "s@" not in broker.name


@pytest.mark.parametrize(
    "text", ["", "http://x", "mqtt://", "mqtt://h:99999", "mqtt://h?version=4"]
)
def test_bad_urls(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_broker(text)


def test_a_way_may_be_a_web_server_and_name_an_address() -> None:
    way = parse_way(way_url("https://reach.example/base/?address=2001:db8::1"))
    assert (way.over_http, way.encrypted, way.port, way.path) == (True, True, 443, "/base")
    assert (way.host, way.address) == ("reach.example", "2001:db8::1")
    with pytest.raises(ValueError, match="must begin"):
        broker_url("https://reach.example")
    with pytest.raises(ValueError, match="must begin"):
        way_url("ftp://reach.example")


def test_who_can_read_what_goes_to_a_broker() -> None:
    for url, exposed in (
        ("mqtt://127.0.0.1", False), ("ws://localhost/x", False), ("mqtt://[::1]:1883", False),
        ("mqtt://192.0.2.1", True), ("ws://a.example", True), ("mqtts://a.example", False),
        ("wss://a.example", False),
    ):  # fmt: skip
        assert parse_broker(url).exposed is exposed


def test_the_reader_of_an_option_gives_the_text_or_the_reason() -> None:
    assert broker_url("mqtts://h:99") == "mqtts://h:99"
    with pytest.raises(ValueError, match="must begin with mqtt://"):
        broker_url("h:99")
