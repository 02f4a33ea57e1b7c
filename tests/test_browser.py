"""A real browser that refuses cookies walks through the demo, and keeps its session."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the examples are not installed

from examples.demo.client import COOKIE  # noqa: E402
from examples.demo.cluster import Cluster  # noqa: E402
from examples.demo.cookieless import id_in  # noqa: E402
from examples.demo.htmlpage import Page  # noqa: E402

#: Seconds for the whole walk, from the browser's start on.
BOUND = 30.0

OPTIONS = """
    --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-extensions --no-default-browser-check
    --password-store=basic --remote-debugging-pipe
"""
# Nothing but this machine can be reached.
HOSTS = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"

# Chromium reads commands from descriptor 3 and writes to 4; whatever the pipes' numbers are, they become these.
LAUNCH = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 10) for number in sys.argv[1:3])
os.closerange(3, 10)
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str:
    """Return the browser's path, or fail and say what to install."""
    missing = "no chromium: `./run test` installs it on Debian; on Ubuntu run `sudo snap install chromium`"
    return shutil.which("chromium") or shutil.which("chromium-browser") or pytest.fail(missing)


@contextlib.contextmanager
def profile(program: str, cookies: str) -> Iterator[Path]:
    """Give a new profile in which cookies are allowed or blocked ("allow", "block")."""
    parent = None
    if Path(program).resolve().name == "snap":  # it sees neither our /tmp nor hidden directories
        parent = Path.home() / "snap/chromium/common"
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="browser-", dir=parent, ignore_cleanup_errors=True) as directory:
        setting = {"cookies": {"allow": 1, "block": 2}[cookies]}
        preferences = Path(directory) / "Default" / "Preferences"
        preferences.parent.mkdir()
        preferences.write_text(json.dumps({"profile": {"default_content_setting_values": setting}}))
        yield Path(directory)


