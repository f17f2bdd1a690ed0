# SPDX-License-Identifier: Apache-2.0
"""How large and how strange a value on the wire may be.

The collector reads what strangers send; every string of a Measurement has one of these types,
so that msgspec refuses the rest while decoding, in C, with the path of the offending field.
Control characters are refused because PostgreSQL's text cannot hold NUL and because logs,
CSV and terminals interpret the others. Patterns end in \\Z, because Python's `$` also matches
before a final newline.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"

ProbeId = Annotated[str, Meta(pattern=r"^p-[0-9a-f]{16}\Z")]
MeasurementId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
TargetId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}/[a-z0-9][a-z0-9-]{0,39}\Z")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
ASN = Annotated[int, Meta(ge=0, le=4_294_967_295)]
Token = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._:+-]*\Z")]
"""A short word of ours: versions, ids, enumerations."""
Text = Annotated[str, Meta(max_length=1024, pattern=_PRINTABLE)]
"""Text that came from the network or from a catalogue."""
Address = Annotated[str, Meta(max_length=60, pattern=r"^[0-9a-zA-Z.:%\[\]-]*\Z")]
PublicKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""An Ed25519 public key, hex."""
Signature = Annotated[str, Meta(pattern=r"^([0-9a-f]{128})?\Z")]
"""An Ed25519 signature, hex; empty for none."""
Hash = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]
ShortHash = Annotated[bytes, Meta(max_length=8)]
"""The beginning of a hash, base64 in JSON: enough to tell a few things apart."""
Millis = Annotated[int, Meta(ge=0, le=32_503_680_000_000)]
"""Unix time in milliseconds, up to the year 3000."""
Micros = Annotated[int, Meta(ge=0, le=10**15)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Small = Annotated[int, Meta(ge=-(2**31), le=2**31)]

MAX_LINE_BYTES = 1 << 20
"""Longest Measurement as one JSON line."""
MAX_OBSERVATIONS = 2048
MAX_BATCH_LINES = 512
MAX_BATCH_BYTES = 8 << 20
"""Longest batch after decompression; a larger one is a zip bomb."""
MAX_PACKET_BYTES = 256 << 10
"""Longest MQTT payload. A broker cuts the connection over a larger packet, for ever, so the
probe checks before it publishes."""
