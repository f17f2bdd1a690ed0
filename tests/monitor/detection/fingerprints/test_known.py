"""Laws over the fingerprint data, and what must never match."""

from __future__ import annotations

import ipaddress
import re

import pytest

from monitor.detection import fingerprints
from monitor.detection.fingerprints.known import ADDRESSES, HOSTS, PHRASES
from tests.monitor.detection.scenes import http


def test_ids_are_unique_and_every_entry_has_a_dated_source() -> None:
    rows = (*PHRASES, *HOSTS, *ADDRESSES)
    ids = [id for id, _, _ in rows]
    assert len(ids) == len(set(ids))
    for id, what, source in rows:
        assert re.fullmatch(r"[a-z]{2}\.[a-z0-9_.]+", id)
        assert what
        assert len(source) > 8
    assert all(ipaddress.ip_address(address) for _, address, _ in ADDRESSES)


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("Website blocked", "This website has been blocked by order of the court"),
        ("", "Access to this site has been restricted under the law"),
        ("", "Access to the requested resource is blocked"),
        ("Site Blocked", ""),
        ("Blocked!", "<p>7</p>"),
        ("", "<p>The page you requested has been blocked</p>"),
        ("", "The site wechat.com is currently blocked"),
        ("Доступ ограничен", ""),
        ("", "Доступ к сайту по решению суда заблокирован"),
        ("", '<iframe src="http://10.10.34.34?type=Invalid Site">'),
        ("Internet Positif", ""),
        ("", "Bu siteye erişim engellenmiştir, 5651 sayılı Kanun"),
        ("", "تم حجب هذا الموقع"),
    ],
)
def test_block_pages(title: str, body: str) -> None:
    assert fingerprints.page(http(title=title, excerpt=body.encode())) is not None


@pytest.mark.parametrize(
    ("title", "body"),
    [
        ("403 Forbidden", "nginx"),
        ("Access Denied", "You don't have permission to access this server. Reference #18.5c"),
        ("Attention Required! | Cloudflare", "Sorry, you have been blocked"),
        ("WeChat", "Free messaging and calling app"),
        ("", "You can email the site owner to let them know you were blocked. Please include what"),
        ("", "Why have I been blocked? This website is using a security service to protect itself"),
        ("Blocked drains of London", "Your plumber"),
        ("", "No page of mine was ever"),
        ("Just a moment...", "Checking your browser before accessing"),
        ("", ""),
    ],
)
def test_ordinary_pages(title: str, body: str) -> None:
    assert fingerprints.page(http(title=title, excerpt=body.encode())) is None


def test_hosts_and_addresses() -> None:
    assert fingerprints.host("sub.warning.rt.ru.") == "ru.rt.host"
    assert fingerprints.host("notwarning.rt.ru") is None
    assert fingerprints.address("10.10.34.34") == "ir.10_10_34_34"
    assert fingerprints.address("10.10.34.37") is None
    moved = http(status=302, location="https://www.warning.or.kr/i1.html")
    assert fingerprints.page(moved) == "kr.warning.host"


@pytest.mark.parametrize(
    ("location", "host"),
    [("/login", ""), ("http://A.Example:8/x", "a.example"), ("http://[bad", ""), ("", "")],
)
def test_redirect_hosts(location: str, host: str) -> None:
    assert fingerprints.redirect_host(location) == host
