"""A narrow place on the ISP's line: for a name, for addresses, or for everything; and streams that
stop dead. The kernel shapes (htb), which delays packets; it does not drop them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.plan import Plan, Service
from tests.lab.world import World

RATES = (160, 320, 640, 1280, 2000)
"""kbit/s, by the seed."""
FROZEN_AFTER = 16384
"""Bytes of a connection, handshake and headers included, that pass (Russia, 2025: 16 to 20 kB)."""
PACKET_BYTES = 1500
BUCKET_BYTES = 15_000
"""How much a policer lets pass at once. In packets: a limit in bytes lets a second's worth pass as
well (nft_limit of Linux 6), which is the whole transfer."""
MARK, _CLASS = "7", "1:10"


def disturb(world: World, plan: Plan, how: str, victim: Service, kbit: int = 0) -> None:
    """Make the trouble of one case; the rate is the seed's when none is given."""
    kbit, host = kbit or RATES[plan.seed % len(RATES)], victim.host
    match how:
        case "sni":
            narrow(world, kbit)
            mark_name(world, host.name)
            world.run_both("-t", "mangle", "-A", "FORWARD", *_MARKED, *_INTO)
        case "policed":  # what is too much is dropped and not delayed
            single_segments(world)
            mark_name(world, host.name)
            world.nft(
                f"add rule inet c f oifname pr1 ct mark {MARK} "
                f"limit rate over {kbit * 125 // PACKET_BYTES}/second "
                f"burst {BUCKET_BYTES // PACKET_BYTES} packets drop"
            )
        case "address":
            narrow(world, kbit)
            for address in host.addresses:
                table = "ip6tables" if ":" in address else "iptables"
                world.run("isp", table, "-t", "mangle", "-A", "FORWARD", "-s", address, *_INTO)
        case "jammed":
            narrow(world, kbit)
            for address in host.addresses:
                table = "ip6tables" if ":" in address else "iptables"
                world.run("isp", table, "-t", "mangle", "-A", "FORWARD", "-s", address, *_INTO)
            number_connections(world, host.name)
            for number in (3, 4):
                world.run_both("-A", "FORWARD", *_numbered(number), "-j", "DROP")
        case "at_times":
            narrow(world, kbit)
            most = 7  # as many as a series of pairs has, and two more
            number_connections(world, host.name, most)
            count_bytes(world)
            for number in range(2, most + 1):
                if (number + plan.seed // 2) % 2:
                    world.run_both("-t", "mangle", "-A", "FORWARD", *_numbered(number), *_INTO)
                else:
                    world.run_both(
                        "-A", "FORWARD", "-i", "pr1", "-p", "tcp", *_numbered(number),
                        "-m", "connbytes", "--connbytes", f"{FROZEN_AFTER}:", "--connbytes-dir",
                        "reply", "--connbytes-mode", "bytes",
                        "-j", "REJECT", "--reject-with", "tcp-reset",
                    )  # fmt: skip
        case "freeze":
            mark_name(world, host.name)
            freeze(world, [_MARKED])
        case "freeze_address":
            freeze(world, [("-s", address) for address in host.addresses])
        case "congestion":
            narrow(world, kbit, everything=True)
        case "loss_and_delay":
            lose(world, 2)
            world.delay(0.1)
        case _:
            pass  # the world itself is the case


_MARKED = ("-m", "connmark", "--mark", MARK)
_INTO = ("-j", "CLASSIFY", "--set-class", _CLASS)


def single_segments(world: World) -> None:
    """What comes from the internet passes the ISP as packets, not as 64 kB of them at once."""
    world.ip("-n", "internet", "link", "set", "tr1", "gso_max_segs", "1")


def narrow(world: World, kbit: int, *, everything: bool = False) -> None:
    """A class of so many kbit/s towards the probe, and whether everything goes into it."""
    single_segments(world)
    usual = "10" if everything else "1"
    for line in (
        f"qdisc add dev pr1 root handle 1: htb default {usual}",
        "class add dev pr1 parent 1: classid 1:1 htb rate 1gbit",
        f"class add dev pr1 parent 1: classid {_CLASS} htb rate {kbit}kbit burst 2k quantum 1514",
    ):
        world.run("isp", "tc", *line.split())


def mark_name(world: World, name: str) -> None:
    """Mark connections whose ClientHello shows a name."""
    world.run_both(
        "-t", "mangle", "-A", "FORWARD", "-i", "pr1", "-p", "tcp", "--dport", "443",
        "-m", "string", "--algo", "bm", "--string", name, "-j", "CONNMARK", "--set-mark", MARK,
    )  # fmt: skip


def number_connections(world: World, name: str, most: int = 4) -> None:
    """Mark connections whose ClientHello shows a name with their number at their address; those
    after `most` have its mark."""
    hello = (
        "-A", "FORWARD", "-i", "pr1", "-p", "tcp", "--dport", "443",
        "-m", "string", "--algo", "bm", "--string", name,
    )  # fmt: skip
    for table in ("iptables", "ip6tables"):
        seen = ("-m", "recent", "--name", table, "--rdest")
        begun = (*hello, "-m", "connmark", "--mark", "0", *seen)
        world.run("isp", table, "-t", "mangle", *begun, "--set")
        for number in range(most, 0, -1):
            met = ("--rcheck", "--hitcount", str(number))
            mark = ("-j", "CONNMARK", "--set-mark", str(number))
            world.run("isp", table, "-t", "mangle", *begun, *met, *mark)


def _numbered(number: int) -> tuple[str, ...]:
    return ("-m", "connmark", "--mark", str(number))


def freeze(world: World, which: Sequence[Sequence[str]]) -> None:
    """Let FROZEN_AFTER bytes of a connection through, and no more."""
    single_segments(world)
    count_bytes(world)
    for match in which:
        rule = (
            "-A", "FORWARD", "-o", "pr1", "-p", "tcp", *match, "-m", "connbytes",
            "--connbytes", f"{FROZEN_AFTER}:", "--connbytes-dir", "reply",
            "--connbytes-mode", "bytes", "-j", "DROP",
        )  # fmt: skip
        if "-s" in match:
            table = "ip6tables" if ":" in match[-1] else "iptables"
            world.run("isp", table, *rule)
        else:
            world.run_both(*rule)


def count_bytes(world: World) -> None:
    """Have the bytes of each connection counted at the ISP."""
    world.run("isp", "sh", "-c", "echo 1 > /proc/sys/net/netfilter/nf_conntrack_acct")


def lose(world: World, percent: int) -> None:
    """Drop so many of a hundred packets, in both directions."""
    single_segments(world)
    world.nft(f"add rule inet c f numgen random mod 100 < {percent} drop")


def hold(world: World, round_trip: float) -> None:
    """Delay every IPv4 packet by half a round trip (seconds); IPv6 is refused at once."""
    single_segments(world)
    world.interfere({"delay": round_trip / 2})
    world.nft("add rule inet c f meta nfproto ipv6 reject with icmpv6 type no-route")
