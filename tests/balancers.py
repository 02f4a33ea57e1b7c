"""Real balancers with the shipped configurations, real application nodes behind them, and a client to ask them."""

from __future__ import annotations

import errno
import grp
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from servers import SOURCE, START_TIMEOUT, Memcached, free_port, wait_for_port

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "balancers"
#: The addresses of web1 and web2 in the shipped files.
SHIPPED_NODES = ("10.0.0.11:8000", "10.0.0.12:8000")

# Every answer says which node served it, what the session holds and what a page would hold for the next request.
APP = """
import os
import time
import flask
from sharedsession.flask import SharedSession, encode_url, hidden_field, session

app = flask.Flask("shop")
app.secret_key = "a secret that both nodes know"
SharedSession(app, tracking=("cookie", "url", "form"), trusted_proxies=1)

@app.get("/read")
def read():
    return answer()

@app.route("/slow", methods=["GET", "POST"])
def slow():
    with open("slow", "x"):  # says that it has begun; the node that is asked next is not slow
        pass
    time.sleep(60)

@app.errorhandler(FileExistsError)
def not_slow(error):
    return answer()

@app.route("/visit", methods=["GET", "POST"])
def visit():
    session["visits"] = session.get("visits", 0) + 1
    if "keep" in flask.request.values:
        session["kept"] = flask.request.values["keep"]
    return answer()

def answer():
    return {
        "node": os.environ["SHAREDSESSION_ROUTE"],
        "session": dict(session),
        "query": flask.request.args,
        "host": flask.request.host,
        "link": encode_url("/visit?q=a.b&r=web9"),
        "absolute": encode_url(flask.request.args.get("absolute", "/")),
        "field": hidden_field(),
    }
"""


class Answer(NamedTuple):
    """What a client got."""

    status: int
    #: Route of the node that served it.
    node: str
    #: What the session holds.
    session: dict[str, object]
    #: The query parameters that the application saw.
    query: dict[str, str]
    #: The host for which the application takes itself.
    host: str
    #: A link of the page, through `encode_url`.
    link: str
    #: The query parameter `absolute`, through `encode_url`.
    absolute: str
    #: The id in the page's hidden field, "" for none.
    field: str
    #: The id of Set-Cookie, "" for none.
    cookie: str


class ApplicationNode:
    """A gunicorn with one worker that serves `APP`.

    Args:
        directory: where the application is written.
        route: the node's name.
        memcached: the session's nodes.
        sticky: the option.
    """

    def __init__(self, directory: Path, route: str, memcached: Iterable[Memcached], *, sticky: bool) -> None:
        (directory / "shop.py").write_text(APP)
        self.route = route
        self.port = free_port()
        self.directory = directory
        self._log = directory / f"{route}.log"
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "SHAREDSESSION_NODES": " ".join(node.node for node in memcached),
            "SHAREDSESSION_ROUTE": route,
            "SHAREDSESSION_STICKY": str(sticky),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on the same port as before, unless it runs; `wait` says when it serves."""
        if self._process is None:
            command = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--threads=4", "--no-control-socket"]
            command += [f"--bind=127.0.0.1:{self.port}", "--log-level=critical", "shop:app"]
            # A process group of its own: gunicorn's worker would outlive its killed master for a moment.
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command, cwd=self.directory, env=self._environ, stderr=log, start_new_session=True
                )

    def wait(self) -> None:
        """Return once it accepts connections."""
        try:
            wait_for_port(self.port)
        except OSError as error:
            raise AssertionError(f"{self.route}: {self._log.read_text()}") from error

    def kill(self) -> None:
        """End it at once (SIGKILL), master and worker."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            # The worker is nobody's child now: it is gone when connections are refused.
            deadline = time.monotonic() + START_TIMEOUT
            while not refuses(self.port):
                assert time.monotonic() < deadline, f"{self.route} was killed and still accepts connections"
                time.sleep(0.01)


