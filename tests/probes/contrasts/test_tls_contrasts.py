"""The contrasts that isolate a cause, each against a real server that interferes by name."""

from __future__ import annotations

import ssl

import pytest

from probes.contrasts import tls_contrasts
from probes.endpoint.address_choice import AddressChoice
from probes.net import tls as probe_tls
from probes.wire.observation import (
    Contrast,
    HTTPExchange,
    PathTrace,
    Purpose,
    TCPConnect,
    TLSHandshake,
)
from probes.wire.target import Endpoint, SNIContrast
from tests.world import tls_server
from tests.world.dns_server import Address, Rcode
from tests.world.loopback import PATIENT, SHORT, internet
from tests.world.pki import Authority, self_signed
from tests.world.tls_server import Behaviour, by_name, http_answer

NAME, HARMLESS = "wechat.test", "innocuous.test"
CA = Authority()
NOBODY = "nobody"
GOOD = tls_server.tls(CA.issue(NAME).context(), lambda r: http_answer("200 OK", b"hi"))
HARMLESS_GOOD = tls_server.tls(self_signed(HARMLESS).context())


async def reach(behaviour: Behaviour, *, reflector: Behaviour | None = None, **options):
    """Measure one endpoint on 127.0.0.1; returns (observations, server)."""
    async with (
        tls_server.serve(reflector or GOOD, "127.0.0.3") as mirror,
        tls_server.serve(behaviour) as server,
        internet(
            {NAME: Address("127.0.0.1")},
            sni=SNIContrast(innocuous=HARMLESS, address=f"127.0.0.3:{mirror.port}"),
        ) as net,
    ):
        service = Endpoint(host=NAME, port=server.port, protocol="tls", trust=CA.pem)
        run = net.run(service, **options)
        await tls_contrasts.measure(run)
        seen = await net.finish(run)
    return seen, server


def at_reflector(seen) -> list[tuple[str, str | None]]:
    """The names shown to the reflector in their order, and how that ended; NOBODY stands for a name
    that nobody has."""
    return [
        (o.sni if o.sni in (NAME, HARMLESS) else NOBODY, o.failure)
        for o in seen
        if isinstance(o, TLSHandshake) and o.address == "127.0.0.3"
    ]


def shakes(seen) -> dict[Contrast | None, str | None]:
    return {o.contrast: o.failure for o in seen if isinstance(o, TLSHandshake)}


async def test_a_good_endpoint_gets_no_contrasts():
    seen, server = await reach(GOOD)
    assert shakes(seen) == {None: None}
    assert server.names == [NAME]


@pytest.mark.parametrize(
    ("interference", "failure"),
    [
        (tls_server.reset, "connection_reset"),
        (tls_server.fin, "eof_error"),
        (tls_server.silence, "generic_timeout_error"),
        (tls_server.alert(40), "ssl_failed_handshake"),
    ],
)
async def test_filtered_by_name(interference: Behaviour, failure: str):
    seen, server = await reach(
        by_name({NAME: interference}, otherwise=HARMLESS_GOOD),
        reflector=by_name({NAME: interference}, otherwise=HARMLESS_GOOD),
        timeouts=SHORT if interference is tls_server.silence else PATIENT,
    )
    assert shakes(seen) == {
        None: failure,
        Contrast.INNOCUOUS_NAME: None,
        Contrast.REPEAT: failure,
        Contrast.CLASSICAL_HELLO: failure,
        Contrast.REFLECTOR: failure,
    }
    assert server.names[:4] == [NAME, HARMLESS, NAME, NAME]
    assert server.names[4:] == [NAME, ""]  # the path: a hello and a SYN of one hop
    assert [o.hops[0].ttl for o in seen if isinstance(o, PathTrace)] == [1]
    by_kind = {o.contrast: o for o in seen if isinstance(o, TLSHandshake)}
    assert by_kind[None].purpose is Purpose.SUBJECT
    assert by_kind[None].received_bytes == (7 if failure == "ssl_failed_handshake" else 0)
    assert by_kind[Contrast.CLASSICAL_HELLO].hello_bytes == 517
    assert by_kind[Contrast.INNOCUOUS_NAME].sni == HARMLESS
    assert by_kind[Contrast.REFLECTOR].sni == NAME
    assert by_kind[Contrast.REFLECTOR].address == "127.0.0.3"
    assert {o.purpose for o in seen if getattr(o, "contrast", None)} == {Purpose.CONTRAST}
    # The server may refuse other names as well: our own host tells whether ours alone dies.
    # A name on no list goes first, so that the known one shows that nothing else kills it there.
    assert at_reflector(seen) == [(NOBODY, None), (HARMLESS, None), (NAME, failure)]
    assert sum(isinstance(o, TCPConnect) for o in seen) == 7


