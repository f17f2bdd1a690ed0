"""Lookups of a round: once a name, shared, widened when asked, placed in the measurement."""

from __future__ import annotations

from collections import Counter, abc
from typing import Any

import pytest
from msgspec.structs import replace

from probes.net.dns_transport import MOST_UNOPENED
from probes.wire.observation import UNCHECKED, Contrast, DNSLookup, Purpose
from tests.world.dns_server import Address, BadSignature, Behaviour, Drop, Rcode, Sequence
from tests.world.loopback import LISTENING, SHORT, internet
from tests.world.ports import free_port

NAME = "wechat.test"


async def test_system_reference_and_silent_address_are_asked_once():
    async with internet({NAME: Address("127.0.0.2", "127.0.0.1", "::1")}) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ("127.0.0.1", "127.0.0.2", "::1")
        assert await names.system(NAME) == ("127.0.0.1", "127.0.0.2", "::1")
        assert await names.references(NAME) == ("127.0.0.1", "127.0.0.2")
        lookups = await names.observations(NAME, "e", net.network.clock_us())
        asked = [(o.resolver, o.transport, o.qtype, o.purpose, o.contrast) for o in lookups]
        assert sorted(asked, key=str) == sorted(
            [
                ("system", "udp", "A", Purpose.SUBJECT, None),
                ("system", "udp", "AAAA", Purpose.SUBJECT, None),
                ("lab", "udp", "A", Purpose.REFERENCE, None),
                ("silent", "udp", "A", Purpose.CONTRAST, Contrast.SILENT_ADDRESS),
            ],
            key=str,
        )
        assert {o.endpoint for o in lookups} == {"e"}
        assert {o.at_us for o in lookups} == {0}  # they began before this measurement
        assert len(net.system.seen) == 2


async def test_widening_asks_every_transport_once():
    table = {NAME: Rcode("NXDOMAIN")}
    async with internet(table, reference={NAME: Address("127.0.0.9", "::1")}, secure=True) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ()
        assert not names.widened(NAME)
        assert await names.references(NAME, widen=True) == ("127.0.0.9", "::1")
        assert await names.references(NAME, widen=True) == ("127.0.0.9", "::1")
        assert names.widened(NAME)
        lookups = await names.observations(NAME, "e", 0)
        asked = sorted((o.transport, o.qtype) for o in lookups if o.resolver == "lab")
        assert asked == [
            ("doh", "A"),
            ("doh", "AAAA"),
            ("dot", "A"),
            ("tcp", "A"),
            ("udp", "A"),
            ("udp", "AAAA"),
        ]
        assert {o.failure for o in lookups if o.resolver == "lab"} == {None}
        assert {o.failure for o in lookups if o.resolver == "system"} == {"dns_nxdomain_error"}


class _WithAllBelow(dict[str, Behaviour]):
    """Lists as resolvers read them: a name and all below it."""

    def get(self, name: str, default: Any = None) -> Any:
        return next((self[each] for each in self if f".{name}".endswith(f".{each}")), default)


@pytest.mark.parametrize("encrypted", [True, False])
async def test_where_others_disagree_a_name_that_does_not_exist_is_asked_for(encrypted: bool):
    forged = _WithAllBelow({NAME: Address("127.0.0.7")})
    genuine = {NAME: Address("127.0.0.1", "::1")}
    async with internet(forged, reference=genuine, secure=True) as net:
        names = net.dns_cache()
        await names.system(NAME)
        for _ in range(2):
            await (names.encrypted(NAME) if encrypted else names.references(NAME, widen=True))
        lookups = await names.observations(NAME, "e", 0)
        below = [o for o in lookups if o.contrast is Contrast.NAME_BELOW]
        assert [(o.resolver, o.transport, o.answers, o.failure) for o in below] == [
            ("system", "udp", ("127.0.0.7",), None),
            ("lab", "udp", (), "dns_nxdomain_error"),
            ("lab", "doh", (), "dns_nxdomain_error"),
        ]
        assert len({o.name for o in below}) == 1
        assert below[0].name.endswith(f".{NAME}")


async def test_where_it_does_not_exist_nobody_else_is_asked():
    geographic, far = {NAME: Address("127.0.0.7")}, {NAME: Address("127.0.0.1")}
    async with internet(geographic, reference=far, secure=True) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.references(NAME, widen=True)
        lookups = await names.observations(NAME, "e", 0)
        below = [o for o in lookups if o.contrast is Contrast.NAME_BELOW]
        assert [(o.resolver, o.failure) for o in below] == [("system", "dns_nxdomain_error")]


