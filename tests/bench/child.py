"""One contender in a process of its own: `python -m bench.child [--count] <ports>`.

It reads orders from stdin and answers on stdout, a JSON object a line. Nothing of a contender is imported before an
order names it.
"""

from __future__ import annotations

import gc
import io
import json
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .contenders import BASES, build
from .payloads import CONSUMING, WITH_COOKIE

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class CountingSocket(socket.socket):
    """A socket that counts waits: connecting, and reading for the first time after something was sent anywhere."""

    waits = 0
    sent = False

    def connect(self, *args: Any) -> None:
        CountingSocket.waits += 1
        super().connect(*args)

    def send(self, *args: Any) -> int:
        CountingSocket.sent = True
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        CountingSocket.sent = True
        super().sendall(*args)

    def recv(self, *args: Any) -> bytes:
        _count_wait()
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        _count_wait()
        return super().recv_into(*args)


def _count_wait() -> None:
    CountingSocket.waits += CountingSocket.sent
    CountingSocket.sent = False


class Client:
    """Calls an application as a server does."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._status = ""
        self._headers: list[tuple[str, str]] = []

    def request(self, path: str, cookie: str) -> bytes:
        """Return the body of the response."""
        environ = {**_ENVIRON, "PATH_INFO": path, "wsgi.input": io.BytesIO()}
        if cookie:
            environ["HTTP_COOKIE"] = cookie
        chunks = self._app(environ, self._start)
        body = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return body

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        self._status, self._headers = status, headers

    def create(self, payload: str) -> str:
        """Have a session made; return its cookie as the browser sends it, "" where there are no sessions."""
        self.request(f"/create/{payload}", "")
        return self.new_cookie()

    def new_cookie(self) -> str:
        """Return the cookie that the last response set."""
        if not self._status.startswith("200"):
            raise RuntimeError(f"the contender answers {self._status}")
        cookies = [value.partition(";")[0] for name, value in self._headers if name.lower() == "set-cookie"]
        return cookies[-1] if cookies else ""


class Child:
    """Carries out orders; each is a method."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._clients: dict[str, Client] = {}
        self._work: tuple[Client, str, list[str]] | None = None

    def client(self, contender: str) -> Client:
        """Return the contender's client; the first time, build the application."""
        if contender not in self._clients:
            self._clients[contender] = Client(build(contender, self._ports))
        return self._clients[contender]

    def pin(self, core: int) -> dict[str, float]:
        """Run on this core only."""
        os.sched_setaffinity(0, {core})
        return {}

    def prepare(self, contender: str, kind: str, payload: str, count: int) -> dict[str, float]:
        """Make the sessions that `run` needs for `count` requests of a kind."""
        client = self.client(contender)
        cookies = [""]
        if kind in WITH_COOKIE and contender in BASES:
            cookies = [client.create(payload) for _ in range(count if kind in CONSUMING else 1)]
        self._work = client, f"/{kind}/{payload}", cookies if len(cookies) == count else cookies * count
        _let_background_work_end()
        gc.collect()
        CountingSocket.waits = 0
        return {}

    def run(self) -> dict[str, float]:
        """Serve what was prepared; return microseconds a request on the wall and of CPU, and all waits."""
        assert self._work is not None, "nothing is prepared"
        client, path, cookies = self._work
        wall, cpu = time.perf_counter(), time.process_time()
        for cookie in cookies:
            client.request(path, cookie)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        client.new_cookie()
        each = 1e6 / len(cookies)
        return {"wall": wall * each, "cpu": cpu * each, "waits": CountingSocket.waits}

    def check(self, contender: str) -> dict[str, list[str]]:
        """Play all kinds of requests once; return what the application answered."""
        client = self.client(contender)
        cookie = client.create("small")
        bodies = [client.request(f"/{kind}/small", cookie) for kind in ("read", "change", "readall", "login")]
        cookie = client.new_cookie()
        bodies += [client.request(f"/{kind}/small", cookie) for kind in ("read", "logout", "logout")]
        return {"bodies": [body.decode() for body in bodies]}


def _let_background_work_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "sharedsession-secret":
            thread.join(10)


def main() -> None:
    """Obey until stdin ends."""
    arguments = sys.argv[1:]
    if "--count" in arguments:
        arguments.remove("--count")
        vars(socket)["socket"] = CountingSocket
    child = Child([int(port) for port in arguments])
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(child, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    main()