async def test_filtered_by_address_whatever_the_name():
    seen, _ = await reach(tls_server.reset)
    assert at_reflector(seen) == [(NOBODY, None), (HARMLESS, None), (NAME, None)]
    assert shakes([o for o in seen if getattr(o, "address", "") == "127.0.0.1"]) == {
        None: "connection_reset",
        Contrast.INNOCUOUS_NAME: "connection_reset",
        Contrast.REPEAT: "connection_reset",
        Contrast.CLASSICAL_HELLO: "connection_reset",
    }


@pytest.mark.parametrize(
    "sni", [{"innocuous": ""}, {"innocuous": NAME}, {"innocuous": HARMLESS}], ids=str
)
async def test_a_reflector_that_fails_for_every_name_shows_it(sni):
    async with (
        tls_server.serve(tls_server.reset, "127.0.0.3") as mirror,
        tls_server.serve(tls_server.reset) as server,
        internet(
            {NAME: Address("127.0.0.1")},
            sni=SNIContrast(address=f"127.0.0.3:{mirror.port}", **sni),
        ) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="tls", trust=CA.pem))
        await tls_contrasts.measure(run)
        seen = await net.finish(run)
    other = [NOBODY, HARMLESS] if sni["innocuous"] == HARMLESS else []
    assert at_reflector(seen) == [(name, "connection_reset") for name in (*other, NAME)]


async def test_innocuous_name_goes_first_where_the_last_round_failed():
    _, server = await reach(
        by_name({NAME: tls_server.reset}, otherwise=HARMLESS_GOOD), failed_last_round=True
    )
    assert server.names[0] == HARMLESS
    assert server.names.count(HARMLESS) == 1
    assert "" not in server.names  # the path was looked for in the round in which it began


async def test_what_is_known_to_fail_is_shown_by_one_contrast_when_the_budget_is_short():
    seen, server = await reach(
        by_name({NAME: tls_server.reset}, otherwise=HARMLESS_GOOD),
        failed_last_round=True,
        brief=True,
    )
    assert server.names[0] == HARMLESS
    assert server.names.count(HARMLESS) == 1
    assert shakes(seen)[Contrast.REPEAT] == shakes(seen)[None] == "connection_reset"
    assert at_reflector(seen) == [], "another name passes at this address"


async def test_where_no_name_passes_the_reflector_tells_even_when_the_budget_is_short():
    seen, _ = await reach(tls_server.reset, failed_last_round=True, brief=True)
    assert at_reflector(seen)[-1] == (NAME, None)


async def test_a_lost_handshake_is_repeated_and_then_good():
    state = {"calls": 0}

    def once_lost(connection, first):
        state["calls"] += 1
        (tls_server.silence if state["calls"] == 1 else GOOD)(connection, first)

    seen, _ = await reach(by_name({HARMLESS: HARMLESS_GOOD}, otherwise=once_lost), timeouts=SHORT)
    assert shakes(seen) == {
        None: "generic_timeout_error",
        Contrast.INNOCUOUS_NAME: None,
        Contrast.REPEAT: None,
    }


async def test_a_retest_shows_the_name_once():
    seen, server = await reach(tls_server.reset, repeats=False)
    assert server.names == [NAME, HARMLESS]
    assert not any(isinstance(each, PathTrace) for each in seen)


async def test_a_large_hello_that_is_dropped_shows_by_the_small_one():
    def drop_large(connection, first):
        (tls_server.silence if len(first) > 1400 else GOOD)(connection, first)

    seen, _ = await reach(drop_large, timeouts=SHORT)
    assert shakes(seen)[None] == "generic_timeout_error"
    assert shakes(seen)[Contrast.REPEAT] == "generic_timeout_error"
    assert shakes(seen)[Contrast.CLASSICAL_HELLO] is None


async def test_the_answer_that_led_to_a_foreign_certificate_is_doubted(monkeypatch):
    doubted = list[str]()

    async def doubt(choice: AddressChoice) -> None:
        doubted.append(choice.endpoint.host)

    monkeypatch.setattr(AddressChoice, "doubt", doubt)
    await reach(GOOD)
    assert doubted == []
    await reach(tls_server.tls(Authority("National Filter CA").issue(NAME).context()))
    assert doubted == [NAME]


