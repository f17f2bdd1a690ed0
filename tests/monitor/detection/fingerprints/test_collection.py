"""What a loaded set says of answers: scope, country and what vetoes."""

from __future__ import annotations

import random

import msgspec
import pytest

from monitor.detection.fingerprints import OWN, Fingerprints, redirect_host
from monitor.detection.fingerprints.entry import Fingerprint
from monitor.detection.judge.target import judge
from monitor.detection.model import State, Technique, Verdict
from probes.wire.measurement import Role, Vantage
from probes.wire.observation import DNSReply
from tests.monitor.detection.scenes import A1, HTTP, TLS, alive, control, dns, http, measured, tcp


def one(id: str = "isp_x", scope: str = "isp", **given: object) -> Fingerprint:
    values: dict[str, object] = {"where": "body", "how": "contains", "pattern": "Walled garden"}
    return Fingerprint(id=id, scope=scope, **values | given)  # type: ignore[arg-type]


WALLED = http(status=200, title="Hi", excerpt=b"<h1>Walled garden of Example Net</h1>")


@pytest.mark.parametrize("scope", ["prod", "inst", "vbw", "injb", "prov", "br", ""])
def test_only_a_provider_or_a_country_accuses(scope: str) -> None:
    assert Fingerprints([one()]).page(WALLED) == "isp_x"
    assert Fingerprints([one(scope="nat")]).page(WALLED) == "isp_x"
    assert Fingerprints([one(scope=scope)]).page(WALLED) is None


def test_a_known_false_positive_vetoes() -> None:
    fp = one("fp_x", "fp", pattern="of Example Net")
    assert Fingerprints([one(), fp]).page(WALLED) is None
    assert Fingerprints([one(), one("fp_y", "fp", pattern="something else")]).page(WALLED)
    own = http(title="Website blocked", excerpt=b"of Example Net")
    assert OWN.page(own) is not None
    assert Fingerprints([fp]).page(own) is None
    address = one("a", "nat", where="dns", how="full", pattern="192.0.2.7")
    assert Fingerprints([address]).answer("192.0.2.7") == "a"
    cleared = one("b", "fp", where="dns", how="full", pattern="192.0.2.7")
    assert Fingerprints([address, cleared]).answer("192.0.2.7") is None


def test_expected_countries_narrow_it() -> None:
    known = Fingerprints([one(countries=("GB", "IE"))])
    assert known.page(WALLED, "IE") == "isp_x"
    assert known.page(WALLED, "FR") is None
    assert known.page(WALLED, "ZZ") is None
    assert Fingerprints([one()]).page(WALLED, "FR") == "isp_x"


def test_where_it_is_looked_for() -> None:
    known = Fingerprints(
        [
            one("loc", where="header.location", how="prefix", pattern="http://stop.example"),
            one("srv", where="header.server", how="full", pattern="Stopper/1"),
            one("title", pattern="<title>Halt</title>"),
        ]
    )
    assert known.page(http(status=302, location="http://stop.example/?u=1")) == "loc"
    assert known.page(http(status=302, location="http://go.example/?http://stop.example")) is None
    assert known.page(http(server="Stopper/1")) == "srv"
    assert known.page(http(server="Stopper/10")) is None
    assert known.page(http(title="Halt", excerpt=b"<p>...")) == "title"
    assert known.page(http(title="Halt")) is None
    assert known.page(http()) is None


def test_answers_are_addresses_or_aliases() -> None:
    known = Fingerprints(
        [
            one("v6", where="dns", how="full", pattern="2001:DB8::0:7"),
            one("alias", where="dns", how="full", pattern="Stop.Example."),
        ]
    )
    assert known.answer("2001:db8::7") == "v6"
    assert known.answer("stop.example") == "alias"
    assert known.answer("www.stop.example") is None


def test_the_version_is_that_of_the_contents() -> None:
    rows = [one(f"n{i}") for i in range(9)]
    again = rows + rows[:3]
    random.Random(4).shuffle(again)
    assert Fingerprints(rows).version == Fingerprints(again).version
    assert len(Fingerprints(rows).version) == 12
    assert Fingerprints(rows[1:]).version != Fingerprints(rows).version
    assert OWN.version == Fingerprints().version == ""
    assert Fingerprints(again).size == 9


