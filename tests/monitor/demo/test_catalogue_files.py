from __future__ import annotations

from pathlib import Path

from monitor.demo import plan
from monitor.demo.catalogue_files import Ports, write_catalogue
from monitor.demo.certificates import make_authority
from probes.catalogue.lint import advise, lint
from probes.catalogue.load import load

PORTS = Ports(dns=10053, tls=10443, http=10080, tcp=10022)


def test_the_demonstrations_catalogue_is_an_ordinary_one(tmp_path: Path) -> None:
    ca = make_authority("CA")
    write_catalogue(tmp_path, "127.20.30", PORTS, ca.pem)
    assert lint(tmp_path) == []
    assert advise(tmp_path) == []
    catalogue = load(tmp_path)
    assert {service.id for service in catalogue.services} == {s.id for s in plan.SERVICES}
    endpoints = [endpoint for target in catalogue.targets for endpoint in target.endpoints]
    assert {each.protocol for each in endpoints} == {"dns", "tcp", "tls", "https", "http"}
    assert all(each.trust == ca.pem for each in endpoints if each.protocol in ("tls", "https"))
    assert all(each.host.endswith(".test") or each.address.startswith("127.20.30.")
               for each in endpoints)  # fmt: skip
    assert catalogue.sni.address == f"127.20.30.{plan.REFLECTOR}:10443"
    assert [(r.udp, r.doh_address, r.dot) for r in catalogue.resolvers] == [
        (f"127.20.30.{plan.REFERENCE}:10053", "", ""),
        ("", f"127.20.30.{plan.DOH}", f"127.20.30.{plan.DOT}:10443"),
    ]
    assert [host.country for host in catalogue.liveness] == ["", "", "", "RU", "RU"]


def test_each_protocol_has_its_port() -> None:
    ports = [PORTS.of(protocol) for protocol in ("dns", "tcp", "tls", "https", "http")]
    assert ports == [10053, 10022, 10443, 10443, 10080]
