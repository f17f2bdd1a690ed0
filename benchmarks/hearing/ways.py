# SPDX-License-Identifier: Apache-2.0
"""Whether measurements arrive while a censor closes one way to the monitor after another.

The probe and the monitor are the real ones, with one process each, and time passes as it does. In
front of the monitor are a web server and an end of TLS, as an operator would have them. What the
probe printed as taken is compared with the store: each measurement must be there once, and within a
minute of the first moment at which a way was open.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.hearing import far_side
from benchmarks.hearing.scenarios import Scenario
from benchmarks.probing import standins
from benchmarks.probing.whole import START
from probes.cli import consent
from probes.delivery import enrolment
from probes.wire.enrolment_token import parse_token

ROOT = Path(__file__).resolve().parents[2]
MQTT = 18_831
INTERVAL_SECONDS, MOST_SECONDS = 5, 60.0
"""Between rounds; the goal, from the moment a way is open."""
PATIENCE_SECONDS = 240.0
"""For what has not arrived when a stage is over."""
SERVICES = "signal,wechat"
URLS = {
    "mqtts": f"mqtts://{far_side.BROKER_NAME}:8883",
    "https": f"https://{far_side.WEB_NAME}",
}
"""The ways that a probe may be given."""
_ADDRESSES = standins.addresses(far_side.BROKER_NAME, far_side.ANSWERS)
_CHAIN = """
table inet way {{
  chain arriving {{
    type filter hook input priority -10;
    iifname != "down0" accept
    {rules}
  }}
}}
"""


@dataclass(frozen=True)
class Stage:
    """What the censor does, and which ways are left."""

    name: str
    rules: tuple[str, ...] = ()
    """Of nftables, for what the probe sends."""
    words: tuple[str, ...] = ()
    """Texts: what holds one is dropped or reset."""
    open: tuple[str, ...] = ()
    """The ways that are left."""
    seconds: float = 60.0


def _label(name: str) -> str:
    """The name as it is in a question for it, in hexadecimal for iptables."""
    labels = (f"{len(label):02x}{label.encode().hex()}" for label in name.split("."))
    return f"|{''.join(labels)}|"


def _elements(addresses: list[str], version: int) -> str:
    chosen = [each for each in addresses if (":" in each) == (version == 6)]
    return "{ " + ", ".join(chosen) + " }"


STAGES = (
    Stage("open", open=("mqtts", "https")),
    Stage("port", ("tcp dport 8883 drop",), open=("https",)),
    Stage("name", words=(far_side.BROKER_NAME,), open=("https",)),
    Stage(
        "address",
        (
            f"ip daddr {_elements(_ADDRESSES, 4)} drop",
            f"ip6 daddr {_elements(_ADDRESSES, 6)} drop",
        ),
        open=("https",),
    ),
    Stage(
        "freeze",
        (
            "meta l4proto tcp ct original bytes > 16384 drop",
            "meta l4proto tcp ct reply bytes > 16384 drop",
        ),
        open=("mqtts", "https"),
    ),
    Stage(
        "allow-list",
        (f"ip daddr != {far_side.RESOLVER} drop", "meta nfproto ipv6 drop"),
        seconds=300.0,
    ),
)


@dataclass
class Heard:
    """What became of the measurements that were taken while one stage lasted."""

    stage: str
    taken: int = 0
    lost: int = 0
    twice: int = 0
    latest: float = 0.0
    """Seconds from the first moment at which a way was open to the store, the longest."""

    @property
    def reached(self) -> bool:
        """Whether all is as it should be."""
        return bool(self.taken) and not (self.lost or self.twice) and self.latest <= MOST_SECONDS

    def line(self) -> str:
        """One line of the table."""
        return (
            f"{self.stage:<12}{self.taken:5} taken {self.lost:4} lost {self.twice:4} twice  "
            f"latest {self.latest:6.1f} s after a way was open  "
            + ("reached" if self.reached else "MISSED")
        )


@dataclass
class _Log:
    """When each measurement was taken and first seen in the store."""

    taken: dict[str, float] = field(default_factory=dict)
    stored: dict[str, float] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)

    async def read(self, lines: asyncio.StreamReader) -> None:
        """Note what the probe prints."""
        async for line in lines:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if told.get("event") == "taken":
                    self.taken[told["id"]] = time.monotonic()

    async def look(self, store: Path) -> None:
        """Note what is in the store, again and again."""
        while True:
            now = time.monotonic()
            self.copies = Counter(await asyncio.to_thread(_ids, store))
            for name in self.copies:
                self.stored.setdefault(name, now)
            await asyncio.sleep(0.5)

    def waiting(self) -> set[str]:
        """What was taken and is not stored."""
        return self.taken.keys() - self.stored.keys()


def _ids(store: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT lower(hex(id)) FROM measurement").fetchall()
    return [name for (name,) in rows]


async def measure(ways: tuple[str, ...], python: str) -> list[Heard]:
    """Play all stages, for a probe that knows these ways. Needs the far namespace."""
    _count_connections()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            far_side.internet(folder, Scenario("ways")) as roots,
            _monitor(folder, roots) as store,
            _probe(folder, roots, python, ways) as probe,
        ):
            log = _Log()
            assert probe.stdout is not None
            tasks = [
                asyncio.create_task(log.read(probe.stdout)),
                asyncio.create_task(log.look(store)),
            ]
            try:
                return [await _play(stage, ways, log) for stage in STAGES]
            finally:
                for task in tasks:
                    task.cancel()


def _count_connections() -> None:
    """Let the kernel count what each connection has carried."""
    Path("/proc/sys/net/netfilter/nf_conntrack_acct").write_text("1")


async def _play(stage: Stage, ways: tuple[str, ...], log: _Log) -> Heard:
    """One stage, until everything has arrived or nobody waits for it any longer."""
    begun = time.monotonic()
    _close(stage)
    await asyncio.sleep(stage.seconds)
    _open()
    ended = time.monotonic()
    way_open = begun if set(ways) & set(stage.open) else ended
    chosen = [name for name, when in log.taken.items() if begun <= when < ended]
    late = time.monotonic() + PATIENCE_SECONDS
    while log.waiting() & set(chosen) and time.monotonic() < late:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    delays = [log.stored[n] - max(log.taken[n], way_open) for n in chosen if n in log.stored]
    return Heard(
        stage.name,
        len(chosen),
        sum(name not in log.stored for name in chosen),
        sum(log.copies[name] > 1 for name in chosen),
        max(delays, default=0.0),
    )


def _close(stage: Stage) -> None:
    if stage.rules:
        table = _CHAIN.format(rules="\n    ".join(stage.rules))
        subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    for word in stage.words:
        for filter in ("iptables", "ip6tables"):
            common = ("-i", "down0", "-m", "string", "--algo", "bm", "--to", "1400")
            dns = ("-p", "udp", "--dport", "53", "--hex-string", _label(word), "-j", "DROP")
            sni = ("-p", "tcp", "--string", word, "-j", "REJECT", "--reject-with", "tcp-reset")
            for rule in (dns, sni):
                subprocess.run([filter, "-A", "INPUT", *common, *rule], check=True)


def _open() -> None:
    subprocess.run(["nft", "delete", "table", "inet", "way"], check=False, capture_output=True)
    for filter in ("iptables", "ip6tables"):
        subprocess.run([filter, "-F", "INPUT"], check=True)


@contextlib.asynccontextmanager
async def _monitor(folder: Path, roots: Path) -> AsyncIterator[Path]:
    """A monitor that has enrolled the probe; gives its store."""
    reachwatch = (sys.executable, "-m", "monitor.commands.main")
    data, url = folder / "data", f"https://{far_side.WEB_NAME}"
    store = data / "reachwatch.db"
    async with (
        standins.running(
            *(*reachwatch, "up", "--data", str(data), "--no-local-probe", "--no-retests"),
            *("--http", f"127.0.0.1:{far_side.WEB_PORT}", "--mqtt", f"127.0.0.1:{MQTT}"),
            *("--catalogue", str(folder / "catalogue"), "--public-url", url),
            cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL,
        ),
        _end_of_tls(next((folder / "pair").iterdir())),
    ):
        async with asyncio.timeout(300):  # for a hang alone
            while True:
                with contextlib.suppress(TimeoutError):
                    await standins.listening("127.0.0.1", far_side.WEB_PORT)
                    break
        token = await asyncio.create_subprocess_exec(
            *(*reachwatch, "token", "new", "--data", str(data)),
            *("--public-url", f"http://127.0.0.1:{far_side.WEB_PORT}"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        out, _ = await token.communicate()
        text = next(word for word in out.decode().split() if word.startswith("rch1."))
        state = folder / "state"
        state.mkdir(mode=0o700)
        given = await asyncio.to_thread(enrolment.enrol, parse_token(text), "bench")
        enrolment.save(state, given)
        yield store


@contextlib.asynccontextmanager
async def _end_of_tls(pair: Path) -> AsyncIterator[None]:
    """Port 8883 of every address, which leads to the broker in clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while received := await reader.read(65536):
                writer.write(received)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", MQTT)
        await asyncio.gather(pipe(reader, to), pipe(there, writer))

    server = await asyncio.start_server(serve, None, 8883, ssl=context)
    try:
        yield
    finally:
        server.close()


