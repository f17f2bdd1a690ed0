"""What the local page has to show."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from probes.daemon.shown_functions import ShownFunctions
from probes.delivery.spool import Spool
from probes.wire.measurement import LIVENESS_INTERNATIONAL, EndpointRef, Measurement
from tests.probes.delivery.test_spool import PROBE, draft


def measured(target: str, failure: str | None = None) -> Measurement:
    where = EndpointRef(id="e", host="a.test", protocol="tcp")
    return replace(draft(failure=failure), target=target, endpoints=(where,))


async def test_the_page_begins_with_what_is_on_disk_and_shows_the_newest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PROBE)
    await spool.put(measured("line/web"))
    await spool.close()
    shown = ShownFunctions()
    shown.add(measured("wechat/web"))
    assert list(shown.summaries) == [], "there may be no page"
    await shown.load(tmp_path)
    assert [summary.target for summary in shown.summaries] == ["line/web"]
    for failure in (None, "connection_refused"):
        shown.add(measured("wechat/web", failure))
    shown.add(measured(LIVENESS_INTERNATIONAL))
    works = {summary.target: summary.works for summary in shown.summaries}
    assert works == {"line/web": True, "wechat/web": False}
