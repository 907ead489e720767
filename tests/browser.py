"""A real headless Chromium, driven over its debugging pipe: no driver, no port, no dependency.

Messages are JSON, each ended by a zero byte, on the descriptors 3 and 4 of the
browser (the DevTools protocol). Every wait has a deadline; `close` leaves no process.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 120.0
POLL_S = 0.1
IDLE_S = 20.0
"""A browser that nobody has wanted for so long is ended: idle, it takes time from other tests."""
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-dev-shm-usage", "--disable-breakpad", "--disable-crash-reporter", "--disable-background-networking", "--disable-component-update",
    "--disable-extensions", "--disable-sync", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


class PageFailed(AssertionError):
    """The page did not come to what was waited for."""


def find() -> str:
    """The browser; SkipTest where there is none."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    raise SkipTest("there is no Chromium (apt-get install chromium)")


class Browser:
    """One page in one browser; what the page complains about is in `complaints`."""

    def __init__(self, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        path = find()
        self.complaints: list[str] = []
        """Errors of the console and exceptions nobody caught."""
        self.unreached: list[str] = []
        """What the network could not load."""
        self._profile = tempfile.mkdtemp(prefix="timed-browser-")
        self._last = 0
        self._buffer = b""
        self._answers: dict[int, dict[str, Any]] = {}
        commands, self._to = os.pipe()
        self._from, events = os.pipe()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 >&2 </dev/null', "sh", path, *OPTIONS,
             f"--user-data-dir={self._profile}", "about:blank"],
            stdin=commands, stdout=events, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands)
        os.close(events)
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.window(width, height)
        self.scheme(scheme)

    # The window

    def window(self, width: int, height: int, *, mobile: bool = False) -> None:
        """A window of this size; `mobile` is a phone's, at two pixels for one."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile},
        )

    def scheme(self, name: str) -> None:
        """light or dark."""
        self.call(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]}
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))

    # The page

    def open(self, url: str) -> None:
        self.call("Page.navigate", {"url": url})

    def forget(self) -> None:
        """What was complained about so far."""
        self.complaints.clear()
        self.unreached.clear()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True}
        )
        if "exceptionDetails" in answer:
            raise PageFailed(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, what: str, expression: str, seconds: float = WAIT_S) -> Any:
        """The first true value of an expression, which may fail meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.run(expression)
            except PageFailed as error:
                found, last = None, str(error)
            else:
                last = repr(found)
            if found:
                return found
            if time.monotonic() > deadline:
                raise PageFailed(f"{what}: not within {seconds:.0f} s (last: {last}); {self.complaints}")
            self._pump(POLL_S, lambda: False)

    def press(self, key: str) -> None:
        """One key, down and up, as a person types it."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        named = {"key": key, "text": text, "windowsVirtualKeyCode": 13 if key == "Enter" else 0}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", {"type": kind, **named})

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One command to the page."""
        return self._call(method, params or {}, self._session)

    def close(self) -> None:
        """End the browser, and remove what it kept."""
        os.close(self._to)
        os.close(self._from)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(WAIT_S)
        shutil.rmtree(self._profile, ignore_errors=True)

    # The pipe

    def _call(self, method: str, params: Mapping[str, Any], session: str | None = None) -> dict[str, Any]:
        self._last += 1
        number = self._last
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        self._pump(WAIT_S, lambda: number in self._answers)
        answer = self._answers.pop(number, None)
        if answer is None:
            raise PageFailed(f"the browser did not answer {method} within {WAIT_S:.0f} s")
        if "error" in answer:
            raise PageFailed(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _pump(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Read what the browser says, until it is enough or the time is over."""
        deadline = time.monotonic() + seconds
        while not enough():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                return
            data = os.read(self._from, 1 << 20)
            if not data:
                raise PageFailed("the browser has ended")
            self._buffer += data
            *whole, self._buffer = self._buffer.split(b"\0")
            for text in whole:
                self._heard(json.loads(text))

    def _heard(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        params = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(each.get("value")) for each in params["args"]))
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            kept = self.unreached if entry["source"] == "network" else self.complaints
            kept.append(f"{entry['text']} {entry.get('url', '')}")


class Lender:
    """One browser for the tests of a process: starting it costs more than what most of them do with it."""

    def __init__(self) -> None:
        self._browser: Browser | None = None
        self._loans = 0
        self._lock = threading.RLock()

    def take(self) -> Browser:
        """A browser with an empty page and no complaints, until `give_back`; SkipTest where there is none."""
        find()
        with self._lock:
            self._loans += 1
            if self._browser is None:
                self._browser = Browser()
                atexit.register(self.end)
            self._browser.forget()
            return self._browser

    def give_back(self) -> None:
        """Leave the page; the next test finds the browser as it was, or starts another."""
        with self._lock:
            if self._browser is not None:
                self._browser.open("about:blank")
                idle = threading.Timer(IDLE_S, self._rest, [self._loans])
                idle.daemon = True
                idle.start()

    def _rest(self, loans: int) -> None:
        """Nobody has wanted it since."""
        with self._lock:
            if self._loans == loans:
                self.end()

    def end(self) -> None:
        """No process is left; a second time does nothing more."""
        with self._lock:
            browser, self._browser = self._browser, None
            if browser is not None:
                atexit.unregister(self.end)
                browser.close()


LENDER = Lender()
