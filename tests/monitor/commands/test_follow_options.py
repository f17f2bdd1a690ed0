import pytest

from monitor.commands.follow_options import add_selection
from probes.runtime.options import OptionError, Parser


def read(*words: str) -> object:
    parser = Parser(prog="x", prefix="X_")
    add_selection(parser.command("follow", "follow"))
    return parser.read(["follow", *words], {})


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--since", "30"), "30d"),
        (("--tests", "ndt"), "'ndt'"),
        (("--rate", "0"), "from 0.001"),
        (("--countries", "Kenya"), "'Kenya'"),
        (("--source", "s3://ooni-data-eu-fra"), "s3"),
    ],
)
def test_what_cannot_be_followed(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        read(*words)
