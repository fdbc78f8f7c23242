"""Headless Chromium, driven through its pipe (Chrome DevTools Protocol): no driver, no socket."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium is installed"


def program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One process with a profile of its own. `proxy`: host:port for plain HTTP and HTTPS."""

    def __init__(self, profile: Path, proxy: str = "") -> None:
        found = program()
        assert found, MISSING
        read_in, self._write = os.pipe()
        self._read, write_out = os.pipe()
        command = [
            found,
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            *([f"--proxy-server=http://{proxy}"] if proxy else []),
        ]
        # Chromium reads commands from descriptor 3 and writes answers to 4, each ended by a zero byte.
        shell = f'exec "$@" 3<&{read_in} 4>&{write_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(read_in, write_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)
        self._changed = threading.Condition()
        self._answers: dict[int, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._last = 0
        self._closed = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._thread.join(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        with self._changed:
            done = self._changed.wait_for(lambda: self._last in self._answers or self._closed, 30)
            assert done, f"no answer to {method}"
            answer = self._answers.pop(self._last)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def page(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        return Page(self, url, width, height, dark)

    def events(self, session: str) -> list[dict[str, Any]]:
        with self._changed:
            return [event for event in self._events if event.get("sessionId") == session]

    def _listen(self) -> None:
        waiting = b""
        while data := os.read(self._read, 1 << 16):
            *messages, waiting = (waiting + data).split(b"\0")
            with self._changed:
                for raw in messages:
                    message = json.loads(raw)
                    if "id" in message:
                        self._answers[message["id"]] = message
                    else:
                        self._events.append(message)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Page:
    """One tab. Every error that the page causes is in `errors`."""

    def __init__(self, browser: Browser, url: str, width: int, height: int, dark: bool) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.resize(width, height)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[theme])
        self.go(url)

    def close(self) -> None:
        """A tab that stays open keeps its connections, of which a host gets six."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def go(self, url: str) -> None:
        before = len(self._loads())
        self._call("Page.navigate", url=url)
        deadline = time.monotonic() + 20
        while len(self._loads()) == before:
            assert time.monotonic() < deadline, f"{url} does not load"
            time.sleep(0.02)

    def resize(self, width: int, height: int) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        result = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str, seconds: float = 10) -> Any:
        """Until the expression is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.errors}"
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, *, shift: bool = False) -> None:
        """A real key: Tab, Enter, Escape, or one character."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        event = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        event |= {"modifiers": 8 if shift else 0}
        down = "keyDown" if text else "rawKeyDown"
        self._call("Input.dispatchKeyEvent", type=down, text=text, **event)
        self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def errors(self) -> list[str]:
        """Exceptions, console errors, refused loads and violations of the policy."""
        found: list[str] = []
        for event in self._browser.events(self._session):
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
        return found

    def requested(self) -> list[str]:
        """Addresses of everything the page has loaded."""
        events = self._browser.events(self._session)
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def _loads(self) -> list[dict[str, Any]]:
        events = self._browser.events(self._session)
        return [event for event in events if event["method"] == "Page.loadEventFired"]

    def _call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, self._session, **params)
