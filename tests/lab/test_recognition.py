"""The laboratory's censor knows the apps by what the probe really sends."""

from __future__ import annotations

import os

from probes.protocols import mtproto, whatsapp
from tests.lab.recognition import enough, recognised


def test_apps_are_told_apart() -> None:
    telegram, chat = mtproto.request(1).payload, whatsapp.request().payload
    assert enough(telegram)
    assert enough(chat)
    assert [recognised(head, "mtproto") for head in (telegram, chat, os.urandom(99))] == [
        True,
        False,
        False,
    ]
    assert [recognised(head, "whatsapp") for head in (telegram, chat, b"")] == [False, True, False]
