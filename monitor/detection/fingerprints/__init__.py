# SPDX-License-Identifier: Apache-2.0
"""Known block pages, hosts and addresses: our own small set, and loaded ones."""

from monitor.detection.fingerprints.collection import ANYWHERE, OWN, Fingerprints, redirect_host

__all__ = ["ANYWHERE", "OWN", "Fingerprints", "redirect_host"]
