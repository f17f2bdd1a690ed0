"""Which catalogues of the monitor a probe takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from probes.catalogue.load import SHIPPED, load
from probes.catalogue.selection import select
from probes.catalogue.table import CatalogueError
from probes.remote_catalogue import FILE, RefusedCatalogueError, RemoteCatalogue, pinned_key
from probes.runtime.compression import zstd
from probes.wire.signed_catalogue import (
    CONTEXT,
    SignatureHeader,
    encode_files,
    encode_signed,
)
from probes.wire.target import Catalogue

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OURS = {
    path.relative_to(SHIPPED).as_posix(): path.read_text("utf-8")
    for path in SHIPPED.rglob("*")
    if path.suffix in (".toml", ".pem")
}
NEW = """
id = "zulip"
name = "Zulip"
[[target]]
id = "zulip/web"
[[target.endpoint]]
host = "zulip.example"
port = 443
protocol = "tls"
source = "test"
verified = 2026-11-27
"""


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def signed(
    serial: int,
    files: Mapping[str, str] = OURS,
    key: Ed25519PrivateKey = KEY,
    claim: str = "",
    ways: Sequence[str] = (),
) -> bytes:
    body = encode_files(serial, files, ways)
    signature = key.sign(CONTEXT + body).hex()
    return encode_signed(SignatureHeader(key=claim or public(key), signature=signature), body)


def everything(found: Catalogue) -> Catalogue:
    return found


def remote(directory: Path, key: Ed25519PrivateKey = KEY) -> RemoteCatalogue:
    return RemoteCatalogue(directory, public(key), everything)


def refusal(made: RemoteCatalogue, document: bytes) -> str:
    with pytest.raises(RefusedCatalogueError) as refused:
        made.accept(document)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_a_newer_one_is_taken_and_kept(tmp_path: Path) -> None:
    made = remote(tmp_path)
    assert made.load_kept() is None
    taken = made.accept(signed(5))
    assert taken is not None
    assert (taken.serial, taken.catalogue, taken.new_services) == (5, load(), ())
    assert made.accept(signed(5)) is None
    more = made.accept(signed(6, OURS | {"services/zulip.toml": NEW}))
    assert more is not None
    assert more.new_services == ("zulip",)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    again = remote(tmp_path)
    assert again.load_kept() == more
    assert again.accept(signed(6, OURS | {"services/zulip.toml": NEW})) is None


def test_an_older_one_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    made = remote(tmp_path)
    assert made.accept(signed(6)) is not None
    assert "serial number 5; this probe has 6" in refusal(made, signed(5))
    again = remote(tmp_path)
    assert again.load_kept() is not None
    assert "serial number 5" in refusal(again, signed(5))
    other = signed(6, {**OURS, "services/zulip.toml": NEW})
    assert "serial number 6" in refusal(again, other), "the same number is no newer one"


def test_only_the_pinned_key_counts(tmp_path: Path) -> None:
    made = remote(tmp_path)
    assert "not by the pinned key" in refusal(made, signed(5, key=OTHER))
    assert refusal(made, signed(5, key=OTHER, claim=public(KEY))) == "the signature is wrong"
    assert not (tmp_path / FILE).exists()
    assert made.accept(signed(1)) is not None
    assert remote(tmp_path, OTHER).load_kept() is None, "another key was pinned since"


def test_a_change_of_one_byte_is_noticed(tmp_path: Path) -> None:
    whole = zstd.decompress(signed(5))
    changed = zstd.compress(whole.replace(b"WeChat", b"WeChut", 1))
    assert refusal(remote(tmp_path), changed) == "the signature is wrong"


def test_a_key_that_is_no_point_of_the_curve_is_no_crash(tmp_path: Path) -> None:
    zero = "02" + "00" * 31
    made = RemoteCatalogue(tmp_path, zero, everything)
    assert refusal(made, signed(5, claim=zero)) == "the signature is wrong"


@pytest.mark.parametrize("document", [b"x", b"", zstd.compress(b"{}\n{}"), b"x" * 300_000])
def test_rubbish_is_refused(tmp_path: Path, document: bytes) -> None:
    made = remote(tmp_path)
    if document:
        assert refusal(made, document).startswith("signed catalogue: ")
    else:
        assert made.accept(document) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id = ", "services/zulip.toml: "),
        (NEW.replace('"zulip.example"', '"<script>alert(1)</script>"'), "not a host name"),
        (NEW.replace('"zulip.example"', '"a\\u001b[31mb"'), "not a host name"),
        (NEW.replace("Zulip", "a\\u001b]0;b"), "control characters"),
        (NEW.replace("source", "sauce"), "source: is missing"),
        (NEW.replace("443", "25"), "port 25 is not one of"),
        (NEW.replace('host = "zulip.example"', 'address = "192.168.0.1"\nsni = "a.example"'),
         "not a global address"),
        (NEW.replace('id = "zulip"', 'id = "liveness"'), "liveness is reserved"),
        (NEW.replace("port", 'trust = "../../etc/passwd"\nport'), "does not exist"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_hostile_is_refused_and_nothing_changes(
    tmp_path: Path, text: str, words: str
) -> None:
    made = remote(tmp_path)
    assert made.accept(signed(3)) is not None
    said = refusal(made, signed(9, OURS | {"services/zulip.toml": text}))
    assert words in said
    assert said.isprintable()
    assert (tmp_path / FILE).read_bytes() == signed(3)
    assert made.accept(signed(4)) is not None, "a refused number is not used up"


def test_unknown_keys_do_not_matter(tmp_path: Path) -> None:
    text = NEW.replace("[[target]]", 'mascot = "a bird"\n[[target]]', 1)
    assert remote(tmp_path).accept(signed(3, OURS | {"services/zulip.toml": text})) is not None


def test_what_the_volunteer_excludes_stays_excluded(tmp_path: Path) -> None:
    made = RemoteCatalogue(
        tmp_path, public(KEY), lambda found: select(found, excluded=["zulip", "wechat"])
    )
    taken = made.accept(signed(3, OURS | {"services/zulip.toml": NEW}))
    assert taken is not None
    assert not {"zulip", "wechat"} & {each.id for each in taken.catalogue.services}
    assert taken.new_services == ()
    assert "zulip" in taken.ids


def test_one_that_cannot_be_used_here_is_refused(tmp_path: Path) -> None:
    def refuse(found: Catalogue) -> Catalogue:
        raise CatalogueError("it contains nothing that --only names")

    made = RemoteCatalogue(tmp_path, public(KEY), refuse)
    assert refusal(made, signed(3)) == "it contains nothing that --only names"


def test_a_kept_one_that_is_damaged_is_refused_once(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"rubbish")
    made = remote(tmp_path)
    with pytest.raises(RefusedCatalogueError, match="not zstd"):
        made.load_kept()
    assert made.accept(signed(1)) is not None


def test_without_the_library_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert "pip install 'reachwatch[catalogue]'" in refusal(remote(tmp_path), signed(3))


def test_a_full_disk_is_a_refusal(tmp_path: Path) -> None:
    made = remote(tmp_path / "gone")
    assert "No such file" in refusal(made, signed(3))
    (tmp_path / "gone").mkdir()
    assert made.accept(signed(3)) is not None


def test_keys_are_hex_or_none() -> None:
    assert pinned_key("none") == "none"
    assert pinned_key("a" * 64) == "a" * 64
    for text in ("", "a" * 63, "A" * 64, "g" * 64):
        with pytest.raises(ValueError, match="64 hex digits"):
            pinned_key(text)


def test_addresses_of_the_monitor_come_with_it(tmp_path: Path) -> None:
    ways = ("mqtts://reach.example?address=192.0.2.1", "https://reach.example")
    taken = remote(tmp_path).accept(signed(3, ways=ways))
    assert taken is not None
    assert taken.ways == ways
    kept = remote(tmp_path).load_kept()
    assert kept is not None
    assert kept.ways == ways


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("http://reach.example", "not encrypted"),
        ("mqtts://user:secret@reach.example", "with a password"),
        ("ftp://reach.example", "must begin with"),
    ],
)
def test_addresses_at_which_the_secret_would_be_read_are_refused(
    tmp_path: Path, way: str, words: str
) -> None:
    assert words in refusal(remote(tmp_path), signed(3, ways=(way,)))
