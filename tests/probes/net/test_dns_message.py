import ipaddress
import struct
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.net import dns_message
from probes.net.dns_message import (
    MAX_REPLY_BYTES,
    NameRefusedError,
    build_query,
    parse_reply,
    reply_failure,
)
from probes.wire.observation import DNSReply


def answer(asked, *rows, rcode=dns.rcode.NOERROR):
    message = dns.message.make_response(dns.message.from_wire(asked.payload))
    message.set_rcode(rcode)
    for name, ttl, kind, qtype, *values in rows:
        absolute = [f"{v}." for v in values] if qtype == "CNAME" else values
        message.answer.append(dns.rrset.from_text(f"{name}.", ttl, kind, qtype, *absolute))
    return message


def test_the_query_is_that_of_a_stub_resolver():
    seen = dns.message.from_wire(build_query("Chat.Example.ORG", "AAAA").payload)
    assert seen.flags == dns.flags.RD
    assert seen.edns == 0
    assert seen.payload == 1232
    assert seen.options == ()
    assert [str(q) for q in seen.question] == ["Chat.Example.ORG. IN AAAA"]


@pytest.mark.parametrize("qtype", ["A", "AAAA"])
@pytest.mark.parametrize("edns", [True, False])
@pytest.mark.parametrize("name", ["Chat.Example.ORG", "a.example.", "bücher.example", "x_y.org"])
def test_question_is_what_the_library_would_send(name, qtype, edns):
    same = dns.message.make_query(
        name, qtype, use_edns=0 if edns else -1, payload=1232, id=0x1234
    ).to_wire()
    assert build_query(name, qtype, identity=0x1234, edns=edns).payload == same


def test_ids_are_random():
    assert len({build_query("a.example", "A").id for _ in range(64)}) > 32


@pytest.mark.parametrize("name", ["a" * 64 + ".org", "a..b", "x\x00y.org", "a b.org", "é" * 300])
def test_name_that_fits_no_message(name):
    with pytest.raises(NameRefusedError, match=r"^'.*': \S"):
        build_query(name, "A")


def test_addresses_at_the_end_of_the_aliases():
    asked = build_query("a.example", "A")
    wire = answer(
        asked,
        ("b.example", 60, "IN", "CNAME", "c.example"),
        ("a.example", 300, "IN", "CNAME", "b.example"),
        ("c.example", 90, "IN", "A", "192.0.2.9", "192.0.2.1"),
        ("elsewhere.example", 90, "IN", "A", "192.0.2.77"),
    ).to_wire()
    reading = parse_reply(wire, asked, 1234)
    assert reading.matches
    assert reading.reply == DNSReply(
        after_us=1234,
        rcode=0,
        answers=("192.0.2.1", "192.0.2.9"),
        cnames=("b.example", "c.example"),
        ttl=60,
    )
    assert reply_failure(reading.reply) is None


def test_mapped_address_is_the_same_on_every_python():
    asked = build_query("a.example", "AAAA")
    reading = parse_reply(
        answer(
            asked, ("a.example", 1, "IN", "AAAA", "::ffff:192.0.2.1", "2001:DB8:0::1")
        ).to_wire(),
        asked,
        0,
    )
    assert reading.reply.answers == ("2001:db8::1", "::ffff:192.0.2.1")


def test_alias_loop_ends():
    asked = build_query("a.example", "A")
    wire = answer(
        asked,
        ("a.example", 1, "IN", "CNAME", "b.example"),
        ("b.example", 1, "IN", "CNAME", "a.example"),
    ).to_wire()
    reading = parse_reply(wire, asked, 0)
    assert reading.evidence == ("cname_loop",)
    assert reading.reply.answers == ()
    assert reply_failure(reading.reply) == "dns_no_answer"


def test_long_alias_chain_is_cut():
    asked = build_query("n0.example", "A")
    rows = [(f"n{i}.example", 1, "IN", "CNAME", f"n{i + 1}.example") for i in range(40)]
    reading = parse_reply(answer(asked, *rows).to_wire(), asked, 0)
    assert len(reading.reply.cnames) == 16
    assert "cname_loop" in reading.evidence


