"""Text that strangers choose is text on every page and in every list."""

from __future__ import annotations

import html.parser
import re
from collections import Counter

import pytest
from msgspec.structs import replace

from monitor.detection.model import Stored
from monitor.store.records import Admitted
from monitor.web.site import Site
from probes.wire.codec import WireError, decode, decode_envelope, encode
from probes.wire.measurement import LIVENESS_INTERNATIONAL, Role, measurement_id
from probes.wire.observation import AppExchange, PathHop, PathTrace, QUICHandshake, Transfer
from tests.world import site as world
from tests.world.site import Client

PAGES = [
    "/",
    "/s/wechat",
    "/c/RU",
    "/as/64501",
    "/v",
    *(f"/v/{world.PEOPLE[n].id}" for n in (1, 2)),
    "/status",
    "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "/%3Cscript%3Ealert(1)%3C/script%3E",
    *(f"/e/{id}" for id in (world.CONFIRMED, world.LIKELY, world.RETRACTED)),
    *(f"/e/{id}/rounds" for id in (world.CONFIRMED, world.LIKELY)),
    *(f"/m/{world.measurement(world.PEOPLE[n], 'wechat/web', 20).id}" for n in (0, 1, 2, 3, 5)),
]


class Page(html.parser.HTMLParser):
    """Counts elements and keeps attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]


CREDITS = (
    "https://db-ip.com",
    "https://www.routeviews.org",
    "https://www.nro.net",
    "https://creativecommons.org/licenses/by/4.0/",
)
"""Sources of the names of networks, linked from every page."""


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_executes_hostile_text(web: Client, path: str) -> None:
    text = await (await web.get(path)).text()
    page = Page()
    page.feed(text)
    assert page.tags["script"] == 1  # our own
    assert page.tags["img"] == (path == "/s/wechat")  # the badge
    assert page.tags["b"] == page.tags["iframe"] == 0
    assert "<script>alert" not in text
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("href", "src", "action"):
            own = value.startswith(("/", "#", "https://reach.example/"))
            assert own or value in CREDITS, value


async def test_hostile_text_is_shown_escaped(web: Client) -> None:
    works = world.measurement(world.PEOPLE[3], "wechat/web", 20)
    text = await (await web.get(f"/m/{works.id}")).text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    blocked = world.measurement(world.PEOPLE[1], "wechat/web", 20)
    text = await (await web.get(f"/m/{blocked.id}")).text()
    assert "vantage of o-" in text
    assert "Root &lt;b&gt;of&lt;/b&gt; evil" in text  # an issuer


async def test_lists_are_escaped(web: Client) -> None:
    answer = await web.get("/api/v1/vantages?format=csv")
    for line in (await answer.text()).splitlines():
        assert ",=HYPER" not in line
        assert ',"=' not in line
    answer = await web.get("/api/v1/vantages")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_control_characters_are_shown_as_escapes(site: Site, web: Client) -> None:
    evil = f"{world.SCRIPT}\u202eevil\u2066\u200b\u2028"
    where = {"endpoint": evil, "address": "192.0.2.1", "port": 443, "failure": evil}
    bare = {**where, "failure": None}
    seen = (
        QUICHandshake(**where, sni=evil, alpn=evil, close_code=2**53, received_bytes=2**53),
        Transfer(**where, sni=evil, received_bytes=2**53, silence_us=10**15, took_us=10**15),
        AppExchange(**where, protocol="stun", icmp_type=-(2**31), icmp_code=2**31),
        AppExchange(**bare, protocol="stun", excerpt=b"<script>alert(1)</script>"),
        PathTrace(**bare, sni=evil, hops=(PathHop(ttl=-(2**31), hello="x" * 64),) * 64),
    )
    base = world.measurement(world.PEOPLE[1], "wechat/web", 20)
    made = replace(base, observations=seen * 8, sequence=10**6)
    made = replace(made, id=measurement_id(made.probe, made.epoch, made.sequence))
    line = encode(made)
    assert decode(line) == made  # a probe may send this
    stored = Stored(measurement=made, owner="", role=Role.VANTAGE, enrolled=0)
    await site.database.facts.add([Admitted(stored=stored, line=line, received=made.started)], [])
    answer = await web.get(f"/m/{made.id}")
    text = await answer.text()
    assert answer.status == 200
    assert len(text) < 20 * len(line)
    page = Page()
    page.feed(text)
    assert page.tags["script"] == 1
    assert page.tags["img"] == 0
    assert not set(text) & {"\u202e", "\u2066", "\u200b", "\u2028"}
    assert "\\u202e" in text
    assert text.count("QUIC ClientHello for") == 8
    answer = await web.get(f"/api/v1/measurements/{made.id}")
    assert answer.status == 200
    assert answer.content_type == "application/json"


@pytest.mark.parametrize("broken", [b'{"step":"tcp"},', b'{"step":7},'])
@pytest.mark.parametrize("target", [LIVENESS_INTERNATIONAL, "wechat/web"])
async def test_a_line_that_cannot_be_decoded_breaks_no_page(
    site: Site, web: Client, target: str, broken: bytes
) -> None:
    probe = world.PEOPLE[1]
    base = world.measurement(probe, target, 29)
    made = replace(base, sequence=10**6, id=measurement_id(base.probe, base.epoch, 10**6))
    begin = b'"observations":['
    line = encode(made).replace(begin, begin + broken)
    assert decode_envelope(line).id == made.id
    with pytest.raises(WireError):
        decode(line)
    stored = Stored(measurement=made, owner="", role=Role.VANTAGE, enrolled=0)
    await site.database.facts.add([Admitted(stored=stored, line=line, received=made.started)], [])
    lists = ("/m", f"/v/{probe.id}", "/api/v1/vantages", "/api/v1/measurements", "/metrics")
    for path in (*PAGES, *lists):
        assert (await web.get(path)).status in (200, 404), path
    # It is stored, and whoever asks for it is told so.
    for path in (f"/m/{made.id}", f"/api/v1/measurements/{made.id}"):
        answer = await web.get(path)
        assert answer.status == 404, path
        said = html.unescape(await answer.text())
        assert "is stored, but its line cannot be decoded" in said
        assert f"/m/{made.id}/proof" in said
    proof = await (await web.get(f"/m/{made.id}/proof")).json()
    assert proof["line"].encode() == line


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        "/api/v1/vantages",
        "/api/v1/vantages?format=csv",
        "/api/v1/measurements?target=wechat/web",
        f"/api/v1/events/{world.CONFIRMED}",
        "/metrics",
    ],
)
async def test_owners_are_named_to_their_operator_alone(web: Client, path: str) -> None:
    text = await (await web.get(path)).text()
    for name in {person.owner for person in world.PEOPLE if person.owner.isalpha()}:
        assert not re.search(rf"\b{name}\b", text), name
