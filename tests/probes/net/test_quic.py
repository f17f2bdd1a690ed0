"""The QUIC client in memory: what it sends, when it sends again, how it judges a chain."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from probes.net import quic
from tests.lab.initials import Reader
from tests.world.pki import Authority, self_signed

CA = Authority()
NAME = "wechat.test"


def chain(leaf) -> list[crypto.X509]:
    found = x509.load_pem_x509_certificates(leaf.chain_pem.encode())
    return [crypto.X509.from_cryptography(each) for each in found]


def test_the_first_datagram_is_an_initial_of_full_size_with_the_name_and_no_product():
    client = quic.QUICClient(NAME)
    (first,) = client.start(now=1.0)
    assert len(first) >= 1200
    assert first[0] & 0xF0 == 0xC0
    assert client.sent_bytes == len(first)
    assert Reader().read("flow", first) == NAME
    for word in (b"aioquic", b"reach", b"python"):
        assert word not in first.lower()


def test_it_sends_again_after_growing_waits():
    client = quic.QUICClient(NAME)
    client.start(now=0.0)
    now, sent = 0.0, []
    while now < 10.0:
        now += client.wait(now) or 0.0
        if client.expire(now):
            sent.append(now)
    gaps = [b - a for a, b in itertools.pairwise(sent)]
    assert len(sent) >= 3
    assert gaps == sorted(gaps)
    assert sent[0] == pytest.approx(1.0)  # RFC 9002, 6.2.2
    assert not client.done


def test_goodbye_before_an_answer_is_possible():
    client = quic.QUICClient(NAME)
    client.start(now=0.0)
    assert client.finish(now=0.1)
    assert client.chain() == ()
    assert client.version is None


@pytest.mark.parametrize(
    ("leaf", "name", "code"),
    [
        (CA.issue(NAME), NAME, 0),
        (CA.issue("*.wechat.test"), "web.wechat.test", 0),
        (CA.issue("127.0.0.1"), "127.0.0.1", 0),
        (CA.issue(NAME), "127.0.0.1", 64),
        (CA.issue(NAME), "web.wechat.test", 62),
        (CA.issue(NAME, start=-9, days=3), NAME, 10),
        (CA.issue(NAME, start=3), NAME, 9),
        (CA.issue(NAME, start=3), "x.test", 62),
        (self_signed(NAME), NAME, 18),
    ],
)
def test_verification(leaf, name: str, code: int):
    assert quic.verify(chain(leaf), name, CA.pem) == code


def test_bundled_roots_and_an_empty_chain():
    assert quic.verify(chain(CA.issue(NAME)), NAME) in (19, 20)
    assert quic.verify(chain(CA.issue(NAME))[:1], NAME) == 20
    assert quic.verify([], NAME) == 1


def test_alerts():
    assert quic.is_alert(0x128)
    assert not quic.is_alert(0x0A)


def test_the_probe_does_not_load_the_library_before_it_is_used():
    script = (
        "import sys; sys.modules['dns'] = None; "  # a probe's installation has no dnspython
        "import probes.cli.main, probes.protocols.quic; "
        "print(any(n.partition('.')[0] in ('aioquic', 'cryptography') for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n")


FAR = ("127.0.0.1", 443)


def far_side(client: quic.QUICClient, leaf, der: bytes) -> QuicConnection:
    """A server that presents these bytes, which need not be a certificate that all can read."""
    original = client._connection.original_destination_connection_id
    return QuicConnection(
        configuration=QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            certificate=x509.load_der_x509_certificate(der),
            private_key=serialization.load_pem_private_key(leaf.key_pem.encode(), None),
        ),
        original_destination_connection_id=original,
    )


def converse(client: quic.QUICClient, server: QuicConnection) -> None:
    outgoing, now = client.start(0.0), 0.0
    while not client.done and now < 2.0:
        for datagram in outgoing:
            server.receive_datagram(datagram, FAR, now=now)
        answers = [datagram for datagram, _ in server.datagrams_to_send(now=now)]
        now += 0.05
        outgoing = [sent for datagram in answers for sent in client.feed(datagram, now)]


def confirmed_after(client: quic.QUICClient, leaf, round_trip: float) -> float | None:
    """When a handshake over a path of so many seconds, which loses nothing, was confirmed; None
    when it was not within ten seconds. `client` and server send again when their timers say so."""
    server = far_side(client, leaf, leaf.der)
    on_the_way = [(round_trip / 2, "server", datagram) for datagram in client.start(0.0)]
    begun, now = False, 0.0
    while now < 10.0 and not client.confirmed:
        waits = client.wait(now)
        timers = {
            "client": math.inf if waits is None else now + waits,
            "server": (server.get_timer() if begun else None) or math.inf,
        }
        on_the_way.sort(key=lambda sent: sent[0])
        who = min(timers, key=timers.__getitem__)
        datagram = None
        now = max(now, min(timers[who], on_the_way[0][0] if on_the_way else math.inf))
        if on_the_way and on_the_way[0][0] <= now:
            _, who, datagram = on_the_way.pop(0)
        if who == "client":
            answers = client.expire(now) if datagram is None else client.feed(datagram, now)
        else:
            begun = True
            if datagram is None:
                server.handle_timer(now=now)
            else:
                server.receive_datagram(datagram, FAR, now=now)
            answers = [sent for sent, _ in server.datagrams_to_send(now=now)]
        to = "server" if who == "client" else "client"
        on_the_way += [(now + round_trip / 2, to, sent) for sent in answers]
    return now if client.confirmed else None


@pytest.mark.parametrize("round_trip", [0.05, 0.3, 0.6, 1.0, 1.4, 1.8])
def test_a_long_path_takes_two_round_trips(round_trip: float):
    """What the client itself sends again too early must not keep it from seeing an answer."""
    client = quic.QUICClient(NAME, verify=False)
    took = confirmed_after(client, CA.issue(NAME), round_trip)
    assert took == pytest.approx(2 * round_trip, rel=0.05)


def test_a_certificate_that_openssl_cannot_read_is_the_far_sides_mistake():
    leaf = CA.issue(NAME, subject="nonsense")
    der = leaf.der.replace(b"nonsense", b"\xff" * 8)
    client = quic.QUICClient(NAME, trust_pem=CA.pem)
    with pytest.raises(quic.QUICError, match="Error"):
        converse(client, far_side(client, leaf, der))
    assert client.chain() == (der,)
    assert client.finish(9.0)


def test_a_close_code_fits_what_the_wire_takes():
    leaf = CA.issue(NAME)
    client = quic.QUICClient(NAME, trust_pem=CA.pem)
    server = far_side(client, leaf, leaf.der)
    for datagram in client.start(0.0):
        server.receive_datagram(datagram, FAR, now=0.0)
    server.close(error_code=2**61, frame_type=6)
    for datagram, _ in server.datagrams_to_send(now=0.1):
        client.feed(datagram, 0.1)
    assert client.close_code == 2**53


def test_a_flood_ends():
    client = quic.QUICClient(NAME)
    client.start(0.0)
    for _ in range(quic.MAX_DATAGRAMS):
        client.feed(b"x", 0.1)
    with pytest.raises(quic.QUICError, match="flood"):
        client.feed(b"x", 0.1)


def test_a_kind_of_name_that_nobody_knows_is_another_name():
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    usual = x509.load_der_x509_certificate(CA.issue(NAME).der)
    strange = x509.UnrecognizedExtension(
        x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x02\xa3\x00"
    )
    leaf = (
        x509.CertificateBuilder(who, who, key.public_key(), 7)
        .not_valid_before(usual.not_valid_before_utc)
        .not_valid_after(usual.not_valid_after_utc)
        .add_extension(strange, critical=False)
        .sign(key, hashes.SHA256())
    )
    trusted = leaf.public_bytes(serialization.Encoding.PEM).decode()
    assert quic.verify([crypto.X509.from_cryptography(leaf)], NAME, trusted) == 62


def test_the_check_that_is_switched_off_is_not_loaded():
    program = (
        "import sys; from probes.net import quic; client = quic.QUICClient('a.example'); "
        "assert client.start(0.0); print('aioquic' in sys.modules, 'service_identity' in "
        "sys.modules, 'OpenSSL.SSL' in sys.modules); import service_identity.pyopenssl"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "True False False\n"
