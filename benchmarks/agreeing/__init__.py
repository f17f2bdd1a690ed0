# SPDX-License-Identifier: Apache-2.0
"""Whether everything that the monitor says of one moment agrees: `./scripts/bench agreement`."""
