# SPDX-License-Identifier: Apache-2.0
"""What Python 3.13 asks of a private certificate authority beyond what earlier ones did, in words
with the remedy: about an error that it raised, or about the file in SSL_CERT_FILE on any Python.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

_STRICT = {
    85: "authority key identifier",
    86: "subject key identifier",
    89: "critical basic constraints",
    92: "key usage",
}
"""X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER and the like of OpenSSL 3 (x509_vfy.h): what
VERIFY_X509_STRICT refuses, which Python sets from 3.13 on."""
_KEY_USAGE = b"\x06\x03\x55\x1d\x0f"
"""The object identifier 2.5.29.15, as every certificate with the extension holds it."""
_AUTHORITY = re.compile(rb"\x06\x03\x55\x1d\x13(?:\x01\x01\xff)?\x04.\x30.\x01\x01\xff", re.DOTALL)
"""The extension basicConstraints that says CA:TRUE."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
MOST = 8
"""Certificates of a private file. A bundle of public roots has a hundred, some of them older than
the extension, and nothing is to be done about those."""
REMEDY = (
    "ask whoever runs the monitor for another, made with keyUsage=critical,keyCertSign,cRLSign or "
    "by `reachwatch broker init`"
)


def remedy(error: BaseException | None) -> str:
    """What a refused certificate lacks and what to do; empty for any other error."""
    lacking = _STRICT.get(getattr(error, "verify_code", 0))
    return f"the CA has no {lacking}, which Python 3.13 requires: {REMEDY}" if lacking else ""


def flaw(environment: Mapping[str, str] = os.environ) -> str:
    """One line about a private CA in SSL_CERT_FILE that Python 3.13 refuses; empty if there is
    none, or none can be read: whoever needs the file says that."""
    name = environment.get("SSL_CERT_FILE", "")
    try:
        found = _PEM.findall(Path(name).read_text(encoding="ascii")) if name else []
        certificates = [ssl.PEM_cert_to_DER_cert(text) for text in found]
    except (OSError, ValueError):
        return ""
    lacking = any(_AUTHORITY.search(der) and _KEY_USAGE not in der for der in certificates)
    if not lacking or len(certificates) > MOST:
        return ""
    return f"SSL_CERT_FILE: {name}: a CA without key usage, which Python 3.13 refuses: {REMEDY}"
