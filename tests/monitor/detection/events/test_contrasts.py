"""What tells the cause of failures, counted over the failures of a block."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.events.contrasts import ANSWERS, NAME_FAILS_ANYWHERE, of_failure, together
from monitor.detection.model import NO_CONTRASTS, NOT_KNOWN, Answer, Contrasts, Elsewhere, Fact
from tests.monitor.detection.worlds import BLACKHOLE, Verdict, blocked, fact, vantages

AT = 1_790_000_000_000


def answer(at: int = AT, address: str = "198.51.100.1", asn: int = 64999) -> Answer:
    return Answer(address, "NL", asn, at, True)


def failure(verdict: Verdict, elsewhere: Elsewhere = NOT_KNOWN) -> Fact:
    return replace(fact(vantages(1)[0], 0, verdict), elsewhere=elsewhere)


def test_a_failure_of_which_nothing_is_known_counts_as_a_failure_alone() -> None:
    assert of_failure(failure(blocked())) == Contrasts(failures=1)


def test_an_answer_elsewhere_outweighs_another_address_that_is_dead() -> None:
    both = of_failure(failure(blocked(), Elsewhere((answer(),), dead=1)))
    assert (both.answered, both.dead, both.answers) == (1, 0, (answer(),))
    assert of_failure(failure(blocked(), Elsewhere(dead=2))).dead == 1


def test_the_name_at_our_own_host_and_the_family_are_read_from_the_evidence() -> None:
    named = replace(blocked(), evidence=(NAME_FAILS_ANYWHERE, "partial:ipv6"))
    counts = of_failure(failure(named))
    assert (counts.named, counts.ipv6, counts.ipv4) == (1, 1, 0)
    assert of_failure(failure(replace(BLACKHOLE, evidence=("partial:ipv4",)))).ipv4 == 1


def test_counts_add_up_and_the_newest_answers_of_each_place_are_kept() -> None:
    assert together([]) == NO_CONTRASTS
    older, newer = answer(AT), answer(AT + 1)
    one = Contrasts(failures=2, answered=1, answers=(older,))
    both = together([one, Contrasts(failures=3, answered=2, named=1, answers=(newer,))])
    assert both == Contrasts(failures=5, answered=3, named=1, answers=(newer,))
    many = Contrasts(answers=tuple(answer(AT + n, asn=n) for n in range(9)))
    assert [each.asn for each in together([many]).answers] == list(range(8, 8 - ANSWERS, -1))