async def test_where_it_is_denied_a_name_that_nobody_denies_by_order_is_asked_for():
    denied = {name: Rcode("NXDOMAIN") for name in (NAME, "second.test")}
    genuine = {name: Address("127.0.0.1") for name in denied}
    async with internet(denied, reference=genuine) as net:
        names = net.dns_cache()
        for name in denied:
            await names.system(name)
            for _ in range(2):
                await names.references(name, widen=True)
        usual = set()
        for name in denied:
            seen = await names.observations(name, "e", 0)
            below = [o for o in seen if o.contrast is Contrast.NAME_BELOW]
            assert {o.resolver for o in below} == {"system"}
            ends = [o.name.partition(".")[2] for o in below]
            assert ends == [name, "innocuous.test", "innocuous.test"]
            usual |= {o.name for o in below if o.name.endswith(".innocuous.test")}
        asked = Counter(name for _, name, *_ in net.system.seen)
        assert {asked[name] for name in usual} == {2}, usual
        assert len(usual) == 1, "once a round"


async def test_where_others_deny_it_too_nothing_more_is_asked():
    async with internet({NAME: Rcode("NXDOMAIN")}) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.references(NAME, widen=True)
        seen = await names.observations(NAME, "e", 0)
        assert not [o for o in seen if o.contrast is Contrast.NAME_BELOW]


async def test_second_answers_and_injection_are_kept():
    forged = Sequence(((0, Address("10.10.34.34")), (0.03, Address("127.0.0.1"))))
    async with internet({NAME: forged}, injected=Address("10.10.34.34"), timeouts=LISTENING) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ("10.10.34.34",)
        lookups = await names.observations(NAME, "e", net.network.clock_us())
        own = next(o for o in lookups if o.resolver == "system" and o.qtype == "A")
        assert [reply.answers for reply in own.replies] == [("10.10.34.34",), ("127.0.0.1",)]
        silent = next(o for o in lookups if o.resolver == "silent")
        assert silent.answers == ("10.10.34.34",)


async def test_where_the_silent_address_answers_an_innocuous_name_is_asked_for_there_once():
    own = [NAME, "signal.test"]
    table = {name: Address("127.0.0.1") for name in own}
    async with internet(table, injected=Address("10.10.34.34"), timeouts=LISTENING) as net:
        names, seen = net.dns_cache(), list[DNSLookup]()
        for name in own:
            await names.system(name)
            seen += [o for o in await names.observations(name, "e", 0) if o.resolver == "silent"]
        assert all(o.replies for o in seen)
        usual = [o for o in seen if o.name == "innocuous.test"]
        assert [o.name for o in seen if o not in usual] == own
        assert usual[:2] == usual[2:], "asked once a round, for both names"
    async with internet(table, timeouts=LISTENING) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.observations(NAME, "e", 0)
        assert {name for _, name, *_ in net.silent.seen} == {NAME}


@pytest.mark.parametrize("right", [True, False])
async def test_after_a_servfail_the_name_is_asked_for_without_a_check_of_its_signatures(
    right: bool,
):
    there = {NAME: Address("127.0.0.1")} if right else {NAME: Rcode("SERVFAIL")}
    async with internet({NAME: BadSignature(Address("127.0.0.1"))}, reference=there) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ()
        for _ in range(2):
            await names.references(NAME, widen=True)
        lookups = await names.observations(NAME, "e", 0)
        own = [o for o in lookups if o.resolver == "system" and o.name == NAME]
        unchecked = [o for o in own if UNCHECKED in o.evidence]
        asked = [(o.purpose, o.contrast, o.qtype, o.answers) for o in unchecked]
        wanted = (Purpose.CONTRAST, Contrast.REPEAT, "A", ("127.0.0.1",))
        assert asked == ([wanted] if right else []), "only where others give an address"
        assert {o.failure for o in own if o not in unchecked} == {"dns_servfail_error"}


@pytest.mark.parametrize("failing", [Drop(), Rcode("SERVFAIL")])
@pytest.mark.parametrize("addresses", [1, 31])
async def test_where_a_large_answer_is_missing_a_name_below_is_asked_for(
    failing: Behaviour, addresses: int
):
    there = {NAME: Address(*(f"127.0.1.{n}" for n in range(addresses)))}
    async with internet({NAME: failing}, reference=there, timeouts=SHORT) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.references(NAME, widen=True)
        lookups = await names.observations(NAME, "e", 0)
        below = [(o.resolver, o.failure) for o in lookups if o.contrast is Contrast.NAME_BELOW]
        assert below == [("system", "dns_nxdomain_error")] * (addresses > 30)


