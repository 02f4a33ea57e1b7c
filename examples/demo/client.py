"""A browser for the check: keeps the session cookie, and tells what a reply said."""

from __future__ import annotations

import json
import time
import urllib.parse
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from http.cookies import Morsel, SimpleCookie
from typing import Any

COOKIE = "JSESSIONID"
#: Seconds until a reply is given up.
TIMEOUT = 10.0


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: HTTPMessage
    text: str
    #: Seconds it took.
    took: float

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.text)

    @property
    def cookie(self) -> Morsel[str] | None:
        """The session cookie it sets, or None."""
        jar: SimpleCookie = SimpleCookie()
        for header in self.headers.get_all("Set-Cookie", []):
            jar.load(header)
        return jar.get(COOKIE)


class Client:
    """One client's cookie, and requests with it.

    Args:
        port: the balancer's on 127.0.0.1, or an application node's own.
        cookie: a session id to begin with; "" for a new client.
    """

    def __init__(self, port: int, cookie: str = "") -> None:
        self.port = port
        self.cookie = cookie

    def at(self, port: int) -> Client:
        """Return a client with the same cookie that asks elsewhere."""
        return Client(port, self.cookie)

    def get(self, path: str, **headers: str) -> Reply:
        """Send a GET."""
        return self._send("GET", path, None, headers)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Reply:
        """Send a form."""
        return self._send("POST", path, urllib.parse.urlencode(form or {}), headers)

    def _send(self, method: str, path: str, form: str | None, headers: dict[str, str]) -> Reply:
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if self.cookie:
            headers["Cookie"] = f"{COOKIE}={self.cookie}"
        begin = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, form, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return self._keep(Reply(response.status, response.headers, text, time.monotonic() - begin))

    def _keep(self, reply: Reply) -> Reply:
        if reply.cookie is not None:
            self.cookie = "" if reply.cookie["max-age"] == "0" else reply.cookie.value
        return reply
