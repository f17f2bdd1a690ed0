"""Laws over our own fingerprints, and what must never match."""

from __future__ import annotations

import ipaddress
import re

import pytest

from monitor.detection.fingerprints import OWN
from monitor.detection.fingerprints.entry import ACCUSING, name_of
from monitor.detection.fingerprints.known import ADDRESSES, HOSTS, NAMES
from probes.wire.block_pages import phrases
from tests.monitor.detection.scenes import http


def test_ids_are_unique_and_every_entry_names_a_row_and_a_date() -> None:
    rows = (*phrases(), *HOSTS, *ADDRESSES, *NAMES)
    ids = [one.id for one in rows]
    assert len(ids) == len(set(ids))
    for one in rows:
        assert re.fullmatch(r"[a-z]{2}\.[a-z0-9_.]+", one.id)
        assert re.search(r"\b(?:ooni|cl|cp)[. ]\w+.*; 2026-11-25$", one.source), one.id
        countries = getattr(one, "countries", ())
        assert all(re.fullmatch("[A-Z]{2}", country) for country in countries)
    assert all(one.scope in ACCUSING for one in (*HOSTS, *ADDRESSES, *NAMES))
    assert all(str(ipaddress.ip_address(one.what)) == one.what for one in ADDRESSES)
    assert all(name_of(one.what) == one.what for one in (*HOSTS, *NAMES))
    assert all(one.countries for one in (*ADDRESSES, *NAMES))


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
    assert OWN.page(http(title=title, excerpt=body.encode())) is not None


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
    assert OWN.page(http(title=title, excerpt=body.encode())) is None


def test_hosts_addresses_and_aliases() -> None:
    assert OWN.host("sub.warning.rt.ru.") == "ru.rt.host"
    assert OWN.host("notwarning.rt.ru") is None
    assert OWN.answer("10.10.34.34", "IR") == "ir.10_10_34_34"
    assert OWN.answer("10.10.34.34", "DE") is None
    assert OWN.answer("10.10.34.37", "IR") is None
    assert OWN.answer("Internet-Positif.org.", "ID") == "id.positif.alias"
    moved = http(status=302, location="https://www.warning.or.kr/i1.html")
    assert OWN.page(moved) == "kr.warning.host"
