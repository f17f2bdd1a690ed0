# SPDX-License-Identifier: Apache-2.0
"""Rounds of a fleet that measures the whole catalogue, with the observations that probes send:
lookups of both address families, connections, handshakes, exchanges. Same numbers, same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.detection.model import Stored
from monitor.store.records import Admitted
from probes.catalogue.load import load
from probes.wire.codec import encode
from probes.wire.failure import Failure
from probes.wire.measurement import (
    LIVENESS_INTERNATIONAL,
    EndpointRef,
    Measurement,
    Role,
    Software,
    Vantage,
    measurement_id,
)
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.protocol import protocol

CONTROLS = 2
SPREAD = 7
"""Turns between one probe and the next: no divisor of how many there are."""
SHARE_TIMEOUT = 0.01
"""Measurements whose connections time out for no reason."""
BLOCKED_SERVICE = "wechat"
"""Blocked by name in the first network, from the beginning."""
_SOFTWARE = Software(version="0.1.0", python="3.13.5", openssl="OpenSSL 3.5.1")


@dataclass(frozen=True)
class Rounds:
    """A fleet: `vantages` in networks of five, and two controls."""

    vantages: int
    start: int
    interval_ms: int = 300_000
    seed: int = 1
    turns: int = 1
    """Over how many parts of the interval the probes are spread: of a network not two in one."""

    def begins(self, number: int, turn: int = 0) -> int:
        """When a turn of a round begins."""
        return self.start + number * self.interval_ms + turn * self.interval_ms // self.turns

    def made(self, number: int, turn: int = 0) -> Iterator[list[Admitted]]:
        """What each probe of a turn sends in a round, one batch a probe."""
        at = self.begins(number, turn)
        for probe in range(self.vantages + CONTROLS):
            if probe * SPREAD % self.turns != turn:
                continue
            rng = random.Random(f"{self.seed} {number} {probe}")
            yield [
                self._admitted(probe, number, at, target, combine, refs, rng)
                for target, combine, refs in TARGETS
            ]

    def _admitted(
        self,
        probe: int,
        number: int,
        at: int,
        target: str,
        combine: str,
        refs: Sequence[EndpointRef],
        rng: random.Random,
    ) -> Admitted:
        role = Role.CONTROL if probe >= self.vantages else Role.VANTAGE
        network = probe // 5
        country = "DE" if role is Role.CONTROL else f"{'RTICV'[network % 5]}{'URNMA'[network % 5]}"
        name = f"p-{probe:016x}"
        blocked = network == 0 and target.startswith(BLOCKED_SERVICE) and role is Role.VANTAGE
        lost = role is Role.VANTAGE and rng.random() < SHARE_TIMEOUT
        started = at + 60 * probe + rng.randrange(50)
        measurement = Measurement(
            v=1,
            id=measurement_id(name, "bench", number * 1000 + _INDEX[target]),
            probe=name,
            target=target,
            round=at,
            interval_ms=self.interval_ms,
            started=started,
            monotonic_us=started * 1000 % 10**12,
            took_us=rng.randrange(100_000, 900_000),
            epoch="bench",
            sequence=number * 1000 + _INDEX[target],
            vantage=Vantage(
                country=country,
                asn=64_512 + network,
                role=role,
                resolver_class="isp",
                resolver_asn=64_512 + network,
                geo="flag",
            ),
            software=_SOFTWARE,
            catalogue="0123456789ab",
            combine=combine,
            endpoints=tuple(refs),
            observations=tuple(
                each
                for n, ref in enumerate(refs, 1)
                for each in _observed(ref, n, blocked, lost, rng)
            ),
        )
        stored = Stored(
            measurement=measurement, owner=f"owner-{probe}", role=role, enrolled=at - 10**10
        )
        return Admitted(stored=stored, line=encode(measurement), received=at + 60 * probe + 2_000)


def _targets() -> list[tuple[str, str, tuple[EndpointRef, ...]]]:
    catalogue = load()
    alive = tuple(
        EndpointRef(id=f"{h.host}:{h.port}/{h.protocol}", protocol=h.protocol, host=h.host)
        for h in catalogue.liveness
        if h.scope == "international"
    )
    return [
        (LIVENESS_INTERNATIONAL, "most", alive),
        *((t.id, t.combine, t.refs) for t in catalogue.targets),
    ]


TARGETS = _targets()
"""(target, combine, endpoints) of the default catalogue, liveness first."""
_INDEX = {target: n for n, (target, _, _) in enumerate(TARGETS)}


def _observed(
    ref: EndpointRef, n: int, blocked: bool, lost: bool, rng: random.Random
) -> Iterator[AnyObservation]:
    """What a probe sees of an endpoint."""
    port = int(ref.id.rpartition("/")[0].rpartition(":")[2])
    address = f"11.{n}.{len(ref.id)}.{port % 250 + 1}"
    host = ref.host or address

    def took() -> dict[str, Any]:
        return {
            "endpoint": ref.id,
            "at_us": rng.randrange(500_000),
            "took_us": rng.randrange(5_000, 90_000),
        }

    if ref.host:
        for qtype, answer in (("A", address), ("AAAA", f"2400::{n:x}")):
            reply = DNSReply(after_us=rng.randrange(30_000), rcode=0, answers=(answer,), ttl=300)
            yield DNSLookup(**took(), name=host, qtype=qtype, resolver="system", replies=(reply,))
    if ref.protocol == "dns":
        return
    there: dict[str, Any] = {"address": address, "port": port}
    transport = protocol(ref.protocol).transport
    if transport != "udp":
        failure = str(Failure.TIMEOUT) if lost else None
        yield TCPConnect(**took(), **there, failure=failure)
        if lost:
            return
    if ref.protocol in ("tls", "https", "matrix"):
        shake: dict[str, Any] = {**there, "sni": host, "hello_bytes": 517}
        good: dict[str, Any] = {
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "verify_code": 0,
            "received_bytes": rng.randrange(2_000, 6_000),
        }
        if blocked:
            yield TLSHandshake(**took(), **shake, failure=str(Failure.RESET), errno=104)
            yield TLSHandshake(
                **took(),
                **{**shake, "sni": "example.org"},
                **{**good, "verify_code": 62},
                purpose=Purpose.CONTRAST,
                contrast=Contrast.INNOCUOUS_NAME,
                failure=str(Failure.SSL_INVALID_HOSTNAME),
            )
            return
        yield TLSHandshake(**took(), **shake, **good)
    if ref.protocol in ("http", "https"):
        yield HTTPExchange(
            **took(),
            **there,
            host=host,
            tls=ref.protocol == "https",
            status=200,
            body_bytes=rng.randrange(50_000),
            received_bytes=rng.randrange(50_000),
        )
    elif ref.protocol == "quic":
        yield QUICHandshake(**took(), **there, sni=host, version="v1", verify_code=0)
    elif ref.protocol not in ("tcp", "tls"):
        yield AppExchange(
            **took(),
            **there,
            protocol=ref.protocol,
            transport=str(transport),
            spoke=True,
            received_bytes=84,
        )
