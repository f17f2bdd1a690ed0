# SPDX-License-Identifier: Apache-2.0
"""Pages, API and metrics over HTTP, read from the store for each request."""
