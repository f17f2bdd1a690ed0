"""The method's page: each rule has a place that others link to."""

from __future__ import annotations

import csv
import io
import json
import re

from monitor.detection.policy import Policy
from monitor.detection.rules import ALL_RULES
from monitor.web.text import event_text, words
from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import Client


async def test_every_rule_has_its_anchor_and_no_link_is_dead(web: Client) -> None:
    page = await (await web.get("/method")).text()
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for rule in ALL_RULES:
        assert f"rule-{rule.id}" in ids
    for name in Policy.__struct_fields__:
        assert f"policy-{name}" in ids
    for gate in event_text.INHIBITED:
        assert f"gate-{gate}" in ids
    for remark in words.EVIDENCE:
        assert f"remark-{remark}" in ids
    for link in re.findall(r'href="#([^"]+)"', page):
        assert link in ids, link


async def test_it_is_said_in_plain_words(web: Client) -> None:
    text = text_of(await (await web.get("/method")).text())
    assert "Who has failed for 2 h while others of the network see the service is on watch" in text
    assert "at most, 4 with a typical sign; an alarm needs 7" in text
    assert "At least 2 vantages and 41" in text
    assert "Never called blocking" in text
    assert "A network without a vantage is unknown, never fine." in text
    assert "Connections are reset as soon as they name the service" in text


async def test_the_same_for_programs(web: Client) -> None:
    answer = await web.get("/method.json")
    assert answer.content_type == "application/json"
    said = json.loads(await answer.text())
    assert {rule["id"] for rule in said["rules"]} >= {rule.id for rule in ALL_RULES}
    table = await web.get("/method.csv")
    assert table.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(await table.text())))
    assert [row["id"] for row in rows] == [rule["id"] for rule in said["rules"]]
    assert rows[0]["layer"] == "vantage"