class Balancer:
    """A balancer with a shipped configuration, in the foreground, in a directory of its own.

    Args:
        kind: name of the shipped file.
        directory: for its files.
        nodes: web1 and web2.
    """

    def __init__(self, kind: str, directory: Path, nodes: Iterable[ApplicationNode]) -> None:
        self.port = free_port()
        shipped = (EXAMPLES / kind).read_text()
        for address, node in zip(SHIPPED_NODES, nodes, strict=True):
            shipped = _replaced(shipped, address, f"127.0.0.1:{node.port}")
        program = {"haproxy.cfg": _haproxy, "apache.conf": _apache}.get(kind, _nginx)
        command = program(shipped, directory, self.port)
        self._log = directory / "log"
        environ = {**os.environ, "APACHE_LOG_DIR": str(directory)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        self.access_log = self._log if kind == "haproxy.cfg" else directory / "access.log"
        try:
            wait_for_port(self.port)
        except OSError as error:
            self.stop()
            raise AssertionError(f"{kind}: {self._log.read_text()}") from error

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)

    def ask(
        self, url: str, cookie: str = "", *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a GET, or a POST of the form, on a connection of its own."""
        sent = dict(headers or {})
        if cookie:
            sent["Cookie"] = f"other=1; JSESSIONID={cookie}"
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        body = None if form is None else urlencode(form)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET" if form is None else "POST", url, body, sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        assert response.status == 200, f"{response.status} {text} {self._log.read_text()}"
        page = json.loads(text)
        return Answer(
            status=response.status,
            node=page["node"],
            session=page["session"],
            query=page["query"],
            host=page["host"],
            link=page["link"],
            absolute=page["absolute"],
            field=_first(r'value="([^"]*)"', page["field"]),
            cookie=_first(r"JSESSIONID=([^;]*)", response.getheader("Set-Cookie") or ""),
        )


def refuses(port: int) -> bool:
    """Whether connections to the port are refused."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def route_of(session_id: str) -> str:
    """Return the route of an id."""
    return session_id.partition(".")[2]


def id_in(url: str) -> str:
    """Return the id in a URL's path, "" for none."""
    return urlsplit(url).path.partition(";jsessionid=")[2]


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"the shipped file does not say {old!r}"
    return text.replace(old, new)


def _program(name: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed; ./run test brings it on Debian and Ubuntu"
    return found


def _nobody() -> tuple[str, str]:
    """Return the names of the user and group to whom root's rights are given away."""
    return "nobody", grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


def _nginx(shipped: str, directory: Path, port: int) -> list[str]:
    """Write the site, and a main file in place of the distribution's /etc/nginx/nginx.conf."""
    text = _replaced(shipped, "listen 80;", f"listen 127.0.0.1:{port};")
    (directory / "site.conf").write_text(_replaced(text, "/var/log/nginx", str(directory)))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [
        "daemon off;",
        "worker_processes 1;",
        f"pid {directory}/pid;",
        "error_log stderr;",
        "user {} {};".format(*_nobody()) if os.geteuid() == 0 else "",
        "events {}",
        "http {",
        *(f"{kind}_temp_path {directory}/{kind};" for kind in kinds),
        f"include {directory}/site.conf;",
        "}",
    ]
    (directory / "main.conf").write_text("\n".join(lines))
    return [_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(directory / "main.conf")]


def _haproxy(shipped: str, directory: Path, port: int) -> list[str]:
    text = _replaced(shipped, "bind :80\n", f"bind 127.0.0.1:{port}\n")
    text = _replaced(text, "log /dev/log local0", "log stdout format raw local0")
    if os.geteuid() != 0:  # only root can change who it is
        text = re.sub(r"^    (user|group|chroot) .*\n", "", text, flags=re.MULTILINE)
    file = directory / "haproxy.cfg"
    file.write_text(text)
    return [_program("haproxy"), "-db", "-f", str(file)]


def _apache(shipped: str, directory: Path, port: int) -> list[str]:
    """Write the site, and a main file in place of the distribution's, with the modules that the site says it needs."""
    (directory / "site.conf").write_text(_replaced(shipped, "<VirtualHost *:80>", f"<VirtualHost *:{port}>"))
    # What Debian switches on by itself, and what a2enmod switches on besides because the named modules need it.
    modules = ["mpm_event", "authz_core", "setenvif", "proxy", "slotmem_shm"]
    modules += _first(r"a2enmod (.*)", shipped).split()
    where = "/usr/lib/apache2/modules"
    lines = [
        *(f"LoadModule {module}_module {where}/mod_{module}.so" for module in modules),
        f"ServerRoot {directory}",
        f"DefaultRuntimeDir {directory}",
        f"PidFile {directory}/pid",
        f"Mutex file:{directory}",
        "ErrorLog /dev/stderr",
        "ServerName localhost",
        "User {}\nGroup {}".format(*_nobody()) if os.geteuid() == 0 else "",
        f"Listen 127.0.0.1:{port}",
        f"Include {directory}/site.conf",
    ]
    (directory / "main.conf").write_text("\n".join(lines))
    return [_program("apache2"), "-f", str(directory / "main.conf"), "-DFOREGROUND"]
