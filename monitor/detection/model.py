# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of judge and detector, as values.

Everything here is immutable and derived from what is stored: the measurements, their owners and
when they arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from probes.wire.measurement import Measurement, Role

NEVER = 2**52
"""Later than any time, Unix milliseconds."""
VOUCHED = 0
"""When a probe was enrolled for whose owner the operator vouches: before any time."""
OWN_SOURCE = "probe"
"""The source of measurements of our own probes; others are imports, such as `ooni`."""


def published_source(source: str) -> str:
    """What a source is called outside: `own`, or the name of the import."""
    return "own" if source == OWN_SOURCE else source


class State(StrEnum):
    """What a verdict says."""

    OK = "ok"
    BLOCKED = "blocked"
    IMPAIRED = "impaired"
    THROTTLED = "throttled"
    DOWN = "down"
    VANTAGE_OFFLINE = "vantage_offline"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT = "insufficient"


class ClosedGate(StrEnum):
    """Why failures of a network do not count in a round. In ascending order of what they say: the
    last two speak against a block, the first two say only that the vantages are offline."""

    ASN_DARK = "asn_dark"
    """Most vantages of the network are offline."""
    COUNTRY_DARK = "country_dark"
    """Most vantages of the country are offline."""
    ENDPOINT_STALE = "endpoint_stale"
    """The target fails in other countries, for most of them together with its control."""
    SERVICE_DOWN = "service_down"
    """The target fails for the control or in other countries too."""


