"""The picture of an event's rounds: bands that stack to what counts, the quorum, the gates."""

from __future__ import annotations

import msgspec

from monitor.detection.events.explain import SeriesRound, VantageEvidence
from monitor.detection.model import ClosedGate
from monitor.web.draw.round_pictures import HEIGHT, MAX_VANTAGES, WIDTH, left_out, pictures

MINUTE = 60_000


def vantage(probe: str, holds: float, no_vote: str = "") -> VantageEvidence:
    return VantageEvidence(
        probe=probe, owner=probe, outcome="failed", holds=int(holds * 1e6), no_vote=no_vote
    )


def one(
    number: int, *vantages: VantageEvidence, gate: str = "", tier: str = "", asn: int = 1
) -> SeriesRound:
    return SeriesRound(
        round=number * MINUTE,
        asn=asn,
        target="wechat/web",
        layer="tls",
        vantages=vantages,
        holds=sum(each.holds for each in vantages if not each.no_vote),
        needs=14_000_000,
        gate=gate,
        tier=tier,
    )


def test_bands_stack_from_the_floor_to_the_sum() -> None:
    (picture,) = pictures(
        [one(0, vantage("a", 3.5), vantage("b", 0)), one(1, vantage("a", 7), vantage("b", 7))]
    )
    assert picture.top == 14
    assert picture.needed == f"0.0,0.0 {WIDTH}.0,0.0"
    a, b = picture.bands
    assert a.points.split() == ["0.0,120.0", "720.0,80.0", "720.0,160.0", f"0.0,{HEIGHT}.0"]
    assert b.points.split() == ["0.0,120.0", "720.0,0.0", "720.0,80.0", "0.0,120.0"]


def test_what_does_not_count_is_in_the_table_and_not_in_the_picture() -> None:
    (picture,) = pictures([one(0, vantage("a", 7, "young"), vantage("b", 7)), one(1)])
    assert [band.probe for band in picture.bands] == ["b"]
    first = picture.columns[0].vantages[0]
    assert first is not None
    assert first.no_vote == "young"
    assert picture.columns[1].vantages == (None, None)


def test_gates_and_tiers_are_marked_where_they_begin() -> None:
    (picture,) = pictures(
        [
            one(0, vantage("a", 1)),
            one(1, vantage("a", 1), gate=ClosedGate.SERVICE_DOWN),
            one(2, vantage("a", 1), gate=ClosedGate.SERVICE_DOWN),
            one(3, vantage("a", 7), tier="unconfirmed"),
            one(4, vantage("a", 7), tier="unconfirmed"),
        ]
    )
    (gate,) = picture.gates
    assert (gate.x, gate.width, gate.reason) == (180, 360, "service_down")
    assert picture.marks == ((540.0, "unconfirmed"),)


def test_one_round_alone_and_none_at_all() -> None:
    (picture,) = pictures([one(5, vantage("a", 7))])
    assert picture.since == picture.until
    assert pictures([]) == []


def test_large_networks_have_a_band_for_those_with_the_most_evidence() -> None:
    few = [vantage(f"p{n:02}", 7 if n % 2 else 0) for n in range(2 * MAX_VANTAGES + 6)]
    first = msgspec.structs.replace(one(0, *few), others=5, others_hold=35_000_000)
    (picture,) = pictures([first, one(1)])
    assert picture.probes == tuple(f"p{n:02}" for n in range(1, 2 * MAX_VANTAGES, 2))
    assert [band.label for band in picture.bands][-2:] == [f"vantage {MAX_VANTAGES}", "others"]
    assert picture.others
    counted = [(column.others, column.others_hold) for column in picture.columns]
    assert counted == [(MAX_VANTAGES + 6 + 5, 3 * 7 + 35), (0, 0)]


def test_a_page_has_so_many_cells_and_counts_what_it_leaves_out() -> None:
    told = [
        one(n, vantage("a", 7), vantage("b", 7), asn=asn) for n in range(10) for asn in (1, 2, 3)
    ]
    made = pictures(told, most=21)
    assert [picture.asn for picture in made] == [1, 2]
    assert left_out(told, made) == 1
    assert len(pictures(told)) == 3


def test_the_series_with_the_most_evidence_comes_first() -> None:
    found = pictures([one(0, vantage("a", 1), asn=1), one(0, vantage("a", 7), asn=2)])
    assert [picture.asn for picture in found] == [2, 1]
