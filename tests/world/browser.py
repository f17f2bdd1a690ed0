"""Debian's Chromium, headless, spoken to over the DevTools protocol by websocket-client.

Refuses to know our pages. One process serves several tabs; it is ended by its own pid, and its
profile is thrown away. Nothing but loopback is ever contacted: a proxy that does not exist
takes every other request.
"""

from __future__ import annotations

import base64
import contextlib
import html
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

from tests.world.waiting import HANG_SECONDS, wait_until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=127.0.0.1",
    "--remote-debugging-port=0",
)


def executable() -> str | None:
    """Where Debian's Chromium is; None when it is not installed."""
    return shutil.which("chromium")


REPLACED_MOST = 5
"""How often the elements of a page are looked for whose document is being replaced."""


class Tab:
    """One tab: commands go out, answers are awaited, events are kept in order."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(
            address, timeout=HANG_SECONDS, suppress_origin=True
        )
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return dict(said["result"])
            self.events.append(said)

    def wait(self, method: str) -> dict[str, Any]:
        """Return the next event of this kind, one already heard included."""
        while True:
            for index, said in enumerate(self.events):
                if said.get("method") == method:
                    return self.events.pop(index)
            self.events.append(json.loads(self._socket.recv()))

    def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Take the size (below 600 px that of a phone) and the colours of a visitor."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def go(self, url: str) -> None:
        """Load a page and wait until it is there; what was heard of the one before is let go."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        said = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in said:
            raise RuntimeError(str(said["exceptionDetails"])[:500])
        return said["result"].get("value")

    def nodes(self, selector: str) -> list[int]:
        """The elements that a selector chooses, also in a page whose scripts are off."""
        for tries in itertools.count(1):
            root = self.call("DOM.getDocument")["root"]["nodeId"]
            try:
                found = self.call("DOM.querySelectorAll", nodeId=root, selector=selector)
            except RuntimeError as error:
                # The document was replaced between the two commands.
                if tries == REPLACED_MOST or "Could not find node" not in str(error):
                    raise
            else:
                return [int(each) for each in found["nodeIds"]]
        raise AssertionError("counts for ever")

    def text(self, selector: str) -> str:
        """Words of the first element that a selector chooses."""
        source = self.call("DOM.getOuterHTML", nodeId=self.nodes(selector)[0])["outerHTML"]
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", source)).split())

    def click(self, selector: str) -> None:
        """Scroll to the first element that a selector chooses and click into it, as a mouse does.
        Fails when it has no area, is covered, or lies beside what the window shows."""
        node = self.nodes(selector)[0]
        self.call("DOM.scrollIntoViewIfNeeded", nodeId=node)
        quad = self.call("DOM.getContentQuads", nodeId=node)["quads"][0]
        x, y = sum(quad[0::2]) / 4, sum(quad[1::2]) / 4
        seen = self.call("Page.getLayoutMetrics")["cssLayoutViewport"]  # of the document
        at = {"x": round(x + seen["pageX"]), "y": round(y + seen["pageY"])}
        hit = self.call("DOM.getNodeForLocation", **at)["backendNodeId"]
        inside = self.call("DOM.describeNode", nodeId=node, depth=-1)["node"]
        if f'"backendNodeId": {hit},' not in json.dumps(inside):
            raise RuntimeError(f"{selector}: something else is where it should be")
        self.events.clear()
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click on a link and wait until its page is there."""
        self.click(selector)
        self.wait("Page.loadEventFired")

    def address(self) -> str:
        """The address of the page."""
        history = self.call("Page.getNavigationHistory")
        return str(history["entries"][history["currentIndex"]]["url"])

    def back(self) -> None:
        """Go back to the page before, and wait until it is there."""
        history = self.call("Page.getNavigationHistory")
        self.events.clear()
        entry = history["entries"][history["currentIndex"] - 1]["id"]
        self.call("Page.navigateToHistoryEntry", entryId=entry)
        self.wait("Page.frameNavigated")
        wait_until(lambda: self.nodes("main"), "the page before is there again")

    def heard(self, *methods: str) -> list[dict[str, Any]]:
        """Events of these kinds since the page began to load."""
        return [each for each in self.events if each.get("method") in methods]

    def picture(self, clip: dict[str, float] | None = None) -> bytes:
        """A PNG of the whole page, or of a part (x, y, width, height)."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        area = clip or {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        said = self.call(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip=area | {"scale": 1},
        )
        return base64.b64decode(said["data"])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Browser:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextlib.contextmanager
    def tab(self) -> Iterator[Tab]:
        """A new tab."""
        root = f"ws://127.0.0.1:{self._port}"
        main = websocket.create_connection(
            f"{root}{self._path}", timeout=HANG_SECONDS, suppress_origin=True
        )
        try:
            main.send(
                json.dumps(
                    {"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}
                )
            )
            while (said := json.loads(main.recv())).get("id") != 1:
                pass
            tab = Tab(f"{root}/devtools/page/{said['result']['targetId']}")
            try:
                yield tab
            finally:
                tab.close()
        finally:
            main.close()

    _path = ""

    @classmethod
    def at(cls, active_port_file: Path, process: subprocess.Popen[bytes]) -> Browser:
        """Wait for the file in which Chromium writes its port and path."""
        until = time.monotonic() + HANG_SECONDS
        while time.monotonic() < until:
            if process.poll() is not None:
                raise RuntimeError(f"chromium ended with {process.returncode}")
            if active_port_file.exists() and len(lines := active_port_file.read_text().split()) > 1:
                made = cls(int(lines[0]))
                made._path = lines[1]
                return made
            time.sleep(0.05)
        raise RuntimeError("chromium did not open its DevTools port")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium with a new profile; ends it, with its children, by process group."""
    program = executable()
    if program is None:
        raise RuntimeError("chromium is not installed (tests/packages.txt)")
    profile = Path(tempfile.mkdtemp(prefix="reachwatch-chromium-"))
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"HOME": str(profile), "TMPDIR": str(profile)},
    )
    try:
        yield Browser.at(profile / "DevToolsActivePort", process)
    finally:
        process.terminate()
        try:
            process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(20):
            shutil.rmtree(profile, ignore_errors=True)
            if not profile.exists():
                break
            time.sleep(0.05)
