"""The picture of an event's rounds: bands that stack to what counts, the quorum, the gates."""

from __future__ import annotations

from monitor.detection.sequence.explain import Moment, Voice
from monitor.web.draw.round_pictures import HEIGHT, WIDTH, pictures

MINUTE = 60_000


def voice(probe: str, holds: float, no_vote: str = "") -> Voice:
    return Voice(probe=probe, owner=probe, said="failed", holds=int(holds * 1e6), no_vote=no_vote)


def moment(number: int, *voices: Voice, gate: str = "", tier: str = "", asn: int = 1) -> Moment:
    return Moment(
        round=number * MINUTE,
        asn=asn,
        target="wechat/web",
        layer="tls",
        voices=voices,
        holds=sum(each.holds for each in voices if not each.no_vote),
        needs=14_000_000,
        gate=gate,
        tier=tier,
    )


def test_bands_stack_from_the_floor_to_the_sum() -> None:
    (picture,) = pictures(
        [moment(0, voice("a", 3.5), voice("b", 0)), moment(1, voice("a", 7), voice("b", 7))]
    )
    assert picture.top == 14
    assert picture.needed == f"0.0,0.0 {WIDTH}.0,0.0"
    a, b = picture.bands
    assert a.points.split() == ["0.0,120.0", "720.0,80.0", "720.0,160.0", f"0.0,{HEIGHT}.0"]
    assert b.points.split() == ["0.0,120.0", "720.0,0.0", "720.0,80.0", "0.0,120.0"]


def test_what_does_not_count_is_in_the_table_and_not_in_the_picture() -> None:
    (picture,) = pictures([moment(0, voice("a", 7, "young"), voice("b", 7)), moment(1)])
    assert [band.probe for band in picture.bands] == ["b"]
    first = picture.columns[0].voices[0]
    assert first is not None
    assert first.no_vote == "young"
    assert picture.columns[1].voices == (None, None)


def test_gates_and_tiers_are_marked_where_they_begin() -> None:
    (picture,) = pictures(
        [
            moment(0, voice("a", 1)),
            moment(1, voice("a", 1), gate="service_down"),
            moment(2, voice("a", 1), gate="service_down"),
            moment(3, voice("a", 7), tier="unconfirmed"),
            moment(4, voice("a", 7), tier="unconfirmed"),
        ]
    )
    (gate,) = picture.gates
    assert (gate.x, gate.width, gate.reason) == (180, 360, "service_down")
    assert picture.marks == ((540.0, "unconfirmed"),)


def test_one_round_alone_and_none_at_all() -> None:
    (picture,) = pictures([moment(5, voice("a", 7))])
    assert picture.since == picture.until
    assert pictures([]) == []


def test_the_series_with_the_most_evidence_comes_first() -> None:
    found = pictures([moment(0, voice("a", 1), asn=1), moment(0, voice("a", 7), asn=2)])
    assert [picture.asn for picture in found] == [2, 1]
