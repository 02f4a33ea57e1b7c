"""The node list is changed while requests go on: by hand, or by a function that is asked from time to time."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from servers import Memcached, StartMemcached
from test_servers_fork import ENVIRONMENT
from webclient import SECRET, Client, bare, page, put, show

from sharedsession import ConfigError, SessionMiddleware
from sharedsession.memcached.commands import Conflict, Get, Put, Stored
from sharedsession.memcached.membership import Membership, Poller
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import parse_nodes
from sharedsession.session import Session
from sharedsession.stats import Stats

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from webclient import View

#: Seconds within which anything awaited here happens, however busy the machine is.
PATIENCE = 120.0
PASSWORD = "hunter2"


def wait_until(true: Callable[[], object], what: str = "that") -> None:
    """Return once `true()` is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


def listed(servers: Iterable[Memcached]) -> str:
    """Return the servers as a node list."""
    return " ".join(server.node for server in servers)


def serving(views: dict[str, View], nodes: Any, **options: Any) -> SessionMiddleware:
    """Return a middleware around an application with a view for each path."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return page(views[environ["PATH_INFO"]])(environ, start_response)

    # Long enough that a busy machine is no fault of a node.
    return bare(app, nodes=nodes, **{"timeout": 5, "connect_timeout": 5, **options})


def names(middleware: SessionMiddleware) -> list[str]:
    """Return the nodes that the middleware says it has."""
    return [node.name for node in middleware.health()]


# -- under load --------------------------------------------------------------------------------------------------------

THREADS = 4
SESSIONS = 6


def count(session: Session) -> object:
    """Add one, exactly."""

    def add(data: Session) -> int:
        data["n"] = data.get("n", 0) + 1
        return int(data["n"])

    return session.transaction(add)


class Load:
    """Threads that all work on the same sessions, half of them through each of two application processes.

    Each writes an attribute of its own in every session, counts in a transaction, and looks whether both are there.
    """

    def __init__(self, nodes: str) -> None:
        views: dict[str, View] = {"/login": put("user", 1), "/count": count, "/show": show}
        views |= {f"/{thread}": self._writing(thread) for thread in range(THREADS)}
        self.apps = [serving(views, nodes) for _ in range(2)]
        self.mistakes: list[str] = []
        self.rounds = [0] * THREADS
        self._stop = threading.Event()
        self._cookies = [self._log_in() for _ in range(SESSIONS)]
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(THREADS)]

    def _writing(self, thread: int) -> View:
        return lambda session: session.update({f"t{thread}": self.rounds[thread]})

    def _log_in(self) -> str:
        client = Client(self.apps[0])
        assert client.get("/login").status == 200
        return f"JSESSIONID={client.id}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, number: int) -> None:
        while not self._stop.is_set() and not self.mistakes:
            for cookie in self._cookies:
                self._work(number, cookie)
            self.rounds[number] += 1

    def _work(self, number: int, cookie: str) -> None:
        answers = [self._ask(number, path, cookie) for path in (f"/{number}", "/count", "/show")]
        expected = f"'t{number}': {self.rounds[number]}"
        if "'user': 1" not in answers[2] or expected not in answers[2]:
            self.mistakes.append(f"{answers[2]} without {expected}")

    def _ask(self, number: int, path: str, cookie: str) -> str:
        answer = Client(self.apps[number % 2]).get(path, cookie=cookie)
        if answer.status != 200 or answer.set_cookie is not None:
            self.mistakes.append(f"{path}: {answer}")
        return answer.text

    def all_round(self) -> None:
        """Return once every thread has been through all sessions from beginning to end."""
        aim = [rounds + 2 for rounds in self.rounds]
        wait_until(
            lambda: self.mistakes or all(now >= then for now, then in zip(self.rounds, aim, strict=True)), "a round"
        )
        assert self.mistakes == []

    def check(self) -> None:
        """Check that every acknowledged change of every session is there, through both applications."""
        assert self.mistakes == []
        for app in self.apps:
            for cookie in self._cookies:
                expected = {"user": 1, "n": sum(self.rounds)}
                expected |= {f"t{thread}": rounds - 1 for thread, rounds in enumerate(self.rounds)}
                assert Client(app).get("/show", cookie=cookie).text == str(dict(sorted(expected.items())))


#: From which nodes to which; "3=4" is the name n3 with the address of the fourth server.
CHANGES = {
    "added": ("12", "123"),
    "removed": ("123", "12"),
    "first of two removed": ("12", "2"),
    "second node for one": ("1", "12"),
    "readdressed": ("123", "12 3=4"),
}


def node_list(servers: list[Memcached], text: str) -> dict[str, Memcached]:
    """Return node name -> server as an entry of `CHANGES` has it."""
    named = {}
    for word in text.split():
        if "=" in word:
            named[f"n{word[0]}"] = servers[int(word[2]) - 1]
        else:
            named |= {f"n{digit}": servers[int(digit) - 1] for digit in word}
    return named


def written(named: dict[str, Memcached]) -> str:
    """Return the node list."""
    return " ".join(f"{name}:127.0.0.1:{server.port}" for name, server in named.items())


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_under_load_loses_nothing(
    nodes: list[Memcached], start_memcached: StartMemcached, change: str
) -> None:
    """While two applications get a new list one after the other, no session, no update and no request is lost.

    Nor when the nodes that left are killed after that.
    """
    servers = [*nodes, start_memcached("n4")]
    before, after = (node_list(servers, text) for text in CHANGES[change])
    with Load(written(before)) as load:
        load.all_round()
        for app in load.apps:
            app.set_nodes(written(after))
            load.all_round()
            assert names(app) == list(after)
        for server in before.values():
            if server not in after.values():
                server.kill()
        load.all_round()
    load.check()
    assert [app.stats()["nodes_changed"] for app in load.apps] == [1, 1]
    assert not any(app.stats().get("unavailable") for app in load.apps)


#: The lists on the way from n1 and n2 to n3 and n4.
STEPS = (["n3", "n1", "n2"], ["n3", "n4", "n1", "n2"], ["n3", "n4", "n2"], ["n3", "n4"])


def test_nodes_that_replace_others_under_load(nodes: list[Memcached], start_memcached: StartMemcached) -> None:
    """Two applications that are told of all new nodes lose nothing: one node comes or goes at a time."""
    old, new = nodes[:2], [nodes[2], start_memcached("n4")]
    with Load(listed(old)) as load:
        load.all_round()
        for expected in STEPS:
            for app in load.apps:
                membership = app.parts.membership
                assert membership is not None
                assert membership.set_nodes(listed(new), gradually=True)
                load.all_round()
                assert names(app) == expected
        for server in old:
            server.kill()
        load.all_round()
    load.check()


def test_many_changes_under_load(nodes: list[Memcached], start_memcached: StartMemcached) -> None:
    """Nodes that come and go one at a time, each of them empty, take nothing along."""
    present, spare = list(nodes), start_memcached("n4")
    with Load(listed(nodes)) as load:
        for _ in range(4):
            spare.restart()
            present.append(spare)
            _set_everywhere(load, present)
            spare = present.pop(0)
            _set_everywhere(load, present)
    load.check()


def _set_everywhere(load: Load, present: list[Memcached]) -> None:
    for app in load.apps:
        app.set_nodes(listed(present))
    load.all_round()


# -- requests under way ------------------------------------------------------------------------------------------------


def log_out(session: Session) -> None:
    """End the session."""
    session.invalidate()


def move(session: Session) -> None:
    """Give the session another id, and write."""
    session.change_id()
    session["b"] = 2


#: What a request does after the list has changed under it, and what the session is then.
UNDER_WAY: dict[str, tuple[View, str]] = {
    "read": (lambda session: session["a"], "{'a': 1}"),
    "write": (put("b", 2), "{'a': 1, 'b': 2}"),
    "transaction": (count, "{'a': 1, 'n': 1}"),
    "log-out": (log_out, "{}"),
    "change_id": (move, "{'a': 1, 'b': 2}"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("doing", UNDER_WAY)
def test_a_request_under_way_ends_well(
    nodes: list[Memcached], start_memcached: StartMemcached, doing: str, change: str
) -> None:
    """A request that has read its session from the old nodes brings what it does to the new ones."""
    servers = [*nodes, start_memcached("n4")]
    before, after = (node_list(servers, text) for text in CHANGES[change])
    act, expected = UNDER_WAY[doing]

    def changing(session: Session) -> None:
        assert session["a"] == 1
        app.set_nodes(written(after))
        act(session)

    app = serving({"/login": put("a", 1), "/act": changing}, written(before))
    other = serving({"/show": show}, written(after))
    for _ in range(8):  # sessions with their first copy on any of the nodes
        app.set_nodes(written(before))
        client = Client(app)
        client.get("/login")
        answer = client.get("/act")
        assert answer.status == 200
        shown = Client(other, dict(client.cookies)).get("/show")
        assert (shown.status, shown.text) == (200, expected)


def test_every_node_on_the_ring_is_within_reach(nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment of a change does the ring name a node that the transport does not know."""
    app = serving({}, listed(nodes[:2]))
    original = MemcachedTransport.set_nodes
    transport = app.parts.transport
    assert isinstance(transport, MemcachedTransport)
    reaches = transport.reaches

    def reach() -> None:
        assert all(reaches(name) for _, name in app.ring())

    def watched(self: MemcachedTransport, configs: Any) -> None:
        reach()
        original(self, configs)
        reach()

    monkeypatch.setattr(MemcachedTransport, "set_nodes", watched)
    for present in (nodes, nodes[1:], nodes[:1]):
        app.set_nodes(listed(present))
        assert [reaches(server.name) for server in nodes] == [server in present for server in nodes]


