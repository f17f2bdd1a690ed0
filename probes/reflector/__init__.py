"""The other end for contrasts: completes TLS and QUIC for any name."""
