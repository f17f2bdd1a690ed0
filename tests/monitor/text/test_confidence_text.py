"""The confidence of an event in words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events import confidence
from monitor.detection.events.confidence import MOST_SURE, TERMS, terms
from monitor.detection.events.contrasts import SIGNS
from monitor.detection.model import ClosedGate, EventState, Tier
from monitor.text.confidence_text import (
    MEANING,
    MEANING_HELD_DOWN,
    meaning,
    no_percentage_reason,
    not_surer,
    percentage,
    terms_text,
)
from tests.monitor.detection.events.test_confidence import bare, event, network, proven, silent


def test_the_figure_is_in_per_cent() -> None:
    said = percentage(event(proven()))
    assert said.endswith(" %")
    assert 90 <= float(said.removesuffix(" %")) <= 99.5
    assert meaning(event(proven())) == MEANING


@pytest.mark.parametrize(("per_mille", "said"), [(896, "89.6 %"), (899, "89.9 %"), (900, "90 %")])
def test_a_figure_is_not_rounded(
    monkeypatch: pytest.MonkeyPatch, per_mille: int, said: str
) -> None:
    monkeypatch.setattr(confidence, "probability", lambda _event: per_mille)
    assert percentage(event(proven())) == said


def test_why_it_is_not_surer_names_what_speaks_against_it_and_what_is_missing() -> None:
    lone = not_surer(event(network(), against=("overloaded",)))
    assert "Against it: an explanation other than a block fits." in lone
    assert "Not seen so far: several networks of the country are affected." in lone
    assert any("Not seen so far: addresses that fail there" in text for text in lone)
    two = not_surer(event(proven(), proven(asn=64502)))
    assert not any("several networks" in text or "Against" in text for text in two)
    assert not_surer(event(network(), source="ooni")) == []


def test_what_holds_a_figure_down_is_said() -> None:
    many = [proven(asn=64501 + n) for n in range(3)]
    doubted = not_surer(event(*many, against=("overloaded",)))
    most = MOST_SURE["overloaded"] // 10
    assert f"No more than {most} % is said while another explanation fits." in doubted
    both = not_surer(event(*many, against=("overloaded", "new_vantages")))
    assert (least := MOST_SURE["new_vantages"] // 10) < most
    assert f"No more than {least} % is said while another explanation fits." in both
    assert meaning(event(*many, against=("overloaded",))) == MEANING_HELD_DOWN
    assert percentage(event(*many, against=("overloaded",))) == f"at least {most} %"
    likely = [replace(n, tier=Tier.LIKELY) for n in many]
    unsure = not_surer(event(*likely, against=("overloaded",), tier=Tier.LIKELY))
    assert f"No more than {most} % is said while another explanation fits." in unsure
    early = not_surer(event(*likely, tier=Tier.LIKELY))
    assert "No more than 89 % is said before it is confirmed." in early
    assert not any("No more" in text for text in not_surer(event(network())))


def test_a_missing_percentage_has_a_reason() -> None:
    imported, gone = event(network(), source="ooni"), event(network(), state=EventState.RETRACTED)
    for each, why in ((imported, "Imported"), (gone, "retracted")):
        assert (percentage(each), terms_text(each)) == ("", [])
        assert why in no_percentage_reason(each)


@pytest.mark.parametrize("tier", Tier)
def test_every_term_has_words_and_a_direction(tier: Tier) -> None:
    plain = {"against": ("untyped",), "tier": tier}
    seen: set[str] = set()
    for each in (
        event(network(tier=tier), network(tier=tier, asn=64502), held=10, tier=tier),
        event(network(tier=tier), held=100, tier=tier, inhibited_by=ClosedGate.SERVICE_DOWN),
        event(bare(tier=tier), held=300, **plain),
        event(bare(tier=tier), held=15, tier=tier),
        event(bare(tier=tier, dense_per_mille=950), held=40, **plain),
        event(bare(tier=tier), **{**plain, "against": ("others_fail", "untyped")}),
        event(bare(tier=tier, agreeing=0), held=300, **plain),
        event(bare(tier=tier), state=EventState.CLEARING, **plain),
        event(bare(tier=tier, agreeing=2, voting=5), held=300, **plain),
        event(proven(tier=tier), proven(tier=tier, asn=64502), held=10, tier=tier),
        event(silent(tier=tier), held=100, **plain),
        event(silent(tier=tier), silent(tier=tier, asn=64502), held=100, **plain),
        event(
            network(tier=tier, known_owners=0, new_owners=2), tier=tier, against=("new_vantages",)
        ),
        event(network(tier=tier, signs=tuple((sign, 3, 0, 3) for sign in SIGNS)), tier=tier),
    ):
        said = terms_text(each)
        assert said[0][1].startswith("to begin with, odds of ")
        for term, (what, times) in zip(terms(each), said, strict=True):
            seen.add(term.name)
            assert what
            if term.name != "tier" and "little" not in times:
                assert times.endswith("better odds") == (term.logits > 0)
    assert seen == {"tier", *TERMS}