async def test_where_each_answer_is_another_it_is_compared_with_a_name_that_nobody_has():
    class Pool(_WithAllBelow):
        def get(self, name: str, default: Any = None) -> Any:
            return Address("127.0.0.8") if name.endswith(f".{NAME}") else super().get(name, default)

    genuine = {NAME: Address("127.0.0.1")}
    async with internet(Pool({NAME: Address("127.0.0.7")}), reference=genuine) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.references(NAME, widen=True)
        lookups = await names.observations(NAME, "e", 0)
        here = [o for o in lookups if o.contrast is Contrast.NAME_BELOW and o.resolver == "system"]
        ends = [(o.name.partition(".")[2], o.failure) for o in here]
        assert ends == [(NAME, None)] + [("innocuous.test", "dns_nxdomain_error")] * 2


async def test_a_doubted_answer_is_compared_once_another_resolver_gives_a_different_one():
    """Who answers in place of a resolver over UDP does not do so over TLS."""
    led, genuine = {NAME: Address("127.0.0.7")}, {NAME: Address("127.0.0.1")}
    async with internet(led, reference=led) as net:
        names = net.dns_cache()
        await names.system(NAME)
        await names.doubt(NAME)
        net.reference.table = genuine
        await names.references(NAME, widen=True)
        await names.doubt(NAME)
        lookups = await names.observations(NAME, "e", 0)
        below = [o.resolver for o in lookups if o.contrast is Contrast.NAME_BELOW]
        assert below == ["system"]


async def test_liveness_names_ask_the_machines_resolver_alone():
    async with internet({NAME: Address("127.0.0.1")}) as net:
        names = net.dns_cache()
        assert await names.system(NAME, compare=False) == ("127.0.0.1",)
        lookups = await names.observations(NAME, "e", 0)
        assert {o.resolver for o in lookups} == {"system"}
        assert net.reference.seen == net.silent.seen == []


async def test_a_dropped_name_times_out():
    async with internet({NAME: Drop()}, timeouts=SHORT) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ()
        lookups = await names.observations(NAME, "e", 0)
        own = [o for o in lookups if o.resolver == "system"]
        assert {o.failure for o in own if o.contrast is None} == {"generic_timeout_error"}
        again = [o for o in own if o.contrast is Contrast.REPEAT]
        assert {(o.qtype, o.failure) for o in again} == {
            ("A", "generic_timeout_error"),
            ("AAAA", "generic_timeout_error"),
        }
        assert all(o.took_us > 1_700_000 * SHORT.dns for o in again)  # as long as a stub asks
        beside = [o for o in own if o.contrast is Contrast.INNOCUOUS_NAME]
        assert [(o.name, o.failure) for o in beside] == [
            ("innocuous.test", "dns_nxdomain_error")
        ] * 2
        # Beside the second question, not when all is over.
        ended = min(o.at_us + o.took_us for o in own if o.failure == "generic_timeout_error")
        assert all(o.at_us < ended for o in beside)


async def test_who_is_refused_is_asked_again_from_a_fresh_port_at_once():
    async with internet({NAME: Rcode("REFUSED")}) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ()
        seen = [(name, qtype) for _, name, qtype, _ in net.system.seen]
        assert sorted(seen) == [
            ("innocuous.test", "A"),
            ("innocuous.test", "A"),
            (NAME, "A"),
            (NAME, "A"),
            (NAME, "AAAA"),
            (NAME, "AAAA"),
        ]
        assert len(set(net.system.ports)) == len(net.system.ports) == 6


async def test_a_flow_that_dies_is_no_missing_answer():
    """A resend from the same port would die as well; the answer to the second port is used as soon
    as it comes."""
    async with internet({NAME: Address("127.0.0.1")}, timeouts=SHORT) as net:
        net.system.dead_flows = 2
        names = net.dns_cache()
        assert await names.system(NAME) == ("127.0.0.1",)
        answered_us = net.network.clock_us()
        lookups = await names.observations(NAME, "e", names._started_us)
        first, again = (
            next(o for o in lookups if (o.resolver, o.qtype, o.contrast) == ("system", "A", kind))
            for kind in (None, Contrast.REPEAT)
        )
        assert (first.failure, again.failure) == ("generic_timeout_error", None)
        ended = answered_us - names._started_us
        assert again.at_us + again.took_us <= ended < first.at_us + first.took_us


class OneStale(dict[str, Behaviour]):
    """A resolver of several servers: the one that gets the first question denies the name."""

    asked = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.asked += name == NAME
        return Rcode("NXDOMAIN") if name == NAME and self.asked == 1 else super().get(name, default)


