import subprocess
import sys
from pathlib import Path

import pytest

from probes.privacy import geo
from probes.privacy.own_words import is_address, own_words, stand
from probes.wire.measurement import Role, Vantage

pytestmark = pytest.mark.needs("iproute2")


def table(directory: Path) -> None:
    source = directory / "table.tsv"
    source.write_text("192.0.2.0\t192.0.2.255\t64501\tRU\tISP\n9.9.9.0\t9.9.9.255\t19281\tUS\tQ9\n")
    geo.update(source, directory)


def test_flags_win_and_say_so() -> None:
    here = stand(country="FR", asn=64503, role="control", nameservers=["10.0.0.1"])
    assert (here.country, here.asn, here.role, here.geo) == ("FR", 64503, Role.CONTROL, "flag")
    assert here.resolver_class == "private"


def test_the_table_is_asked_for_what_flags_do_not_say(tmp_path: Path) -> None:
    table(tmp_path)
    here = stand(
        country="", asn=None, outside=["192.0.2.9"], nameservers=["9.9.9.9"], directory=tmp_path
    )
    assert (here.country, here.asn, here.resolver_asn) == ("RU", 64501, 19281)
    assert here.geo.startswith("table:")
    assert here.resolver_class == "public"
    mixed = stand(country="FR", asn=None, outside=["192.0.2.9"], directory=tmp_path)
    assert (mixed.country, mixed.asn, mixed.geo) == ("FR", 64501, "flag")


def test_without_anything_it_is_nowhere(tmp_path: Path) -> None:
    assert stand(country="", asn=None) == Vantage()
    (tmp_path / geo.FILE_NAME).write_bytes(b"damaged")
    assert stand(country="", asn=None, outside=["192.0.2.9"], directory=tmp_path) == Vantage()


def test_own_words_from_proc(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  |-- 10.1.2.3\n     /32 host LOCAL\n  |-- 127.0.0.1\n     /32 host LOCAL\n"
        "  |-- 10.1.2.255\n     /32 link BROADCAST\n"
    )
    (tmp_path / "if_inet6").write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000007 02 40 00 00     eth0\n"
    )
    words = own_words("10.9.9.9", ["198.51.100.4"], tmp_path)
    assert {"10.1.2.3", "2001:db8::7", "10.9.9.9", "198.51.100.4"} <= set(words)
    assert not {"127.0.0.1", "::1", "10.1.2.255", "", "localhost"} & set(words)


def test_own_words_under_the_unit_s_proc() -> None:
    """The shipped unit has ProcSubset=pid; without its addresses nothing could be struck out."""
    look = "from probes.privacy.own_words import own_words; print(*own_words())"
    script = (
        "mount -t proc -o subset=pid proc /proc && ip link set lo up && "
        "ip addr add 192.0.2.77/32 dev lo && ip -6 addr add 2001:db8::77/128 dev lo && "
        f'exec "{sys.executable}" -c "{look}"'
    )
    out = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3],
    ).stdout  # fmt: skip
    assert {"192.0.2.77", "2001:db8::77"} <= set(out.split())


def test_the_real_proc_is_understood() -> None:
    assert all(word for word in own_words())
    assert is_address("::1")
    assert not is_address("host")