def test_a_token_counts_only_at_the_server_it_was_read_from(nodes: list[Memcached]) -> None:
    """A node that gets another address never takes a change meant for the value that the former server had."""
    first, second = nodes[:2]
    transport = MemcachedTransport(parse_nodes(f"n1:127.0.0.1:{first.port}"), 5, 5)
    for server in (first, second):  # both number their first value alike
        server.command(b"ms k 1 T100\r\n0")
    found = transport.ask([("n1", Get("k", None))])[0]
    for _ in range(3):
        transport.set_nodes(parse_nodes(f"n1:127.0.0.1:{second.port}"))
        # A connection that was there before the change must not be trusted either.
        assert isinstance(transport.ask([("n1", Put("k", b"mine", 100, found.token))])[0], Conflict)  # type: ignore[union-attr]
        transport.set_nodes(parse_nodes(f"n1:127.0.0.1:{first.port}"))
    assert isinstance(transport.ask([("n1", Put("k", b"mine", 100, found.token))])[0], Conflict)  # type: ignore[union-attr]
    fresh = transport.ask([("n1", Get("k", None))])[0]
    assert isinstance(transport.ask([("n1", Put("k", b"mine", 100, fresh.token))])[0], Stored)  # type: ignore[union-attr]
    assert second.command(b"mg k v") == b"VA 1\r\n0\r\n"


