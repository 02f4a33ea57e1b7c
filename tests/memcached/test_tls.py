"""Connections to memcached over TLS, against memcached's own."""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority, Issued
from scripted import Script, ScriptedServer
from servers import Memcached, StartMemcached, on_unix_socket, speaks_tls, tls_options
from test_membership import listed, serving, wait_until
from webclient import Client, logged_in, page, pages, put, show

from sharedsession import ConfigError, SessionConfig, SessionMiddleware
from sharedsession.__main__ import main
from sharedsession.assembly import Parts, assemble
from sharedsession.memcached.access import Access, client_context
from sharedsession.memcached.commands import Answer, Command, Delete, Failed, Found, Get, Missing, Ping, Put, Stored
from sharedsession.memcached.connection import Connection
from sharedsession.nodelist import parse_nodes

if TYPE_CHECKING:
    from webclient import View

Serve = Callable[[Script], ScriptedServer]

SECRET = "a secret that only these tests know"
#: Seconds for what must not fail on a slow machine.
LONG = 20
VIEWS: dict[str, View] = {"/login": put("a", 1), "/put": put("b", 2), "/show": show}

needs_tls = pytest.mark.skipif(not speaks_tls(), reason="this memcached was built without TLS")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that everybody trusts."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_files(authority: Authority) -> Issued:
    """Return the certificate of every memcached."""
    return authority.issue("server", ["127.0.0.1"])


@pytest.fixture(scope="module")
def client_files(authority: Authority) -> Issued:
    """Return the application's certificate."""
    return authority.issue("client", ["web1.example"])


@pytest.fixture(scope="module")
def tls(authority: Authority, client_files: Issued) -> dict[str, Any]:
    """Return the options of an application that speaks TLS and shows a certificate."""
    files = {"tls_certificate": client_files.certificate, "tls_key": client_files.key}
    return {"tls": True, "tls_ca": authority.ca, **files, "connect_timeout": LONG, "timeout": LONG}


@pytest.fixture
def start_tls(start_memcached: StartMemcached, authority: Authority, server_files: Issued) -> StartMemcached:
    """Return a function that starts a memcached which wants a client's certificate."""

    def start(name: str = "n1", options: tuple[str, ...] = ()) -> Memcached:
        return start_memcached(name, (*tls_options(*server_files, client_ca=authority.ca), *options))

    return start


def config(nodes: str, **options: Any) -> SessionConfig:
    """Return a configuration."""
    return SessionConfig(secret_key=SECRET, nodes=nodes, **options)


@contextmanager
def reaching(nodes: str, **options: Any) -> Iterator[Parts]:
    """Build the parts of an application; close them in the end."""
    parts = assemble(config(nodes, **options))
    try:
        yield parts
    finally:
        parts.close()


def ask(parts: Parts, command: Command, node: str = "n1") -> Answer:
    """Return a node's answer."""
    return parts.transport.ask([(node, command)])[0]


def reason(answer: Answer) -> str:
    """Return why a node failed."""
    assert isinstance(answer, Failed), answer
    return answer.reason


# -- end to end --------------------------------------------------------------------------------------------------------


