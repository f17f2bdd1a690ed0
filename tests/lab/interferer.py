"""What the ISP runs: a lying DNS proxy, an injector, and a transparent proxy for TLS and HTTP.

`python -m tests.lab.interferer`, orders as one JSON object on standard input. It says `ready` on
standard output when its sockets are open. Names it has no orders for pass untouched.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.lab.answers import ANSWERS
from tests.lab.hello import chooses_tls13, server_name, whole_hello
from tests.lab.nfqueue import Queue, datagram
from tests.lab.orders import APP_PORT, DNS_PORT, EVERY, HTTP_PORT, TLS_PORT
from tests.lab.reassembly import reassemble
from tests.lab.recognition import enough, recognised

PATIENCE = 40
_SO_ORIGINAL_DST = 80  # include/uapi/linux/netfilter_ipv4.h; the same number for IPv6


def forged(query: dns.message.Message, order: dict[str, Any]) -> bytes | None:
    """Return the false answer to a query for the name in the order, or for one below it, as lists
    of blocked names are read; None for other names."""
    question = query.question[0]
    below = _name(query).endswith(f".{order['name']}") and not order.get("exact")
    if order["name"] not in (_name(query), EVERY) and not below:
        return None
    kind = dns.rdatatype.to_text(question.rdtype)
    if kind != order.get("only", kind):
        return None
    answer = dns.message.make_response(query, recursion_available=True)
    if order.get("truncated"):
        answer.flags |= dns.flags.TC
    if "rcode" in order:
        answer.set_rcode(dns.rcode.from_text(order["rcode"]))
    if "reason" in order and query.edns >= 0:  # RFC 8914
        answer.use_edns(0, options=[dns.edns.EDEOption(order["reason"])])
    if zone := order.get("zone"):
        soa = f"ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60"
        answer.authority.append(dns.rrset.from_text(f"{zone}.", 60, "IN", "SOA", soa))
    given = order.get("address" if question.rdtype == dns.rdatatype.A else "address6")
    if given:
        owner, ttl = question.name, order.get("ttl", 60)
        if alias := order.get("alias"):
            answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", "CNAME", f"{alias}."))
            owner = dns.name.from_text(alias)
        texts = [given] if isinstance(given, str) else given
        if order.get("pool"):
            texts = [random.choice(texts)]
        answer.answer.append(dns.rrset.from_text(owner, ttl, "IN", kind, *texts))
    return answer.to_wire()


def _name(query: dns.message.Message) -> str:
    return query.question[0].name.to_text(omit_final_dot=True).lower()


def lie(sock: socket.socket, order: dict[str, Any]) -> None:
    """Answer the name falsely, pass other questions on to the resolver."""
    lied = asked = 0
    hushed_until = cached_at = 0.0
    heard: set[tuple[str, int]] = set()
    while True:
        payload, sender = sock.recvfrom(4096)
        asked += 1
        query = dns.message.from_wire(payload)
        false = forged(query, order)
        if "hush" in order:
            if false is not None and not hushed_until:
                hushed_until = time.monotonic() + order["hush"]
            if time.monotonic() < hushed_until:
                continue
            false = None
        wait = order.get("wait", 0)
        if "slow" in order and false is not None:  # its own servers are; then it is in the cache
            cached_at = cached_at or time.monotonic() + order["slow"]
            wait, false = max(0.0, cached_at - time.monotonic()), None
        if "at_first" in order and not _fails(query, order["at_first"], heard):
            false = None
        if random.randrange(100) >= order.get("percent", 100):
            false = None
        if asked <= order.get("patience", 0):  # so many questions are answered, whatever they are
            false = None
        if false is not None:
            lied += 1
            if (lied - 1) % order.get("of", 1):  # the first of every `of` questions is lied to
                false = None
        given = (sock, payload, sender, order, false, wait)
        threading.Thread(target=_lie_once, args=given, daemon=True).start()


def _fails(query: dns.message.Message, only: dict[str, Any], heard: set[tuple[str, int]]) -> bool:
    """Each question fails the first time alone; one name's always, and other names' never."""
    name, question = _name(query), (_name(query), int(query.question[0].rdtype))
    again = question in heard
    heard.add(question)
    return name == only["always"] or not (again or name in only["never"])


def _lie_once(
    sock: socket.socket,
    payload: bytes,
    sender: Any,
    order: dict[str, Any],
    false: bytes | None,
    wait: float,
) -> None:
    if false is not None and order.get("silent"):
        return
    time.sleep(wait)
    if "no_edns" in order and dns.message.from_wire(payload).edns >= 0:
        if order["no_edns"] == "drop":
            return
        refusal = dns.message.make_response(dns.message.from_wire(payload))
        refusal.use_edns(False)
        refusal.set_rcode(dns.rcode.FORMERR)
        false = refusal.to_wire()
    if false is None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(5)
            upstream.sendto(payload, (order["upstream"], 53))
            false = upstream.recv(4096)
        if "upper_case" in order:
            false = _shouted(false)
    for _ in range(order.get("copies", 1)):
        sock.sendto(false, sender)


def _shouted(answer: bytes) -> bytes:
    """The same answer, with the name in the question in capitals; pointers lead to it."""
    end = answer.index(b"\0", 12)
    return answer[:12] + answer[12:end].upper() + answer[end:]


def inject(queue: Queue, order: dict[str, Any]) -> None:
    """Race every answer for the name with a false one; the question itself goes on."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for identity, packet in queue.packets():
        start = (packet[0] & 15) * 4
        source, to = (socket.inet_ntoa(packet[n : n + 4]) for n in (12, 16))
        source_port, to_port = struct.unpack_from("!HH", packet, start)
        query = dns.message.from_wire(packet[start + 8 :])
        false = forged(query, order)
        if false is None:
            queue.verdict(identity)
            continue
        others = (forged(query, order | {"address": a}) for a in order.get("several", ()))
        answers = [false, *(each for each in others if each)]
        for _ in range(order.get("guesses", 0)):
            query.id = random.randrange(1 << 16)
            answers.append(forged(query, order) or b"")
        if order.get("guesses"):
            del answers[0]  # it does not know the id
        packets = [datagram(to, to_port, source, source_port, answer) for answer in answers]
        if "stall" in order:
            genuine = order["stall"] == "genuine"
            go_on = (0.1 if genuine else SLOW_ANSWER, queue.verdict, (identity,))
            threading.Timer(*go_on).start()
            _stall(raw, source, [] if genuine else packets)
            order = order | {"name": ""}  # this question alone
            continue
        for each in packets:
            raw.sendto(each, (source, 0))
            if order.get("after"):
                threading.Timer(0.5, raw.sendto, (each, (source, 0))).start()
        time.sleep(0.002)
        queue.verdict(identity)


