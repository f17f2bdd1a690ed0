import msgspec

from probes.delivery.spool import SpoolCounts
from probes.status import ProbeStatus, message, problem
from tests.probes.delivery.test_spool import PROBE

NOW = 1_795_500_000_000


def probe_status(**more: object) -> ProbeStatus:
    base = ProbeStatus(
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


def test_problems_of_a_probe() -> None:
    assert problem(None, NOW) == "has never run in this state directory"
    assert problem(probe_status(), NOW) == ""
    assert problem(probe_status(transport=""), NOW) == ""
    assert problem(probe_status(stopped=True), NOW) == "stopped"
    assert problem(probe_status(), NOW + 120_000) == "not running"
    assert problem(probe_status(), NOW - 120_000) == "not running"
    assert problem(probe_status(trouble="disk full"), NOW) == "disk full"
    old = probe_status(last_round_ms=NOW - 2_000_000, started_ms=NOW - 9_000_000)
    assert problem(old, NOW) == "no round for a long time"


def test_the_message_to_the_monitor_counts_every_loss() -> None:
    sent = message(
        probe_status(), SpoolCounts(taken=9, pending=4, dropped=1, refused=2), state="hello",
        boot="b",        consent="c", oldest_seconds=8, untaken=3, transport="mqtt+5",
    )  # fmt: skip
    assert (sent.state, sent.spool_rows, sent.spool_oldest_seconds) == ("hello", 4, 8)
    assert (sent.dropped, sent.taken, sent.version) == (6, 9, "1")
