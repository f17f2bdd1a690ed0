"""Failure strings are OONI's."""

from __future__ import annotations

from probes.wire.failure import Failure, unknown_failure


def test_strings_are_words_of_df_007() -> None:
    assert Failure.RESET == "connection_reset"
    assert Failure.TIMEOUT == "generic_timeout_error"
    assert Failure.DNS_NXDOMAIN == "dns_nxdomain_error"
    assert all(value == value.lower() and " " not in value for value in Failure)


def test_unknown_failures_are_bounded() -> None:
    assert unknown_failure("x" * 500) == "unknown_failure: " + "x" * 120