async def test_one_request_is_sent_past_a_foreign_certificate():
    leaf = Authority("National Filter CA").issue(NAME)
    page = http_answer("200 OK", b"<title>Blocked by order</title>")
    seen, server = await reach(tls_server.tls(leaf.context(), lambda r: page))
    assert shakes(seen) == {
        None: "ssl_unknown_authority",
        Contrast.NO_VERIFY: None,
        Contrast.INNOCUOUS_NAME: "ssl_invalid_hostname",
        Contrast.REFLECTOR: None,
    }
    assert [failure for _, failure in at_reflector(seen)] == ["ssl_invalid_hostname", None]
    assert at_reflector(seen)[0][0] == NOBODY
    assert at_reflector(seen)[1] == (NAME, None)
    subject = next(o for o in seen if isinstance(o, TLSHandshake) and o.contrast is None)
    assert (subject.verify_code, subject.evidence) == (19, ())
    assert subject.chain[0].der == leaf.der
    exchange = next(o for o in seen if isinstance(o, HTTPExchange))
    assert (exchange.title, exchange.contrast) == ("Blocked by order", Contrast.NO_VERIFY)
    assert exchange.excerpt.startswith(b"<title>Blocked")
    # Both once more: servers behind one address may differ.
    assert server.names == [NAME, NAME, HARMLESS, NAME, HARMLESS]


async def test_our_own_host_keeps_what_an_interceptor_shows_there():
    leaf = Authority("Interceptor").issue(NAME)
    seen, _ = await reach(tls_server.tls(leaf.context()), reflector=tls_server.tls(leaf.context()))
    kept = [o.chain[0].der for o in seen if isinstance(o, TLSHandshake) and len(o.chain[0].der)]
    assert kept == [leaf.der] * 3


async def test_chain_that_only_the_machines_store_trusts(monkeypatch, tmp_path):
    office = Authority("Office Proxy")
    (tmp_path / "roots.pem").write_text(office.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    probe_tls._context.cache_clear()
    behaviour = tls_server.tls(office.issue(NAME).context(), lambda r: http_answer())
    try:
        async with (
            tls_server.serve(behaviour) as server,
            internet({NAME: Address("127.0.0.1")}) as net,
        ):
            run = net.run(Endpoint(host=NAME, port=server.port, protocol="tls"))
            await tls_contrasts.measure(run)
    finally:
        probe_tls._context.cache_clear()
    subject, contrast, *_ = [o for o in run.observations if isinstance(o, TLSHandshake)]
    assert (subject.failure, subject.evidence) == ("ssl_unknown_authority", ("system_root",))
    assert (contrast.failure, contrast.evidence) == (None, ("system_root",))
    assert any(isinstance(seen, HTTPExchange) for seen in run.observations)
    assert server.names[:2] == [NAME, NAME]


async def test_clear_text_in_place_of_tls_is_kept():
    page = tls_server.clear_http("302 Found", b"", "Location: http://block.test/why\r\n")
    seen, server = await reach(page)
    subject = next(o for o in seen if isinstance(o, TLSHandshake))
    assert subject.plain_http
    exchange = next(o for o in seen if isinstance(o, HTTPExchange))
    assert (exchange.location, exchange.contrast) == (
        "http://block.test/why",
        Contrast.NO_VERIFY,
    )
    assert server.names == [NAME]


async def test_unproven_own_answer_makes_every_resolver_be_asked():
    async with (
        tls_server.serve(
            tls_server.tls(self_signed(NAME).context(), lambda r: http_answer())
        ) as liar,
        tls_server.serve(GOOD, "127.0.0.2", liar.port) as real,
        internet(
            {NAME: Address("127.0.0.1")}, reference={NAME: Address("127.0.0.2")}, secure=True
        ) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=liar.port, protocol="tls", trust=CA.pem))
        await tls_contrasts.measure(run)
        assert net.catalogue.resolvers[0].doh
        assert run.means.dns_cache.widened(NAME)
        by_address = {
            o.address: o.failure
            for o in run.observations
            if isinstance(o, TLSHandshake) and o.purpose is Purpose.SUBJECT
        }
        assert by_address == {"127.0.0.1": "ssl_unknown_authority", "127.0.0.2": None}
    assert real.names == [NAME]


async def test_a_name_that_does_not_resolve_is_reached_by_other_answers():
    async with (
        tls_server.serve(GOOD) as server,
        internet({NAME: Rcode("NXDOMAIN")}, reference={NAME: Address("127.0.0.1")}) as net,
    ):
        run = net.run(Endpoint(host=NAME, port=server.port, protocol="tls", trust=CA.pem))
        await tls_contrasts.measure(run)
        assert [o.failure for o in run.observations] == [None, None]


def test_own_context_of_the_machines_store_verifies():
    context = probe_tls.context_for("default", probe_tls.SYSTEM_STORE)
    assert context.verify_mode is ssl.CERT_REQUIRED
