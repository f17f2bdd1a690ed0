"""Sockets, TLS, QUIC, HTTP and DNS messages: how bytes leave and arrive."""
