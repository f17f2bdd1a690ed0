import io
import json
import logging

from probes.log import Log, LogHandler


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_json_when_nobody_watches_words_when_somebody_does() -> None:
    out = io.StringIO()
    Log(out)("round", seconds=1.5, reason="")
    line = json.loads(out.getvalue())
    assert (line["event"], line["seconds"], "reason" in line) == ("round", 1.5, False)
    out = Terminal()
    Log(out)("round", seconds=1.5)
    assert out.getvalue().endswith("round  seconds=1.5\n")


def test_what_is_hidden_never_shows() -> None:
    out = io.StringIO()
    log = Log(out)
    log.hide = {"192.0.2.7", "hush"}
    log("lost 192.0.2.7", reason="wrong secret hush")
    assert "192.0.2.7" not in out.getvalue()
    assert "hush" not in out.getvalue()


def test_repeats_are_counted_and_not_written() -> None:
    out = io.StringIO()
    log = Log(out)
    for _ in range(5):
        log("disk trouble", every=60)
    log._repeats["disk trouble"] = (-1000.0, 4)
    log("disk trouble", every=60)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.get("left_out") for line in lines] == [None, 4]


def test_a_closed_stderr_stops_nothing() -> None:
    Log(Broken())("round")


def test_python_logging_goes_the_same_way() -> None:
    out = io.StringIO()
    handler = LogHandler(Log(out))
    logger = logging.Logger("x.y")
    logger.addHandler(handler)
    try:
        raise RuntimeError("oh")
    except RuntimeError:
        logger.exception("measuring %s failed", "e")
    line = json.loads(out.getvalue())
    assert line["event"] == "measuring e failed"
    assert line["level"] == "error"
    assert "RuntimeError: oh" in line["trace"]


def test_a_terminal_is_not_told_what_to_do() -> None:
    out = Terminal()
    Log(out)("lost", reason="\x1b[2J\x9b31m gone")
    assert out.getvalue().endswith("lost  reason=?[2J?31m gone\n")
