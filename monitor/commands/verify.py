# SPDX-License-Identifier: Apache-2.0
"""`reachwatch verify FILE`: whether a probe signed a measurement, from the file that `/m/ID/proof`
gives, without a server."""

from __future__ import annotations

import argparse
import hashlib
import sys

import msgspec

from monitor.interop.forms import rfc3339
from monitor.signatures import is_signed
from probes.runtime.options import OptionError
from probes.wire.batch_signature import SignedLine, batch_text, key_id
from probes.wire.codec import BatchHeader, WireError, decode

MAX_BYTES = 16 << 20


def run(given: argparse.Namespace) -> int:
    """Print what is proved; return 1 when it is not proved."""
    try:
        with given.file.open("rb") as file:
            proof = msgspec.json.decode(file.read(MAX_BYTES), type=SignedLine)
    except OSError as error:
        raise OptionError(f"{given.file}: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OptionError(f"{given.file}: not a proof: {error}") from None
    fault = fault_of(proof, given.public_key or "")
    if fault:
        print(f"{given.file}: not proved: {fault}", file=sys.stderr)
        return 1
    measured = decode(proof.line.encode())
    place, since = measured.vantage, rfc3339(proof.key_since)
    print(f"proved: {proof.probe} signed measurement {measured.id}")
    print(f"of {measured.target} in {place.country} AS{place.asn}, {rfc3339(measured.started)}")
    print(f"with the key {proof.public_key}")
    if given.public_key:
        print("which is the given key")
    elif since:
        print(f"which, as the monitor says, is this probe's since {since}")
    return 0


def fault_of(proof: SignedLine, trusted: str = "") -> str:
    """Why a proof proves nothing; empty when the key in it signed the measurement. `trusted` is the
    public key that it must be, empty for any."""
    if not proof.signature:
        return f"{proof.probe} did not sign it"
    if key_id(proof.public_key) != proof.key or (trusted and trusted != proof.public_key):
        return f"it is signed with the key {proof.key}, of which the public key is not given"
    line = proof.line.encode()
    if proof.place >= len(proof.lines):
        return f"its place is {proof.place}, of {len(proof.lines)} lines"
    if hashlib.sha256(line).hexdigest() != proof.lines[proof.place]:
        return "the measurement is not the line that was signed"
    header = BatchHeader(boot=proof.boot, sequence=proof.sequence, key=proof.key)
    text = batch_text(header, map(bytes.fromhex, proof.lines))
    if not is_signed(proof.public_key, proof.signature, text):
        return "the signature is wrong"
    try:
        measured = decode(line)
    except WireError as error:
        return f"the signed line is not a measurement: {error}"
    if measured.probe != proof.probe:
        return f"the measurement names {measured.probe}, not {proof.probe}"
    return ""
