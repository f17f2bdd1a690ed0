"""What every page has: a title, the band of a demonstration."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest

from monitor.detection.policy import Policy
from monitor.interop.ooni import reading
from monitor.interop.ooni.run import stored
from monitor.store.records import Admitted
from monitor.web.render import compile_templates, environment
from monitor.web.site import Site
from tests.monitor.interop.samples import DC, connect, document, targets_by_name
from tests.world import site as world
from tests.world.site import Client, client, opened


async def test_every_page_of_a_demonstration_has_a_notice(world_file: Path, tmp_path: Path) -> None:
    demo = {"demo": "Simulated on this machine.", "policy": Policy(pace=10)}
    async with opened(world_file, tmp_path, **demo) as site, client(site) as web:
        for path in ("/", "/s/wechat", f"/e/{world.CONFIRMED}", "/nothing", "/data"):
            text = await (await web.get(path)).text()
            assert "Simulated on this machine." in text
            assert "divided by 10" in text
            assert "(demonstration)</title>" in text


async def test_a_real_site_has_no_notice(web: Client) -> None:
    assert 'class="band"' not in await (await web.get("/")).text()


def test_templates_escape_and_do_not_forgive() -> None:
    made = environment()
    assert made.from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
    with pytest.raises(jinja2.UndefinedError):
        made.from_string("{{ missing }}").render()


def test_every_template_compiles_and_none_trusts_text() -> None:
    made = environment()
    assert made.loader is not None
    for name in made.list_templates():
        made.get_template(name)
        source = made.loader.get_source(made, name)[0]
        assert "|safe" not in source.replace(" ", "")
        assert "style=" not in source
        assert "<script>" not in source
        assert "onclick" not in source
        # Macros that see a context are made for each page, and keep it for the garbage collector.
        assert "with context" not in source
        assert "{% macro" not in source or "{% block" not in source


def test_every_template_compiles() -> None:
    compile_templates()
    assert "overview.html" in environment().list_templates()


async def test_data_of_others_are_named_with_their_licence(site: Site, web: Client) -> None:
    address = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
    page = await (await web.get("/changes")).text()
    assert address not in page
    assert address not in (await web.get("/api/v1/services")).headers["Link"]
    run = document(tcp_connect=[connect(address, 443) for address in DC])
    (item,) = reading.line_items(json.dumps(run).encode(), 1, targets_by_name())
    assert isinstance(item, reading.ImportedRun)
    found = [
        Admitted(stored=stored(measurement), line=line, received=world.NOW)
        for measurement, line in item.found
    ]
    assert (await site.database.facts.add(found, ())).new == 1
    site.present.forget_vantages()
    await site.present.get()
    for path in ("/method", "/c/RU"):
        page = await (await web.get(path)).text()
        assert f'under <a rel="license" href="{address}">CC BY-NC-SA 4.0</a>' in page, path
        assert "data CC BY 4.0; of OONI CC BY-NC-SA 4.0" in page or path == "/method"
    for path in ("/api/v1/countries", f"/e/{world.CONFIRMED}/measurements.csv"):
        link = (await web.get(path)).headers["Link"]
        assert f'<{address}>; rel="license"; title="what rests on data of OONI"' in link
