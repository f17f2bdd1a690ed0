"""Every input that the fuzzer kept, at its boundary: `./scripts/bench fuzz` makes more of them."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.boundaries import BOUNDARIES, CORPUS, Boundary
from tests.fuzz.mutation import mutated


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=lambda boundary: boundary.name)
def test_what_was_kept_has_an_answer_and_so_has_what_is_nearly_the_same(boundary: Boundary) -> None:
    kept = [path.read_bytes() for path in boundary.corpus()]
    assert kept
    rng = random.Random(boundary.name)
    for given in (*kept, *(mutated(rng, kept) for _ in range(30))):
        boundary.outcome(given)


def test_each_kept_input_has_a_boundary() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {boundary.name for boundary in BOUNDARIES}


def test_an_error_that_a_boundary_does_not_document_is_found() -> None:
    broken = Boundary("listing", "a test", lambda raw: int(raw))
    with pytest.raises(ValueError, match="invalid literal"):
        broken.outcome(b"x")
