"""What every page has: a title, the sentence on freshness, the band of a demonstration."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest
import sqlalchemy as sa

from monitor.detection.policy import Policy
from monitor.interop.ooni import reading
from monitor.interop.ooni.run import stored
from monitor.store import tables as t
from monitor.store.records import Admitted
from monitor.web.render import Freshness, compile_templates, conclusions_lag, environment, freshness
from monitor.web.site import Site
from tests.monitor.interop.samples import DC, connect, document, targets_by_name
from tests.world import site as world
from tests.world.site import Client, client, opened


async def test_freshness(site: Site, empty: Site) -> None:
    fresh = await freshness(site)
    assert fresh.line.startswith("Last measurement ")
    assert not fresh.stalled
    assert not fresh.behind


async def test_nothing_yet(empty: Site) -> None:
    assert await freshness(empty) == Freshness("No measurements yet.")


async def test_missing_measurements_are_reported(world_file: Path, tmp_path: Path) -> None:
    later = world.NOW + 40 * world.MINUTE
    async with opened(world_file, tmp_path, clock=lambda: later) as site, client(site) as web:
        fresh = await freshness(site)
        assert fresh.stalled
        assert fresh.line.startswith("The monitor has received nothing for ")
        assert "fresh stalled" in await (await web.get("/")).text()


async def test_a_store_that_is_away_is_a_sentence(site: Site, tmp_path: Path) -> None:
    await site.database.close()
    (tmp_path / "site.sqlite").rename(tmp_path / "gone")
    assert await freshness(site) == Freshness("The store cannot be read at the moment.", True)


async def test_a_lag_of_the_conclusions_is_a_sentence_on_every_page(
    world_file: Path, tmp_path: Path
) -> None:
    async with opened(world_file, tmp_path) as site, client(site) as web:
        interval, close = world.INTERVAL, 1000 * site.policy.rounds.round_close_seconds
        due = world.START + 2 * interval + close
        assert not conclusions_lag(site, due + interval, world.START)
        assert not conclusions_lag(site, due + interval, None)
        said = conclusions_lag(site, due + interval + 1, world.START)
        assert said.startswith("Conclusions lag behind measurements by ")
        async with site.database.engines.write.begin() as connection:
            await connection.execute(
                sa.update(t.detector_state).values(round=world.START - 4 * world.HOUR)
            )
        for path in ("/", "/s/wechat", "/method", "/status"):
            text = await (await web.get(path)).text()
            assert 'class="band lag"' in text, path
            assert "Conclusions lag behind measurements by" in text


async def test_old_measurements_that_are_imported_today_are_no_lag(
    world_file: Path, tmp_path: Path
) -> None:
    """Their rounds are judged, and there are no others."""
    later = world.NOW + 1000 * 24 * world.HOUR
    async with opened(world_file, tmp_path, clock=lambda: later) as site:
        async with site.database.engines.write.begin() as connection:
            await connection.execute(sa.update(t.batch).values(received=later - world.MINUTE))
        assert await freshness(site) == Freshness("Last measurement 60 s ago.")


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
