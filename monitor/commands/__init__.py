# SPDX-License-Identifier: Apache-2.0
"""Commands of `reachwatch`: the parser, and what each command does."""
