# SPDX-License-Identifier: Apache-2.0
"""Explanations of an event other than a block, by name. What fits one is said on the event's page
(`Event.against`), and bounds the confidence below that of a page (`confidence.MOST_SURE`): no
number of failures that look alike tells a block from these, only a contrast does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.detection.events import contrasts, standing
from monitor.detection.model import Contrasts, Event, NetworkEvidence, Technique, Tier

NEW_VANTAGES = "new_vantages"
PATH_UNKNOWN = "path_unknown"
ENOUGH_REFUSED = 5
"""Vantages of one network that a service does not suspect all at once."""
LEAST_ANSWERS = 2
"""Answers from elsewhere from which they show anything."""
LEAST_OWNERS = 2
"""Owners whose vantages show a sign."""
LEAST_APART = 3
"""Owners in one network who do not all share a line, or a way out of it."""
LEAST_AGREEING = 2
"""Vantages that make a network one of several."""
LEAST_COUNTRIES = 2
"""Other countries in which it fails alike: one other government may do as the first did."""
LONGEST_DENIAL_MS = 3 * 3_600_000
"""A resolver keeps a denial for at most so long, whatever the zone asks for: BIND's
max-ncache-ttl, three hours, is the longest of the usual limits (RFC 2308 advises one to three)."""
AT_ONCE_MS = 15 * 60_000
"""Operators seldom begin to block together: an outage has one moment. It is seen as exactly as
vantages measure."""
_DENIALS = frozenset((Technique.DNS_NXDOMAIN, Technique.DNS_EMPTY))
_BY_NAME = ".sni"
"""How techniques end that concern one name at an address."""
DENSE_PER_MILLE = 900
"""Of the samples that fail, in a full block."""
_NEARLY_ALL = 800
"""Per mille of the vantages of a network that is blocked as a whole."""
_SOME_FLOWS = (100, 850)
"""Per mille of the samples that fail under load: a full block lets fewer through."""
REFUSALS = frozenset(
    (
        Technique.TCP_REFUSED,
        Technique.TCP_RESET,
        Technique.TLS_RESET_OTHER,
        Technique.TLS_EOF_OTHER,
        Technique.TLS_ALERT_OTHER,
        Technique.TLS_ALERT_SNI,
        Technique.HTTP_451,
    )
)
"""What a server does to clients that it does not want, as well as somebody on the way."""


class NetworksEvidence:
    """The surest networks of an event, as the hypotheses see them. `risen`: all networks that make
    it one of several."""

    def __init__(
        self,
        networks: Sequence[NetworkEvidence],
        pace: int = 1,
        risen: Sequence[NetworkEvidence] = (),
    ) -> None:
        self.networks, self.pace, self.risen = networks, pace, risen or networks
        self.contrasts: Contrasts = contrasts.together(each.contrasts for each in networks)
        self.signature = any(network.signature for network in networks)

    def mostly(self, count: int) -> bool:
        """Whether that many of the failures are most of them."""
        return 2 * count > self.contrasts.failures

    @property
    def path(self) -> bool:
        """Whether the addresses that fail answer elsewhere at the same time."""
        answered = self.contrasts.answered
        return answered >= LEAST_ANSWERS and 2 * answered >= self.contrasts.failures

    def show(self, sign: str) -> bool:
        """Whether in one of the networks several owners who are known well enough, and half of
        those who might, have vantages that show this sign."""
        return any(
            known + others >= LEAST_OWNERS
            and standing.together(known, others) >= standing.TRUSTED
            and 2 * (known + others) >= able
            for network in self.networks
            for shown, known, others, able in network.signs
            if shown == sign
        )

    @property
    def on_the_way(self) -> bool:
        """Whether a sign shows that the cause is not the service."""
        return any(map(self.show, contrasts.ON_THE_WAY))

    @property
    def lasted_ms(self) -> int:
        """For how long the network fails that has failed longest, in the policy's time."""
        return max((each.seen - each.onset) * self.pace for each in self.networks)

    @property
    def spread_ms(self) -> int:
        """What lies between the onsets of the first and the last network at least, in the policy's
        time: as far as is known, when one began is a range. 0 where they may be the same."""
        began = [_began_between(network) for network in self.risen]
        apart = max(earliest for earliest, _ in began) - min(latest for _, latest in began)
        return max(0, apart) * self.pace


def _began_between(network: NetworkEvidence) -> tuple[int, int]:
    onset = network.half_onset or network.onset
    return network.together_between or (onset, onset)


@dataclass(frozen=True)
class Hypothesis:
    """One explanation."""

    remark: str
    """In `Event.against`. Append-only."""
    fits: Callable[[NetworksEvidence], bool]
    comment: str
    alone: bool = False
    """Whether a network that it fits by itself, without a signature, is none of several: what was
    compared in another network says nothing of its addresses."""


def _all(condition: Callable[[NetworkEvidence], bool]) -> Callable[[NetworksEvidence], bool]:
    return lambda seen: bool(seen.networks) and all(map(condition, seen.networks))