class Layer(StrEnum):
    """Where it shows, shallowest first."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    QUIC = "quic"
    UDP = "udp"
    HTTP = "http"
    APP = "app"


class Technique(StrEnum):
    """How it is blocked. Append-only: ids are never renamed."""

    DNS_NXDOMAIN = "dns.nxdomain"
    DNS_REFUSED = "dns.refused"
    DNS_SERVFAIL = "dns.servfail"
    DNS_EMPTY = "dns.empty"
    DNS_TIMEOUT = "dns.timeout"
    DNS_INJECTION_BOGON = "dns.injection.bogon"
    DNS_INJECTION_BLOCKPAGE = "dns.injection.blockpage"
    DNS_INJECTION_OTHER = "dns.injection.other"
    TCP_TIMEOUT = "tcp.timeout"
    TCP_RESET = "tcp.reset"
    TCP_REFUSED = "tcp.refused"
    TCP_UNREACHABLE = "tcp.unreachable"
    TLS_RESET_SNI = "tls.reset.sni"
    TLS_TIMEOUT_SNI = "tls.timeout.sni"
    TLS_EOF_SNI = "tls.eof.sni"
    TLS_ALERT_SNI = "tls.alert.sni"
    TLS_RESET_OTHER = "tls.reset.other"
    TLS_TIMEOUT_OTHER = "tls.timeout.other"
    TLS_EOF_OTHER = "tls.eof.other"
    TLS_ALERT_OTHER = "tls.alert.other"
    TLS_MITM_SELF_SIGNED = "tls.mitm.self_signed"
    TLS_MITM_CA_SIGNED = "tls.mitm.ca_signed"
    TLS_HTTP_RESPONSE = "tls.http_response"
    HTTP_BLOCKPAGE = "http.blockpage"
    HTTP_REDIRECT = "http.redirect"
    HTTP_451 = "http.451"
    HTTP_RESET_HOST = "http.reset.host"
    HTTP_TIMEOUT_HOST = "http.timeout.host"
    THROTTLE_SNI = "throttle.sni"
    THROTTLE_ADDRESS = "throttle.address"
    THROTTLE_FREEZE = "throttle.freeze"
    QUIC_TIMEOUT_SNI = "quic.timeout.sni"
    QUIC_TIMEOUT = "quic.timeout"
    UDP_TIMEOUT = "udp.timeout"
    APP_RESET = "app.reset"
    APP_TIMEOUT = "app.timeout"


def layer_of(technique: str) -> str:
    """The layer at which a technique works: its first part, and TLS for throttling (which is
    measured behind the handshake)."""
    word = technique.partition(".")[0]
    return Layer.TLS.value if word == "throttle" else word


def specificity(technique: Technique | None) -> int:
    """How much a technique says: 0 for none; 1 for one that leaves the cause open (`*.other`, or
    the beginning of another id, as `quic.timeout`); 2 for all others."""
    if technique is None:
        return 0
    open_ended = technique.endswith(".other") or any(
        other.startswith(f"{technique}.") for other in Technique
    )
    return 1 if open_ended else 2


class Share(msgspec.Struct, frozen=True):
    """How many of how many failed."""

    total: int
    failed: int


class LayerFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one rule for one layer of one measurement: the detector's evidence."""

    layer: Layer
    blocked: bool
    """True: interference at this layer. False: this layer worked."""
    rule: str
    weight: int = 0
    """Log-likelihood weight of the rule in micro-nats: how much likelier this signature is
    under blocking than under a natural failure. 0 where `blocked` is false."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The judgement of one measurement, with its liveness and its control."""

    target: str
    state: State
    layer: Layer | None = None
    technique: Technique | None = None
    rule: str
    """Id of the rule that decided; ids are never renamed."""
    endpoints: Share = Share(0, 0)
    addresses: Share = Share(0, 0)
    evidence: tuple[str, ...] = ()
    """Machine-readable remarks, sorted: `no_control`, `on_path`, `lying_resolver`, ..."""
    findings: tuple[LayerFinding, ...] = ()
    """One per observed layer, shallowest first."""
    page: str = ""
    """Of an imported run that asked for its site in clear text: the mark of a page that came in
    place of the site's (`observed.page_in_place`), or that it was the site's."""

    def form(self) -> dict[str, object]:
        """All but target and findings, in the form of the API and of `judge --json`."""
        return {
            "state": self.state,
            "layer": self.layer,
            "technique": self.technique,
            "rule": self.rule,
            "endpoints": {"total": self.endpoints.total, "failed": self.endpoints.failed},
            "addresses": {"total": self.addresses.total, "failed": self.addresses.failed},
            "evidence": list(self.evidence),
        }


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with what the collector added from the probe's token."""

    measurement: Measurement
    owner: str
    role: Role
    enrolled: int
    """When the probe was enrolled, Unix milliseconds; given as a fact, so replay needs no clock.
    NEVER when it claims another place than it enrolled from: it is never old enough for a vote."""
    source: str = "probe"
    """`probe`, or the name of an import such as `ooni`."""
    received: int = 0
    """When it arrived, Unix milliseconds; 0 when nobody knows (a file): then it counts as having
    arrived when it was made."""


class StoredLine(msgspec.Struct, frozen=True, kw_only=True):
    """The same, with the measurement as it was sent."""

    arrival: int
    """Its number in the store."""
    line: bytes
    owner: str
    role: Role
    enrolled: int
    source: str = "probe"
    received: int = 0
    vantage: int = 0
    """The number of its vantage in the store."""


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An address that failed at a vantage answered somewhere else at about the same time, with the
    service's own certificate or the app's own handshake."""

    address: str
    country: str
    asn: int
    """Where it answered."""
    at: int
    """When the measurement there began, Unix milliseconds."""
    control: bool = False
    """Whether a control saw it, and no vantage of another network."""


class Elsewhere(msgspec.Struct, frozen=True):
    """What is known of the addresses that failed in a measurement, from other places. Nothing is
    known when both fields are empty."""

    answered: tuple[Answer, ...] = ()
    """Where they answered: then the path is at fault, or what happens on it."""
    dead: int = 0
    """Of those that were tried elsewhere and answered nowhere, how many: then the server is."""


NOT_KNOWN = Elsewhere()


class StandIn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What stood in for a control beside failures that had none: runs that others publish reached
    the target elsewhere. Of the newest of these failures."""

    failures: int
    """How many counted so."""
    networks: int
    countries: int
    """From where it was reached."""
    first: int
    last: int
    """Between which times, Unix milliseconds."""


