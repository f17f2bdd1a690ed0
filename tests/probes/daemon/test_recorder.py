"""Each measurement is scrubbed, charged, stored, and only then reported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from probes.config import AgentConfig
from probes.daemon.recorder import Recorder, RoundTally
from probes.daemon.shown_functions import ShownFunctions
from probes.delivery.spool import Spool, read_lines
from probes.delivery.sqlite_file import DiskError
from probes.state_directory import EXCERPTS, set_mark
from probes.wire import codec
from probes.wire.failure import Failure
from probes.wire.measurement import LIVENESS_INTERNATIONAL, Measurement
from probes.wire.observation import HTTPExchange, TCPConnect, TLSHandshake
from tests.probes.daemon.in_process import Desk
from tests.probes.delivery.test_spool import draft

OWN = "192.0.2.55"


def telling() -> Measurement:
    """A measurement that contains our address."""
    page = HTTPExchange(
        endpoint="e", address="192.0.2.1", port=80, host="a", title=f"You are {OWN}"
    )
    return replace(draft(), observations=(page,))


def configured(directory: Path, asked: bool = False) -> AgentConfig:
    return AgentConfig(directory=directory, interval_ms=1000, excerpts_asked=asked)


async def test_excerpts_leave_only_where_asked_for_and_agreed_to(tmp_path: Path) -> None:
    """And a no removes them from what waits to be sent."""
    desk = Desk(tmp_path)
    location: Any = SimpleNamespace(own=(OWN,))
    asked, unasked = (
        Recorder(
            configured(tmp_path, wanted), desk.spool, location, ShownFunctions(), lambda _: None
        )
        for wanted in (True, False)
    )

    async def quoted(recorder: Recorder) -> bool:
        await recorder.record(telling(), lambda _: None)
        return b"You are" in read_lines(tmp_path, last=10)[-1][1]

    assert not await quoted(asked), "not agreed"
    set_mark(tmp_path, EXCERPTS, True)
    await asked.keep_choice()
    assert await quoted(asked)
    assert not await quoted(unasked)
    set_mark(tmp_path, EXCERPTS, False)
    await asked.keep_choice()
    assert not any(b"You are" in line for _, line in read_lines(tmp_path, last=10))
    await desk.spool.close()


async def test_only_what_is_on_disk_is_reported_and_nothing_tells_our_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, reported = Desk(tmp_path), list[Measurement]()
    charged: list[int] = []
    location: Any = SimpleNamespace(own=(OWN,))
    recorder = Recorder(
        configured(tmp_path), desk.spool, location, ShownFunctions(), reported.append
    )

    def charge(size: int) -> None:
        assert len(reported) == 0, "charged first"
        charged.append(size)

    await recorder.record(telling(), charge)
    ((_, line),) = read_lines(tmp_path, last=10)
    assert [codec.encode(stored) for stored in reported] == [line]
    assert OWN.encode() not in line
    assert charged == [pytest.approx(len(line), abs=64)]

    async def full(*_: object) -> None:
        raise DiskError("disk full")

    reported.clear()
    monkeypatch.setattr(Spool, "put", full)
    await recorder.record(telling(), charge)
    assert (len(charged), reported) == (2, [])
    await desk.spool.close()


async def test_an_address_that_becomes_known_is_removed_from_what_waits(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    location: Any = SimpleNamespace(own=())
    recorder = Recorder(
        configured(tmp_path, asked=True), desk.spool, location, ShownFunctions(), lambda _: None
    )
    set_mark(tmp_path, EXCERPTS, True)
    await recorder.record(telling(), lambda *_: None)
    assert OWN.encode() in read_lines(tmp_path, last=1)[0][1]
    location.own = (OWN,)
    await recorder.scrub_stored()
    assert OWN.encode() not in read_lines(tmp_path, last=1)[0][1]
    await desk.spool.close()


def liveness(*observations: TCPConnect | TLSHandshake) -> Measurement:
    return replace(draft(), target=LIVENESS_INTERNATIONAL, observations=observations)


def shown_certificate(valid: bool) -> TLSHandshake:
    return TLSHandshake(
        endpoint="e",
        address="192.0.2.1",
        port=443,
        sni="a",
        failure=None if valid else Failure.SSL_UNKNOWN_AUTHORITY,
        verify_code=0 if valid else 19,
    )


@pytest.mark.parametrize(
    ("valid", "none"), [((), False), ((False, False), True), ((False, True), False)]
)
def test_a_sign_in_page_shows_invalid_certificates_only(
    valid: tuple[bool, ...], none: bool
) -> None:
    tally = RoundTally(online=False)
    tally.add(liveness(*map(shown_certificate, valid)))
    assert tally.no_certificates is none


def test_a_round_is_online_when_a_host_was_reached_and_counts_failing_targets() -> None:
    tally = RoundTally(online=False)
    refused = TCPConnect(endpoint="h", address="192.0.2.1", port=443, failure=Failure.REFUSED)
    tally.add(liveness(refused))
    assert not tally.online
    tally.add(liveness(TCPConnect(endpoint="h", address="192.0.2.1", port=443)))
    assert tally.online
    tally.add(draft())
    assert tally.broken == set(), "liveness is no target"
    tally.add(draft(failure="connection_refused"))
    assert tally.broken == {"wechat/messaging"}
    assert tally.failed == {"h": 0, "e": 1000}