def test_alias_with_control_characters_is_escaped():
    asked = build_query("a.example", "A")
    wire = answer(asked, ("a.example", 1, "IN", "CNAME", r"\000\010\027evil\255.example")).to_wire()
    (alias,) = parse_reply(wire, asked, 0).reply.cnames
    assert alias == r"\000\010\027evil\255.example"
    assert alias.isprintable()


def test_answers_are_bounded():
    asked = build_query("a.example", "A")
    addresses = [str(ipaddress.ip_address("10.0.0.0") + i) for i in range(300)]
    wire = answer(asked, ("a.example", 1, "IN", "A", *addresses)).to_wire(max_size=65535)
    assert len(parse_reply(wire, asked, 0).reply.answers) == 64


@pytest.mark.parametrize(
    ("rcode", "word"),
    [
        (dns.rcode.NOERROR, "dns_no_answer"),
        (dns.rcode.NXDOMAIN, "dns_nxdomain_error"),
        (dns.rcode.REFUSED, "dns_refused_error"),
        (dns.rcode.SERVFAIL, "dns_servfail_error"),
        (dns.rcode.NOTIMP, "dns_server_misbehaving"),
        (dns.rcode.BADVERS, "dns_server_misbehaving"),
    ],
)
def test_rcode_is_named(rcode, word):
    asked = build_query("a.example", "A")
    message = answer(asked)
    message.use_edns(0)
    message.set_rcode(rcode)
    reading = parse_reply(message.to_wire(), asked, 0)
    assert reading.reply.rcode == rcode
    assert reply_failure(reading.reply) == word


@pytest.mark.parametrize(
    ("zone", "remark"),
    [
        ("example.", "authority_soa"),
        ("a.example.", "authority_soa"),
        (".", "authority_soa"),
        ("provider.", "other_zone_soa"),
        ("xample.", "other_zone_soa"),
        ("b.a.example.", "other_zone_soa"),
        ("elsewhere.", "authority_soa"),  # of the alias
    ],
)
def test_negative_answer_with_the_authority_of_its_zone_is_remarked(zone, remark):
    asked = build_query("a.example", "A")
    message = answer(asked, rcode=dns.rcode.NXDOMAIN)
    if zone == "elsewhere.":
        message.answer.append(dns.rrset.from_text("a.example.", 1, "IN", "CNAME", "b.Elsewhere."))
    message.authority.append(
        dns.rrset.from_text(zone, 1, "IN", "SOA", "ns.example. root.example. 1 2 3 4 5")
    )
    assert parse_reply(message.to_wire(), asked, 0).evidence == (remark,)


@pytest.mark.parametrize(
    ("code", "remarks"),
    [
        (15, ("resolver_blocks",)),
        (16, ("resolver_censors",)),
        (17, ("resolver_filters",)),
        (6, ("dnssec_fails",)),
        (9, ("dnssec_fails",)),
        (22, ("nameservers_fail",)),
        (3, ()),  # a stale answer
    ],
)
def test_what_a_resolver_says_of_its_own_denial_is_remarked(code, remarks):
    asked = build_query("a.example", "A")
    options = [dns.edns.EDEOption(code, "why"), dns.edns.GenericOption(10, b"12345678")]
    message = answer(asked, rcode=dns.rcode.NXDOMAIN)
    message.use_edns(0, options=options)
    assert parse_reply(message.to_wire(), asked, 0).evidence == remarks
    message.use_edns(0, options=[*options, dns.edns.EDEOption(code, "again")])
    assert parse_reply(message.to_wire(), asked, 0).evidence == remarks
    message.use_edns(0, options=[dns.edns.GenericOption(15, b"\0")])
    assert parse_reply(message.to_wire(), asked, 0).evidence == ()


def test_replies_to_other_questions_do_not_match():
    asked, other = build_query("a.example", "A"), build_query("b.example", "A")
    assert parse_reply(
        answer(build_query("a.example", "A", identity=asked.id ^ 1)).to_wire(), asked, 0
    ).fault == ("wrong_id")
    wire = struct.pack("!H", asked.id) + answer(other).to_wire()[2:]
    assert parse_reply(wire, asked, 0).fault == "wrong_question"
    assert parse_reply(asked.payload, asked, 0).fault == "malformed"  # our own question, echoed