def test_a_node_that_goes_keeps_no_connection(nodes: list[Memcached]) -> None:
    """Idle connections to a removed node are closed at once, one in use when its request has ended."""
    leaving = nodes[2]
    idle = min(leaving.stats()["curr_connections"] for _ in range(20))  # that of starting it may still be closing
    inside = threading.Event()
    go_on = threading.Event()

    def slowly(session: Session) -> None:
        if session.get("slow"):
            inside.set()
            assert go_on.wait(PATIENCE)
            session["b"] = 2

    app = serving({"/login": put("slow", 1), "/": slowly, "/show": show}, listed(nodes))
    clients = [Client(app) for _ in range(12)]
    for client in clients:
        client.get("/login")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda client: client.get("/show"), clients))
    assert leaving.stats()["curr_connections"] > idle
    with ThreadPoolExecutor(len(clients)) as pool:
        asked = [pool.submit(client.get, "/") for client in clients]
        assert inside.wait(PATIENCE)
        app.set_nodes(listed(nodes[:2]))
        wait_until(lambda: leaving.stats()["curr_connections"] == idle, "closing idle connections")
        go_on.set()
        assert [answer.result().status for answer in asked] == [200] * len(clients)
    wait_until(lambda: leaving.stats()["curr_connections"] == idle, "closing connections of the last requests")


def test_a_connection_that_ends_late_is_closed_too(nodes: list[Memcached]) -> None:
    """A connection that is given back to a node after that has left the list is closed."""
    transport = MemcachedTransport(parse_nodes(listed(nodes[:2])), 5, 5)
    assert isinstance(transport.ask([("n2", Put("k", b"0", 100, None))])[0], Stored)
    node = transport._nodes["n2"]
    connection = node.idle_one()
    assert connection is not None
    transport.set_nodes(parse_nodes(listed(nodes[:1])))
    node.give(connection)
    assert connection._wire.sock.fileno() == -1
    transport.close()


