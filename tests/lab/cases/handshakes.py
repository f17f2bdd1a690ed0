"""Interference with TLS handshakes."""

from __future__ import annotations

from tests.lab.cases.case import Case

CASES: tuple[Case, ...] = (
    Case("tls.eof", "blocked", ("tls.eof.sni",), "tls.eof.sni"),
    Case("tls.alert", "blocked", ("tls.alert.sni",), "tls.alert.sni"),
    Case("tls.reassembled", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("tls.self_signed", "blocked", ("tls.mitm.self_signed",), "tls.mitm.self_signed"),
    Case("tls.page", "blocked", ("tls.http_response",), "tls.http_response"),
    Case("tls.address", "blocked", ("tls.timeout.other",), "tls.timeout.other"),
    Case("tls.address_reset", "blocked", ("tls.reset.other",), "tls.reset.other"),
    Case("tls.address_eof", "blocked", ("tls.eof.other",), "tls.eof.other"),
    Case("tls.address_alert", "blocked", ("tls.alert.other",), "tls.alert.other"),
    *(
        Case(
            f"tls.late_{act}",
            "blocked",
            (f"tls.{kind}.sni_late",),
            f"tls.{kind}.sni",
            ("https",),
        )
        for act, kind in (("reset", "reset"), ("eof", "eof"), ("drop", "timeout"))
    ),
)
