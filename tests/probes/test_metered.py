"""Metered connections: the kernel's routes, and a stand-in for nmcli."""

from pathlib import Path

import pytest

from probes import metered

IPV4 = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
down0\t00000000\t0102A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
"""
ZERO = "0" * 32
LO = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
WWAN = f"{ZERO} 00 {ZERO} 00 fe80{ZERO[4:]} 00000400 00000001 00000000 00000003    wwan0\n"


def test_the_device_of_the_default_route() -> None:
    assert metered.default_device(IPV4, "") == "wlan0"
    assert metered.default_device(IPV4, WWAN) == "wlan0"
    assert metered.default_device("", LO + WWAN) == "wwan0"
    assert metered.default_device("", LO) == ""
    assert metered.default_device("", "") == ""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("echo GENERAL.METERED:yes", True),
        ("echo 'GENERAL.METERED:yes (guessed)'", True),
        ("echo 'GENERAL.METERED:no (guessed)'", False),
        ("echo GENERAL.METERED:unknown", False),
        ("echo no; exit 8", False),
    ],
)
async def test_networkmanager_is_asked_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, found: bool
) -> None:
    program = tmp_path / "nmcli"
    program.write_text(f'#!/bin/sh\n[ "$6" = wlan0 ] || exit 1\n{answer}\n')
    program.chmod(0o755)
    monkeypatch.setattr(metered, "routes", lambda: (IPV4, ""))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert metered.available()
    assert await metered.is_metered() is found


async def test_without_networkmanager_or_route_nothing_is_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not metered.available()
    monkeypatch.setattr(metered, "routes", lambda: (IPV4, ""))
    assert not await metered.is_metered()
    monkeypatch.setattr(metered, "routes", lambda: ("", ""))
    assert not await metered.is_metered()
