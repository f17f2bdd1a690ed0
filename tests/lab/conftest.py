"""The whole way and retests mostly wait, so each is played in a lane of its own."""

from __future__ import annotations

import os
import shutil

import pytest

NEEDED = ("unshare", "ip", "nft", "iptables", "unbound", "nginx", "hostname", "mount")
PACKAGES = ("iproute2", "iptables", "libfaketime", "nftables", "nginx", "unbound")
"""Debian packages that every laboratory starts programs of."""


def seed() -> int:
    """The one seed of a test run."""
    return int(os.environ.get("REACHWATCH_LAB_SEED", "1"))


def need(*tools: str) -> None:
    """Skip a test that cannot run here."""
    missing = [tool for tool in (*NEEDED, *tools) if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {missing or 'nothing more'}")
