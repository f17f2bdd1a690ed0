from pathlib import Path

from monitor.commands.options import build
from monitor.local.source_follower import COMMAND, follow_command


def test_the_child_is_told_what_up_was_told() -> None:
    words = ["up", "--follow", "ooni", "--data", "d", "--since", "30d", "--rate", "0.5"]
    words += ["--tests", "signal,telegram", "--countries", "KE", "--source", "http://b.example/c"]
    child = follow_command(build().read([*words, "--http", "127.0.0.1:0"], {}))
    given = build().read(child[len(COMMAND) - 1 :], {})
    assert (given.data, given.since, given.rate) == (Path("d"), 30 * 86_400, 0.5)
    assert (given.tests, given.countries) == (("signal", "telegram"), ("KE",))
    assert (given.source, given.database) == ("http://b.example/c", None)
    assert follow_command(build().read(["up", "--follow", "ooni"], {})) == [
        *COMMAND, "ooni", "--since", "604800s", "--rate", "4.0",
    ]  # fmt: skip