@contextlib.asynccontextmanager
async def _probe(
    folder: Path, roots: Path, python: str, ways: tuple[str, ...]
) -> AsyncIterator[asyncio.subprocess.Process]:
    log = (folder / "probe.log").open("wb")
    async with standins.running(
        *("unshare", "-n", "-m", "sh", "-c", far_side.JOINED, "sh"),
        *(python, "-c", START, str(roots), "aioquic", "1", "run"),
        *("--catalogue", str(folder / "catalogue"), "--state", str(folder / "state")),
        *("--resolver", f"{far_side.RESOLVER}:53", "--interval", f"{INTERVAL_SECONDS}"),
        *("--allow-private", "--country", "FR", "--asn", "64501", "--only", SERVICES),
        *(word for way in ways for word in ("--broker", URLS[way])),
        *("--accept-risks", consent.digest()),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log if not os.environ.get("HEARD_LOG") else None,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as probe:
        await far_side.join(probe)
        yield probe


async def run(ways: tuple[str, ...], python: str) -> list[Heard]:
    """Make the namespace and play all stages in it."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "-m", "sh", "-ec", far_side.MADE, "sh"),
        *(sys.executable, __file__, ",".join(ways), python),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"ways: exit status {process.returncode}")
    return [Heard(**one) for one in json.loads(told)]


def main(ways: str, python: str) -> int:
    """Measure, inside the namespace."""
    heard = asyncio.run(measure(tuple(ways.split(",")), python))
    print(json.dumps([asdict(one) for one in heard]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
