"""What `reachwatch catalogue` takes and refuses."""

import pytest

from monitor.commands.options import build
from probes.runtime.options import OptionError

SIGN = ["catalogue", "sign", "DIR", "--key", "k.pem"]


def test_a_serial_and_addresses() -> None:
    ways = ["--way", "wss://a.example", "--way", "mqtts://b?address=192.0.2.1"]
    given = build().read([*SIGN, "--serial", str(2**53), *ways])
    assert (given.serial, list(given.way)) == (
        2**53,
        ["wss://a.example", "mqtts://b?address=192.0.2.1"],
    )


@pytest.mark.parametrize(
    "wrong",
    [["--serial", text] for text in ("0", "-1", "1.5", str(2**53 + 1))]
    + [["--way", text] for text in ("reach.example", "ftp://reach.example", "wss://a?address=b")],
)
def test_what_no_probe_would_take_is_refused(wrong: list[str]) -> None:
    with pytest.raises(OptionError, match=wrong[0]):
        build().read([*SIGN, *wrong])
