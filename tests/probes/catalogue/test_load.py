from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.catalogue.load import SHIPPED, CatalogueError, load
from tests.probes.catalogue.conftest import CONTROLS, RESOLVERS, SERVICE


def test_the_small_catalogue_is_read(directory: Path) -> None:
    catalogue = load(directory)
    (target,) = catalogue.targets
    assert [endpoint.id for endpoint in target.endpoints] == [
        "long.example:443/tcp",
        "192.0.2.7:443/tcp",
    ]
    assert target.combine == "any_of"
    assert catalogue.resolvers[0].udp == "192.0.2.53"
    assert catalogue.liveness[0].scope == "international"
    assert catalogue.sni.innocuous == "example.org"


W = "services/wechat.toml"
BROKEN: list[tuple[str, str, str, str]] = [
    # (file, written, in its place, the line)
    (W, "port = 443", "port = 70000",
     f"{W}: target[0].endpoint[0].port: expected 1..65535, got 70000"),
    (W, "port = 443", 'port = "443"',
     f"{W}: target[0].endpoint[0].port: expected a whole number, got '443'"),
    (W, "port = 443", "", f"{W}: target[0].endpoint[0].port: is missing"),
    (W, 'id = "wechat"', 'id = "We Chat"',
     f"{W}: id: expected 1 to 40 of a-z 0-9 -, got 'We Chat'"),
    (W, 'id = "wechat"', 'id = "liveness"', f"{W}: id: liveness is reserved"),
    (W, 'id = "wechat"', 'id = "other"',
     f"{W}: target[0].id: expected other/…, got wechat/messaging"),
    (W, 'name = "WeChat"', "name = true", f"{W}: name: expected a string, got True"),
    (W, 'id = "wechat/messaging"', 'id = "wechat"',
     f"{W}: target[0].id: expected service/function, got 'wechat'"),
    (W, 'id = "wechat/messaging"', 'id = "wechat/messaging"\ncombine = "most"',
     f"{W}: target[0].combine: expected any_of or all_of, got 'most'"),
    (W, 'host = "long.example"', 'host = "long.example"\naddress = "192.0.2.1"',
     f"{W}: target[0].endpoint[0].address: host or address, not both"),
    (W, 'host = "long.example"', "",
     f"{W}: target[0].endpoint[0].host: host or address is missing"),
    (W, 'host = "long.example"', 'host = "long example"',
     f"{W}: target[0].endpoint[0].host: not a host name: 'long example'"),
    (W, 'address = "192.0.2.7"', 'address = "192.0.2.700"',
     f"{W}: target[0].endpoint[1].address: expected an IPv4 or IPv6 address, got '192.0.2.700'"),
    (W, 'address = "192.0.2.7"', 'host = "LONG.example"',
     f"{W}: target[0].endpoint[1]: long.example:443/tcp is already in "
     f"{W}: target[0].endpoint[0]"),
    (W, 'protocol = "tcp"', 'protocol = "TCP!"',
     f"{W}: target[0].endpoint[0].protocol: expected a word in small letters, got 'TCP!'"),
    (W, 'protocol = "tcp"', 'protocol = "tls"\nalpn = ["h2", 3]',
     f"{W}: target[0].endpoint[0].alpn[1]: expected a string, got 3"),
    (W, 'protocol = "tcp"', 'protocol = "http"\npath = "x"',
     f"{W}: target[0].endpoint[0].path: expected a path that starts with / in printable ASCII, "
     "got 'x'"),
    (W, 'protocol = "tcp"', 'protocol = "tls"\ntrust = "ca.pem"',
     f"{W}: target[0].endpoint[0].trust: 'ca.pem' does not exist"),
    (W, "verified = 2026-11-24", 'verified = "today"',
     f"{W}: target[0].endpoint[0].verified: expected a date (YYYY-MM-DD), got 'today'"),
    (W, 'source = "here"', 'source = ""', f"{W}: target[0].endpoint[0].source: is empty"),
    (W, 'name = "WeChat"', 'name = "We', f"{W}: line 2, column 11: not TOML: Illegal character"),
    (W, 'name = "WeChat"', 'name = "a"\nname = "b"',
     f"{W}: line 3, column 11: not TOML: Cannot overwrite a value"),
    ("resolvers.toml", 'udp = "192.0.2.53"', 'udp = "192.0.2.53:99999"',
     "resolvers.toml: resolver[0].udp: expected a port 1..65535 after the address, "
     "got '192.0.2.53:99999'"),
    ("resolvers.toml", 'udp = "192.0.2.53"', "",
     "resolvers.toml: resolver[0].udp: udp, doh or dot is missing"),
    ("resolvers.toml", 'udp = "192.0.2.53"', 'doh = "http://192.0.2.53/"',
     "resolvers.toml: resolver[0].doh: expected https://…, got 'http://192.0.2.53/'"),
    ("resolvers.toml", 'id = "one"', 'id = "system"',
     "resolvers.toml: resolver[0].id: system is reserved"),
    ("resolvers.toml", RESOLVERS, RESOLVERS + RESOLVERS,
     "resolvers.toml: resolver[1].id: one is already in resolvers.toml: resolver[0]"),
    ("resolvers.toml", "[[resolver]]", "[[silent]]",
     "resolvers.toml: silent[0].address: is missing"),
    ("resolvers.toml", RESOLVERS, "resolver = 3",
     "resolvers.toml: resolver: expected a list, got 3"),
    ("controls.toml", 'scope = "international"', 'scope = "national"',
     "controls.toml: liveness[0].scope: expected international or domestic, got 'national'"),
    ("controls.toml", 'scope = "international"', 'scope = "domestic"',
     "controls.toml: liveness[0].country: is missing"),
    ("controls.toml", 'innocuous = "example.org"', 'address = "example.org:443"',
     "controls.toml: sni.address: expected an IPv4 or IPv6 address, got 'example.org'"),
    ("controls.toml", "[sni]", "[[sni]]", "controls.toml: sni: expected a table, got a list"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "written", "instead", "line"), BROKEN)
