from __future__ import annotations

import pytest

from probes.delivery.ways import in_order, of_web_server
from probes.runtime.proxy import parse_proxy


def test_cheap_ways_first_each_once_and_the_proxy_last() -> None:
    ways = in_order(
        ["https://reach.example", "wss://reach.example", "mqtts://b.example",
         "mqtts://b.example?address=192.0.2.1", "mqtts://b.example:8883"],
        parse_proxy("socks5h://ada:hush@127.0.0.1:9050"),
    )  # fmt: skip
    direct = [
        "mqtts://b.example:8883",
        "mqtts://b.example:8883?address=192.0.2.1",
        "wss://reach.example:443",
        "https://reach.example:443",
    ]
    through = " by socks5h://127.0.0.1:9050"
    assert [way.name for way in ways] == [*direct, *(name + through for name in direct)]
    assert [way.kind for way in ways[4:]] == ["proxy+mqtts", "proxy+mqtts", "proxy+wss",
                                              "proxy+https"]  # fmt: skip


def test_a_web_server_is_a_way_unless_others_could_read_the_secret() -> None:
    assert of_web_server("https://reach.example/base") == ("https://reach.example/base",)
    assert of_web_server("http://127.0.0.1:8080") == ("http://127.0.0.1:8080",)
    assert of_web_server("http://reach.example") == ()


@pytest.mark.parametrize("url", ["ftp://x", "https://", "mqtts://b?address=name"])
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must begin|names no host|address"):
        in_order([url])