def verdict(known: Fingerprints, *seen: object, country: str = "ID", plain: bool) -> Verdict:
    endpoint = HTTP if plain else TLS
    subject = measured(*seen, endpoints=(endpoint,), vantage=Vantage(country=country))  # type: ignore[arg-type]
    beside = (
        control(dns(A1, at=HTTP), tcp(A1, at=HTTP), http(A1, title="Fine"), endpoints=(HTTP,))
        if plain
        else control()
    )
    return judge(subject, alive(), [beside], known)


def test_judging_with_a_loaded_page_and_with_its_veto() -> None:
    seen = (dns(A1, at=HTTP), tcp(A1, at=HTTP), WALLED)
    page, fp = one(countries=("ID",)), one("fp_x", "fp", pattern="of Example Net")
    accused = verdict(Fingerprints([page]), *seen, plain=True)
    assert accused.technique is Technique.HTTP_BLOCKPAGE
    assert "blockpage:isp_x" in accused.evidence
    for known, country in (
        (OWN, "ID"),
        (Fingerprints([page, fp]), "ID"),
        (Fingerprints([one(scope="prod")]), "ID"),
    ):
        said = verdict(known, *seen, country=country, plain=True)
        assert said.state is State.OK, (known.version, country)


def test_a_page_from_another_country_accuses_less() -> None:
    seen = (dns(A1, at=HTTP), tcp(A1, at=HTTP), WALLED)
    page, fp = one(countries=("ID",)), one("fp_x", "fp", pattern="of Example Net")
    here, abroad = (
        verdict(Fingerprints([page]), *seen, country=country, plain=True)
        for country in ("ID", "FR")
    )
    assert abroad.technique is here.technique is Technique.HTTP_BLOCKPAGE
    assert set(abroad.evidence) == {"blockpage_abroad", "blockpage:isp_x"}
    weights = [said.findings[-1].weight for said in (here, abroad)]
    assert 0 < weights[1] < weights[0]
    # A known false positive is one everywhere.
    vetoed = Fingerprints([page, msgspec.structs.replace(fp, countries=("ID",))])
    assert verdict(vetoed, *seen, country="FR", plain=True).state is State.OK


@pytest.mark.parametrize("pattern", ["180.131.146.7", "stop.example"])
def test_a_known_answer_is_an_injected_block_page(pattern: str) -> None:
    lookup = dns("180.131.146.7")
    aliased = DNSReply(after_us=9, rcode=0, answers=("180.131.146.7",), cnames=("stop.example",))
    lookup = type(lookup)(
        **{f: getattr(lookup, f) for f in lookup.__struct_fields__} | {"replies": (aliased,)}
    )
    row = one("isp_dns", where="dns", how="full", pattern=pattern, countries=("ID",))
    said = verdict(Fingerprints([row]), lookup, plain=False)
    assert said.technique is Technique.DNS_INJECTION_BLOCKPAGE
    elsewhere = verdict(Fingerprints([row]), lookup, country="FR", plain=False)
    assert elsewhere.technique is Technique.DNS_INJECTION_BLOCKPAGE
    assert (elsewhere.rule, said.rule) == ("dns.blockpage_abroad", "dns.blockpage")
    assert {"blockpage_abroad", "blockpage:isp_dns"} <= set(elsewhere.evidence)
    assert 0 < elsewhere.findings[0].weight < said.findings[0].weight
    cleared = one("fp_dns", "fp", where="dns", how="full", pattern=pattern)
    vetoed = verdict(Fingerprints([row, cleared]), lookup, country="FR", plain=False)
    assert vetoed.technique is not Technique.DNS_INJECTION_BLOCKPAGE
    product = one("p", "prod", where="dns", how="full", pattern=pattern)
    said = verdict(Fingerprints([product]), lookup, plain=False)
    assert said.technique is not Technique.DNS_INJECTION_BLOCKPAGE


@pytest.mark.parametrize(
    ("location", "host"),
    [("/login", ""), ("http://A.Example:8/x", "a.example"), ("http://[bad", ""), ("", "")],
)
def test_redirect_hosts(location: str, host: str) -> None:
    assert redirect_host(location) == host


def test_the_control_is_a_role_apart() -> None:
    """A page that the control gets too is the service's own, loaded or not."""
    seen = (dns(A1, at=HTTP), tcp(A1, at=HTTP), WALLED)
    beside = control(*seen, endpoints=(HTTP,))
    assert beside[0].vantage.role is Role.CONTROL
    subject = measured(*seen, endpoints=(HTTP,))
    assert judge(subject, alive(), [beside], Fingerprints([one()])).state is State.OK
