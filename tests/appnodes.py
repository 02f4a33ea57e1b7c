"""Application nodes for tests: real servers as processes of their own, and a browser that goes from one to another."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from servers import SOURCE, Memcached, wait_for_port

ROOT = Path(__file__).parent.parent
SECRET = "a secret that all application nodes know"
#: Seconds until a server must accept connections: it imports a framework, on a machine that may be busy.
STARTED = 60.0


def environment(memcacheds: Sequence[Memcached], route: str) -> dict[str, str]:
    """Return the environment of one application node: this library, and its options for these nodes."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GUNICORN_CMD_ARGS": "--no-control-socket --log-level=error",
        "SHAREDSESSION_NODES": " ".join(server.node for server in memcacheds),
        "SHAREDSESSION_SECRET_KEY": SECRET,
        "SHAREDSESSION_ROUTE": route,
        # Generous: a slow machine is no fault of a node.
        "SHAREDSESSION_TIMEOUT": "10",
        "SHAREDSESSION_CONNECT_TIMEOUT": "10",
    }


@contextmanager
def running(commands: Mapping[int, list[str]], cwd: Path, memcacheds: Sequence[Memcached]) -> Iterator[None]:
    """Run one application node for each port until the block ends; they are called web1, web2 ..."""
    processes = [
        subprocess.Popen(command, cwd=cwd, env=environment(memcacheds, f"web{number}"))
        for number, command in enumerate(commands.values(), 1)
    ]
    try:
        for port in commands:
            wait_for_port(port, STARTED)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


class Page(NamedTuple):
    """An answer."""

    status: int
    text: str


class Browser:
    """A browser with a session cookie and nothing else; asks on a new connection each time, so that any worker serves.

    Args:
        cookie: the session id that it holds at first.
    """

    def __init__(self, cookie: str = "") -> None:
        self.cookie = cookie

    def get(self, port: int, path: str) -> Page:
        """Ask for a path."""
        return self._ask(port, "GET", path, "")

    def submit(self, port: int, page: Page, **fields: str) -> Page:
        """Send the page's form with its hidden fields, and follow the redirect."""
        action = re.findall(r'<form method="post" action="([^"]*)"', page.text)[0]
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        hidden = {name: unescape(value) for name, value in hidden.items()}
        answer = self._ask(port, "POST", unescape(action), urlencode({**hidden, **fields}))
        assert answer.status == 303, answer
        return self.get(port, "/")

    def _ask(self, port: int, method: str, path: str, body: str) -> Page:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        if self.cookie:
            headers["Cookie"] = f"JSESSIONID={self.cookie}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        for header in response.headers.get_all("Set-Cookie") or []:
            if header.startswith("JSESSIONID="):
                self.cookie = header.partition("=")[2].partition(";")[0]
        return Page(response.status, text)