class Contrasts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What tells the cause of failures, counted over failures of one block."""

    failures: int = 0
    answered: int = 0
    """Those beside which an address that failed answered elsewhere."""
    dead: int = 0
    """Those of which the addresses were tried elsewhere and answered nowhere."""
    named: int = 0
    """Those beside which the service's name failed at our own host as well."""
    ipv4: int = 0
    ipv6: int = 0
    """Those of addresses of one family alone, while the other worked."""
    answers: tuple[Answer, ...] = ()
    """The latest answers from elsewhere, newest first."""
    sooner: int = 0
    """Those that ended in less than half of the server's round trip."""
    before: int = 0
    """Those that ended some hops before the server. Traced once."""
    forged: int = 0
    """Those in which something answered that cannot be the service, such as a known block page."""
    zoneless: int = 0
    """Those in which a resolver denies the name without the SOA record of a zone."""
    others_answer: int = 0
    """Those of a resolver beside which another one, asked from there, gives a right address."""
    at_home: int = 0
    """Those of a resolver at home that is not seen to pass on the zone with a denial."""
    port: int = 0
    """Those of one port of hosts that answer at another one."""
    other_port: int = 0
    """Those of hosts that are not reached at another port either."""
    moved: int = 0
    """Those of addresses in place of which other resolvers give some that work from here."""
    given: int = 0
    """Those beside which what other resolvers give fails as well."""
    public: int = 0
    """Those of a public resolver, which is not the network's."""
    ours_passes: int = 0
    """Those beside which the service's name passed at our own host."""


NO_CONTRASTS = Contrasts()


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One judged measurement of a vantage: the input of the detector."""

    id: str
    probe: str
    owner: str
    country: str
    asn: int
    enrolled: int
    round: int
    started: int
    interval: int
    target: str
    verdict: Verdict
    control: bool
    """A control of the same target in its window was online and reported."""
    source: str = "probe"
    catalogue: str = ""
    """Version of the catalogue that it was measured with."""
    release: str = ""
    """Version of the program that measured."""
    retest: bool = False
    """Measured because the detector asked: its interval is not the vantage's own."""
    others_passed: int = 0
    """Liveness hosts that the vantage reached in the same round."""
    others_failed: tuple[str, ...] = ()
    """Ids of those that it did not reach, without those that no control reaches either."""
    received: int = 0
    """When it arrived, as in `Stored`."""
    method: str = ""
    """Of an import: name and version of the test that measured."""
    arrival: int = 0
    """Number of the measurement in the store; 0 when it was not read from there by line."""
    vantage: int = 0
    """Number of its vantage in the store, likewise."""
    untried: tuple[tuple[str, str], ...] = ()
    """The addresses that failed and that no control has tried lately: (endpoint, address)."""
    elsewhere: Elsewhere = NOT_KNOWN
    """What the addresses that failed did elsewhere."""
    others_work: bool | None = None
    """Whether addresses work that other resolvers give in their place; None: not compared."""


class Tier(StrEnum):
    """How sure an event is."""

    UNCONFIRMED = "unconfirmed"
    LIKELY = "likely"
    CONFIRMED = "confirmed"


class EventState(StrEnum):
    """Where an event is in its life."""

    OPEN = "open"
    CLEARING = "clearing"
    """Most vantages that saw it reach the service again; too few measurements yet to close it."""
    CLOSED = "closed"
    RETRACTED = "retracted"


BY_OPERATOR = "operator"
"""Why an event is retracted, in place of a gate."""


class Retraction(msgspec.Struct, frozen=True):
    """An operator says that an event is wrong. It holds for what the event said when this was
    written, until those failures end; other failures make an event of their own."""

    at: int
    """When it was written, Unix milliseconds (wall clock): it takes effect in the first round
    after."""
    series: tuple[tuple[str, int, str], ...]
    """The event's (target, network, layer) then."""


NO_RETRACTIONS: Mapping[str, Retraction] = MappingProxyType({})
"""By id of an event."""