STALLED, SLOW_ANSWER = 1.6, 2.5
"""Seconds. A question is sent again after 1.25 s: the timer ends while the machine stands still."""


def _stall(raw: socket.socket, source: str, packets: list[bytes]) -> None:
    """The probe's machine stands still for a moment, in which these packets arrive."""
    space = Path("/run/netns/probe").stat().st_ino
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _lives(p, space)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for each in packets:
            raw.sendto(each, (source, 0))
        time.sleep(STALLED)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _lives(process: Path, space: int) -> bool:
    """Whether a process is in this network namespace."""
    try:
        return (process / "ns/net").stat().st_ino == space
    except OSError:
        return False


def hold(queue: Queue, seconds: float) -> None:
    """Let every packet go on, later."""
    due: deque[tuple[float, int]] = deque()
    while True:
        left = due[0][0] - time.monotonic() if due else None
        at = time.monotonic() + seconds if queue.waits(left) else 0.0
        for _ in range(256 if at else 0):  # what came at once goes on at once
            if not queue.waits(0.0):
                break
            due.extend((at, identity) for identity, _ in queue.batch())
        now, last = time.monotonic(), None
        while due and due[0][0] <= now:
            last = due.popleft()[1]
        if last is not None:
            queue.accept_up_to(last)


def wake(queue: Queue, order: dict[str, float]) -> None:
    """A radio that sleeps whenever nothing was sent for a while: what is sent then waits."""
    last = 0.0
    for identity, _ in queue.packets():
        if time.monotonic() - last > order["idle"]:
            time.sleep(order["seconds"])
        last = time.monotonic()
        queue.verdict(identity)


