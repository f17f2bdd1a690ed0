# SPDX-License-Identifier: Apache-2.0
"""What the research centre runs: collects facts, draws conclusions, shows them."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("reachwatch")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
