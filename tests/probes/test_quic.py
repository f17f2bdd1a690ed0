"""The QUIC client in memory: what it sends, when it sends again, how it judges a chain."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from cryptography import x509
from OpenSSL import crypto

from probes import quic
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
    assert len(sent) >= 4
    assert gaps == sorted(gaps)
    assert sent[0] < 1.0
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
        "import sys, probes.cli, probes.experiments.quic; "
        "print(any(n.partition('.')[0] in ('aioquic', 'cryptography') for n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n")
