# SPDX-License-Identifier: Apache-2.0
"""How the apps begin: the first message of each protocol and how to read what comes back.

Pure: bytes in, bytes out, no socket and no clock. A file a protocol; each says what an answer
proves and what it cannot. No file here is a client: nothing is finished, nobody logs in, and no
secret is needed or kept.
"""
