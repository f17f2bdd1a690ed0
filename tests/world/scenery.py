"""Who measured what in the store of `tests.world.site`: a catalogue, seven vantages and a control,
their measurements and the judgement of each, all of it the same in every run.
"""

from __future__ import annotations

from monitor.detection.model import Layer, LayerFinding, Share, State, Technique, Verdict
from probes.wire.failure import Failure
from probes.wire.measurement import (
    EndpointRef,
    Measurement,
    Role,
    Software,
    Vantage,
    measurement_id,
)
from probes.wire.observation import (
    AnyObservation,
    Certificate,
    Contrast,
    DNSLookup,
    DNSReply,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Catalogue, Endpoint, Service, Target
from tests.world.pki import Authority

MINUTE, HOUR = 60_000, 3_600_000
INTERVAL = 5 * MINUTE
START = 1_800_000_000_000 - 1_800_000_000_000 % (24 * HOUR) + 8 * HOUR
ROUNDS = 24
NOW = START + ROUNDS * INTERVAL + 9_000
BLOCKED_FROM = 12
BLOCKED_SINCE = START + BLOCKED_FROM * INTERVAL
SCRIPT = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'"
FORMULA = '=HYPERLINK("http://evil.example/","click")'


def _service(id: str, name: str, *targets: tuple[str, str, str]) -> Service:
    return Service(
        id=id,
        name=name,
        targets=tuple(
            Target(id=f"{id}/{what}", endpoints=(Endpoint(host=host, port=443, protocol=protocol),))
            for what, host, protocol in targets
        ),
    )


CATALOGUE = Catalogue(
    version="0123456789ab",
    services=(
        _service(
            "wechat",
            "WeChat",
            ("messaging", "szlong.weixin.test", "tls"),
            ("web", "web.wechat.test", "https"),
        ),
        _service("signal", "Signal", ("messaging", "chat.signal.test", "tls")),
        _service("telegram", "Telegram", ("web", "telegram.test", "https")),
        _service(
            "zulip",
            "Zulip (one whose very long name pushes all others aside)",
            ("web", "zulip.test", "https"),
        ),
    ),
)
MEASURED = ("wechat/messaging", "wechat/web", "signal/messaging")


class Person:
    """A probe of this world."""

    def __init__(
        self, number: int, country: str, asn: int, owner: str, role: Role = Role.VANTAGE
    ) -> None:
        self.id = f"p-{number:016x}"
        self.number, self.country, self.asn, self.owner, self.role = (
            number,
            country,
            asn,
            owner,
            role,
        )


PEOPLE = (
    Person(1, "RU", 64501, "ada"),
    Person(2, "RU", 64501, SCRIPT),
    Person(3, "RU", 64501, FORMULA),
    Person(4, "RU", 64502, "dora"),
    Person(5, "RU", 64502, "ada"),
    Person(6, "FR", 64503, "emil"),
    Person(7, "FR", 64503, "emil"),
    Person(8, "NL", 64510, "house", Role.CONTROL),
)
OFFLINE, SLEEPING, GONE = PEOPLE[6].id, "p-" + "a" * 16, "p-" + "b" * 16
_root = Authority("Root <b>of</b> evil")
_forged = _root.issue(f"{SCRIPT[:40]}.test")


def observations(host: str, *, blocked: bool, https: bool) -> tuple[AnyObservation, ...]:
    """What one round saw of one endpoint."""
    at = f"{host}:443/{'https' if https else 'tls'}"
    address = "198.51.100.7"

    def dns(qtype: str, *answers: str, **more: object) -> DNSLookup:
        failure = None if answers else Failure.DNS_NO_ANSWER
        reply = DNSReply(after_us=900, rcode=0, answers=answers)
        values: dict[str, object] = {
            "endpoint": at,
            "name": host,
            "qtype": qtype,
            "resolver": "system",
            "failure": failure,
            "replies": (reply,),
            "took_us": 900,
        }
        return DNSLookup(**(values | more))  # type: ignore[arg-type]

    def tls(failure: str | None = None, **more: object) -> TLSHandshake:
        values: dict[str, object] = {
            "endpoint": at,
            "address": address,
            "port": 443,
            "sni": host,
            "failure": failure,
            "version": None if failure else "TLSv1.3",
            "verify_code": None if failure else 0,
            "took_us": 12_000,
        }
        return TLSHandshake(**(values | more))  # type: ignore[arg-type]

    seen: list[AnyObservation] = [
        dns("A", address),
        dns("AAAA"),
        dns("A", address, purpose=Purpose.REFERENCE, resolver="google"),
        dns(
            "A",
            purpose=Purpose.CONTRAST,
            contrast=Contrast.SILENT_ADDRESS,
            resolver="silent",
            failure=Failure.TIMEOUT,
            replies=(),
        ),
        TCPConnect(endpoint=at, address=address, port=443, took_us=3_000),
    ]
    if blocked:
        harmless = {"purpose": Purpose.CONTRAST, "contrast": Contrast.INNOCUOUS_NAME}
        seen += [
            tls(Failure.RESET),
            tls(sni="harmless.example", **harmless),
            tls(
                Failure.SSL_UNKNOWN_AUTHORITY,
                purpose=Purpose.CONTRAST,
                contrast=Contrast.REFLECTOR,
                verify_code=20,
                chain=(
                    Certificate(sha256="c" * 64, der=_forged.der),
                    Certificate(sha256="d" * 64, der=b"not a certificate"),
                ),
            ),
        ]
    else:
        seen.append(tls())
        if https:
            seen.append(
                HTTPExchange(
                    endpoint=at,
                    address=address,
                    port=443,
                    host=host,
                    tls=True,
                    status=302,
                    location=f"https://x.test/{SCRIPT}",
                    title=SCRIPT,
                    took_us=20_000,
                )
            )
    return tuple(seen)


def measurement(person: Person, target: str, number: int) -> Measurement:
    """One person's measurement of one target in one round; always the same."""
    round = START + number * INTERVAL
    host = next(
        (t.endpoints[0].host for t in CATALOGUE.targets if t.id == target), "www.harmless.example"
    )
    https = target.endswith("/web")
    blocked = is_blocked(person, target, number)
    where = Vantage(
        country=person.country, asn=person.asn, role=person.role, geo="flag", resolver_class="isp"
    )
    return Measurement(
        v=1,
        id=measurement_id(person.id, target, number),
        probe=person.id,
        target=target,
        round=round,
        interval_ms=INTERVAL,
        started=round + 100 * person.number,
        took_us=40_000,
        sequence=number,
        clock_offset_ms=45_000 if person.number == 5 else 200,
        vantage=where,
        software=Software(name="reachprobe", version="0.1", tls_profile="default.1"),
        catalogue=CATALOGUE.version,
        endpoints=(
            EndpointRef(
                id=f"{host}:443/{'https' if https else 'tls'}",
                protocol="https" if https else "tls",
                host=host,
            ),
        ),
        observations=observations(host, blocked=blocked, https=https),
    )


def is_blocked(person: Person, target: str, number: int) -> bool:
    """The one block of this world."""
    return person.asn == 64501 and target == "wechat/web" and number >= BLOCKED_FROM


def verdict(person: Person, target: str, number: int) -> Verdict:
    """The judgement of a measurement."""
    if person.id == OFFLINE:
        return Verdict(target=target, state=State.VANTAGE_OFFLINE, rule="vantage.offline")
    if is_blocked(person, target, number):
        return Verdict(
            target=target,
            state=State.BLOCKED,
            layer=Layer.TLS,
            technique=Technique.TLS_RESET_SNI,
            rule="tls.reset.sni",
            endpoints=Share(1, 1),
            addresses=Share(1, 1),
            evidence=("on_path",),
            findings=(LayerFinding(layer=Layer.TLS, blocked=True, rule="tls.reset.sni"),),
        )
    if target == "signal/messaging" and person.asn == 64502:
        # Single rounds say so, and no event of this network does.
        return Verdict(
            target=target,
            state=State.BLOCKED,
            layer=Layer.TCP,
            technique=Technique.TCP_TIMEOUT,
            rule="tcp.timeout",
            findings=(LayerFinding(layer=Layer.TCP, blocked=True, rule="tcp.timeout"),),
        )
    return Verdict(target=target, state=State.OK, rule="tls.ok", endpoints=Share(1, 0))
