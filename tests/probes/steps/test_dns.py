"""The DNS step against real servers on loopback."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

from probes.net.edns_memory import EDNSMemory
from probes.net.guard import Guard
from probes.net.resolvers import ResolverRoute
from probes.net.socket_network import SocketNetwork
from probes.steps.dns import PendingLookup, WantedLookup, begin_lookup
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import Contrast, DNSLookup, DNSReply, Purpose
from tests.world.dns_server import (
    SERVER_NAME,
    Address,
    DNSServer,
    Drop,
    Garbage,
    Hangup,
    NoEDNS,
    Rcode,
    Sequence,
    Truncated,
    WrongId,
    WrongQuestion,
    server_context,
)
from tests.world.ports import free_port

pytestmark = pytest.mark.slow

LAB = SocketNetwork(guard=Guard(allow_private=True))
TRANSPORTS = ("udp", "tcp", "dot", "doh")
NAME = "chat.example"


def route(server: DNSServer, transport: str = "udp", **changes: object) -> ResolverRoute:
    values: dict[str, object] = {
        "id": "lab",
        "transport": transport,
        "address": server.host,
        "port": getattr(server, f"{transport}_port"),
    }
    if transport in ("dot", "doh"):
        values |= {"server_name": SERVER_NAME, "trust": server.trust, "path": "/dns-query"}
    return ResolverRoute(**(values | changes))


PATIENT = 30.0
"""Seconds for an answer that comes: a limit against a hang alone."""
WINDOW = 2.0
"""Seconds of listening where a second answer comes."""


async def lookup(network: SocketNetwork, via: object, **options: object) -> DNSLookup:
    """Begin a lookup and wait for its end."""
    edns = options.pop("edns", None)
    async with asyncio.TaskGroup() as group:
        pending = begin_lookup(group, network, WantedLookup(**options), via, edns=edns)
    return await pending.finish()


async def ask(via: ResolverRoute, name: str = NAME, qtype: str = "A", **changes: object):
    options = {"window": 0.05, "timeout": PATIENT} | changes
    seen = await lookup(
        LAB,
        endpoint="chat.example:443/https",
        name=name,
        qtype=qtype,
        via=via,
        started_us=LAB.clock_us(),
        **options,
    )
    travels(seen)
    return seen


def travels(seen) -> None:
    """Whatever was seen is a valid observation on the wire."""
    measurement = Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="chat/messaging",
        round=0,
        started=0,
        observations=(seen,),
    )
    assert decode(encode(measurement)) == measurement


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_addresses_over_every_transport(transport):
    table = {NAME: Address("192.0.2.2", "192.0.2.1", "2001:db8::1", aliases=("edge.example",))}
    async with DNSServer(table, secure=True) as server:
        seen = await ask(route(server, transport))
        assert (seen.failure, seen.evidence) == (None, ())
        assert seen.answers == ("192.0.2.1", "192.0.2.2")
        assert seen.replies[0].cnames == ("edge.example",)
        assert seen.replies[0].ttl == 60
        assert (seen.resolver, seen.transport, len(seen.replies)) == ("lab", transport, 1)
        assert 0 < seen.replies[0].after_us <= seen.took_us + 1000
        seen = await ask(route(server, transport), qtype="AAAA")
        assert seen.answers == ("2001:db8::1",)
        assert [entry[0] for entry in server.seen] == [transport] * 2


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("NXDOMAIN", "dns_nxdomain_error"),
        ("REFUSED", "dns_refused_error"),
        ("SERVFAIL", "dns_servfail_error"),
        ("NOERROR", "dns_no_answer"),
        ("NOTIMP", "dns_server_misbehaving"),
    ],
)
async def test_negative_answers(transport, code, word):
    async with DNSServer({NAME: Rcode(code)}, secure=True) as server:
        seen = await ask(route(server, transport))
        assert seen.failure == word
        assert len(seen.replies) == 1
        assert seen.answers == ()


async def test_no_address_of_the_asked_family_is_no_answer():
    async with DNSServer({NAME: Address("192.0.2.1")}) as server:
        assert (await ask(route(server), qtype="AAAA")).failure == "dns_no_answer"


async def test_ipv6_resolver():
    async with DNSServer({NAME: Address("192.0.2.1")}, host="::1") as server:
        assert (await ask(route(server))).answers == ("192.0.2.1",)


async def test_purpose_and_contrast_are_kept():
    async with DNSServer({}) as server:
        seen = await ask(route(server), purpose=Purpose.CONTRAST, contrast=Contrast.SILENT_ADDRESS)
        assert (seen.purpose, seen.contrast) == (Purpose.CONTRAST, Contrast.SILENT_ADDRESS)


async def test_every_reply_of_the_window_is_a_fact():
    forged, real = Address("192.0.2.66"), Address("192.0.2.1")
    table = {NAME: Sequence(((0, forged), (0.02, real), (0.04, real), (9.0, forged)))}
    async with DNSServer(table) as server:
        seen = await ask(route(server), window=WINDOW)
        assert [r.answers for r in seen.replies] == [
            ("192.0.2.66",),
            ("192.0.2.1",),
            ("192.0.2.1",),
        ]
        assert seen.replies[1].after_us >= 18_000
        assert seen.took_us < seen.replies[1].after_us
        assert seen.failure is None


async def test_forged_refusal_before_the_real_answer():
    table = {NAME: Sequence(((0, Rcode("NXDOMAIN")), (0.02, Address("192.0.2.1"))))}
    async with DNSServer(table) as server:
        seen = await ask(route(server), window=WINDOW)
        assert seen.failure == "dns_nxdomain_error"
        assert [r.rcode for r in seen.replies] == [3, 0]


async def test_first_reply_is_offered_before_the_window_is_over():
    table = {NAME: Sequence(((0, Address("192.0.2.66")), (1.0, Address("192.0.2.1"))))}
    async with DNSServer(table) as server, asyncio.TaskGroup() as group:
        begun = time.monotonic()
        pending = begin_lookup(
            group,
            LAB,
            WantedLookup(
                endpoint="e", name=NAME, qtype="A", started_us=LAB.clock_us(), window=WINDOW
            ),
            route(server),
        )
        first = await pending.first()
        assert len(first.replies) == 1
        whole = await pending.finish()
        assert time.monotonic() - begun >= WINDOW
        assert len(whole.replies) == 2
        assert (whole.at_us, whole.took_us) == (first.at_us, first.took_us)
        assert await pending.first() == whole


async def test_silence_times_out_after_three_questions_with_fresh_ids():
    async with DNSServer({NAME: Drop()}) as server:
        seen = await ask(route(server), timeout=0.6)
        assert seen.failure == "generic_timeout_error"
        assert seen.replies == ()
        assert seen.evidence == ("sent_again",)
        assert seen.took_us >= 590_000
        assert len({identity for *_, identity in server.seen}) == len(server.seen) == 3


async def test_lost_packet_is_asked_again():
    async with DNSServer({NAME: Drop(1, Address("192.0.2.1"))}) as server:
        seen = await ask(route(server), timeout=4.0)
        assert seen.answers == ("192.0.2.1",)
        assert set(seen.evidence) == {"sent_again", "without_edns"}


async def test_where_edns_is_dropped_a_question_without_it_is_answered():
    """By a firewall that knows no EDNS; after two of its names nobody waits for it again."""
    async with DNSServer({NAME: NoEDNS(Address("192.0.2.1"), drops=True)}) as server:
        memory = EDNSMemory()
        seen = [await ask(route(server), timeout=2.0, edns=memory) for _ in range(3)]
        assert {each.answers for each in seen} == {("192.0.2.1",)}
        sent_again = {"sent_again", "without_edns"}
        assert [set(each.evidence) for each in seen] == [sent_again, sent_again, {"without_edns"}]
        assert seen[2].took_us < 450_000 <= min(seen[0].took_us, seen[1].took_us)


async def test_a_lost_packet_is_no_sign_that_edns_is_dropped():
    table = {NAME: Drop(1, Address("192.0.2.1")), "b.example": Address("192.0.2.2")}
    async with DNSServer(table) as server:
        memory = EDNSMemory()
        for name in ("b.example", NAME):
            await ask(route(server), name, timeout=2.0, edns=memory)
        for _ in range(2):
            memory.answered(server.host, edns=False)
        assert not memory.drops(server.host)


async def test_answers_to_both_sendings_are_no_second_answer():
    """A slow resolver that answers each sending, with a rotating address."""
    slow = Sequence(((0.75, Address("192.0.2.1")),))
    async with DNSServer({NAME: slow}) as server:
        for window in (1.2, 0.0):  # also where nothing is read after the first answer
            seen = await ask(route(server), timeout=2.4, window=window)
            assert len(seen.replies) == 1
            assert set(seen.evidence) == {"sent_again", "sent_again_answered"}


async def test_replies_that_match_nothing_do_not_count():
    real = Address("192.0.2.1")
    table = {
        NAME: Sequence(((0, WrongId(real)), (0, WrongQuestion(real)), (0, Garbage(b"x")),
                        (0.02, real))),
        "alone.example": WrongId(real),
    }  # fmt: skip
    async with DNSServer(table) as server:
        seen = await ask(route(server))
        assert (seen.failure, seen.answers, len(seen.replies)) == (None, ("192.0.2.1",), 1)
        assert set(seen.evidence) == {"wrong_id", "wrong_question", "malformed"}
        seen = await ask(route(server), "alone.example", timeout=0.2)
        assert seen.failure == "generic_timeout_error"
        assert "wrong_id" in seen.evidence


HOSTILE = {
    "loop": Garbage(struct.pack("!4H", 1, 1, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01", headed=True),
    "short": Garbage(b"", headed=True),
    "huge": Garbage(bytes(40000), headed=True),
    "noise": Garbage(bytes(range(256)), headed=True),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_replies_never_raise(transport, kind):
    async with DNSServer({NAME: HOSTILE[kind]}, secure=True) as server:
        seen = await ask(route(server, transport), timeout=1.0 if transport == "udp" else PATIENT)
        assert seen.failure == "dns_server_misbehaving"
        assert {"malformed", "oversized"} & set(seen.evidence)


async def test_alias_loop_and_control_characters():
    table = {
        NAME: Address(aliases=(r"\000\010x.example", NAME)),
    }
    async with DNSServer(table) as server:
        seen = await ask(route(server))
        assert seen.failure == "dns_no_answer"
        assert seen.replies[0].cnames == (r"\000\010x.example",)
        assert seen.evidence == ("cname_loop",)


async def test_flood_ends():
    flood = Sequence(tuple((0.0, WrongId(Address("192.0.2.1"))) for _ in range(400)))
    async with DNSServer({NAME: flood}) as server:
        seen = await ask(route(server), timeout=0.5)
        assert seen.failure == "generic_timeout_error"
        assert "wrong_id" in seen.evidence


async def test_replies_are_bounded():
    many = Sequence(tuple((0.0, Address("192.0.2.1")) for _ in range(40)))
    async with DNSServer({NAME: many}) as server:
        assert len((await ask(route(server), window=5.0)).replies) == 16


async def test_truncated_reply_is_fetched_over_tcp():
    async with DNSServer({NAME: Truncated(Address("192.0.2.1"))}) as server:
        seen = await ask(route(server))
        assert (seen.failure, seen.answers) == (None, ("192.0.2.1",))
        assert (seen.transport, seen.evidence) == ("udp", ("truncated",))
        assert [entry[0] for entry in server.seen] == ["udp", "tcp"]


async def test_truncated_reply_and_no_tcp():
    async with DNSServer({NAME: Sequence(((0, Truncated(Hangup())), (0, Hangup())))}) as server:
        seen = await ask(route(server))
        assert seen.evidence[0] == "truncated"
        assert seen.failure is not None


async def test_server_without_edns():
    async with DNSServer({NAME: NoEDNS(Address("192.0.2.1"))}) as server:
        seen = await ask(route(server))
        assert (seen.answers, seen.evidence) == (("192.0.2.1",), ("no_edns",))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nobody_listens(transport):
    via = ResolverRoute("lab", transport, "127.0.0.1", free_port(), SERVER_NAME, "/")
    seen = await ask(via)
    assert seen.failure == "connection_refused"
    assert seen.evidence == (() if transport == "udp" else ("at_connect",))


@pytest.mark.parametrize("transport", ["tcp", "dot", "doh"])
async def test_connection_closed_or_silent_after_the_question(transport):
    async with DNSServer({NAME: Hangup(), "mute.example": Drop()}, secure=True) as server:
        seen = await ask(route(server, transport))
        assert seen.failure in ("eof_error", "connection_reset")
        seen = await ask(route(server, transport), "mute.example", timeout=2.0)
        assert (seen.failure, seen.evidence) == ("generic_timeout_error", ("at_query",))


@pytest.mark.parametrize("transport", ["dot", "doh"])
async def test_foreign_certificate(transport):
    _, stranger = server_context("stranger.test")
    async with DNSServer({NAME: Address("192.0.2.1")}, secure=True) as server:
        seen = await ask(route(server, transport, trust=stranger))
        assert (seen.failure, seen.evidence) == ("ssl_unknown_authority", ("at_tls",))
        seen = await ask(route(server, transport, server_name="other.test"))
        assert (seen.failure, seen.evidence) == ("ssl_invalid_hostname", ("at_tls",))
        seen = await ask(route(server, transport, server_name=""))
        assert seen.answers == ("192.0.2.1",)  # the address itself is in the certificate
        assert [entry[0] for entry in server.seen] == [transport]


async def test_plain_port_where_tls_should_be():
    async with DNSServer({NAME: Address("192.0.2.1")}, secure=True) as server:
        seen = await ask(route(server, "dot", port=server.tcp_port), timeout=2.0)
        assert seen.failure is not None
        assert seen.evidence == ("at_tls",)


async def test_guard_refuses_and_nothing_is_sent():
    async with DNSServer({NAME: Address("192.0.2.1")}) as server:
        seen = await lookup(
            SocketNetwork(), endpoint="e", name=NAME, qtype="A", via=route(server), started_us=0
        )
        travels(seen)
        assert seen.failure == "unknown_failure: destination refused by the guard"
        assert seen.evidence == ("not_dialled",)
        assert server.seen == []


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b", "x\x00\n.example", "\ud800"])
async def test_name_that_cannot_be_asked(name):
    async with DNSServer({}) as server:
        assert (await ask(route(server), name)).failure == "unknown_failure: name_refused"
        assert server.seen == []


async def system(via, **changes):
    options = {"window": 0.05} | changes
    seen = await lookup(
        LAB, endpoint="e", name=NAME, qtype="A", via=via, started_us=LAB.clock_us(), **options
    )
    travels(seen)
    return seen


async def test_stub_asks_the_next_nameserver():
    async with (
        DNSServer({NAME: Drop()}) as mute,
        DNSServer({NAME: Rcode("REFUSED")}) as refusing,
        DNSServer({NAME: Address("192.0.2.1")}) as good,
    ):
        seen = await system([route(mute), route(refusing), route(good)], timeout=2.0)
        assert seen.answers == ("192.0.2.1",)
        assert seen.evidence == ("ns1_generic_timeout_error", "ns2_dns_refused_error")
        seen = await system([route(good), route(mute)], timeout=PATIENT)
        assert (seen.answers, seen.evidence) == (("192.0.2.1",), ())
        assert len(mute.seen) == 3


async def test_stub_believes_nxdomain():
    async with DNSServer({}) as lying, DNSServer({NAME: Address("192.0.2.1")}) as good:
        assert (
            await system([route(lying), route(good)], timeout=PATIENT)
        ).failure == "dns_nxdomain_error"
        assert good.seen == []


async def test_stub_without_a_usable_nameserver_reports_the_first():
    forged = Sequence(((0, Rcode("SERVFAIL")), (0.02, Address("192.0.2.1"))))
    async with DNSServer({NAME: forged}) as first, DNSServer({NAME: Drop()}) as second:
        seen = await system([route(first), route(second)], window=WINDOW, timeout=1.0)
        assert seen.failure == "dns_servfail_error"
        assert [r.rcode for r in seen.replies] == [2, 0]
        assert seen.evidence == ("ns1_dns_servfail_error", "ns2_generic_timeout_error")


async def test_stub_early_answer_through_begin_lookup():
    async with (
        DNSServer({NAME: Drop()}) as mute,
        DNSServer({NAME: Address("192.0.2.1")}) as good,
        asyncio.TaskGroup() as group,
    ):
        wanted = WantedLookup(
            endpoint="e", name=NAME, qtype="A", started_us=LAB.clock_us(), window=5.0, timeout=1.0
        )
        pending = begin_lookup(group, LAB, wanted, (route(mute), route(good)))
        whole = group.create_task(pending.finish())
        assert (await pending.first()).answers == ("192.0.2.1",)
        assert not whole.done()
        assert (await whole).answers == ("192.0.2.1",)


EARLY = DNSLookup(endpoint="", name="a.example", qtype="A", resolver="system", replies=(
    DNSReply(after_us=1, rcode=0, answers=("192.0.2.1",)),
))  # fmt: skip
LATE = DNSLookup(
    endpoint="",
    name="a.example",
    qtype="A",
    resolver="system",
    replies=(*EARLY.replies, DNSReply(after_us=9, rcode=0, answers=("192.0.2.2",))),
)


async def test_the_first_answer_is_there_before_the_last() -> None:
    pending = PendingLookup()
    async with asyncio.TaskGroup() as group:
        early = [group.create_task(pending.first()) for _ in range(3)]
        late = group.create_task(pending.finish())
        await asyncio.sleep(0)
        pending.set_first(EARLY)
        assert [await task for task in early] == [EARLY] * 3
        assert not late.done()
        pending.set_final(LATE)
        assert await late == LATE
    assert await pending.first() == LATE


async def test_a_final_observation_is_the_first_as_well() -> None:
    pending = PendingLookup()
    pending.set_final(LATE)
    assert await pending.first() == await pending.finish() == LATE


async def test_one_who_stops_waiting_does_not_disturb_the_others() -> None:
    pending = PendingLookup()
    async with asyncio.TaskGroup() as group:
        patient = group.create_task(pending.first())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await pending.first()
        pending.set_first(EARLY)
        assert await patient == EARLY
