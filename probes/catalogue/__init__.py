# SPDX-License-Identifier: Apache-2.0
"""What is measured: the shipped data files and the code that reads any such directory.

`load.load` for a probe, `lint.lint` for an editor, `selection.select` for a part of it. The
monitor may import this package as well as `probes.wire`.
"""
