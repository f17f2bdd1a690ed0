# SPDX-License-Identifier: Apache-2.0
"""Sockets, TLS, QUIC, HTTP and DNS messages."""
