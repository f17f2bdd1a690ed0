"""The picture of an event's rounds: bands that stack to what counts, the quorum, the gates."""

from __future__ import annotations

from monitor.detection.model import ClosedGate
from monitor.detection.sequence.explain import SeriesRound, VantageEvidence
from monitor.web.draw.round_pictures import HEIGHT, WIDTH, pictures

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


def test_the_series_with_the_most_evidence_comes_first() -> None:
    found = pictures([one(0, vantage("a", 1), asn=1), one(0, vantage("a", 7), asn=2)])
    assert [picture.asn for picture in found] == [2, 1]