def test_a_broken_catalogue_gives_one_line_with_file_key_and_reason(
    directory: Path, file: str, written: str, instead: str, line: str
) -> None:
    path = directory / file
    assert written in path.read_text()
    path.write_text(path.read_text().replace(written, instead, 1))
    with pytest.raises(CatalogueError) as caught:
        load(directory)
    seen = str(caught.value)
    assert seen == line or (line.endswith("Illegal character") and seen.startswith(line))


def test_the_directory_itself_may_be_wrong(directory: Path, tmp_path: Path) -> None:
    for place, reason in (
        (tmp_path / "nowhere", "nowhere: no such directory"),
        (directory / "controls.toml", "controls.toml: not a directory"),
        (directory / "services", "services: contains no folder 'services'"),
    ):
        with pytest.raises(CatalogueError, match=f"{reason}$"):
            load(place)
    (directory / W).unlink()
    with pytest.raises(CatalogueError, match=r"services: contains no \*\.toml file$"):
        load(directory)


def test_bytes_that_are_no_text_or_no_file(directory: Path) -> None:
    (directory / W).write_bytes(b'id = "wechat"\nname = "\xff"\n')
    with pytest.raises(CatalogueError, match=rf"^{W}: line 2: not UTF-8$"):
        load(directory)
    (directory / W).unlink()
    (directory / W).mkdir()
    with pytest.raises(CatalogueError, match=rf"^{W}: is not a file$"):
        load(directory)
    (directory / W).rmdir()
    os.mkfifo(directory / W)  # reading it would wait for ever
    with pytest.raises(CatalogueError, match=rf"^{W}: is not a file$"):
        load(directory)


def test_nesting_and_numbers_without_end_are_bad_toml(directory: Path) -> None:
    for content in ("a = " + "[" * 100_000, "a = " + "9" * 5000, "a = " + '"x"' * 600_000):
        (directory / W).write_text(content)
        with pytest.raises(CatalogueError, match=rf"^{W}: "):
            load(directory)


