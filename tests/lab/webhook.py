"""Whoever is paged: keeps every message, one line each.
`python -m tests.lab.webhook ADDRESS PORT FILE`; it says `ready` when it listens.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

HOOK, BEAT = "/hook", "/beat"


def main(address: str, port: int, kept: Path) -> None:
    """Listen until killed."""
    kept.touch()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == HOOK:
                with kept.open("ab") as file:
                    file.write(body.replace(b"\n", b" ") + b"\n")
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what counts is kept."""

    with HTTPServer((address, port), Receiver) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
