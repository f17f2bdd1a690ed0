# SPDX-License-Identifier: Apache-2.0
"""What the rules read of a measurement, whatever the layer."""
