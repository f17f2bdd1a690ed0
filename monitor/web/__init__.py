# SPDX-License-Identifier: Apache-2.0
"""Pages, API and metrics over HTTP. Everything is read from the store at the moment it is asked
for; nothing is decided here.
"""