def original(sock: socket.socket) -> tuple[str, int]:
    """Where the client meant to go before the redirect."""
    if sock.family == socket.AF_INET6 and not sock.getsockname()[0].startswith("::ffff:"):
        raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(raw[4:8]), struct.unpack_from("!H", raw, 2)[0]


def peek(sock: socket.socket, wanted: Any) -> bytes:
    """Look at what has come, without taking it, until `wanted` says it is enough."""
    sock.settimeout(PATIENCE)
    seen, until = b"", time.monotonic() + 5
    while time.monotonic() < until:
        head = sock.recv(16384, socket.MSG_PEEK)
        if not head or wanted(head):
            return head
        if head == seen:
            time.sleep(0.005)
        seen = head
    return seen


def splice(client: socket.socket) -> None:
    """Connect to where the client meant to go, and pass bytes both ways."""
    with socket.create_connection(original(client), timeout=PATIENCE) as server:
        _relay(client, server)


def _relay(client: socket.socket, server: socket.socket) -> None:
    pairs = {client: server, server: client}
    while True:
        ready, _, _ = select.select(list(pairs), [], [], PATIENCE)
        if not ready:
            return
        for sock in ready:
            if not (chunk := sock.recv(65536)):
                return
            pairs[sock].sendall(chunk)


def splice_old_tls(client: socket.socket) -> bool:
    """Pass bytes both ways, unless the server chooses TLS 1.3; return whether it did."""
    with socket.create_connection(original(client), timeout=PATIENCE) as server:
        server.sendall(client.recv(16384))
        modern = chooses_tls13(peek(server, whole_hello))
        if not modern:
            _relay(client, server)
        return modern


_DATA_RECORD = 23
"""Of a TLS 1.3 client the first is the end of its handshake, the second its request."""


def let_in(client: socket.socket) -> None:
    """Pass bytes both ways until the client sends its first request within TLS."""
    with socket.create_connection(original(client), timeout=PATIENCE) as server:
        seen, requests = b"", 0
        while True:
            ready, _, _ = select.select([client, server], [], [], PATIENCE)
            if not ready or (server in ready and not (chunk := server.recv(65536))):
                return
            if server in ready:
                client.sendall(chunk)
            if client in ready:
                if not (chunk := client.recv(65536)):
                    return
                seen += chunk
            while len(seen) >= 5 and len(seen) >= (end := 5 + int.from_bytes(seen[3:5], "big")):
                requests += seen[0] == _DATA_RECORD
                if requests > 1:
                    return
                server.sendall(seen[:end])
                seen = seen[end:]


def reset(client: socket.socket) -> None:
    """Close with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def pretend(client: socket.socket, order: dict[str, Any]) -> None:
    """Shake hands with a certificate for the right name by the wrong authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(order["certificate"], order["key"])
    client.settimeout(10)
    with context.wrap_socket(client, server_side=True) as shaken:
        shaken.recv(4096)
        shaken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


def _meant(client: socket.socket, order: dict[str, Any]) -> bool:
    """The order is for every address, or for the one that the client asked for."""
    return not order.get("only_to") or original(client)[0] in order["only_to"]


_BEGAN = time.monotonic()
_asked_for: set[str] = set()


def _waits(names: set[str], order: dict[str, Any]) -> bool:
    """An order that begins later, and by one of some names at the latest, has not begun."""
    _asked_for.update(names.intersection(order.get("at_latest_with", ())))
    return not _asked_for and time.monotonic() - _BEGAN < order.get("after_seconds", 0)


def _spared(names: set[str], order: dict[str, Any]) -> bool:
    """A name that is let through, or any as long as the order has not begun."""
    return not names.isdisjoint(order.get("spared", ())) or _waits(names, order)


_counted: Counter[str] = Counter()
_counting = threading.Lock()


def _lucky(client: socket.socket, order: dict[str, Any]) -> bool:
    """Only the first of every `of` connections to an address is hit, and this is another."""
    if "of" not in order:
        return False
    with _counting:
        number = _counted[original(client)[0]]
        _counted[original(client)[0]] += 1
    return bool(number % order["of"])


