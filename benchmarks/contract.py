# SPDX-License-Identifier: Apache-2.0
"""Schemathesis against the API of a demonstration: `./scripts/bench contract`.

It makes requests from the OpenAPI document, valid ones and others, with the credentials of a probe,
and fails where an answer is an error of the server or is not the documented one. Bodies of batches
are made from those of `tests/fuzz/corpus`, which are nearly right. Its environment is
`.venv-contract`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from probes.wire.enrolment_token import parse_token
from tests.world.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-contract"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)
"""Not whether each valid request is taken: a time or an id that is a text in the document may be
none that is known."""
EVENT_SECONDS = 120
HOOKS = """
import zlib
from pathlib import Path

import schemathesis

BATCHES = [path.read_bytes() for path in sorted(Path({folder!r}).iterdir())]


@schemathesis.serializer("application/zstd")
def batch(context, value):
    text = str(value).encode("utf-8", "replace")
    chosen = zlib.crc32(text)
    whole = BATCHES[chosen % len(BATCHES)]
    return (text, whole, whole[: chosen % 97], whole + text)[chosen >> 8 & 3]
"""
"""How Schemathesis makes the body of a batch from the text that it thought of."""


def command() -> Path:
    """The program, in an environment that is made when there is none."""
    program = ENVIRONMENT / "bin" / "schemathesis"
    if not program.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        listed = ["--require-hashes", "-r", str(ROOT / "requirements" / "contract.txt")]
        subprocess.run([*pip, "--disable-pip-version-check", *listed], check=True)
    return program


def answers(url: str) -> bool:
    """Whether something that is not empty answers there."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return b'"id"' in answer.read()
    except (urllib.error.URLError, OSError):
        return False


def credentials(base: str, data: str) -> str:
    """Name and secret of a probe that is enrolled for this."""
    new = [sys.executable, "-m", "monitor.commands.main", "token", "new", "--data", data]
    made = subprocess.run([*new, "--public-url", base], cwd=ROOT, check=True, capture_output=True)
    text = next(word for word in made.stdout.decode().split() if word.startswith("rch1."))
    token = parse_token(text)
    body = json.dumps({"token_id": token.id, "secret": token.secret}).encode()
    asked = urllib.request.Request(
        f"{base}/api/v1/enrol", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        enrolled = json.load(answer)
    return f"{enrolled['user']}:{enrolled['secret']}"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests of each operation")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    program, base = command(), f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="reachwatch-contract-") as data:
        up = [sys.executable, "-m", "monitor.commands.main", "up", "--demo", "--data", data]
        ports = ["--http", base.removeprefix("http://"), "--mqtt", f"127.0.0.1:{free_port()}"]
        server = subprocess.Popen([*up, *ports], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            ends = time.monotonic() + EVENT_SECONDS
            while not answers(f"{base}/api/v1/events") and time.monotonic() < ends:
                time.sleep(1)
            run = [str(program), "run", f"{base}/api/v1/openapi.json", "--checks", CHECKS]
            more = ["--max-examples", str(given.examples), "--seed", str(given.seed)]
            phases = ["--phases", "examples,coverage,fuzzing", "--mode", "all", "--no-color"]
            hooks = Path(data) / "contract_hooks.py"
            hooks.write_text(HOOKS.format(folder=str(ROOT / "tests" / "fuzz" / "corpus" / "batch")))
            done = subprocess.run(
                [*run, *more, *phases, "--auth", credentials(base, data)],
                cwd=data,
                check=False,
                env={**os.environ, "SCHEMATHESIS_HOOKS": hooks.stem, "PYTHONPATH": data},
            )
            alive = server.poll() is None
        finally:
            server.terminate()
            server.wait()
    good = done.returncode == 0 and alive
    print("reached: every answer as documented" if good else "MISSED: see above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
