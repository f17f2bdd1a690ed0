# SPDX-License-Identifier: Apache-2.0
"""When and what is measured: rounds, retests, liveness, and the traffic budget."""
