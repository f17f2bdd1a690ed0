import pytest

from probes.cli.options import COMMANDS, OPTIONS, flag, flag_of, key_of
from probes.cli.settings import Settings


def test_every_option_is_a_setting_and_every_command_uses_known_ones() -> None:
    assert set(OPTIONS) <= set(Settings.__struct_fields__)
    for command in COMMANDS.values():
        assert set(command.options) <= set(OPTIONS)
        assert command.help
    assert set(OPTIONS) == {name for command in COMMANDS.values() for name in command.options}


def test_names_as_typed_and_as_written() -> None:
    assert (flag_of("accept_risks"), flag_of("except_")) == ("--accept-risks", "--except")
    assert (key_of("accept_risks"), key_of("except_")) == ("accept_risks", "except")


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("country", "fr", "FR"),
        ("asn", "AS64501", 64501),
        ("bind", "[::1]", "::1"),
        ("resolver", "9.9.9.9", "9.9.9.9:53"),
        ("resolver", "2620:fe::fe", "[2620:fe::fe]:53"),
        ("resolver", "[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
        ("metrics", "127.0.0.1:0", "127.0.0.1:0"),
        ("interval", "0.5", 0.5),
        ("last", "7", 7),
        ("only", "wechat/messaging", "wechat/messaging"),
        ("role", "control", "control"),
    ],
)
def test_good_values(option: str, text: str, value: object) -> None:
    assert OPTIONS[option].parse(text) == value


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("country", "FRA"),
        ("country", "1!"),
        ("asn", "-1"),
        ("asn", "4294967296"),
        ("asn", "٣"),
        ("bind", "example.org"),
        ("resolver", "dns.google"),
        ("resolver", "9.9.9.9:x"),
        ("resolver", "9.9.9.9:99999"),
        ("metrics", "9090"),
        ("interval", "0"),
        ("interval", "nan"),
        ("interval", "1e11"),
        ("interval", "inf"),
        ("budget", "nan"),
        ("spool_limit", "1e300"),
        ("interval", "soon"),
        ("budget", "-1"),
        ("budget", "inf"),
        ("last", "0"),
        ("last", "1.5"),
        ("only", "We Chat"),
        ("role", "king"),
        ("accept_risks", "yes"),
    ],
)
def test_bad_values_have_a_reason(option: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|is not"):
        OPTIONS[option].parse(text)


def test_flags() -> None:
    assert [flag(word) for word in ("1", "TRUE", "yes", "0", "off")] == [True] * 3 + [False] * 2
    with pytest.raises(ValueError, match="true or false"):
        flag("maybe")