class Browser:
    """A headless Chromium with a profile and one tab, driven by the DevTools protocol over a pair of pipes."""

    def __init__(self, program: str, directory: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        theirs = (commands, answers)
        launch = [sys.executable, "-c", LAUNCH, *map(str, theirs)]
        command = [*launch, program, *OPTIONS.split(), HOSTS, f"--user-data-dir={directory}", "about:blank"]
        self._log = directory / "chromium.log"
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(command, process_group=0, pass_fds=theirs, stdout=log, stderr=log)
        for descriptor in theirs:
            os.close(descriptor)
        self._deadline = time.monotonic() + BOUND
        self._received = b""
        self._tab, self._last, self._loads = "", 0, 0

    def attach(self) -> None:
        """Take hold of the tab."""
        tabs = self.call("Target.getTargets")["targetInfos"]
        target = next(tab["targetId"] for tab in tabs if tab["type"] == "page")
        self._tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def close(self) -> None:
        """End it, as a closed pipe does by itself, and what may be left of its group."""
        os.close(self._commands)
        os.close(self._answers)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._tab:
            message["sessionId"] = self._tab
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._last:
            pass
        assert "error" not in answer, f"{method}: {answer}"
        return dict(answer["result"])

    def navigate(self, url: str) -> None:
        """Type a URL, and wait for the page."""
        self._until_loaded("Page.navigate", url=url)

    def click(self, selector: str) -> None:
        """Click on what a CSS selector finds, and wait for the page to which that leads."""
        click = f"document.querySelector({json.dumps(selector)}).click()"
        self._until_loaded("Runtime.evaluate", expression=click, userGesture=True)

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression is, in the page."""
        result = self.call("Runtime.evaluate", expression=expression)
        assert "exceptionDetails" not in result, f"{expression}: {result}"
        return result["result"].get("value")

    def _until_loaded(self, method: str, **parameters: Any) -> None:
        loads = self._loads
        result = self.call(method, **parameters)
        assert not {"errorText", "exceptionDetails"} & set(result), f"{parameters}: {result}"
        while self._loads == loads:
            self._receive()

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready = select.select([self._answers], [], [], max(self._deadline - time.monotonic(), 0))[0]
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            assert chunk, f"Chromium {'has ended' if ready else 'is too slow'}: {self._log.read_text()[-2000:]}"
            self._received += chunk
        text, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._loads += message.get("method") == "Page.loadEventFired"
        return message


class Visitor:
    """Somebody at the browser, who looks at every page of the demo on this port and notes the ids."""

    def __init__(self, browser: Browser, port: int) -> None:
        self.browser = browser
        self._origin = f"http://127.0.0.1:{port}"
        #: The ids that pages showed, without immediate repetition.
        self.ids: list[str] = []
        self.served: set[str] = set()

    def arrive(self) -> Page:
        """Come by typing the address."""
        self.browser.navigate(self._origin + "/")
        return self._look()

    def click(self, selector: str) -> Page:
        """Click, and look at the page that comes."""
        self.browser.click(selector)
        return self._look()

    def submit(self, path: str) -> Page:
        """Press the button of the form that leads to a path."""
        return self.click(f"form[action^='{path}'] button")

    def add(self, name: str, value: str) -> Page:
        """Fill in the form for a value and send it."""
        for field, text in (("name", name), ("value", value)):
            self.browser.evaluate(f"document.querySelector('.add [name={field}]').value = {json.dumps(text)}")
        return self.submit("/add")

    @property
    def url(self) -> str:
        """What the address bar shows."""
        return str(self.browser.evaluate("location.href"))

    @property
    def cookies(self) -> list[dict[str, Any]]:
        """Every cookie that the browser has, of any site."""
        return list(self.browser.call("Network.getAllCookies")["cookies"])

    def _look(self) -> Page:
        page = Page(self.browser.evaluate("document.documentElement.outerHTML"))
        shown = self.browser.evaluate("document.querySelector('.id').textContent")
        self.ids += [shown] if shown not in self.ids[-1:] else []
        self.served.add(page.served_by)
        return page


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run the demo, on ports of its own."""
    first = random.randrange(31000, 32700, 20)
    with Cluster(port=first, first_port=first + 1) as running:
        yield running


@pytest.fixture
def visitor(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Return somebody new, with cookies allowed or blocked as the test says."""
    program = chromium()
    with profile(program, request.param) as directory, contextlib.closing(Browser(program, directory)) as browser:
        browser.attach()
        yield Visitor(browser, cluster.port)


@pytest.mark.parametrize("visitor", ["block"], indirect=True)
def test_a_browser_without_cookies(visitor: Visitor) -> None:
    """Visits, a link, forms, redirects, log-in and log-out are one session, whose id changes at log-in only."""
    pages = [visitor.arrive(), visitor.click("a.button"), visitor.click("a.button")]
    pages += [visitor.add("cart", "tea"), visitor.submit("/login")]
    assert [page.visits for page in pages] == [1, 2, 3, 4, 5]
    assert [page.source for page in pages] == ["", "URL", "URL", "URL", "URL"]
    before, after = visitor.ids
    assert before != after == id_in(visitor.url) == pages[-1].field
    by_field = visitor.click("form[action='/'] button")
    assert (by_field.visits, by_field.source, id_in(visitor.url)) == (6, "form field", "")
    assert all(word in by_field.text for word in ("tea", "Ada"))
    assert visitor.ids == [before, after]
    out = visitor.submit("/logout")
    assert (out.visits, out.source, "Ada" in out.text) == (1, "", False)
    assert len(set(visitor.ids)) == 3
    assert visitor.served == {"web1", "web2"}
    assert visitor.cookies == []


@pytest.mark.parametrize("visitor", ["allow"], indirect=True)
def test_a_browser_with_cookies(visitor: Visitor) -> None:
    """From the second page on, the id is in the cookie and nowhere else."""
    assert visitor.arrive().field
    assert visitor.click("a.button").source == "cookie"
    for page in (visitor.add("cart", "tea"), visitor.submit("/login"), visitor.click("a.button")):
        assert (page.source, page.field, id_in(visitor.url)) == ("cookie", "", "")
        assert "jsessionid=" not in page.text
    assert [cookie["name"] for cookie in visitor.cookies] == [COOKIE]
    assert len(visitor.ids) == 2
