# SPDX-License-Identifier: Apache-2.0
"""How verdicts arise: for readers, and the same as JSON and CSV for programs."""

from __future__ import annotations

import csv
import io

import msgspec
from aiohttp import web

from monitor.detection.rules import RULES_VERSION
from monitor.detection.sequence.confidence import TERMS
from monitor.web.api.forms import inert
from monitor.web.pages import rules_text as method
from monitor.web.render import render
from monitor.web.site import SITE


async def page(request: web.Request) -> web.Response:
    """Render the method."""
    policy = request.app[SITE].policy
    values = {
        "title": "Method",
        "rules": method.rules(policy),
        "techniques": method.techniques(),
        "settings": method.settings(policy),
        "states": method.states(),
        "rules_version": RULES_VERSION,
        "confidence_terms": len(TERMS) + 1,
        "policy": policy,
    }
    return await render(request, "method.html", values)


async def as_json(request: web.Request) -> web.Response:
    """Rules, techniques, states and policy."""
    body = msgspec.json.encode(method.everything(request.app[SITE].policy))
    return web.Response(
        body=body,
        content_type="application/json",
        headers={"Access-Control-Allow-Origin": "*"},
    )


async def as_csv(request: web.Request) -> web.Response:
    """One row a rule."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(method.RuleWords.__struct_fields__)
    for _, found in method.rules(request.app[SITE].policy):
        for rule in found:
            row = [getattr(rule, name) for name in rule.__struct_fields__]
            writer.writerow([inert(" ".join(x) if isinstance(x, tuple) else x) for x in row])
    return web.Response(
        text=out.getvalue(),
        content_type="text/csv",
        charset="utf-8",
        headers={
            "Access-Control-Allow-Origin": "*",
            "Content-Disposition": 'attachment; filename="reachwatch-rules.csv"',
        },
    )