class ChangeKind(StrEnum):
    """What a history tells. `CHANGED` is a difference in detail; all others are steps in the life
    of an event (`monitor.detection.events.life`)."""

    OPENED = "opened"
    LIKELY = "likely"
    CONFIRMED = "confirmed"
    CHANGED = "changed"
    CLEARING = "clearing"
    AGAIN = "again"
    CLOSED = "closed"
    RETRACTED = "retracted"


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an event is different after a round."""

    technique: tuple[str, str] | None = None
    """(before, now); before is empty when it was not known."""
    extent: tuple[str, str] | None = None
    """(before, now)."""
    targets_added: tuple[str, ...] = ()
    targets_removed: tuple[str, ...] = ()
    asns_added: tuple[int, ...] = ()
    asns_removed: tuple[int, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of an event's history, as values: `monitor.text.event_history` makes sentences of
    them, and `monitor.interop.forms` the note that the API gives."""

    round: int
    kind: ChangeKind
    technique: str = ""
    """Of the first alarm, when it is known."""
    difference: Difference | None = None
    """Of a `CHANGED`."""
    divided: bool = False
    """It became likely in a part of the network alone."""
    cause: str = ""
    """Why it was retracted: a gate, or BY_OPERATOR; empty when that is not known."""


class NetworkEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One network's evidence in an event, for the pages."""

    asn: int
    target: str
    layer: str
    technique: str
    tier: Tier
    onset: int
    half_onset: int = 0
    """When half of the vantages that see it had begun to fail; 0 in events that do not tell."""
    together_between: tuple[int, int] | None = None
    """The earliest and the latest round at which they may have begun to fail together; None in
    events that do not tell."""
    one_release: bool = False
    """Nobody anywhere reaches the target with the release of the probe that those who see it run,
    and others of the country reach it with other releases."""
    countries_alike: int = 0
    """Other countries in which a network began to fail in the same way within two weeks of it, as
    far as it is likely at least."""
    agreeing: int
    """Voting vantages whose evidence reached the threshold."""
    voting: int
    owners: int
    silent: int = 0
    """Vantages that saw the block and have not reported since. They count neither as agreeing nor
    as voting."""
    spared: int = 0
    """Vantages of owners whom the monitor has known for long that have reached the service since
    the block began, and have not reported since. They do not count as voting."""
    seen: int = 0
    """Newest round in which a vantage that saw the block failed."""
    nats: tuple[tuple[str, int], ...] = ()
    """(probe, micro-nats after clipping), for explanation."""
    signature: bool = False
    """Agreeing or silent vantages of enough owners have a signature."""
    dense_per_mille: int = 0
    """Share of the alarmed vantages' samples since their suspicion that failed."""
    present_per_mille: int | None = None
    """Share of the samples of those who saw the block that have failed since it began to let
    connections pass; None while it lets nothing pass, or too little is known of that."""
    watch: tuple[tuple[str, int], ...] = ()
    """(probe, round since which it fails) of vantages on watch: they have failed for long while
    others of the network see the service."""
    known_owners: int = 0
    new_owners: int = 0
    """Owners of the agreeing and silent vantages: those that the monitor has known for long
    (`Policy.known_seconds`), and the others."""
    vouched_owners: int = 0
    """The known ones of them whom the operator vouches for."""
    new_deniers: int = 0
    """Voting vantages that do not agree and whose owners are not known for long."""
    contrasts: Contrasts = NO_CONTRASTS
    """Of the failures of all vantages that saw the block."""
    signs: tuple[tuple[str, int, int, int], ...] = ()
    """(sign of a cause on the way, known owners whose vantages show it, other owners, owners whose
    vantages may): see `monitor.detection.events.contrasts`."""
    stand_in: StandIn | None = None
    """What it rests on in place of a control, where that is most of it."""
    spans: tuple[tuple[int, int, int], ...] = ()
    """Of an import: when it failed, as (first failure, last failure, reached again); the last is 0
    while it is not reached again. Between two spans it was reached."""