def _told_by_none(
    comparisons: Callable[[Contrasts], Sequence[int]],
) -> Callable[[NetworksEvidence], bool]:
    """Whether addresses fail without a sign, and none of some comparisons tells of most failures
    what they are."""
    return lambda seen: (
        not seen.signature
        and not seen.on_the_way
        and not any(map(seen.mostly, comparisons(seen.contrasts)))
        and not _all(lambda network: _of_name(network.technique))(seen)
    )


def _may_be_suspected(network: NetworkEvidence) -> bool:
    """Whether the service may have chosen those who fail."""
    return network.agreeing < max(_heeded(network), ENOUGH_REFUSED)


def _heeded(network: NetworkEvidence) -> int:
    """Vantages that vote, without new ones that several known owners outweigh."""
    heeded = standing.of_deniers(network.known_owners, network.new_deniers) > 0
    return network.voting if heeded else network.voting - network.new_deniers


def _spares_some(seen: NetworksEvidence) -> bool:
    """Whether some vantages fail nearly always, and in each network several others do not, or did
    not when they last measured."""
    return any(each.dense_per_mille >= DENSE_PER_MILLE for each in seen.networks) and all(
        1000 * (each.agreeing + each.silent)
        < _NEARLY_ALL * (_heeded(each) + each.silent + each.spared)
        for each in seen.networks
    )


def _of_name(technique: str) -> bool:
    """Whether a technique is seen in the answers of DNS, where no address is dialled."""
    return technique.startswith("dns.")


def _may_share_a_line(seen: NetworksEvidence) -> bool:
    """Whether all who see it may be behind one line: few owners of one network, of whom the
    operator does not vouch for several."""
    places = {network.asn for network in (*seen.networks, *seen.risen)}
    return len(places) == 1 and not any(
        each.known_owners + each.new_owners >= LEAST_APART or each.vouched_owners >= LEAST_OWNERS
        for each in seen.networks
    )


HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        PATH_UNKNOWN,
        lambda seen: (
            not seen.signature
            and not seen.path
            and not seen.on_the_way
            and not seen.mostly(seen.contrasts.dead)
            and not _all(lambda network: _of_name(network.technique))(seen)
        ),
        "Nobody elsewhere tried the addresses that fail: servers for this region may be down.",
        alone=True,
    ),
    Hypothesis(
        "everywhere_at_once",
        lambda seen: (
            not seen.signature
            and not seen.on_the_way
            and len(seen.risen) > 1
            and seen.spread_ms <= AT_ONCE_MS
        ),
        "Several networks fall silent within minutes, as far as is known, as they do when servers "
        "for this region fail whose addresses are announced from many places, so that others "
        "answer elsewhere.",
    ),
    Hypothesis(
        "dead_elsewhere",
        lambda seen: seen.mostly(seen.contrasts.dead),
        "The addresses that fail do not answer elsewhere either: these servers are down.",
        alone=True,
    ),
    Hypothesis(
        "partial_ipv4",
        lambda seen: seen.mostly(seen.contrasts.ipv4),
        "Only IPv4 fails, and IPv6 works: a fault of routing concerns one family more often than a "
        "block does.",
    ),
    Hypothesis(
        "partial_ipv6",
        lambda seen: seen.mostly(seen.contrasts.ipv6),
        "Only IPv6 fails, and IPv4 works: a fault of routing concerns one family more often than a "
        "block does.",
    ),
    Hypothesis(
        "partial_port",
        lambda seen: (
            not seen.signature and not seen.on_the_way and seen.mostly(seen.contrasts.port)
        ),
        "Only one port fails, and the same hosts answer at another: a service that closes an old "
        "port, network by network, looks so.",
        alone=True,
    ),
    Hypothesis(
        "one_port",
        _told_by_none(lambda made: (made.other_port, made.port, made.dead)),
        "Only one port of these hosts was tried, or answers anybody: a service that closes it, "
        "network by network, looks so.",
        alone=True,
    ),
    Hypothesis(
        "moves_edges",
        lambda seen: not seen.signature and seen.mostly(seen.contrasts.moved),
        "Other resolvers give other addresses, which work from here: a service that moves its "
        "servers looks so while resolvers keep its old addresses.",
        alone=True,
    ),
    Hypothesis(
        "answers_unknown",
        _told_by_none(lambda made: (made.given, made.moved, made.dead)),
        "Nothing showed whether the name still leads to these addresses: those of a service that "
        "moves its servers fail so while resolvers keep the old ones.",
        alone=True,
    ),
    Hypothesis(
        "public_resolver",
        lambda seen: (
            not seen.on_the_way
            and seen.mostly(seen.contrasts.public)
            and _all(lambda network: _of_name(network.technique))(seen)
        ),
        "Public resolvers deny or forge the name, which are not the network's: a fault of one of "
        "them concerns whoever asks it.",
    ),
    Hypothesis(
        "overloaded",
        _all(
            lambda network: (
                not network.signature and _SOME_FLOWS[0] <= network.dense_per_mille < _SOME_FLOWS[1]
            )
        ),
        "A share of the connections fails and the others pass, without a signature: a link or a "
        "server with too much load does so.",
    ),
    Hypothesis(
        "refused_by_service",
        lambda seen: (
            not seen.on_the_way
            and _all(lambda network: network.technique in REFUSALS and _may_be_suspected(network))(
                seen
            )
        ),
        "A service refuses clients that it suspects in this way, and not all vantages of the "
        "network are refused, or they are too few to tell.",
    ),
    Hypothesis(
        "old_denial",
        lambda seen: (
            _all(lambda network: network.technique in _DENIALS)(seen)
            and not seen.on_the_way
            and seen.lasted_ms < LONGEST_DENIAL_MS
        ),
        "A network's resolver may keep a denial that the name's own servers gave for a while: a "
        "mistake of minutes reaches the resolvers of many networks.",
    ),
    Hypothesis(
        "shields_servers",
        lambda seen: (
            _all(lambda network: network.technique.endswith(_BY_NAME))(seen)
            and seen.mostly(seen.contrasts.ours_passes)
            and not seen.show(contrasts.NAMED)
        ),
        "The name passes on the way to our own host: what refuses it may shield the service's own "
        "servers, however near it stands.",
    ),
    Hypothesis(
        "taken_over",
        lambda seen: (
            _all(lambda network: network.technique == Technique.DNS_INJECTION_OTHER)(seen)
            and not seen.on_the_way
        ),
        "A resolver that learns before others that a domain lapsed, or is in other hands, gives a "
        "false address as well, and so does one that gives its own where a name is denied.",
    ),
    Hypothesis(
        "validation_fails",
        _all(lambda network: network.technique == Technique.DNS_SERVFAIL),
        "A resolver that checks signatures of DNS answers so after a mistake of the service with "
        "its keys, and for longer than others.",
    ),
    Hypothesis(
        "shared_line",
        _may_share_a_line,
        "Two owners of one network may share a line with a filter, or a way out that ends in "
        "another country: to all of them that looks like a block of the network.",
    ),
    Hypothesis(
        "spares_some",
        _spares_some,
        "Nearly all connections of some vantages fail, and others of the same networks reach it: a "
        "program on their machines, or a way out of the network, does not concern the others.",
    ),
    Hypothesis(
        "one_release",
        _all(lambda network: network.one_release),
        "Nobody reaches it with the release of the probe that all of them run, and others reach it "
        "with other releases: a fault of the program looks so.",
    ),
    Hypothesis(
        "moves_between_countries",
        lambda seen: (
            not seen.show(contrasts.NAMED)
            and _all(lambda network: network.countries_alike >= LEAST_COUNTRIES)(seen)
        ),
        "Networks of several other countries have begun to fail in the same way within two weeks: "
        "a change of the service's own moves so, and so does the fault of a registrar, of name "
        "servers, or of what shields its servers, which show the other signs as well.",
    ),
    Hypothesis(
        NEW_VANTAGES,
        _all(lambda network: not standing.may_page(network.known_owners, network.new_owners)),
        "Too few owners agree whom the monitor has known for long.",
    ),
)
REMARKS = frozenset(hypothesis.remark for hypothesis in HYPOTHESES)


def surest_networks(event: Event) -> Sequence[NetworkEvidence]:
    """The networks of an event's tier: those that it is about."""
    return [network for network in event.rests_on if network.tier is event.tier]


def tells_of_networks(network: NetworkEvidence) -> bool:
    """Whether a network counts as one of several: only while two of its vantages agree or have
    fallen silent since they failed, because its tier outlasts them. Unsigned refusals do not count,
    because a service may refuse any number of networks, and alerts to the service's name never do,
    because a server answers a name that it does not serve in the same way. Silence counts as far as
    it is known of the network itself that the cause is not the server."""
    by_itself = NetworksEvidence([network])
    return _has_risen(network) and (
        network.signature or not any(each.fits(by_itself) for each in HYPOTHESES if each.alone)
    )


def _has_risen(network: NetworkEvidence) -> bool:
    unsigned = not network.signature or network.technique == Technique.TLS_ALERT_SNI
    refused = network.technique in REFUSALS and unsigned
    agrees = network.agreeing + network.silent >= LEAST_AGREEING
    return network.tier is not Tier.UNCONFIRMED and agrees and not refused


def fitting(event: Event) -> tuple[str, ...]:
    """The remarks of the hypotheses that fit the surest networks of an event."""
    telling = list(filter(tells_of_networks, event.rests_on))
    risen = telling if len(telling) > 1 else list(filter(_has_risen, event.rests_on))
    seen = NetworksEvidence(surest_networks(event), event.pace, risen)
    return tuple(each.remark for each in HYPOTHESES if each.fits(seen))
