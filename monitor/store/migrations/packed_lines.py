# SPDX-License-Identifier: Apache-2.0
"""Lines as they were stored before batches were: one zstd frame each, with a dictionary.

One byte before the frame is the number of its dictionary; there was only one. Nothing writes this
form any more; a store that is upgraded is read by it once.
"""

from __future__ import annotations

from probes.runtime.compression import zstd
from probes.wire.bounds import MAX_LINE_BYTES

_FIRST = b"".join(
    (
        b'"excerpt":"PGh0bWw+","cnames":["verify_code":20,"chain":[{"sha256":"","der":"MII',
        b'"icmp_type":3,"icmp_code":13,"icmp_from":"10.,"evidence":["system_root"],"alert":40,',
        b'"plain_http":true,"failure":"dns_nxdomain_error","failure":"dns_server_misbehaving",',
        b'"failure":"eof_error","errno":111,"failure":"connection_refused","errno":113,',
        b'"failure":"host_unreachable","errno":104,"failure":"connection_reset",',
        b'"failure":"generic_timeout_error","failure":"network_unreachable","errno":101,',
        b'"failure":"ssl_invalid_hostname","failure":"ssl_unknown_authority",',
        b'"purpose":"contrast","contrast":"silent_address","contrast":"classical_hello",',
        b'"contrast":"reflector","contrast":"repeat","contrast":"no_verify",',
        b'"contrast":"innocuous_name","sni":"example.org","profile":"classical",',
        b'"liveness/domestic","liveness/international","combine":"most","interval_ms":300000,',
        b'{"v":1,"id":"","probe":"p-","target":"/web","/messaging","/media","/login",',
        b'"round":179,"interval_ms":60000,"started":179,"monotonic_us":,"took_us":,',
        b'"clock_offset_ms":,"epoch":"","sequence":,"retest":true,"vantage":{"country":"",',
        b'"asn":,"role":"control","resolver_class":"private","resolver_class":"isp","resolver_asn":,',
        b'"geo":"flag"},"geo":"table:"},"software":{"version":"0.1.0","python":"3.13.5",',
        b'"openssl":"OpenSSL 3.5.","tls_profile":"default-1"},"catalogue":"","combine":"all_of",',
        b'"endpoints":[{"id":":443/tls","protocol":"tls","host":"www."},{"id":":443/tcp",',
        b'"protocol":"tcp","host":""},{"id":":80/http","protocol":"http","host":""},{"id":"',
        b':443/https","protocol":"https","host":".com"}],"observations":[{"step":"http",',
        b'"endpoint":":443/https","at_us":,"took_us":,"address":"","port":443,"host":"www.",',
        b'"path":"/","tls":true,"protocol":"h2","status":301,"location":"https://","status":200,',
        b'"title":"","server":"nginx","body_bytes":,"body_sha256":"","sent_bytes":,',
        b'"received_bytes":},{"step":"dns","endpoint":".com:443/https","purpose":"reference",',
        b'"at_us":,"took_us":,"name":"","qtype":"AAAA","resolver":"google","transport":"doh",',
        b'"replies":[{"after_us":,"rcode":0,"answers":["2001:db8::"],"ttl":300}]},',
        b'{"step":"dns","endpoint":"","purpose":"reference","at_us":,"took_us":,"name":"",',
        b'"qtype":"A","resolver":"cloudflare","transport":"dot","replies":[{"after_us":,',
        b'"rcode":3}]},{"step":"dns","endpoint":"","at_us":,"took_us":,"name":"www.",',
        b'"qtype":"A","resolver":"system","transport":"tcp","replies":[{"after_us":1,"rcode":0,',
        b'"answers":["203.0.113."],"ttl":60}]},{"step":"tls","endpoint":".com:443/tls","at_us":,',
        b'"took_us":,"address":"","port":443,"sni":"","hello_bytes":1540,"hello_bytes":517,',
        b'"sent_bytes":,"received_bytes":,"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384",',
        b'"TLS_AES_128_GCM_SHA256","TLSv1.2","alpn":"http/1.1","alpn":"h2","verify_code":0,',
        b'"chain":[{"sha256":""}]},{"step":"tcp","endpoint":":443/tcp","at_us":1,"took_us":1,',
        b'"address":"","port":443},{"step":"tcp","endpoint":".com:443/https","at_us":1,',
        b'"took_us":1,"address":"","port":443}]}',
    )
)
_DICTIONARIES = {1: zstd.ZstdDict(_FIRST, is_raw=True)}


def unpack(frame: bytes) -> bytes:
    """Return the line in a frame. Raises ValueError when it is not valid."""
    if not frame or (dictionary := _DICTIONARIES.get(frame[0])) is None:
        raise ValueError("stored line: no dictionary of that number; upgrade Reachwatch")
    try:
        decompressor = zstd.ZstdDecompressor(zstd_dict=dictionary)
        line = decompressor.decompress(memoryview(frame)[1:], MAX_LINE_BYTES + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"stored line: {error}") from None
    if not decompressor.eof:
        raise ValueError("stored line: truncated or too long")
    return line
