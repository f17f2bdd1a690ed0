"""Static files: kept for ever under their digest, asked for again under any other."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from monitor.web.assets import CACHE_FOREVER, STATIC, address, assets
from tests.world.site import Client

VENDORED = STATIC.with_name("VENDORED")


@pytest.mark.parametrize("name", ["style.css", "page.js", "icon.svg"])
async def test_a_file_is_cacheable_by_its_digest(web: Client, name: str) -> None:
    content = (STATIC / name).read_bytes()
    answer = await web.get(address(name))
    assert await answer.read() == content
    assert answer.headers["Cache-Control"] == CACHE_FOREVER
    assert answer.headers["Content-Encoding"] == "gzip"
    again = await web.get(address(name), headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    old = await web.get(f"/static/{name}?0000")
    assert old.headers["Cache-Control"] == "no-cache"
    raw = await web.get(address(name), headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in raw.headers
    assert await raw.read() == content


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fapp.py", "../app.py", "%00", "a/b.css"])
async def test_other_files_are_not_served(web: Client, name: str) -> None:
    assert (await web.get(f"/static/{name}")).status == 404


def test_vendored_files_are_those_of_their_package() -> None:
    said = re.findall(r"^sha256 ([0-9a-f]{64}) (\S+)$", VENDORED.read_text(), re.MULTILINE)
    assert {name for _, name in said} == {"uplot.js", "uplot.css"}
    for digest, name in said:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_every_file_is_known_and_packed() -> None:
    assert {path.name for path in STATIC.iterdir()} == set(assets())
    for each in assets().values():
        assert gzip.decompress(each.packed) == each.content
