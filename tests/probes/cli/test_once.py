"""`once`: a table for people, JSON Lines for programs."""

from __future__ import annotations

import io
from importlib import metadata

import pytest

import monitor
from probes.catalogue.selection import select
from probes.cli.once import once, open_network, software, table_rows
from probes.net.resolvers import ResolverError
from probes.wire import codec
from probes.wire.codec import read_lines
from probes.wire.measurement import (
    LIVENESS_INTERNATIONAL,
    EndpointRef,
    Measurement,
    Role,
    Vantage,
    measurement_id,
)
from probes.wire.observation import AppExchange
from probes.wire.target import Catalogue, Endpoint, LivenessHost, Service, Target
from tests.world import tls_server
from tests.world.dns_server import Address, DNSServer
from tests.world.pki import Authority
from tests.world.tls_server import http_answer

CA = Authority()
GOOD = tls_server.tls(
    CA.issue("wechat.test", "alive.test").context(), lambda r: http_answer("200 OK", b"ok")
)
TABLE = {"wechat.test": Address("127.0.0.1"), "alive.test": Address("127.0.0.1")}


def catalogue(port: int = 443) -> Catalogue:
    def target(name: str, protocol: str, host: str = "wechat.test") -> Target:
        endpoint = Endpoint(host=host, port=port, protocol=protocol, trust=CA.pem)
        return Target(id=name, endpoints=(endpoint,))

    return Catalogue(
        version="0123456789ab",
        services=(
            Service(
                id="wechat",
                name="WeChat",
                targets=(target("wechat/login", "https"), target("wechat/pay", "tls")),
            ),
            Service(id="gone", name="Gone", targets=(target("gone/web", "tls", "gone.test"),)),
        ),
        liveness=(
            LivenessHost(
                host="alive.test", port=port, protocol="tls", scope="international", trust=CA.pem
            ),
        ),
    )


async def run(*targets: str, server=GOOD, **options) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    async with tls_server.serve(server) as server, DNSServer(TABLE) as dns:
        await once(
            select(catalogue(server.port), targets=targets),
            resolver=f"127.0.0.1:{dns.udp_port}",
            stdout=out,
            stderr=err,
            **({"allow_private": True} | options),
        )
    return out.getvalue(), err.getvalue()


async def test_json_lines_are_measurements_with_liveness():
    out, err = await run(
        "wechat/login",
        json_out=True,
        vantage=Vantage(country="FR", asn=64503, role=Role.CONTROL),
    )
    seen = [m for _, m in read_lines(out.encode().splitlines())]
    assert all(isinstance(m, Measurement) for m in seen)
    assert [m.target for m in seen] == [LIVENESS_INTERNATIONAL, "wechat/login"]
    assert {m.vantage.role for m in seen} == {Role.CONTROL}
    assert {m.interval_ms for m in seen} == {0}
    assert len({m.round for m in seen}) == 1
    assert [m.id for m in seen] == [measurement_id(m.probe, m.epoch, m.sequence) for m in seen]
    assert [m.sequence for m in seen] == [1, 2]
    assert seen[0].software.tls_profile == "default.1"
    assert err.startswith("measuring 1 target, 1 endpoint; ends within ")


async def test_the_table_shows_each_step():
    out, _ = await run()
    lines = {line.split()[0]: line.split() for line in out.splitlines()}
    assert next(iter(lines)) == "target"
    assert lines["wechat/login"][2:6] == ["ok", "ok", "ok", "200"]
    assert lines["wechat/pay"][2:6] == ["ok", "ok", "ok", "-"]
    assert lines["gone/web"][2:] == ["dns_nxdomain_error", "-", "-", "-", "-"]
    assert LIVENESS_INTERNATIONAL in lines


async def test_without_the_laboratory_switch_nothing_here_is_contacted():
    out, _ = await run("wechat/login", allow_private=False, json_out=True)
    login = codec.decode(out.splitlines()[1].encode())
    assert login.target == "wechat/login"
    assert all(str(each.failure).startswith("unknown_failure") for each in login.observations)


async def test_it_ends_in_words_a_line_a_service():
    out, err = await run()
    assert out.splitlines()[-2:] == [
        "WeChat: works (2 functions)",
        "Gone: web: DNS says that the name does not exist",
    ]
    assert "\r" not in err, "no progress outside a terminal"
    out, _ = await run("gone/web", language="ru")
    assert out.splitlines()[-1] == "Gone: веб: DNS отвечает, что такого имени нет"


async def test_a_machine_that_is_offline_says_so_instead_of_rows():
    out, _ = await run(allow_private=False)
    assert "wechat/login" not in out
    assert out.splitlines()[-1].startswith("this machine is offline")


async def test_a_portal_or_a_wrong_clock_is_named_beside_the_services():
    """Every service looked as if a stranger answered for it."""
    stranger = tls_server.tls(Authority().issue("wechat.test", "alive.test").context())
    out, _ = await run("wechat/login", server=stranger)
    assert out.splitlines()[-2] == "WeChat: login: not the service's certificate"
    assert out.splitlines()[-1].startswith("not even the well-known hosts show a valid certificate")


async def test_progress_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    async with tls_server.serve(GOOD) as server, DNSServer(TABLE) as dns:
        chosen = select(catalogue(server.port), targets=["wechat/login"])
        await once(
            chosen, resolver=f"127.0.0.1:{dns.udp_port}", allow_private=True,
            stdout=io.StringIO(), stderr=shown,
        )  # fmt: skip
    assert "\r2 of 2 measured" in shown.getvalue()
    assert shown.getvalue().endswith("\r\x1b[K")


def test_the_resolver_is_checked_before_anything_is_sent():
    with pytest.raises(ResolverError):
        open_network(None, "not-an-address", False)
    network, system = open_network("127.0.0.9", "192.168.1.1", False)
    assert [route.port for route in system] == [53]
    assert network.refusal("192.168.1.1", 53) is None
    assert network.refusal("192.168.1.1", 80) is not None


def test_an_endpoint_that_was_not_measured_has_a_row():
    measured = Measurement(
        v=1, id="0" * 32, probe="p-" + "0" * 16, target="a/b", round=0, started=0
    )
    assert table_rows(measured) == []


@pytest.mark.parametrize(("spoke", "cell"), [(True, "ok"), (False, "foreign")])
def test_an_answer_that_is_not_the_app_s_is_foreign(spoke: bool, cell: str):
    endpoint = "192.0.2.1:443/mtproto"
    exchange = AppExchange(
        endpoint=endpoint, address="192.0.2.1", port=443, protocol="mtproto", spoke=spoke
    )
    measured = Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="telegram/dc",
        round=0,
        started=0,
        endpoints=(EndpointRef(id=endpoint, protocol="mtproto"),),
        observations=(exchange,),
    )
    (row,) = table_rows(measured)
    assert cell in row


def test_software_gives_the_library_and_the_installed_version():
    assert software().openssl.startswith("OpenSSL")
    # The image has no package metadata, hence the constant.
    assert software().version == metadata.version("reachwatch") == monitor.__version__
