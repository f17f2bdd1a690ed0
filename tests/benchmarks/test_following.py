"""The made-up runs of the benchmark: each is read whole, and a block hits its network alone."""

from __future__ import annotations

from benchmarks.following.runs import RESET, TESTS, Block, runs
from monitor.interop.ooni import reading
from tests.monitor.interop.samples import targets_by_name


def test_every_run_is_read() -> None:
    made = list(runs(2, range(490_000, 490_001), 2.0))
    assert {run.test for run in made} == set(TESTS)
    for number, run in enumerate(made):
        (item,) = reading.line_items(run.line, number, targets_by_name())
        assert isinstance(item, reading.ImportedRun), item
        assert {measurement.vantage.asn for measurement, _ in item.found} == {run.asn}
    assert len({run.report for run in made}) == len(made)


def test_a_block_hits_its_network_and_test_in_its_time() -> None:
    begin = 490_001 * 3600
    block = Block("telegram", 64_512, begin, begin + 3600)
    for run in runs(2, range(490_000, 490_003), 5.0, (block,)):
        hit = (run.test, run.asn) == ("telegram", 64_512) and begin <= run.at < begin + 3600
        assert (run.failure == RESET) == hit
