# SPDX-License-Identifier: Apache-2.0
"""Every query of the pages, API, metrics and commands. Nothing here writes.

Each function takes a `ReadTransaction` (`async with database.reading() as connection`) and
returns plain values in a stated order. Lists are keyset-paged: `after` is the key of the last
row of the page before, so the last page costs the same as the first. Times are Unix
milliseconds.
"""
