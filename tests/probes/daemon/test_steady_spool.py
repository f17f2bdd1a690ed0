"""The spool when the disk fails and works again."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from probes.daemon.steady_spool import SteadySpool
from probes.delivery.spool import Spool, read_lines
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.wire import codec
from tests.probes.delivery.test_spool import PROBE, draft


async def test_errors_of_the_disk_are_remembered_until_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def full(*_: object) -> None:
        raise DiskError("spool.db: no space left")

    spool = SteadySpool(Spool(tmp_path, PROBE), Log())
    with monkeypatch.context() as broken:
        for name in ("put", "counts", "last_round", "rewrite"):
            broken.setattr(Spool, name, full)
        assert await spool.put(draft()) is None
        assert await spool.last_round() is None
        await spool.rewrite(lambda measurement: measurement)
        await spool.count()
    assert (spool.not_stored, spool.trouble) == (1, "spool.db: no space left")
    assert await spool.put(draft(2000)) is not None
    assert (spool.not_stored, spool.trouble) == (1, "")
    await spool.count()
    assert (spool.counts.taken, spool.counts.pending) == (1, 1)
    assert await spool.last_round() == 2000
    await spool.close()
    log = capsys.readouterr().err
    assert log.count("disk error: measuring continues") == 1
    assert log.count("the disk works again") == 1


async def test_everything_that_waits_is_rewritten(tmp_path: Path) -> None:
    spool = SteadySpool(Spool(tmp_path, PROBE), Log())
    for number in range(3):
        await spool.put(draft(1000 * number))
    await spool.rewrite(lambda measurement: replace(measurement, catalogue="cleaned"))
    await spool.close()
    lines = [codec.decode(line) for _, line in read_lines(tmp_path, last=10)]
    assert [line.catalogue for line in lines] == ["cleaned"] * 3