def test_two_files_may_not_claim_one_service(directory: Path) -> None:
    (directory / "services/zz.toml").write_text(SERVICE)
    with pytest.raises(CatalogueError, match=rf"^services/zz\.toml: id: wechat is already in {W}"):
        load(directory)


def test_unknown_keys_and_protocols_are_tolerated_with_a_warning(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = directory / W
    path.write_text(
        "later = 1\n"
        + path.read_text().replace('"tcp"', '"mtproto"', 1).replace('"tcp"', '"smoke"')
    )
    with caplog.at_level(logging.WARNING):
        catalogue = load(directory)
    assert [each.protocol for each in catalogue.targets[0].endpoints] == ["mtproto", "smoke"]
    assert [record.getMessage() for record in caplog.records] == [
        f"catalogue: {W}: target[0].endpoint[1].protocol: unknown protocol smoke, skipped",
        f"catalogue: {W}: later: unknown key",
    ]


def test_a_liveness_host_of_an_unknown_protocol_does_not_count(directory: Path) -> None:
    path = directory / "controls.toml"
    path.write_text(CONTROLS.replace('"tls"', '"smoke"'))
    assert load(directory).liveness == ()


def test_resolvers_and_controls_may_be_left_out(directory: Path) -> None:
    (directory / "resolvers.toml").unlink()
    (directory / "controls.toml").unlink()
    assert load(directory).resolvers == ()


def test_a_dns_endpoint_needs_no_port_and_tls_to_an_address_needs_a_name(directory: Path) -> None:
    path = directory / W
    dns = SERVICE.replace('port = 443\nprotocol = "tcp"', 'protocol = "dns"', 1)
    path.write_text(dns)
    assert load(directory).targets[0].endpoints[0].id == "long.example:53/dns"
    path.write_text(dns.replace('"tcp"', '"tls"'))
    with pytest.raises(CatalogueError, match=r"endpoint\[1\]\.sni: is missing"):
        load(directory)


def test_trust_is_the_text_of_a_pem_file_beside_the_toml_file(directory: Path) -> None:
    pem = (SHIPPED / "services/signal.pem").read_text()
    path = directory / W
    path.write_text(SERVICE.replace('"tcp"', '"tls"\ntrust = "ca.pem"', 1))
    (directory / "services/ca.pem").write_text(pem)
    before = load(directory)
    assert before.targets[0].endpoints[0].trust == pem
    (directory / "services/ca.pem").write_text(pem + "\n")
    assert load(directory).version != before.version
    for content in (b"no certificate", b"\xff\xfe", pem[:200].encode()):
        (directory / "services/ca.pem").write_bytes(content)
        with pytest.raises(CatalogueError, match=r"endpoint\[0\]\.trust: 'ca\.pem' "):
            load(directory)


def test_the_version_follows_names_and_bytes(directory: Path, tmp_path: Path) -> None:
    first = load(directory).version
    assert first == load(directory).version
    assert len(first) == 12
    (directory / "README.md").write_text("not part of it")
    assert load(directory).version == first
    (directory / "resolvers.toml").write_text(RESOLVERS + "# a remark\n")
    second = load(directory).version
    (directory / W).rename(directory / "services/we.toml")
    assert len({first, second, load(directory).version}) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.tuples(st.integers(0, len(SERVICE)), st.text(max_size=5)).map(
            lambda cut: (SERVICE[: cut[0]] + cut[1] + SERVICE[cut[0] :]).encode(
                "utf-8", "surrogatepass"
            )
        ),
    ),
    st.sampled_from([W, "resolvers.toml", "controls.toml"]),
)
def test_garbage_gives_a_catalogue_or_one_line(directory: Path, content: bytes, file: str) -> None:
    for name, whole in ((W, SERVICE), ("resolvers.toml", RESOLVERS), ("controls.toml", CONTROLS)):
        (directory / name).write_text(whole)
    (directory / file).write_bytes(content)
    line = ""
    try:
        load(directory)
    except CatalogueError as error:
        line = str(error)
    assert line.isprintable()
    assert not line or line.startswith(f"{file}: ")
