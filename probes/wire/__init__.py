# SPDX-License-Identifier: Apache-2.0
"""The contract between probe and monitor. With `probes.catalogue` and `probes.runtime` it is all
that `monitor` may import of `probes`. It holds values and their encoding: no socket, no clock, no
judgement. Fields are only ever added, with a default, so that an old probe and a
new collector (or the reverse) still understand one another.
"""