def test_refusal_without_question_counts():
    asked = build_query("a.example", "A")
    assert reply_failure(
        parse_reply(struct.pack("!6H", asked.id, 0x8185, 0, 0, 0, 0), asked, 0).reply
    ) == ("dns_refused_error")
    assert (
        parse_reply(struct.pack("!6H", asked.id, 0x8180, 0, 0, 0, 0), asked, 0).fault
        == "wrong_question"
    )


def test_a_truncated_reply_is_recognised_even_when_cut_in_the_middle():
    asked = build_query("a.example", "A")
    message = answer(asked, ("a.example", 1, "IN", "A", "192.0.2.1"))
    message.flags |= dns.flags.TC
    wire = message.to_wire()
    assert parse_reply(wire, asked, 0).truncated
    cut = parse_reply(wire[:-20], asked, 0)
    assert (cut.matches, cut.truncated, cut.reply) == (True, True, None)


def test_compression_loop_and_size():
    asked = build_query("a.example", "A")
    head = struct.pack("!6H", asked.id, 0x8180, 1, 0, 0, 0)
    assert parse_reply(head + b"\xc0\x0c\x00\x01\x00\x01", asked, 0).fault == "malformed"
    assert parse_reply(head + bytes(MAX_REPLY_BYTES), asked, 0).fault == "oversized"
    assert parse_reply(b"", asked, 0).fault == "malformed"


def test_reply_made_to_burn_time():
    """Every record points to a name of 120 labels: the library alone needs seconds for this."""
    asked = build_query("a.example", "A")
    question = asked.payload[12 : asked.payload.index(b"\0\0\1\0\1") + 5]
    at = struct.pack("!H", 0xC000 | 12 + len(question))
    record = struct.pack("!HHIH", 5, 1, 1, 2) + at
    body = question + b"\x01a" * 120 + b"\0" + record + (at + record) * 1100
    begun = time.process_time()
    wire = struct.pack("!6H", asked.id, 0x8180, 1, 1101, 0, 0) + body
    assert parse_reply(wire, asked, 0).fault == "oversized"
    assert time.process_time() - begun < 0.25


def test_address_of_a_wrong_length_and_a_broken_tail():
    asked = build_query("a.example", "A")
    wire = answer(asked, ("a.example", 1, "IN", "A", "192.0.2.1")).to_wire()
    reading = parse_reply(wire[:-5], asked, 0)  # cuts the OPT record
    assert (reading.reply.answers, reading.evidence) == (("192.0.2.1",), ("malformed_tail",))
    at = wire.index(b"\0\4\xc0\0\2\1")
    long = wire[:at] + b"\0\x10" + bytes(16) + wire[at + 6 :]
    assert parse_reply(long, asked, 0).fault == "malformed"


ASKED = build_query("a.example", "A", identity=7)
VALID = answer(
    ASKED,
    ("a.example", 1, "IN", "CNAME", "b.example"),
    ("b.example", 1, "IN", "A", "192.0.2.1"),
).to_wire()


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_a_reading(junk, headed):
    reading = parse_reply(struct.pack("!HH", ASKED.id, 0x8180) * headed + junk, ASKED, 1)
    assert reading.fault or reading.truncated or reading.reply


@given(st.lists(st.tuples(st.integers(2, len(VALID) - 1), st.integers(0, 255)), max_size=8))
def test_any_damage_gives_printable_words(damage):
    wire = bytearray(VALID)
    for position, value in damage:
        wire[position] = value
    reply = parse_reply(bytes(wire), ASKED, 1).reply
    if reply:
        assert all(name.isprintable() and len(name) <= 1024 for name in reply.cnames)
        assert all(ipaddress.ip_address(a) for a in reply.answers)


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=3))
def test_names_are_written_as_in_zone_files(labels: list[bytes]):
    written = dns.name.Name((*labels, b"")).to_text(omit_final_dot=True)
    assert dns_message._written(labels) == written


@pytest.mark.parametrize("name", ["", ".", "a..b", f"{'a' * 64}.x", ".".join(["a" * 63] * 4)])
def test_names_that_fit_no_message_are_refused(name: str):
    with pytest.raises(NameRefusedError):
        build_query(name, "A")
