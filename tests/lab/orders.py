"""What the interferer and those who order it agree on. Imports nothing: a laboratory is played by
ten processes, and what each imports takes most of their processor time.
"""

from __future__ import annotations

DNS_PORT, TLS_PORT, HTTP_PORT, APP_PORT = 5353, 8443, 8080, 8843
"""Where traffic that is led to the interferer arrives."""
EVERY = "*"
"""In an order in place of a name: whoever it is."""
