"""A real browser that refuses cookies shops in examples/without_cookies.py, which calls no helper of this library."""

from __future__ import annotations

import contextlib
import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from test_browser import Browser, chromium, profile
from webclient import SECRET

EXAMPLE = Path(__file__).parents[2] / "examples" / "without_cookies.py"


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        pass


class Server(ThreadingMixIn, WSGIServer):
    """Serves several connections at once: browsers open some that they do not use."""

    daemon_threads = True


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the example; return its address."""
    monkeypatch.setenv("SHAREDSESSION_SECRET_KEY", SECRET)
    app = runpy.run_path(str(EXAMPLE))["app"]
    with make_server("127.0.0.1", 0, app, server_class=Server, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(30)


class Shopper:
    """Somebody at the browser."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.browser.evaluate(f"document.querySelector('{selector}').textContent"))

    def buy(self, what: str) -> None:
        """Fill in the form and send it."""
        self.browser.evaluate(f"document.querySelector('#add [name=what]').value = '{what}'")
        self.browser.click("#add button")


@pytest.mark.parametrize("cookies", ["block", "allow"])
def test_shopping(shop: str, cookies: str) -> None:
    """The cart goes along, by links, by forms of both methods and by redirects, with cookies and without."""
    with profile(chromium(), cookies) as directory, contextlib.closing(Browser(chromium(), directory)) as browser:
        browser.attach()
        shopper = Shopper(browser)
        browser.navigate(shop)
        shopper.buy("tea")
        browser.click("#cake")
        shopper.buy("cake")
        browser.click("#find button")
        browser.click("a#cart")
        assert shopper.text("p#cart") == "tea, cake"
        assert shopper.text("#source") == ("url" if cookies == "block" else "cookie")
        assert browser.evaluate("document.title") == "A shop <a href='tea'>"
        address = str(browser.evaluate("location.href"))
        assert ("jsessionid=" in address) == (cookies == "block")
        assert browser.evaluate("document.querySelector('#elsewhere').href") == "https://example.com/"
        first = str(browser.evaluate("document.querySelector('#add').elements[0].name"))
        assert first == ("jsessionid" if cookies == "block" else "what")
