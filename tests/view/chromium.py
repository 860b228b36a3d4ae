"""Drives a headless Chromium over its debugging pipe: a page is opened, looked at and clicked."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium():
    """Path of the browser, None where there is none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Page:
    """One page; use through :func:`open_page`."""

    def __init__(self, to_browser, from_browser):
        self._write, self._read = to_browser, from_browser
        self._buffer, self._next_id, self._session = b"", 0, None
        self.events = []

    def call(self, method, **params):
        """Send a command and return its result."""
        self._next_id += 1
        message = {"id": self._next_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._next_id:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _message(self, limit_s=120.0):
        end = time.monotonic() + limit_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser says nothing"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def attach(self):
        """Take the browser's first page."""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        found = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def run(self, expression):
        """Value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression, limit_s=90.0):
        """Until a JavaScript expression is true."""
        end = time.monotonic() + limit_s
        while not self.run(expression):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.1)

    def screenshot(self):
        """PNG bytes of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def mouse(self, kind, x, y, **more):
        """One mouse event at page pixels."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start, end, steps=8):
        """Press the left button, move, release."""
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        for step in range(1, steps + 1):
            place = [a + (b - a) * step / steps for a, b in zip(start, end, strict=True)]
            self.mouse("mouseMoved", *place, button="left", buttons=1)
            time.sleep(0.05)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def key(self, name):
        """Press and release a key, e.g. "ArrowRight"."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def problems(self):
        """What went wrong in the page so far: exceptions, errors in the console, refused loads."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"])
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
        return found

    def requested(self):
        """Addresses that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


def _pipe():
    """A pipe whose ends are not 3 or 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high


@contextlib.contextmanager
def open_page(url, size=(1400, 1000)):
    """A page on ``url`` in a browser of its own that can reach no network."""
    read_commands, write_commands = _pipe()
    read_answers, write_answers = _pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        flags = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--no-first-run", "--no-default-browser-check", "--disable-dev-shm-usage"),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--force-device-scale-factor=1",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "--remote-debugging-pipe",
        ]
        # The browser reads commands from 3 and answers on 4; dash only knows one-digit numbers.
        script = f'exec "$@" 3<&{read_commands} 4>&{write_answers}'
        browser = subprocess.Popen(
            ["bash", "-c", script, "bash", find_chromium(), *flags, "about:blank"],
            pass_fds=(read_commands, write_answers),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_commands)
        os.close(write_answers)
        try:
            page = Page(write_commands, read_answers)
            page.attach()
            page.call("Page.navigate", url=url)
            yield page
        finally:
            os.close(write_commands)
            os.close(read_answers)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(20)
