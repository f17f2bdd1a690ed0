# SPDX-License-Identifier: Apache-2.0
"""One file a protocol: what it sends, how it parses the reply, and how an endpoint is measured. No
file here is a client: no session of an app is opened, nobody logs in, and no secret is needed or
kept. To add a protocol, add its entry to the table in `probes/wire/protocol.py` as well.
"""
