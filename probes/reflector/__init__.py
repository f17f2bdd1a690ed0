# SPDX-License-Identifier: Apache-2.0
"""The other end for contrasts: completes TLS and QUIC for any name."""
