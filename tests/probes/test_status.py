import io
import json
from pathlib import Path

import msgspec

from probes import status
from probes.delivery.spool import Counts, Spool
from probes.status import Standing, illness, message
from probes.wire.measurement import EndpointRef
from tests.probes.delivery.test_spool import PROBE, draft

NOW = 1_795_500_000_000


def standing(**more: object) -> Standing:
    base = Standing(
        probe=PROBE,
        version="1",
        catalogue="abc",
        targets=2,
        country="FR",
        asn=64503,
        updated_ms=NOW,
        started_ms=NOW - 1000,
        interval_ms=300_000,
    )
    return msgspec.structs.replace(base, **more)


def test_what_makes_a_probe_ill() -> None:
    assert illness(None, NOW) == "never ran here"
    assert illness(standing(), NOW) == ""
    assert illness(standing(transport=""), NOW) == ""
    assert illness(standing(stopped=True), NOW) == "stopped"
    assert illness(standing(), NOW + 120_000) == "does not run"
    assert illness(standing(), NOW - 120_000) == "does not run"
    assert illness(standing(trouble="disk full"), NOW) == "disk full"
    old = standing(last_round_ms=NOW - 2_000_000, started_ms=NOW - 9_000_000)
    assert illness(old, NOW) == "no round for a long time"


def test_status_in_words_and_as_json(tmp_path: Path) -> None:
    out = io.StringIO()
    assert status.show_status(tmp_path, NOW, as_json=True, out=out) == "never ran here"
    assert json.loads(out.getvalue()) == {"working": False, "illness": "never ran here"}
    status.save(
        tmp_path,
        standing(transport="mqtts+5", last_round_ms=NOW - 5000, next_round_ms=NOW + 300_000),
    )
    out = io.StringIO()
    assert status.show_status(tmp_path, NOW, as_json=False, out=out) == ""
    text = out.getvalue()
    for words in ("working        yes", "FR AS64503", "mqtts+5", "5 s ago", "in 5 min", "never"):
        assert words in text
    out = io.StringIO()
    status.show_status(tmp_path, NOW, as_json=True, out=out)
    assert json.loads(out.getvalue())["probe"] == PROBE
    (tmp_path / status.FILE).write_text("{")
    assert status.load(tmp_path) is None


async def test_show_and_payload(tmp_path: Path) -> None:
    out = io.StringIO()
    status.show_last(tmp_path, 5, as_json=False, out=out)
    status.show_payload(tmp_path, out=out)
    assert out.getvalue() == ""
    spool = Spool(tmp_path, PROBE)
    for round_ms in (NOW, NOW, NOW + 1000):
        await spool.put(draft(round_ms))
    await spool.put(draft(NOW + 1000, failure="connection_reset"))
    await spool.forget([1, 3])
    await spool.close()
    out = io.StringIO()
    status.show_last(tmp_path, 3, as_json=True, out=out)
    assert [json.loads(line)["sequence"] for line in out.getvalue().splitlines()] == [2, 3, 4]
    out = io.StringIO()
    status.show_payload(tmp_path, out=out)
    lines = out.getvalue().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [3, 4]


async def test_a_retest_is_called_so(tmp_path: Path) -> None:
    dialled = EndpointRef(id="a.test:443/tls", protocol="tls", host="a.test")
    spool = Spool(tmp_path, PROBE)
    for again in (False, True):
        measured = msgspec.structs.replace(draft(NOW), retest=again, endpoints=(dialled,))
        await spool.put(measured)
    await spool.close()
    out = io.StringIO()
    status.show_last(tmp_path, 2, as_json=False, out=out)
    ends = [line.rpartition(", ")[2] for line in out.getvalue().splitlines()]
    assert [end == "retest" for end in ends] == [False, True]
    out = io.StringIO()
    status.show_payload(tmp_path, out=out)
    assert ['"retest":true' in line for line in out.getvalue().splitlines()] == [False, True]


def test_the_message_to_the_monitor_counts_all_that_is_lost() -> None:
    told = message(
        standing(), Counts(taken=9, pending=4, dropped=1, refused=2), state="hello", boot="b",
        consent="c", oldest_seconds=8, untaken=3, transport="mqtt+5",
    )  # fmt: skip
    assert (told.state, told.spool_rows, told.spool_oldest_seconds) == ("hello", 4, 8)
    assert (told.dropped, told.taken, told.version) == (6, 9, "1")