def test_a_node_that_goes_is_forgotten(nodes: list[Memcached], caplog: pytest.LogCaptureFixture) -> None:
    """A node off the list is probed no more: neither when it was down before, nor when a late request finds it so."""
    app = serving({"/login": put("a", 1)}, listed(nodes), timeout=1, connect_timeout=1)
    nodes[2].kill()
    health = app.parts.health
    health.mark_down("n3", "it is dead")
    app.set_nodes(listed(nodes[:2]))
    assert "n3" not in health.down
    health.mark_down("n3", "a request that began before has met it")
    wait_until(lambda: "n3" not in health.down, "forgetting")
    assert "node_up" not in app.stats()
    assert "answers again" not in caplog.text
    app.close()


# -- copies ------------------------------------------------------------------------------------------------------------


def copies_of(client: Client, servers: list[Memcached]) -> list[str]:
    """Return the nodes that hold the client's session."""
    return [
        server.name for server in servers if server.running and server.command(f"mg {client.key}".encode())[:2] == b"HD"
    ]


def test_copies_follow_the_number_of_nodes(nodes: list[Memcached]) -> None:
    """One node holds one copy; as soon as there is a second one again, each session that is read has two."""
    app = serving({"/login": put("a", 1), "/show": show}, nodes[0].node)
    clients = [Client(app) for _ in range(10)]
    for client in clients:
        client.get("/login")
        assert copies_of(client, nodes) == ["n1"]
    for present in (nodes[:2], nodes[1:], nodes[2:], nodes):
        app.set_nodes(listed(present))
        for client in clients:
            assert client.get("/show").text == "{'a': 1}"
            held = set(copies_of(client, nodes)) & set(app.parts.cluster.ring.nodes_for(client.key)[:2])
            assert len(held) == min(2, len(present))
        for server in nodes:
            if server not in present:
                server.restart()  # a node that comes back comes empty
    nodes[2].kill()
    assert all(client.get("/show").text == "{'a': 1}" for client in clients)


def test_a_node_that_comes_back_as_it_went_is_harmless(nodes: list[Memcached]) -> None:
    """A node that was off the list and comes back with what it had brings neither old data nor a session back."""
    views: dict[str, View] = {"/login": put("a", 1), "/change": put("a", 2), "/out": log_out, "/show": show}
    app = serving(views, listed(nodes))
    clients = [Client(app) for _ in range(12)]
    for client in clients:
        client.get("/login")
    former = [dict(client.cookies) for client in clients]
    for away in nodes:
        app.set_nodes(listed(server for server in nodes if server is not away))
        for client in clients[::2]:
            assert client.get("/change").status == 200
        if away is nodes[0]:
            for client in clients[1::2]:
                assert client.get("/out").status == 200
        app.set_nodes(listed(nodes))
        shown = [Client(app, cookies).get("/show").text for cookies in former]
        assert shown == ["{'a': 2}", "{}"] * 6


# -- lists that are refused --------------------------------------------------------------------------------------------

