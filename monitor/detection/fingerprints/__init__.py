# SPDX-License-Identifier: Apache-2.0
"""Known block pages, hosts and addresses: a small set of our own, and what is loaded beside it."""

from monitor.detection.fingerprints.collection import OWN, Fingerprints, redirect_host

__all__ = ["OWN", "Fingerprints", "redirect_host"]
