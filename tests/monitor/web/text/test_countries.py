from __future__ import annotations

from monitor.web.text.countries import NAMES


def test_codes_are_two_capital_letters_and_names_are_said_in_a_sentence() -> None:
    assert len(NAMES) > 240
    for code, name in NAMES.items():
        assert len(code) == 2
        assert code.isascii()
        assert code.isupper()
        assert name == name.strip()
        assert name
    assert len(set(NAMES.values())) == len(NAMES)
    assert NAMES["RU"] == "Russia"
    assert "ZZ" not in NAMES