class Votes(msgspec.Struct, frozen=True):
    """How many of how many voting vantages see a block."""

    agreeing: int = 0
    total: int = 0


class OtherWitnesses(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event of another kind of source about the same block, as it was when it last changed while
    both lasted."""

    source: str
    event: str
    """Its id."""
    tier: Tier
    witnesses: int
    """As in `Event.sources`."""
    networks: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A service blocked in a country: the only thing that alerts anyone. Times are Unix
    milliseconds of rounds, never of arrival. `monitor.interop.forms` makes the API's form."""

    id: str
    """First 16 hex digits of SHA-256(service, country, first alarmed round); for imported
    measurements the name of the import comes first."""
    service: str
    country: str
    targets: tuple[str, ...]
    asns: tuple[int, ...]
    technique: str
    extent: str
    """`full` or `partial`."""
    state: EventState
    tier: Tier
    onset: int
    onset_earliest: int
    onset_latest: int
    opened: int
    """First alarmed round."""
    confirmed: int | None = None
    closed: int | None = None
    ended_earliest: int | None = None
    ended_latest: int | None = None
    """Between which rounds its last block ended; None while it lasts, and when that is not
    known."""
    updated: int
    """Last round that changed the event."""
    agreeing: int
    """Vantages that see it now or, when none does or it ends, when most did."""
    total: int
    """Voting vantages of the networks concerned, at that time."""
    control: str
    """`ok` or `none`."""
    rule_counts: tuple[tuple[str, int], ...] = ()
    """(rule id, verdicts since onset), sorted by rule id."""
    witnesses: tuple[str, ...] = ()
    """Ids of up to 20 measurements that speak for the event, oldest first."""
    inhibited_by: ClosedGate | None = None
    """The gate that is closed for every alarmed network, or why the event was retracted."""
    source: str = "probe"
    policy_name: str = "default"
    pace: int = 1
    rules_version: str = ""
    catalogue_version: str = ""
    networks: tuple[NetworkEvidence, ...] = ()
    """As they are now; once it is closed, as they were at its peak."""
    peak_networks: tuple[NetworkEvidence, ...] = ()
    """As they were when most vantages saw it, while none does or it ends: at an end fewer see it,
    which makes it no less of a block. Else empty."""
    against: tuple[str, ...] = ()
    """What speaks against it, as machine-readable remarks (`few_vantages`, `untyped`, ...)."""
    history: tuple[Change, ...] = ()
    peak: Votes = Votes()
    """When most vantages saw it, at its present tier."""
    now: Votes = Votes()
    """At its last change."""
    networks_measured: int = 0
    """Networks of the country in which its targets are measured."""
    targets_measured: int = 0
    """Targets of the service that are measured in the country."""
    beside: tuple[OtherWitnesses, ...] = ()
    """What other kinds of sources show of the same block."""

    @property
    def witness_count(self) -> int:
        """How many of our vantages agree, or how many runs of an import failed."""
        if self.source == OWN_SOURCE:
            return self.agreeing
        return sum(count for _, count in self.rule_counts)

    @property
    def sources(self) -> Mapping[str, int]:
        """The kinds of sources that show the block, by the name that is published, the event's own
        first, and how many witnesses each has: vantages of ours, failed runs of an import."""
        return {published_source(self.source): self.witness_count} | {
            published_source(other.source): other.witnesses for other in self.beside
        }

    @property
    def ongoing(self) -> bool:
        """Whether it has not ended."""
        return self.state in (EventState.OPEN, EventState.CLEARING)

    @property
    def rests_on(self) -> tuple[NetworkEvidence, ...]:
        """The networks of which `agreeing`, `against` and the confidence are."""
        return self.peak_networks or self.networks

    @property
    def stands(self) -> bool:
        """Whether it counts as a block: nothing explains it, or it was confirmed before. What
        vantages elsewhere say later is shown beside a confirmed event, and does not hide it."""
        return self.inhibited_by is None or self.tier is Tier.CONFIRMED