async def test_a_denied_name_is_asked_again_from_a_fresh_port():
    async with internet(OneStale({NAME: Address("127.0.0.1")})) as net:
        names = net.dns_cache()
        assert await names.system(NAME) == ("127.0.0.1",)
        assert [name for _, name, _, _ in net.system.seen].count(NAME) == 3
        assert len(set(net.system.ports)) == len(net.system.ports)


class ByType(dict[str, Behaviour]):
    """A resolver that does something else when it is asked for IPv4."""

    questions: abc.Sequence[tuple[str, str, str, int]] = ()
    """Of the server."""

    def __init__(self, table: dict[str, Behaviour], ipv4: Behaviour) -> None:
        super().__init__(table)
        self.ipv4 = ipv4

    def get(self, name: str, default: Any = None) -> Any:
        asked_a = name == NAME and self.questions[-1][2] == "A"
        return self.ipv4 if asked_a else super().get(name, default)


@pytest.mark.parametrize(
    ("ipv4", "other", "tries"),
    [
        (Rcode("NXDOMAIN"), Address("::1"), 6),
        (Rcode("NXDOMAIN"), Address(), 6),
        (Address(), Address(), 5),  # a missing record is no doubt, two are
        (Rcode("NXDOMAIN"), Rcode("NXDOMAIN"), 2),
        (Address(), Address("::1"), 1),
    ],
)
async def test_a_name_of_which_it_is_in_doubt_whether_it_exists_is_asked_for_more_often(
    ipv4: Behaviour, other: Behaviour, tries: int
):
    """`tries`: questions for IPv4, of which the last four come with two for an innocuous name."""
    table = ByType({NAME: other}, ipv4)
    async with internet(table) as net:
        table.questions = net.system.seen
        names = net.dns_cache()
        for _ in range(2):
            assert await names.system(NAME) == getattr(other, "addresses", ())
        lookups = await names.observations(NAME, "e", 0)
        own = [(o.name, o.qtype, o.contrast) for o in lookups if o.resolver == "system"]
        assert own.count((NAME, "A", None)) + own.count((NAME, "A", Contrast.REPEAT)) == tries
        beside = own.count(("innocuous.test", "A", Contrast.INNOCUOUS_NAME))
        denied = Rcode("NXDOMAIN") in (ipv4, other)
        assert beside == 2 * denied + 2 * (tries > 2)
        assert len(set(net.system.ports)) == len(net.system.ports)


async def test_an_unknown_name_has_no_lookups():
    async with internet({}) as net:
        names = net.dns_cache()
        assert await names.observations("never.asked", "e", 0) == []
        assert not names.widened("never.asked")


async def test_one_encrypted_opinion_is_asked_once_and_not_again_when_widening():
    async with internet(
        {NAME: Address("127.0.0.66")}, reference={NAME: Address("127.0.0.1")}, secure=True
    ) as net:
        names = net.dns_cache()
        await names.system(NAME)
        assert await names.encrypted(NAME) == ("127.0.0.1",)
        assert await names.encrypted(NAME) == ("127.0.0.1",)
        await names.references(NAME, widen=True)
        lookups = await names.observations(NAME, "e", 0)
        asked = [(o.transport, o.qtype) for o in lookups if o.resolver == "lab"]
        assert len(asked) == len(set(asked)) == 6


async def test_injection_is_known_without_waiting_for_silence():
    async with internet(
        {NAME: Address("127.0.0.1")}, injected=Address("10.10.34.34"), timeouts=LISTENING
    ) as net:
        names = net.dns_cache()
        await names.system(NAME)
        assert not await names.injected("never.asked")
        await names._names[NAME].silent[0].first()
        assert await names.injected(NAME)
    async with internet({NAME: Address("127.0.0.1")}) as net:
        names = net.dns_cache()
        await names.system(NAME)
        begin = net.network.clock_us()
        assert not await names.injected(NAME)
        assert net.network.clock_us() - begin < 50_000


async def test_a_resolver_that_cannot_be_connected_to_is_asked_about_a_few_names():
    names = [f"{n}.test" for n in range(MOST_UNOPENED + 3)]
    table = {name: Rcode("NXDOMAIN") for name in names}
    async with internet(table, secure=True) as net:
        closed = [replace(each, dot=f"127.0.0.1:{free_port()}") for each in net.catalogue.resolvers]
        net.catalogue = replace(net.catalogue, resolvers=tuple(closed))
        cache, ways = net.dns_cache(), Counter()
        for name in names:
            await cache.references(name, widen=True)
            lookups = await cache.observations(name, "e", 0)
            ways.update((o.transport, o.failure) for o in lookups if o.resolver == "lab")
    assert ways["dot", "connection_refused"] == MOST_UNOPENED
    assert ways["doh", "dns_nxdomain_error"] == 2 * len(names)
