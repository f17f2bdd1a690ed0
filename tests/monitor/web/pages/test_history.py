"""History on pages: ranges, axes, legend, the control row, and the series behind the chart."""

from __future__ import annotations

import csv
import io

import pytest

from tests.world import site as world
from tests.world.site import Client

PAGES = ("/s/wechat", "/c/RU", "/as/64501", f"/e/{world.CONFIRMED}")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "query", ["", "?range=24h", "?range=1y", "?since=2027-01-10&until=2027-01-16"]
)
async def test_every_page_has_ranges_axes_and_a_legend(web: Client, path: str, query: str) -> None:
    answer = await web.get(path + query)
    assert answer.status == 200
    text = await answer.text()
    for name in ("24h", "7d", "30d", "90d", "1y"):
        assert f'href="{path}?range={name}"' in text
    assert 'type="date" name="since"' in text
    assert 'class="axis"' in text
    assert 'class="legend"' in text
    assert ('class="chart"' in text) == bool(query)
    assert "failing as blocked" in text


async def test_the_control_has_a_row(web: Client) -> None:
    text = await (await web.get("/s/wechat?range=24h")).text()
    assert "The service itself, by controls and all countries" in text


@pytest.mark.parametrize("path", PAGES)
async def test_a_bad_range_is_a_sentence(web: Client, path: str) -> None:
    answer = await web.get(f"{path}?range=2d")
    assert answer.status == 400
    assert "range: must be 24h, 7d, 30d, 90d, 1y" in await answer.text()


async def test_the_series_are_the_measurements(web: Client) -> None:
    said = await (await web.get("/history.json?service=wechat&range=24h")).json()
    assert {line["name"] for line in said["series"]} == {"Russia", "France"}
    russia = said["series"][0]
    assert sum(russia["failing"]) == 36
    assert len(russia["judged"]) == len(said["times"]) == 24
    rows = list(
        csv.DictReader(
            io.StringIO(await (await web.get("/history.csv?country=RU&range=24h")).text())
        )
    )
    assert {row["name"] for row in rows} == {"WeChat", "Signal"}
    assert sum(int(row["failing"]) for row in rows if row["name"] == "WeChat") == 36
    for bad in ("range=24h", "service=wechat", "service=wechat&range=9d"):
        assert (await web.get(f"/history.json?{bad}")).status == 400
