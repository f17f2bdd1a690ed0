"""Every option of `reachprobe`, by command line, environment and file."""

from pathlib import Path
from typing import Any

import pytest

from probes.cli.main import _COMMANDS
from probes.cli.options import build
from probes.runtime.options import OptionError, Parser
from probes.runtime.proxy import parse_proxy
from tests.probes.runtime.every_option import read_every_way

VALUES: dict[str, tuple[str, Any]] = {
    "accept_risks": ("0123456789abcdef", "0123456789abcdef"),
    "allow_private": ("true", True),
    "asn": ("AS64501", 64501),
    "bind": ("[::1]", "::1"),
    "broker": ("mqtt://a,mqtts://b", ("mqtt://a", "mqtts://b")),
    "budget": ("500", 500.0),
    "catalogue": ("a", Path("a")),
    "catalogue_key": ("a" * 64, "a" * 64),
    "certificate": ("c.pem", Path("c.pem")),
    "check": ("true", True),
    "renew": ("true", True),
    "country": ("ru", "RU"),
    "excerpts": ("yes", "yes"),
    "send": ("no", "no"),
    "except": ("line,zalo", ("line", "zalo")),
    "force": ("true", True),
    "from": ("t.csv", Path("t.csv")),
    "interval": ("60", 60.0),
    "full": ("true", True),
    "json": ("true", True),
    "key": ("k.pem", Path("k.pem")),
    "last": ("3", 3),
    "listen": ("[::1]:443", ("::1", 443)),
    "local_page": ("127.0.0.2:80", ("127.0.0.2", 80)),
    "metered": ("pause", "pause"),
    "metrics": ("127.0.0.1:0", ("127.0.0.1", 0)),
    "plain_http": ("true", True),
    "proxy": ("socks5h://127.0.0.1:9050", parse_proxy("socks5h://127.0.0.1:9050")),
    "only": ("wechat/messaging", ("wechat/messaging",)),
    "resolver": ("2620:fe::fe", "[2620:fe::fe]:53"),
    "role": ("control", "control"),
    "service": ("wechat", ("wechat",)),
    "spool_limit": ("5", 5.0),
    "state": ("/y", Path("/y")),
    "target": ("wechat/messaging", ("wechat/messaging",)),
    "token": ("T", "T"),
}
LEAVES = list(build({}).leaves())


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_every_option_by_all_three_ways(leaf: Parser, tmp_path: Path) -> None:
    read_every_way(build({}), leaf, VALUES, tmp_path)


def test_the_local_page_without_an_address_is_at_the_usual_one() -> None:
    for words, environment in (
        (["run", "--local-page"], {}),
        (["run", "--local-page", "--full"], {}),
        (["run"], {"REACHPROBE_LOCAL_PAGE": "true"}),
    ):
        assert build({}).read(words, environment).local_page == ("127.0.0.1", 8077)
    assert build({}).read(["run"], {}).local_page is None


def test_every_command_is_carried_out() -> None:
    assert {leaf.path for leaf in LEAVES} == set(_COMMANDS)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["once", "--resolver", "dns.google"], "must be an IP address"),
        (["run", "--only", "We Chat"], "'We Chat' is not an id"),
        (["run", "--budget", "-1"], "must be from 0"),
        (["consent", "--accept-risks", "yes"], "must be the 16 hex digits"),
    ],
)
def test_bad_values_have_a_reason(words: list[str], reason: str) -> None:
    with pytest.raises(OptionError, match=f"command line: {words[1]}: {reason}"):
        build({}).read(words, {})


def test_the_state_directory() -> None:
    assert build({}).read(["status"], {}).state == Path("~/.local/state/reachprobe").expanduser()
    assert build({"XDG_STATE_HOME": "/x"}).read(["status"], {}).state == Path("/x/reachprobe")


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_help_is_complete(leaf: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build({}).read([*leaf.path.split(), "--help"], {})
    text = capsys.readouterr().out
    assert all(option.flag in text.replace("TOKEN", "token") for option in leaf.options.values())
