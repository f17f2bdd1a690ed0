"""Our own keys in OONI's JSON: whole, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.interop.ooni.extension import FRAME, KEY, extension_entry, restore
from monitor.interop.ooni.run import Run
from probes.wire.observation import TCPConnect, Unrecognised

SEEN = TCPConnect(endpoint="a:1/tcp", address="192.0.2.1", port=1, failure="eof_error")
ID = "0" * 31 + "1"
ODD = Unrecognised(step="smoke", raw=b'{"step": "smoke",  "x": 1.0}')


def run() -> Run:
    return Run(report="r", input="a/b", name="reachwatch", started=5, country="KE", asn=1)


def keys(**more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            FRAME: {"id": ID, "target": "a/b", "started": 1234, "combine": "all_of"},
            KEY: [{"index": 1, "text": extension_entry(1, ODD).text}],
            "tcp_connect": [
                {
                    "status": {"failure": "eof_error"},
                    KEY: {"index": 0, "observation": msgspec.to_builtins(SEEN)},
                }
            ],
        }
    )
    return plain | more


def test_all_observations_in_order_byte_for_byte() -> None:
    restored = run()
    restore(restored, keys())
    assert restored.own == (SEEN, ODD)
    assert (restored.id, restored.started, restored.combine) == (ID, 1234, "all_of")
    assert restored.seen == {"a/b": []}


@pytest.mark.parametrize(
    "broken",
    [
        {FRAME: None},
        {"requests": [7]},
        {FRAME: {"id": ID, "target": "no target", "started": 1}},
        {FRAME: {"target": "a/b", "started": 1}},
        {KEY: [{"index": -1}]},
        {KEY: [{"index": 1, "text": "{"}]},
        {"tcp_connect": [{"status": {"failure": "eof_error"}}]},
        {"tcp_connect": [{"status": {"failure": None}, KEY: {"index": 0, "observation": {}}}]},
    ],
)
def test_anything_broken_leaves_oonis_keys(broken: dict[str, Any]) -> None:
    restored = run()
    restore(restored, keys(**broken))
    assert restored.own is None
    assert restored.started == 5