@needs_tls
def test_sessions_over_tls_survive_the_death_of_a_node(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """What one application node writes another reads, before and after each memcached node was killed and restarted."""
    servers = [start_tls(name) for name in ("n1", "n2", "n3")]
    apps = [serving(VIEWS, listed(servers), **tls) for _ in range(2)]
    client = logged_in(apps[0])
    for server in servers:
        client.app = apps[1]
        assert client.get("/show").text == "{'a': 1}"
        server.kill()
        client.app = apps[0]
        assert client.get("/show").text == "{'a': 1}"
        server.start()
        wait_until(lambda: all(node.up for node in apps[0].health()))
    assert client.get("/put").status == 200
    client.app = apps[1]
    assert client.get("/show").text == "{'a': 1, 'b': 2}"


@needs_tls
@pytest.mark.parametrize("size", [100, 16384, 200 * 1024, 900 * 1024])
def test_values_of_every_size(start_tls: StartMemcached, tls: dict[str, Any], size: int) -> None:
    """A value comes back whole, whether it fits into one TLS record (16 KiB) or takes many."""
    value = os.urandom(size)
    with reaching(start_tls().node, **tls) as parts:
        assert isinstance(ask(parts, Put("k", value, 60, None)), Stored)
        for _ in range(3):
            answer = ask(parts, Get("k", 60))
            assert isinstance(answer, Found)
            assert answer.value == value


@needs_tls
def test_a_value_over_the_item_limit_is_refused_unsent(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """The server's settings, some eighty lines in one TLS record, are read to the end, and the connection goes on."""
    with reaching(start_tls().node, **tls) as parts:
        assert "limit" in getattr(ask(parts, Put("k", bytes(2 << 20), 60, None)), "reason", "")
        assert isinstance(ask(parts, Put("k", b"small", 60, None)), Stored)


@needs_tls
def test_threads_get_their_own_replies(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """Eight threads that ask two TLS nodes at once, for small and large values, each get what they asked for."""
    servers = [start_tls(name) for name in ("n1", "n2")]
    with reaching(listed(servers), **tls) as parts:
        for number in range(16):
            for node in ("n1", "n2"):
                value = f"{node} {number} ".encode() * (1 + number**4)
                assert isinstance(ask(parts, Put(f"k{number}", value, 60, None), node), Stored)

        def work(seed: int) -> int:
            right = 0
            for step in range(40):
                number = (seed * 7 + step * 5) % 16
                answers = parts.transport.ask([(node, Get(f"k{number}", 60)) for node in ("n1", "n2")], enough=2)
                found = [answer.value.split()[:2] for answer in answers if isinstance(answer, Found)]
                right += found == [[b"n1", b"%d" % number], [b"n2", b"%d" % number]]
                parts.transport.ask([("n1", Delete("nothing"))])
            return right

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(work, range(8))) == [40] * 8


@needs_tls
def test_a_hung_node_over_tls_is_not_waited_for(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """What a TLS node says between answers (its session tickets) is no answer; the real one counts when it comes."""
    server = start_tls()
    access = Access(client_context(tls["tls_ca"], tls["tls_certificate"], tls["tls_key"]), "127.0.0.1")
    connection = Connection(("127.0.0.1", server.port), LONG)
    try:
        connection.enter(access, time.monotonic() + LONG)
        select.select([connection._wire.sock], [], [], 5)  # the tickets are there
        server.hang()
        connection.send(Get("k", 60), time.monotonic() + LONG)
        assert not connection.ready(0)
        assert not connection.ready(time.monotonic() + 0.05)
        server.resume()
        wait_until(lambda: connection.ready(0))
        assert isinstance(connection.receive(Get("k", 60), time.monotonic() + LONG, 1), Missing)
        assert connection.reusable()
    finally:
        connection.close()


@needs_tls
def test_another_list_of_nodes_is_reached_the_same_way(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """Nodes that are added while the application runs get TLS and the client's certificate too."""
    first, second = start_tls("n1"), start_tls("n2")
    application = SessionMiddleware(page(show), secret_key=SECRET, nodes=first.node, **tls)
    application.set_nodes(listed([first, second]))
    assert isinstance(ask(application.parts, Ping(), "n2"), Stored)


@needs_tls
def test_the_command_uses_tls_too(
    start_tls: StartMemcached,
    tls: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`sharedsession nodes` and `sharedsession sweep` take the same options, from the environment."""
    servers = [start_tls(name) for name in ("n1", "n2", "n3")]
    client = logged_in(pages(VIEWS, nodes=listed(servers[:2]), **tls))
    for name, value in {**tls, "tls": "yes", "nodes": listed(servers[1:]), "secret_key": SECRET}.items():
        monkeypatch.setenv(f"SHAREDSESSION_{name.upper()}", str(value))
    assert main(["nodes"]) == 0
    assert main(["sweep", servers[0].node]) == 0
    assert "1 carried" in capsys.readouterr().out
    client.app = pages(VIEWS, nodes=listed(servers[1:]), **tls)
    servers[0].kill()
    assert client.get("/show").text == "{'a': 1}"


# -- who is refused ----------------------------------------------------------------------------------------------------


@needs_tls
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("expired", "certificate has expired"),
        ("another authority", "unable to get local issuer certificate"),
        ("another host", "IP address mismatch"),
    ],
)
def test_a_server_with_a_bad_certificate_is_down(
    start_memcached: StartMemcached,
    authority: Authority,
    server_files: Issued,
    tls: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    told: str,
) -> None:
    """A server that is not the right one is down, for a reason that the log tells; the other copy serves."""
    bad = {
        "expired": lambda: authority.issue("expired", days=-1),
        "another authority": lambda: Authority(tmp_path, "another").issue(),
        "another host": lambda: authority.issue("elsewhere", ["127.0.0.2", "localhost"]),
    }[fault]()
    impostor, good = start_memcached("n1", tls_options(*bad)), start_memcached("n2", tls_options(*server_files))
    application = SessionMiddleware(page(put("a", 1)), secret_key=SECRET, nodes=listed([impostor, good]), **tls)
    with caplog.at_level(logging.WARNING, "sharedsession"):
        assert Client(application).get().status == 200
    assert told in reason(ask(application.parts, Ping()))
    assert [node.up for node in application.health()] == [False, True]
    assert "node n1 marked down: SSLCertVerificationError" in caplog.text
    assert told in caplog.text


@needs_tls
def test_a_client_without_the_certificate_is_refused(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """A client that shows no certificate to a server that wants one is told what may be wrong."""
    server = start_tls()
    with reaching(server.node, **{**tls, "tls_certificate": "", "tls_key": ""}) as parts:
        assert "does it accept this client's certificate?" in reason(ask(parts, Get("k", None)))
        assert "does it accept this client's certificate?" in reason(ask(parts, Ping()))


@needs_tls
def test_a_client_without_tls_is_refused(start_tls: StartMemcached) -> None:
    """A client that speaks no TLS to a server that does is told so, and is not kept waiting for ever."""
    with reaching(start_tls().node, connect_timeout=LONG, timeout=LONG) as parts:
        assert "does it want TLS?" in reason(ask(parts, Get("k", None)))


def test_a_server_without_tls_is_refused(memcached: Memcached, tls: dict[str, Any]) -> None:
    """A server that speaks no TLS is never spoken to in clear where TLS was asked for."""
    with reaching(memcached.node, **tls) as parts:
        assert "it answers without TLS" in reason(ask(parts, Put("k", b"v", 60, None)))
    assert memcached.stats()["cmd_set"] == 0


@needs_tls
def test_a_silent_handshake_is_bounded_and_off_the_request_path(
    serve: Serve,
    start_tls: StartMemcached,
    monkeypatch: pytest.MonkeyPatch,
    tls: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node that leaves the handshake unanswered is down after `connect_timeout`; then only the probe tries it."""
    silent = serve(lambda dialog: dialog.wait_for_hang_up())
    tried: list[str] = []
    original = Access.secure

    def secure(self: Access, sock: socket.socket, until: float) -> socket.socket:
        if sock.getpeername()[1] == silent.port:
            tried.append(threading.current_thread().name)
        return original(self, sock, until)

    monkeypatch.setattr(Access, "secure", secure)
    nodes = f"n1:127.0.0.1:{silent.port} {start_tls('n2').node}"
    # Long enough for the node that answers, however busy the machine is.
    application = SessionMiddleware(page(put("a", 1)), secret_key=SECRET, nodes=nodes, **{**tls, "connect_timeout": 2})
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING, "sharedsession"):
        assert Client(application).get().status == 200
    assert time.monotonic() - begun < LONG / 2
    assert "n1 marked down: TimeoutError: the TLS handshake was not answered in time" in caplog.text
    assert tried.count("MainThread") == 1
    wait_until(lambda: tried[-1] == "sharedsession-probe")
    assert Client(application).get().status == 200
    assert tried.count("MainThread") == 1


# -- time --------------------------------------------------------------------------------------------------------------


class SlowReader:
    """A TLS server that reads a little every now and then, and answers nothing."""

    def __init__(self, files: Issued) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = listener.getsockname()[1]
        #: Bytes read so far.
        self.read = 0
        self._listener = context.wrap_socket(listener, server_side=True)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                while piece := connection.recv(16384):
                    self.read += len(piece)
                    time.sleep(0.01)

    def join(self) -> None:
        """Wait for it to end; the client has hung up."""
        self._thread.join(LONG)


def test_a_server_that_reads_slowly_cannot_stretch_the_time_out(authority: Authority, server_files: Issued) -> None:
    """A large value is given up when its time is over, although the server takes a little of it again and again."""
    server = SlowReader(server_files)
    connection = Connection(("127.0.0.1", server.port), LONG)
    # Small, so that the server's reading is what lets it go on.
    connection._wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    connection.enter(Access(client_context(authority.ca, "", ""), "127.0.0.1"), time.monotonic() + LONG)
    size = 8 << 20
    try:
        with pytest.raises(TimeoutError):
            connection.send(Put("k", bytes(size), 60, None), time.monotonic() + 0.5)
    finally:
        connection.close()
    server.join()
    assert server.read < size / 2


# -- names -------------------------------------------------------------------------------------------------------------


@needs_tls
def test_the_name_in_the_node_list_counts(
    start_memcached: StartMemcached, authority: Authority, tls: dict[str, Any]
) -> None:
    """A node given by a host name must have a certificate for that name, not for the address it resolves to."""
    server = start_memcached("n1", tls_options(*authority.issue("named", ["localhost"])))
    with reaching(f"n1:localhost:{server.port}", **tls) as parts:
        assert isinstance(ask(parts, Ping()), Stored)
    with reaching(server.node, **tls) as parts:
        assert "IP address mismatch" in reason(ask(parts, Ping()))


@needs_tls
def test_another_name_can_be_expected(
    start_memcached: StartMemcached, authority: Authority, tls: dict[str, Any]
) -> None:
    """With `tls_server_name` all nodes must have that name, whatever they are called in the node list."""
    server = start_memcached("n1", tls_options(*authority.issue("pool", ["memcached.shop.example"])))
    with reaching(server.node, **tls, tls_server_name="memcached.shop.example") as parts:
        assert isinstance(ask(parts, Ping()), Stored)
    with reaching(server.node, **tls, tls_server_name="memcached.other.example") as parts:
        assert "Hostname mismatch" in reason(ask(parts, Ping()))


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("n1:cache.example", "cache.example"),
        ("n1:cache.example.", "cache.example"),
        ("n1:10.0.0.1", "10.0.0.1"),
        ("n1:[fe80::1%eth0]", "fe80::1"),
        ("n1:unix:/run/mc.sock", ""),
    ],
)
def test_the_name_asked_for(node: str, name: str) -> None:
    """The server is asked for by its host in the node list, as TLS writes it: no final dot, no IPv6 zone."""
    assert Access().to(parse_nodes(node)[0].address).server_name == name


# -- contexts ----------------------------------------------------------------------------------------------------------


def test_certificates_and_names_are_checked(authority: Authority) -> None:
    """The context that is made from files checks certificate and name, and speaks nothing older than TLS 1.2."""
    context = client_context(authority.ca, "", "")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1  # not the system's as well


@needs_tls
def test_an_own_context(start_tls: StartMemcached, tls: dict[str, Any], client_files: Issued) -> None:
    """`tls` may be an SSLContext with everything in it."""
    context = ssl.create_default_context(cafile=tls["tls_ca"])
    context.load_cert_chain(*client_files)
    with reaching(start_tls().node, tls=context, connect_timeout=LONG, timeout=LONG) as parts:
        assert isinstance(ask(parts, Ping()), Stored)


def test_the_context_is_made_once(tls: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are read when the middleware is built, and never again."""
    made: list[object] = []
    original = ssl.create_default_context

    def create(**options: Any) -> ssl.SSLContext:
        made.append(options)
        return original(**options)

    monkeypatch.setattr(ssl, "create_default_context", create)
    with reaching("n1:127.0.0.1:1 n2:127.0.0.1:2", **tls) as parts:
        for node in ("n1", "n2"):
            assert isinstance(ask(parts, Ping(), node), Failed)
        assert len(made) == 1


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "option", "told"),
    [
        ({"tls": "certificate.pem"}, "tls", "expected True, False or"),
        ({"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "tls", "a client's ssl.SSLContext"),
        ({"tls_ca": "ca.pem"}, "tls_ca", "without tls=True"),
        ({"tls_server_name": "a.example"}, "tls_server_name", "without tls=True"),
        ({"tls": True, "tls_server_name": "a example"}, "tls_server_name", "is not a host name"),
        ({"tls": True, "tls_key": "key.pem"}, "tls_key", "belongs to a tls_certificate"),
        ({"tls": True, "tls_certificate": 7}, "tls_certificate", "the path of a PEM file"),
        ({"tls": ssl.create_default_context(), "tls_ca": "ca.pem"}, "tls_ca", "goes with tls=True"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], option: str, told: str) -> None:
    """What cannot be meant is refused at start-up, by the name of the option."""
    with pytest.raises(ConfigError, match=told) as caught:
        config("n1:127.0.0.1", **options)
    assert caught.value.option == option


def test_bad_files_are_refused(authority: Authority, client_files: Issued, tmp_path: Path) -> None:
    """A file that is missing or holds something else is refused when the middleware is built, by option and path."""
    certificate, key = client_files
    text = tmp_path / "notes.txt"
    text.write_text("no certificate")
    locked = authority.issue("locked", passphrase="open sesame")
    for option, files, told in [
        ("tls_ca", {"tls_ca": "/nowhere/ca.pem"}, "'/nowhere/ca.pem' cannot be read: No such file"),
        ("tls_ca", {"tls_ca": str(text)}, "holds no certificates"),
        ("tls_ca", {"tls_ca": str(tmp_path)}, "cannot be read: Is a directory"),
        ("tls_certificate", {"tls_certificate": str(text), "tls_key": key}, "holds no certificate"),
        ("tls_certificate", {"tls_certificate": "nul\0", "tls_key": key}, "cannot be read"),
        ("tls_key", {"tls_certificate": certificate}, "holds no private key"),
        ("tls_key", {"tls_certificate": certificate, "tls_key": str(text)}, "holds no private key"),
        ("tls_key", {"tls_certificate": certificate, "tls_key": "/nowhere"}, "cannot be read"),
        ("tls_key", {"tls_certificate": certificate, "tls_key": locked.key}, "needs no passphrase"),
        ("tls_key", {"tls_certificate": certificate, "tls_key": authority.issue("other").key}, "another certificate's"),
    ]:
        options: dict[str, Any] = {"tls": True, "tls_ca": authority.ca, **files}
        with pytest.raises(ConfigError, match=told) as caught:
            SessionMiddleware(page(show), secret_key=SECRET, nodes="n1:127.0.0.1", **options)
        assert caught.value.option == option


def test_a_key_given_as_text_is_not_shown(client_files: Issued) -> None:
    """Who writes the key itself where its path belongs does not find it in the error message."""
    text = Path(client_files.key).read_text()
    for given in (text, text.replace("\n", ""), text.replace("-----", "")):
        with pytest.raises(ConfigError) as caught:
            config("n1:127.0.0.1", tls=True, tls_certificate=client_files.certificate, tls_key=given)
        assert "PRIVATE" not in str(caught.value)
        assert text.splitlines()[1] not in str(caught.value)


# -- without TLS -------------------------------------------------------------------------------------------------------


def has(parts: Parts, key: str) -> bool:
    """Say whether node n1 holds a value."""
    return isinstance(ask(parts, Get(key, None)), Found)


@needs_tls
def test_unix_sockets_need_no_tls(start_tls: StartMemcached, tls: dict[str, Any], socket_path: Path) -> None:
    """Sessions on a unix socket survive its restart; it is spoken to in clear, also beside nodes that speak TLS."""
    other = start_tls("n2")
    apps = [pages(VIEWS, nodes=f"n1:unix:{socket_path} {other.node}", **tls) for _ in range(2)]
    with on_unix_socket(socket_path):
        client = logged_in(apps[0])
        client.app = apps[1]
        assert client.get("/show").text == "{'a': 1}"
    assert client.get("/put").status == 200
    with on_unix_socket(socket_path):
        with reaching(f"n1:unix:{socket_path}", **tls) as parts:
            wait_until(lambda: client.get("/show").status == 200 and has(parts, client.key))
        other.kill()
        assert client.get("/show").text == "{'a': 1, 'b': 2}"


# -- gevent ------------------------------------------------------------------------------------------------------------

GEVENT = """
from gevent import monkey; monkey.patch_all()
import random, sys, time
import gevent
from sharedsession.memcached.access import Access, client_context
from sharedsession.memcached.commands import Found, Get, Ping, Put, Stored
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

ca, certificate, key, port, silent = sys.argv[1:]
access = Access(client_context(ca, certificate, key))
transport = MemcachedTransport([NodeConfig("n1", ("127.0.0.1", int(port)))], 10, 10, access)
for number in range(20):
    put = Put(f"k{number}", f"{number} ".encode() * (1 + number ** 4), 100, None)
    assert isinstance(transport.ask([("n1", put)])[0], Stored)

def work(seed):
    choose = random.Random(seed)
    for _ in range(20):
        number = choose.randrange(20)
        timeout = gevent.Timeout.start_new(choose.choice([0, choose.uniform(0, 0.004), 10]))
        try:
            answer = transport.ask([("n1", Get(f"k{number}", 60))])[0]
        except gevent.Timeout:
            continue
        finally:
            timeout.close()
        assert isinstance(answer, Found), answer
        assert answer.value.split()[0] == b"%d" % number

def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)

ticks = []
ticking = gevent.spawn(tick)
jobs = [gevent.spawn(work, seed) for seed in range(10)]
gevent.joinall(jobs, raise_error=True, timeout=60)
assert all(job.successful() for job in jobs)
ticks.clear()
slow = MemcachedTransport([NodeConfig("n1", ("127.0.0.1", int(silent)))], 0.3, 1, access)
print(slow.ask([("n1", Ping())])[0].reason)
assert len(ticks) > 3, ticks  # the others went on during the handshake
"""


@needs_tls
def test_greenlets(start_tls: StartMemcached, serve: Serve, tls: dict[str, Any]) -> None:
    """Under gevent, greenlets get their own replies over TLS, and a silent handshake stops none of the others."""
    pytest.importorskip("gevent")
    silent = serve(lambda dialog: dialog.wait_for_hang_up())
    arguments = [tls["tls_ca"], tls["tls_certificate"], tls["tls_key"], start_tls().port, silent.port]
    assert run(GEVENT, arguments) == "TimeoutError: the TLS handshake was not answered in time"


def run(program: str, arguments: Sequence[object]) -> str:
    """Run a Python program; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parent.parent.parent / "src",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


# -- forks -------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys
from sharedsession.memcached.access import Access, client_context
from sharedsession.memcached.commands import Found, Get, Put, Stored
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

ca, certificate, key, port = sys.argv[1:]
access = Access(client_context(ca, certificate, key))
transport = MemcachedTransport([NodeConfig("n1", ("127.0.0.1", int(port)))], 20, 20, access)

def work(name):
    for number in range(100):
        assert isinstance(transport.ask([("n1", Put(f"{name}{number}", name.encode() * 5000, 100, None))])[0], Stored)
        found = transport.ask([("n1", Get(f"{name}{number}", None))])[0]
        assert isinstance(found, Found), found
        assert found.value == name.encode() * 5000

work("before")
child = os.fork()
work("child" if child == 0 else "parent")
if child == 0:
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""


@needs_tls
def test_a_forked_process_has_connections_of_its_own(start_tls: StartMemcached, tls: dict[str, Any]) -> None:
    """Parent and child go on after a fork, each on TLS connections of its own."""
    assert run(FORK, [tls["tls_ca"], tls["tls_certificate"], tls["tls_key"], start_tls().port]) == "0"
