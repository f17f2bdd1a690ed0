"""What a fingerprint must be, and what cannot be matched here."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.fingerprints.entry import (
    Fingerprint,
    address_of,
    name_of,
    printable,
    problem,
    unusable,
)

SOUND = Fingerprint(
    id="ooni.ru_5", scope="nat", where="body", how="contains", pattern="eais.rkn.gov.ru"
)


def test_a_sound_one() -> None:
    assert problem(SOUND) is None
    assert unusable(SOUND) is None
    assert problem(replace(SOUND, id="cp.e_unk_id_blocked#2", countries=("ID", "RU"))) is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"id": "a b"}, "name"),
        ({"id": ""}, "name"),
        ({"id": "x\x1b[31m"}, "name"),
        ({"scope": "national"}, "scope"),
        ({"how": "glob"}, "pattern_type"),
        ({"where": "trailer"}, "location_found"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "a" * 1025}, "pattern"),
        ({"countries": ("Russia",)}, "expected_countries"),
        ({"countries": ("ru",)}, "expected_countries"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, object], named: str) -> None:
    said = problem(replace(SOUND, **changed))
    assert said is not None
    assert said.startswith(f"{named}: ")
    assert said.isprintable()


@pytest.mark.parametrize(
    "changed",
    [
        {"where": "header.via"},
        {"pattern": "ok"},
        {"pattern": "   a "},
        {"where": "dns", "how": "prefix", "pattern": "192.0.2."},
        {"where": "dns", "how": "full", "pattern": "not a name"},
        {"where": "dns", "how": "full", "pattern": "localhost"},
    ],
)
def test_what_cannot_be_matched_here(changed: dict[str, object]) -> None:
    changed = replace(SOUND, **changed)
    assert problem(changed) is None
    assert unusable(changed)


def test_answers_are_compared_in_one_form() -> None:
    assert address_of("2001:DB8::0:1") == "2001:db8::1"
    assert address_of("192.0.2.999") is None
    assert name_of("Block.Example.NET.") == "block.example.net"
    assert name_of("-bad.example") is None
    assert name_of("a" * 64 + ".example") is None


def test_values_from_outside_are_shown_short_and_plain() -> None:
    assert printable("\x1b[2J") == "'\\x1b[2J'"
    assert len(printable("a" * 999)) < 70
