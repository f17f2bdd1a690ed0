# SPDX-License-Identifier: Apache-2.0
"""One file a protocol: what is measured at an endpoint that speaks it."""