def over_tls(client: socket.socket, order: dict[str, Any]) -> None:
    """One redirected TLS connection."""
    name = server_name(peek(client, whole_hello))
    if _spared({name}, order):
        splice(client)
    elif order["name"] not in (name, EVERY) and order.get("hangs_up") and _meant(client, order):
        client.recv(16384)  # in place of a server that does so
    elif order["name"] not in (name, EVERY) and original(client)[0] in order.get("mute", ()):
        time.sleep(PATIENCE)  # in place of a server that says nothing to other names
    elif order["name"] not in (name, EVERY) or not _meant(client, order) or _lucky(client, order):
        splice(client)
    elif order["act"] == "wait":
        time.sleep(order["seconds"])
        splice(client)
    elif order["act"] == "no_tls13":
        if splice_old_tls(client):
            reset(client)
    elif order["act"] == "reset":
        reset(client)
    elif order["act"] == "drop":
        time.sleep(PATIENCE)
    elif order["act"] == "eof":
        client.recv(16384)
    elif order["act"].startswith("late_"):
        let_in(client)
        if order["act"] == "late_reset":
            reset(client)
        elif order["act"] == "late_drop":
            time.sleep(PATIENCE)
    elif order["act"] == "alert":
        client.recv(16384)
        client.sendall(bytes((21, 3, 3, 0, 2, 2, 40)))  # fatal handshake_failure, RFC 8446
    elif order["act"] == "page":
        client.recv(16384)
        client.sendall(ANSWERS["page"])
    else:
        pretend(client, order)


def over_http(client: socket.socket, order: dict[str, Any]) -> None:
    """One redirected HTTP connection."""
    head = peek(client, lambda seen: b"\r\n\r\n" in seen)
    hit = b"\r\nhost: " + order["name"].encode() + b"\r\n" in head.lower()
    lines = {line.decode("latin-1") for line in head.lower().split(b"\r\n")}
    named = {line.removeprefix("host: ") for line in lines if line.startswith("host: ")}
    if _spared(named, order) or not (hit or order["name"] == EVERY) or not _meant(client, order):
        splice(client)
        return
    if order["act"] == "reset":
        reset(client)
    elif order["act"] == "drop":
        time.sleep(PATIENCE)
    else:
        client.recv(len(head))
        client.sendall(ANSWERS[order["act"]])


def over_app(client: socket.socket, order: dict[str, Any]) -> None:
    """One redirected connection that may be an app's."""
    head = peek(client, enough)
    if not recognised(head, order["protocol"]):
        splice(client)
    elif order["act"] == "reset":
        reset(client)
    elif order["act"] == "drop":
        time.sleep(PATIENCE)
    else:
        client.recv(16384)
        client.sendall(ANSWERS[order["act"]])


def accept(listener: socket.socket, serve: Any, order: dict[str, Any]) -> None:
    """A thread for each connection."""

    def one(client: socket.socket) -> None:
        with client:
            try:
                serve(client, order)
            except OSError:
                pass  # one side went away

    while True:
        client, _ = listener.accept()
        threading.Thread(target=one, args=(client,), daemon=True).start()


def main() -> None:
    """Open what the orders ask for, say so, and go on until killed."""
    orders = json.loads(sys.stdin.readline())
    work: list[threading.Thread] = []

    def begin(function: Any, *given: Any) -> None:
        work.append(threading.Thread(target=function, args=given, daemon=True))

    if order := orders.get("dns"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", DNS_PORT))
        begin(lie, sock, order)
    if order := orders.get("inject"):
        begin(inject, Queue(), order)
    if order := orders.get("reassemble"):
        begin(reassemble, Queue(), order["name"])
    if order := orders.get("quic"):
        from tests.lab.blinding import blind  # half of what this program imports

        begin(blind, Queue(), order["name"], order["late"], order.get("residual", 0))
    if order := orders.get("wake"):
        begin(wake, Queue(copy=False), order)
    if order := orders.get("delay") or orders.get("hold"):
        begin(hold, Queue(copy=False), order)
    for key, port, serve in (
        ("tls", TLS_PORT, over_tls),
        ("http", HTTP_PORT, over_http),
        ("app", APP_PORT, over_app),
    ):
        if order := orders.get(key):
            begin(
                accept,
                socket.create_server(
                    ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64
                ),
                serve,
                order,
            )
    for thread in work:
        thread.start()
    print("ready", flush=True)
    for thread in work:
        thread.join()


if __name__ == "__main__":
    main()