REFUSED = {
    "malformed": ("n1:127.0.0.1:11211 n2", "'n2'"),
    "a name twice": ("n1:127.0.0.1:11211 n1:127.0.0.1:11212", "'n1'"),
    "an address twice": ("n1:127.0.0.1:11211 n2:127.0.0.1:11211", "('127.0.0.1', 11211)"),
    "empty": ("", "empty"),
    "an empty list": ([], "empty"),
    "a function that fails": (lambda: 1 / 0, "ZeroDivisionError"),
    "no text": (["n1:127.0.0.1", 5], "5"),
    "None": (None, "NoneType"),
    "the store in this process": ("memory", "'memory'"),
    "too few for the required copies": ("n1:127.0.0.1:11211", "2 required copies"),
    "a name that nobody knows": ("dns:nobody.invalid:11211", "'nobody.invalid'"),
    "a name without a port": ("dns:nobody.invalid:http", "'http'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_list_is_refused(nodes: list[Memcached], case: str) -> None:
    """A list that cannot be used is a ConfigError that names what is wrong; the nodes stay as they were."""
    bad, named = REFUSED[case]
    app = serving({"/login": put("a", 1), "/show": show}, listed(nodes), required_copies=2)
    client = Client(app)
    client.get("/login")
    ring, health = app.ring(), app.health()
    with pytest.raises(ConfigError) as caught:
        app.set_nodes(bad)  # type: ignore[arg-type]
    assert caught.value.option == "nodes"
    assert named in str(caught.value)
    assert (app.ring(), app.health()) == (ring, health)
    assert client.get("/show").text == "{'a': 1}"
    assert "nodes_changed" not in app.stats()


@pytest.mark.parametrize("option", [None, "memory"])
def test_the_store_in_this_process_has_no_nodes_to_change(option: str | None) -> None:
    """Sessions kept in this process stay there: a node list given later is a ConfigError."""
    app = serving({"/": show}, option)
    with pytest.raises(ConfigError, match="from the start"):
        app.set_nodes("n1:127.0.0.1:11211")
    assert app.health() == ()


def test_the_new_list_is_what_the_operator_sees(nodes: list[Memcached]) -> None:
    """health() and ring() show the nodes in force, stats() that they were changed; the same list again is no change."""
    app = serving({"/": show}, listed(nodes[:2]))
    app.set_nodes(lambda: [server.node for server in nodes])
    assert [(node.name, node.address, node.up) for node in app.health()] == [
        (server.name, f"127.0.0.1:{server.port}", True) for server in nodes
    ]
    assert {name for _, name in app.ring()} == {"n1", "n2", "n3"}
    app.set_nodes(listed(reversed(nodes)))
    assert app.stats() == {"nodes_changed": 1}
    app.set_nodes([f"{server.node}?weight=2" for server in nodes])
    assert app.stats() == {"nodes_changed": 2}
    assert Counter(name for _, name in app.ring())["n1"] == 320


# -- a function that is asked ------------------------------------------------------------------------------------------

INTERVAL = 0.02


class Told:
    """A function that tells the node list, as the test wants."""

    def __init__(self, nodes: Any) -> None:
        self.nodes = nodes
        self.asked = 0
        self.threads: set[threading.Thread] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> Any:
        """Return the list, or raise it."""
        self.asked += 1
        self.threads.add(threading.current_thread())
        assert self.may_answer.wait(PATIENCE)
        if isinstance(self.nodes, Exception):
            raise self.nodes
        return self.nodes

    def ask_again(self) -> None:
        """Return once it has been asked, and has answered, from beginning to end."""
        asked = self.asked
        wait_until(lambda: self.asked >= asked + 2, "asking")


class Polled:
    """A middleware whose node list is asked for often."""

    def __init__(self, nodes: str) -> None:
        self.app = serving({"/login": put("a", 1), "/show": show}, nodes)
        self.told = Told(nodes)
        membership = self.app.parts.membership
        assert isinstance(membership, Membership)
        self.poller = Poller(membership, self.told, INTERVAL, self.app.parts.stats)


@pytest.fixture
def polled(nodes: list[Memcached]) -> Iterator[Polled]:
    """Return a middleware over two of three nodes, whose node list is asked for all the time."""
    polled = Polled(listed(nodes[:2]))
    yield polled
    polled.told.may_answer.set()
    polled.poller.close()


def asking() -> list[threading.Thread]:
    """Return the threads that ask for node lists."""
    return [thread for thread in threading.enumerate() if thread.name == "sharedsession-nodes"]


def test_what_the_function_tells_comes_into_force(polled: Polled, nodes: list[Memcached]) -> None:
    """A new list is used without any request, sessions are there on it, and no request asks the function."""
    client = Client(polled.app)
    client.get("/login")
    polled.told.nodes = listed(nodes)
    wait_until(lambda: names(polled.app) == ["n1", "n2", "n3"], "the new list")
    assert client.get("/show").text == "{'a': 1}"
    polled.told.nodes = [server.node for server in nodes[1:]]
    wait_until(lambda: names(polled.app) == ["n2", "n3"], "the next list")
    assert client.get("/show").text == "{'a': 1}"
    polled.told.ask_again()
    assert polled.app.stats()["nodes_changed"] == 2
    assert threading.current_thread() not in polled.told.threads


FAILURES = {
    "raises": (OSError(f"http://admin:{PASSWORD}@registry/ is away"), "failed with OSError"),
    "refuses": (ConfigError("nodes", "'memcached' has no address"), "'memcached' has no address"),
    "malformed": ("n1:127.0.0.1:11211 n2", "'n2' is not name:host:port"),
    "with a password": (f"n1:admin:{PASSWORD}@127.0.0.1:11211", "'***@127.0.0.1:11211'"),
    "a URL": (f"redis://:{PASSWORD}@127.0.0.1:11211", "'***@127.0.0.1:11211'"),
    "objects": ([{"host": "127.0.0.1", "password": PASSWORD}], "no text or list of texts: list"),
    "nothing": (None, "no text or list of texts: NoneType"),
    "empty": ([], "the list is empty"),
}


def rarely_polled(app: SessionMiddleware, told: Told, stats: Stats) -> Poller:
    """Return a poller that asks only when the test says so."""
    membership = app.parts.membership
    assert membership is not None
    return Poller(membership, told, 3600, stats)


@pytest.mark.parametrize("case", FAILURES)
def test_a_function_that_fails_changes_nothing(
    nodes: list[Memcached], caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """The list stays in force, every failure is counted, and one line in ten seconds says what, but no secret."""
    bad, said = FAILURES[case]
    app = serving({"/login": put("a", 1)}, listed(nodes))
    poller = rarely_polled(app, Told(bad), app.parts.stats)
    ring = app.ring()
    for _ in range(5):
        poller.poll()
    poller.close()
    assert app.ring() == ring
    assert app.stats() == {"nodes_refused": 5}
    lines = [record.getMessage() for record in caplog.records if record.name == "sharedsession"]
    assert len(lines) == 1, lines
    assert said in lines[0]
    assert PASSWORD not in lines[0]
    assert SECRET not in lines[0]
    assert Client(app).get("/login").status == 200


def test_refusals_are_logged_every_ten_seconds(memcached: Memcached, caplog: pytest.LogCaptureFixture) -> None:
    """Ten seconds after a line comes the next one."""
    times = iter((0.0, 1.0, 9.9, 10.0, 11.0, 19.9, 20.0))
    stats = Stats(clock=lambda: next(times))
    poller = rarely_polled(serving({}, memcached.node), Told([]), stats)
    for _ in range(7):
        poller.poll()
    poller.close()
    assert [record.getMessage()[-10:] for record in caplog.records] == ["(1 so far)", "(4 so far)", "(7 so far)"]
    assert stats.snapshot() == {"nodes_refused": 7}


def test_a_function_that_hangs_changes_nothing(
    polled: Polled, nodes: list[Memcached], caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on, the hanging is logged once and costs one thread; what the function says in the end counts."""
    others = set(asking())
    polled.told.may_answer.clear()
    polled.told.nodes = listed(nodes)
    wait_until(lambda: polled.app.stats().get("nodes_refused", 0) >= 5, "noticing")
    client = Client(polled.app)
    assert client.get("/login").status == client.get("/show").status == 200
    assert names(polled.app) == ["n1", "n2"]
    assert len(set(asking()) - others) <= 1
    assert [record.getMessage().count("not answered yet") for record in caplog.records] == [1]
    polled.told.may_answer.set()
    wait_until(lambda: names(polled.app) == ["n1", "n2", "n3"], "the answer")


def test_one_node_comes_or_goes_at_a_time(polled: Polled, nodes: list[Memcached]) -> None:
    """Where the function tells of several nodes that come or go at once, each waits for its turn."""
    polled.told.nodes = f"{nodes[2].node} n4:127.0.0.1:1"
    wait_until(lambda: names(polled.app) == ["n3", "n4"], "the new list")
    assert polled.app.stats()["nodes_changed"] == len(STEPS)


def test_a_node_under_another_name_is_no_second_one(polled: Polled, nodes: list[Memcached]) -> None:
    """A node that gets another name, or another address, is changed in one step: no two entries have one address."""
    polled.told.nodes = f"{nodes[0].node} other:127.0.0.1:{nodes[1].port}"
    wait_until(lambda: names(polled.app) == ["n1", "other"], "the new name")
    polled.told.nodes = f"{nodes[0].node} other:127.0.0.1:{nodes[2].port}"
    wait_until(lambda: polled.app.health()[1].address == f"127.0.0.1:{nodes[2].port}", "the new address")
    polled.told.ask_again()
    assert polled.app.stats()["nodes_changed"] == 2


def test_close_ends_the_asking(polled: Polled, nodes: list[Memcached]) -> None:
    """After close() no thread is left, and what was being asked then changes nothing any more."""
    polled.told.may_answer.clear()
    asked = polled.told.asked
    wait_until(lambda: polled.told.asked > asked, "a question")
    polled.told.nodes = listed(nodes)
    polled.poller.close()
    polled.poller.close()
    polled.told.may_answer.set()
    wait_until(lambda: not asking(), "the end of the threads")
    assert names(polled.app) == ["n1", "n2"]


def told_by(told: Told, **options: Any) -> SessionMiddleware:
    """Return a middleware whose option `nodes` is a function."""
    return serving({"/login": put("a", 1), "/show": show}, told, nodes_interval=1, **options)


def test_the_option_nodes_may_be_a_function(nodes: list[Memcached]) -> None:
    """It is asked when the middleware is built, and again every `nodes_interval` seconds, until close()."""
    told = Told(listed(nodes[:2]))
    app = told_by(told)
    assert (names(app), told.asked) == (["n1", "n2"], 1)
    told.nodes = listed(nodes)
    wait_until(lambda: names(app) == ["n1", "n2", "n3"], "asking again")
    app.close()
    wait_until(lambda: not asking(), "the end of the thread")


def test_a_middleware_that_is_dropped_asks_no_more(memcached: Memcached) -> None:
    """The thread ends at once with the middleware, without close()."""
    before = set(asking())
    app = serving({}, Told(memcached.node), nodes_interval=3600)
    (asker,) = set(asking()) - before
    del app
    gc.collect()
    wait_until(lambda: not asker.is_alive(), "the end of the thread")


def test_a_list_by_hand_stands_until_the_function_tells_another(nodes: list[Memcached]) -> None:
    """Where a function tells the nodes, its next answer takes the place of a list set by hand."""
    told = Told(listed(nodes[:2]))
    app = told_by(told)
    app.set_nodes(listed(nodes))
    assert names(app) == ["n1", "n2", "n3"]
    wait_until(lambda: names(app) == ["n1", "n2"], "asking again")
    app.close()


def test_a_bad_first_answer_stops_the_start() -> None:
    """A function that fails, or a bad list, when the middleware is built is a ConfigError."""
    failures: list[Any] = [OSError("away"), "n1", []]
    for bad in failures:
        with pytest.raises(ConfigError, match="nodes"):
            told_by(Told(bad))
    assert not asking()


# -- forks -------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, time
{patch}
from pathlib import Path
from sharedsession import SessionMiddleware

path = Path(sys.argv[1])
calls = []

def told():
    calls.append(time.monotonic())
    return path.read_text()

app = SessionMiddleware(lambda environ, start_response: [], secret_key="x" * 32, nodes=told, nodes_interval=1)

def names():
    return [node.name for node in app.health()]

def wait_for(expected):
    deadline = time.monotonic() + 30
    while names() != expected:
        assert time.monotonic() < deadline, names()
        time.sleep(0.01)

def asking():
    return [thread for thread in threading.enumerate() if thread.name == "sharedsession-nodes"]

read, write = os.pipe()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert names() == ["n1"]
            os.write(write, b".")
            wait_for(["n1", "n2"])
            first, begun = len(calls), time.monotonic()
            while len(calls) < first + 4:
                assert time.monotonic() < begun + 30, calls
                time.sleep(0.01)
            # One thread asks, and asks once a second.
            assert time.monotonic() - begun > 2.5, calls
            app.close()
            code = 0
        finally:
            os._exit(code)
    children.append(child)
ready = 0
while ready < 3:
    ready += len(os.read(read, 3))
path.write_text("n1:127.0.0.1:11211 n2:127.0.0.1:11212")
wait_for(["n1", "n2"])
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0, 0, 0], codes
print("right")
"""


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"], ids=["threads", "gevent"])
def test_a_forked_worker_asks_for_itself(tmp_path: Path, patch: str) -> None:
    """After a fork (gunicorn --preload) the parent and each child go on asking, each once an interval."""
    if patch:
        pytest.importorskip("gevent")
    told = tmp_path / "nodes"
    told.write_text("n1:127.0.0.1:11211")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK.format(patch=patch)), str(told)],
        capture_output=True,
        text=True,
        timeout=90,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "right"), done.stderr[-2000:]
