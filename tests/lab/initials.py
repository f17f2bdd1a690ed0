"""The name in a client's QUIC Initials, as whoever reads along sees it.

The keys of an Initial follow from the connection id that the client chose (RFC 9001 section 5.2),
so anyone on the path may read it; the hello may lie in pieces, out of order, in several datagrams.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.crypto import CryptoError, CryptoPair
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from tests.lab.hello import server_name

_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO = 0x00, 0x01, 0x02, 0x03, 0x06


@dataclass
class _Flow:
    crypto: CryptoPair | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    datagrams: int = 0
    """With a piece of the hello."""
    name: str | None = None

    def text(self) -> bytes:
        """What came without a gap."""
        whole = b""
        for at, part in sorted(self.parts.items()):
            if at > len(whole):
                break
            whole = whole[:at] + part
        return whole


class Reader:
    """Follows many flows at once; a flow is whatever names it: two addresses and ports."""

    def __init__(self) -> None:
        self._flows: dict[Hashable, _Flow] = {}

    def read(self, key: Hashable, datagram: bytes) -> str | None:
        """Take a client's datagram: the name once the whole hello came, until then None. A hello
        without a name gives an empty one."""
        flow = self._flows.setdefault(key, _Flow())
        if flow.name is None:
            pieces = len(flow.parts)
            for payload in _initials(flow, datagram):
                flow.parts |= dict(_crypto(payload))
            flow.datagrams += len(flow.parts) > pieces
            text = flow.text()
            if len(text) >= 4 and len(text) >= 4 + int.from_bytes(text[1:4], "big"):
                # As a record, which is what `server_name` reads.
                flow.name = server_name(b"\x16\x03\x01" + len(text).to_bytes(2, "big") + text)
        return flow.name

    def datagrams(self, key: Hashable) -> int:
        """In how many datagrams the hello of a flow came so far."""
        return self._flows[key].datagrams


def _initials(flow: _Flow, datagram: bytes) -> list[bytes]:
    """The plain payloads of a datagram's Initial packets."""
    found = []
    buffer = Buffer(data=datagram)
    while not buffer.eof():
        start = buffer.tell()
        try:
            header = pull_quic_header(buffer, host_cid_length=8)
        except ValueError:  # padding behind the packets, or no QUIC at all
            break
        end = start + header.packet_length
        if header.packet_type is QuicPacketType.INITIAL and header.version is not None:
            fresh = CryptoPair()
            fresh.setup_initial(header.destination_cid, is_client=False, version=header.version)
            # Later Initials go to the server's connection id, under the keys of the first.
            for crypto in (flow.crypto, fresh):
                if crypto is None:
                    continue
                try:
                    _, payload, _ = crypto.decrypt_packet(
                        datagram[start:end], buffer.tell() - start, 0
                    )
                except CryptoError:
                    continue
                flow.crypto = crypto
                found.append(payload)
                break
        buffer.seek(end)
    return found


def _crypto(payload: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) of the CRYPTO frames of an Initial."""
    found = []
    buffer = Buffer(data=payload)
    try:
        while not buffer.eof():
            kind = buffer.pull_uint_var()
            if kind in (_ACK, _ACK_ECN):
                for _ in range(2):
                    buffer.pull_uint_var()
                ranges = buffer.pull_uint_var()
                for _ in range(1 + 2 * ranges + (3 if kind == _ACK_ECN else 0)):
                    buffer.pull_uint_var()
            elif kind == _CRYPTO:
                at = buffer.pull_uint_var()
                found.append((at, buffer.pull_bytes(buffer.pull_uint_var())))
            elif kind not in (_PADDING, _PING):
                break
    except BufferReadError:
        pass
    return found
