"""Several nodes at once, and what becomes of connections: real servers wherever one can misbehave by itself."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from scripted import Dialog, Script, ScriptedServer, answering
from servers import SOURCE, Memcached, connections, free_port, on_unix_socket

from sharedsession.memcached import connection as connection_module
from sharedsession.memcached import node as node_module
from sharedsession.memcached import transport as transport_module
from sharedsession.memcached import wire as wire_module
from sharedsession.memcached.commands import (
    MISSING,
    Answer,
    Command,
    Conflict,
    Delete,
    Failed,
    Found,
    Get,
    Late,
    Missing,
    Ping,
    Put,
    Refused,
    Stored,
    Token,
    TooLarge,
    Touch,
)
from sharedsession.memcached.node import MOST_LATE, Flight
from sharedsession.memcached.patience import Deadline
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

Serve = Callable[[Script], ScriptedServer]
Connect = Callable[..., MemcachedTransport]
Start = Callable[..., Memcached]

TIMEOUT = 0.3
GOOD = b"VA 4 c9 t50 %O\r\ngood\r\n"
DAY = 86400


def one(transport: MemcachedTransport, command: Command) -> Answer:
    """Return the answer of node n1."""
    return transport.ask([("n1", command)])[0]


def store(transport: MemcachedTransport, key: str, value: bytes, node: str = "n1") -> Token:
    """Store a value that was not there; return its token."""
    answer = transport.ask([(node, Put(key, value, 100, None))])[0]
    assert isinstance(answer, Stored), answer
    return answer.token


def value(answer: Answer) -> bytes:
    """Return the value found."""
    assert isinstance(answer, Found), answer
    return answer.value


def timed(action: Callable[[], list[Answer]]) -> tuple[float, list[Answer]]:
    """Return how long it took in seconds, and what came out."""
    start = time.monotonic()
    answers = action()
    return time.monotonic() - start, answers


# -- one round trip ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [True, False])
def test_all_commands_are_sent_before_any_answer_is_awaited(serve: Serve, connect: Connect, warm: bool) -> None:
    """Three nodes, of which none answers before all have been asked, still all answer: one round trip, not three."""
    asked = threading.Barrier(3, timeout=1)

    def script(dialog: Dialog) -> None:
        dialog.greet()
        if warm:
            dialog.command()
            dialog.send(GOOD)
        dialog.command()
        asked.wait()
        dialog.send(GOOD)

    transport = connect(*(serve(script) for _ in range(3)), timeout=1.5)
    gets = [(name, Get("k", 60)) for name in ("n1", "n2", "n3")]
    if warm:
        for get in gets:
            transport.ask([get])
    assert [value(answer) for answer in transport.ask(gets)] == [b"good"] * 3


def test_answers_come_in_the_order_of_the_requests(connect: Connect, nodes: list[Memcached]) -> None:
    """Each request gets its own node's answer, also when a node is asked twice or not at all."""
    transport = connect(*nodes)
    for name in ("n1", "n3"):
        store(transport, "k", name.encode(), name)
    answers = transport.ask([(name, Get("k", None)) for name in ("n3", "n2", "n1", "n3")])
    assert [answer.value if isinstance(answer, Found) else None for answer in answers] == [b"n3", None, b"n1", b"n3"]


def test_one_dead_node_does_not_spoil_the_others(connect: Connect, nodes: list[Memcached]) -> None:
    """A node that refuses connections fails alone, at once, and its failure says why."""
    transport = connect(*nodes, timeout=5)
    nodes[1].kill()
    took, answers = timed(lambda: transport.ask([(name, Get("k", 60)) for name in ("n1", "n2", "n3")]))
    assert [type(answer) for answer in answers] == [Missing, Failed, Missing]
    assert "refused" in str(answers[1])
    assert took < 2


# -- time --------------------------------------------------------------------------------------------------------------


def hang_two(nodes: list[Memcached], transport: MemcachedTransport, command: Command) -> tuple[float, list[Answer]]:
    """Ask n1 and n2 while both hang."""
    nodes[0].hang()
    nodes[1].hang()
    try:
        return timed(lambda: transport.ask([("n1", command), ("n2", command)]))
    finally:
        nodes[0].resume()
        nodes[1].resume()


@pytest.mark.parametrize("pool", ["cold", "warm", "stale"])
@pytest.mark.parametrize("command", [Get("k", 60), Put("k", b"x" * 100_000, 60, None)], ids=["read", "large write"])
def test_two_hung_nodes_cost_one_time_out(
    connect: Connect, nodes: list[Memcached], pool: str, command: Command
) -> None:
    """Nodes that hang together cost one time-out together, whatever connections are there."""
    transport = connect(*nodes, timeout=TIMEOUT)
    if pool != "cold":
        transport.ask([("n1", Get("k", 60)), ("n2", Get("k", 60))])
    if pool == "stale":
        nodes[0].restart()
        nodes[1].restart()
    took, answers = hang_two(nodes, transport, command)
    assert all(isinstance(answer, Failed) for answer in answers)
    assert TIMEOUT / 2 < took < 1.9 * TIMEOUT  # a large value is measured in the first half of it


def test_a_node_after_a_hung_one_is_still_answered(connect: Connect, nodes: list[Memcached]) -> None:
    """A node that says "there is none" has answered, although the one before used up all the time."""
    transport = connect(*nodes, timeout=TIMEOUT)
    nodes[0].hang()
    answers = transport.ask([("n1", Get("k", 60)), ("n2", Get("k", 60))])
    assert isinstance(answers[0], Failed)
    assert answers[1] == MISSING


@pytest.mark.parametrize("first", [0, 1])
def test_a_slow_copy_holds_nobody_back(connect: Connect, nodes: list[Memcached], first: int) -> None:
    """Once another node has answered for the key, one that does not costs a part of the time-out, and then nothing."""
    transport = connect(*nodes, timeout=4)
    both: list[tuple[str, Command]] = [("n1", Get("k", 60)), ("n2", Get("k", 60))]
    store(transport, "k", b"here", "n1")
    store(transport, "k", b"here", "n2")
    nodes[first].hang()
    waited, answers = timed(lambda: transport.ask(both))
    assert waited < 3
    assert isinstance(answers[first], Late)
    assert value(answers[1 - first]) == b"here"
    waited, answers = timed(lambda: transport.ask(both))
    assert waited < 0.8
    assert isinstance(answers[first], Late)


def test_a_crowded_server_is_not_down(connect: Connect, start_memcached: Start) -> None:
    """More threads than the server takes connections take turns on those there are, and every one gets its answer."""
    server = start_memcached("n1", ("-c", "32", "-t", "1"))
    transport = connect(server, timeout=10)
    store(transport, "k", b"here")
    answers: list[Answer] = []

    def work() -> None:
        answers.extend(one(transport, Get("k", 60)) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(answer) for answer in answers} == {Found}
    assert len(answers) == 1200


def test_a_process_without_room_for_files_does_not_blame_the_nodes(connect: Connect, nodes: list[Memcached]) -> None:
    """Idle connections to others make room; where there is none, the node is passed over, but not held for dead."""
    transport = connect(*nodes, timeout=TIMEOUT)
    assert isinstance(one(transport, Get("k", 60)), Missing)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    files: list[int] = []
    try:
        # A dynamically linked resolver may need some; the next file descriptor is beyond the limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                files.append(os.dup(0))
        assert isinstance(transport.ask([("n2", Get("k", 60))])[0], Missing)
        assert isinstance(transport.ask([("n1", Get("k", 60)), ("n2", Get("k", 60))])[1], Refused)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in files:
            os.close(file)


def test_a_server_without_room_for_us_refuses(connect: Connect, start_memcached: Start) -> None:
    """Where other clients have all connections, the node is passed over, but not held for dead."""
    server = start_memcached("n1", ("-c", "32", "-t", "1"))
    others = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    try:
        # memcached counts a connection when its worker comes to run, and may take others until then: they fill it up.
        answers = (one(connect(server, timeout=2), Get("k", 60)) for _ in range(100))
        assert isinstance(next(answer for answer in answers if not isinstance(answer, Missing)), Refused)
    finally:
        for other in others:
            other.close()


def test_as_many_copies_as_are_enough_are_waited_for(connect: Connect, nodes: list[Memcached]) -> None:
    """Where two copies are required, the second one's answer is waited for to the end of the time-out."""
    transport = connect(*nodes, timeout=TIMEOUT)
    nodes[0].hang()
    puts: list[tuple[str, Command]] = [(name, Put("k", b"v", 60, None)) for name in ("n1", "n2")]
    answers = transport.ask(puts, 2)
    assert [type(answer) for answer in answers] == [Failed, Stored]


def test_a_late_answer_is_taken_in_and_its_connection_used_again(connect: Connect, nodes: list[Memcached]) -> None:
    """What a slow node was told it does, and its connection goes on."""
    transport = connect(*nodes, timeout=1)
    store(transport, "k", b"old", "n1")
    before = connections(nodes[0])
    nodes[0].hang()
    puts: list[tuple[str, Command]] = [(name, Put("new", b"v", 60, None)) for name in ("n1", "n2")]
    assert isinstance(transport.ask(puts)[0], Late)
    nodes[0].resume()
    while b"VA" not in nodes[0].command(b"mg new v"):
        time.sleep(0.01)
    assert value(one(transport, Get("new", None))) == b"v"
    assert connections(nodes[0]) == before


def test_an_answer_that_is_overdue_is_given_up(connect: Connect, nodes: list[Memcached]) -> None:
    """What was not answered within the time-out is waited for no more, and says nothing against the next answer."""
    transport = connect(*nodes, timeout=TIMEOUT)
    both: list[tuple[str, Command]] = [("n1", Get("k", 60)), ("n2", Get("k", 60))]
    store(transport, "k", b"here", "n1")
    store(transport, "k", b"here", "n2")
    nodes[0].hang()
    assert isinstance(transport.ask(both)[0], Late)
    time.sleep(TIMEOUT)
    nodes[0].resume()
    assert value(one(transport, Get("k", 60))) == b"here"
    assert not transport._nodes["n1"].late


def test_a_node_owes_a_bounded_number_of_answers(connect: Connect, nodes: list[Memcached]) -> None:
    """However many requests go on meanwhile, connections that wait for a slow node stay few."""
    transport = connect(*nodes, timeout=4)
    both: list[tuple[str, Command]] = [("n1", Get("k", 60)), ("n2", Get("k", 60))]
    store(transport, "k", b"here", "n2")
    nodes[0].hang()
    node = transport._nodes["n1"]
    flight = Flight(node, both[0][1], node.open(Deadline(1)), 0)
    for _ in range(MOST_LATE):
        node.leave(flight, Deadline(4))
    waited, answers = timed(lambda: transport.ask(both))
    assert isinstance(answers[0], Failed)
    assert waited < 1


def test_a_late_answer_of_a_hung_node_meets_nobody(connect: Connect, nodes: list[Memcached]) -> None:
    """When a hung node goes on, what it still answers to the old question is not read by the next."""
    transport = connect(*nodes, timeout=0.1)
    store(transport, "old", b"old value")
    store(transport, "new", b"new value")
    nodes[0].hang()
    assert isinstance(one(transport, Get("old", None)), Failed)
    nodes[0].resume()
    assert value(one(transport, Get("new", None))) == b"new value"


# -- interrupted in mid reply ------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Raised by a worker's time-out."""


def test_a_signal_in_mid_reply_costs_the_connection_not_the_truth(connect: Connect, nodes: list[Memcached]) -> None:
    """A time-out raised from a signal handler leaves no half-read connection behind, on any of the nodes."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    transport = connect(*nodes, timeout=2)
    for name in ("n1", "n2"):
        for key in ("old", "new"):
            store(transport, key, key.encode(), name)
    nodes[0].hang()
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Interrupted):
            transport.ask([("n1", Get("old", None)), ("n2", Get("old", None))])
    finally:
        signal.signal(signal.SIGALRM, previous)
        nodes[0].resume()
    answers = transport.ask([("n1", Get("new", None)), ("n2", Get("new", None))])
    assert [value(answer) for answer in answers] == [b"new", b"new"]


class InterruptAt:
    """Raises `Interrupted` at the n-th line that the files of the transport execute."""

    FILES = tuple(module.__file__ for module in (transport_module, node_module, connection_module, wire_module))

    def __init__(self, line: int) -> None:
        self.left = line

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        """Count the lines of these files (a trace function for sys.settrace)."""
        if frame.f_code.co_filename not in self.FILES:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise Interrupted
        return self.trace


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # dropped unclosed, but never used again
@pytest.mark.parametrize("pool", ["warm", "cold"])
def test_an_interrupt_at_any_line_costs_no_later_answer(connect: Connect, nodes: list[Memcached], pool: str) -> None:
    """Whatever line of `ask` an interrupt strikes, the next `ask` gets the right answers to its own questions."""
    transport = connect(*nodes, timeout=2)
    for name in ("n1", "n2"):
        for number in range(10):
            store(transport, f"k{number}", b"%d of %b" % (number, name.encode()), name)
    line = 1
    while interrupted_at(line, partial(ask_both, transport, line % 10)):
        line += 1
        expected = [b"%d of n1" % (line % 10), b"%d of n2" % (line % 10)]
        assert [value(answer) for answer in ask_both(transport, line % 10)] == expected, line
        if pool == "cold":
            transport.close()
    gc.collect()
    assert 30 < line < 900  # every line was struck, and the last round went through


def ask_both(transport: MemcachedTransport, number: int) -> list[Answer]:
    """Read one key from two nodes."""
    return transport.ask([("n1", Get(f"k{number}", None)), ("n2", Get(f"k{number}", None))])


def interrupted_at(line: int, action: Callable[[], object]) -> bool:
    """Run `action`, interrupted at a line; say whether it was."""
    previous = sys.gettrace()
    sys.settrace(InterruptAt(line).trace)
    try:
        action()
    except Interrupted:
        return True
    finally:
        sys.settrace(previous)
    return False


# -- connections closed while idle -------------------------------------------------------------------------------------


def test_a_read_after_a_restart_is_asked_once_more(connect: Connect, memcached: Memcached) -> None:
    """The restart of a server is no failure for a read: its idle connection is replaced within the same `ask`."""
    transport = connect(memcached)
    store(transport, "k", b"v")
    memcached.restart()
    assert isinstance(one(transport, Get("k", 60)), Missing)


@pytest.mark.parametrize("first", [Ping(), Delete("k"), Get("k", 60), Touch("k", 60), Put("k", b"v", 60, None)])
@pytest.mark.parametrize("again", [Get("k", 60), Touch("k", 60), Put("k", b"w", 60, None)])
def test_whoever_opened_the_connection_its_end_is_no_failure(
    connect: Connect, memcached: Memcached, first: Command, again: Command
) -> None:
    """An idle connection that the server closed is replaced, whatever it was used for before."""
    transport = connect(memcached)
    one(transport, first)
    memcached.restart()
    assert isinstance(one(transport, again), Missing | Stored)


def test_a_write_over_something_read_before_a_restart_is_a_conflict(connect: Connect, memcached: Memcached) -> None:
    """A compare-and-swap whose connection broke says "read again": it never says stored, and never fails the node."""
    transport = connect(memcached)
    token = store(transport, "k", b"v")
    memcached.restart()
    assert isinstance(one(transport, Put("k", b"w", 60, token)), Conflict)
    assert memcached.command(b"mg k v") == b"EN\r\n"


@pytest.mark.parametrize("with_token", [True, False])
def test_what_may_not_be_repeated_is_not(connect: Connect, memcached: Memcached, with_token: bool) -> None:
    """A write that must not be done twice fails when its connection breaks: nobody knows whether it was done."""
    transport = connect(memcached)
    token = store(transport, "k", b"v")
    memcached.restart()
    put = Put("k", b"w", 60, token if with_token else None, repeatable=False)
    assert isinstance(one(transport, put), Failed)
    assert memcached.command(b"mg k v") == b"EN\r\n"


def test_a_command_is_repeated_only_once(serve: Serve, connect: Connect) -> None:
    """A server that closes every connection in mid command is given up after two."""

    def script(dialog: Dialog) -> None:
        dialog.greet()
        dialog.command()
        if dialog.number == 1:
            dialog.send(GOOD)
            dialog.command()

    server = serve(script)
    transport = connect(server)
    assert value(one(transport, Get("k", 60))) == b"good"
    assert isinstance(one(transport, Get("k", 60)), Failed)
    assert server.accepted == 2


def test_a_hung_server_is_not_asked_twice(connect: Connect, memcached: Memcached) -> None:
    """A time-out is not repeated: the wait stays one time-out."""
    transport = connect(memcached, timeout=TIMEOUT)
    store(transport, "k", b"v")
    memcached.hang()
    took, answers = timed(lambda: transport.ask([("n1", Get("k", 60))]))
    memcached.resume()
    assert isinstance(answers[0], Failed)
    assert took < 1.9 * TIMEOUT


DROPPED = """
import gc, sys
from sharedsession.memcached.commands import Get
from sharedsession.memcached.transport import MemcachedTransport
from sharedsession.nodelist import NodeConfig

gc.disable()
transport = MemcachedTransport([NodeConfig("n1", ("127.0.0.1", int(sys.argv[1])))], 5, 5)
transport.ask([("n1", Get("k", None))])
sock = transport._nodes["n1"]._idle[0]._wire.sock
del transport
print(sock.fileno())
"""


def test_a_transport_that_is_dropped_closes_its_connections(memcached: Memcached) -> None:
    """Idle connections end as soon as nobody has the transport, without waiting for the collector."""
    # In a process of its own: here the tests keep every node.
    command = [sys.executable, "-c", DROPPED, str(memcached.port)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=SOURCE, check=True, timeout=60)
    assert ran.stdout == "-1\n"


def test_all_idle_connections_are_dropped_when_one_was_closed(connect: Connect, memcached: Memcached) -> None:
    """After a restart only one command meets a dead connection, not one for each that was idle."""
    transport = connect(memcached)
    transport.ask([("n1", Get(f"k{number}", 60)) for number in range(5)])
    memcached.restart()
    one(transport, Get("k", 60))
    answer = one(transport, Put("k", b"v", 60, None, repeatable=False))
    assert isinstance(answer, Stored)


def test_the_servers_idle_time_out_is_no_failure(connect: Connect, start_memcached: Start) -> None:
    """A server that closes idle connections (-o idle_timeout) still answers the next read at once."""
    server = start_memcached("n1", ("-o", "idle_timeout=1"))
    transport = connect(server)
    store(transport, "k", b"v")
    closed_before = server.stats()["idle_kicks"]
    deadline = time.monotonic() + 8
    while server.stats()["idle_kicks"] == closed_before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.stats()["idle_kicks"] > closed_before
    assert value(one(transport, Get("k", 60))) == b"v"


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_from_before_a_restart_is_never_accepted(connect: Connect, memcached: Memcached) -> None:
    """CAS numbers begin again at 1 after a restart, so the number alone would overwrite another's value."""
    transport, other = connect(memcached), connect(memcached)
    token = store(transport, "k", b"old")
    memcached.restart()
    assert store(other, "k", b"another's").cas == token.cas  # or this test shows nothing
    assert isinstance(one(transport, Put("k", b"overwritten", 60, token)), Conflict)
    assert value(one(other, Get("k", None))) == b"another's"


def test_a_token_is_not_accepted_on_a_connection_opened_since(connect: Connect, memcached: Memcached) -> None:
    """The same where a fresh connection is in the pool by then: it is no proof that the server was not restarted."""
    transport, other = connect(memcached), connect(memcached)
    token = store(transport, "k", b"old")
    memcached.restart()
    store(other, "k", b"another's")
    one(transport, Get("unrelated", None))
    one(transport, Ping())
    assert isinstance(one(transport, Put("k", b"overwritten", 60, token)), Conflict)
    assert value(one(other, Get("k", None))) == b"another's"


def test_a_token_is_worthless_on_a_connection_made_later(
    connect: Connect, memcached: Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was only being made when the token was read does not vouch for it: the server may have gone."""
    transport = MemcachedTransport([NodeConfig("n1", ("localhost", memcached.port))], 0.25, TIMEOUT)
    resolving, resolve, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        if host == "localhost":
            resolving.set()
            resolve.wait(5)
        return real("127.0.0.1", *rest, **more)

    resolve.set()
    token = store(transport, "k", b"old")
    resolve.clear()
    resolving.clear()
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    ping = threading.Thread(target=one, args=(transport, Ping()))
    ping.start()
    assert resolving.wait(5)
    found = one(transport, Get("k", None))
    assert isinstance(found, Found)
    memcached.restart()
    assert store(connect(memcached), "k", b"another's").cas == found.token.cas == token.cas
    resolve.set()
    ping.join(5)
    answer = one(transport, Put("k", b"overwritten", 60, found.token))
    transport.close()
    assert isinstance(answer, Conflict)
    assert value(one(connect(memcached), Get("k", None))) == b"another's"


def test_a_token_is_good_while_its_server_lives(connect: Connect, memcached: Memcached) -> None:
    """A value read may be written over by compare-and-swap, once; with the token of that write, once more."""
    transport = connect(memcached)
    first = store(transport, "k", b"1")
    second = one(transport, Put("k", b"2", 60, first))
    assert isinstance(second, Stored)
    assert isinstance(one(transport, Put("k", b"lost", 60, first)), Conflict)
    assert isinstance(one(transport, Put("k", b"3", 60, second.token)), Stored)
    assert value(one(transport, Get("k", None))) == b"3"


# -- values ------------------------------------------------------------------------------------------------------------

SIZES = [0, 1, 4095, 4096, 4097, 65534, 65535, 65536, 65537, 131072, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_values_of_every_size_come_back_whole(connect: Connect, memcached: Memcached, size: int) -> None:
    """What was stored comes back byte for byte, also around the sizes of the receive buffers, on one connection."""
    transport = connect(memcached, timeout=2)
    data = random.Random(size).randbytes(size)
    before = connections(memcached)
    store(transport, "k", data)
    assert value(one(transport, Get("k", 60))) == data
    assert value(one(transport, Get("k", None))) == data
    assert connections(memcached) - before == 1


@pytest.mark.parametrize("data", [b"\r\n", b"EN\r\n", b"VA 4 c1 t1 O2\r\nevil\r\n", b"\0" * 10, bytes(range(256)) * 9])
def test_values_may_hold_what_looks_like_a_reply(connect: Connect, memcached: Memcached, data: bytes) -> None:
    """A value is counted, not searched for its end."""
    transport = connect(memcached)
    store(transport, "k", data)
    assert value(one(transport, Get("k", 60))) == data


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 - 60, 3_000_000])
def test_a_value_over_the_item_limit_is_too_large_and_harms_nothing(
    connect: Connect, memcached: Memcached, size: int
) -> None:
    """The refusal is told from a fault, the value that stood there stays, and the next command is answered."""
    transport = connect(memcached, timeout=2)
    token = store(transport, "k", b"before")
    assert isinstance(one(transport, Put("k", b"x" * size, 60, token)), TooLarge)
    assert value(one(transport, Get("k", None))) == b"before"


def test_the_item_limit_is_the_servers(connect: Connect, start_memcached: Start) -> None:
    """A server started with a larger -I takes larger values."""
    transport = connect(start_memcached("n1", ("-I", "4m")), timeout=2)
    store(transport, "k", b"x" * 3_000_000)
    assert len(value(one(transport, Get("k", None)))) == 3_000_000


# -- life --------------------------------------------------------------------------------------------------------------


def test_a_life_over_30_days_is_kept(connect: Connect, memcached: Memcached) -> None:
    """A value stored or prolonged for 40 days or ten years lives that long: memcached reads such numbers as dates."""
    transport = connect(memcached)
    one(transport, Put("k", b"v", 40 * DAY, None))
    found = one(transport, Get("k", 3650 * DAY))
    assert isinstance(found, Found)
    assert abs(found.remaining - 40 * DAY) < 5
    found = one(transport, Get("k", None))
    assert isinstance(found, Found)
    assert abs(found.remaining - 3650 * DAY) < 5


@pytest.mark.parametrize("ttl", [0, -1, -100])
def test_a_life_below_1_is_1(connect: Connect, memcached: Memcached, ttl: int) -> None:
    """A life of nothing never becomes eternal (0) nor an immediate death (-1) on the server."""
    transport = connect(memcached)
    for command in (Put("k", b"v", ttl, None), Get("k", ttl), Touch("k", ttl)):
        assert isinstance(one(transport, command), Stored | Found)
    assert memcached.command(b"mg k t") in (b"HD t1\r\n", b"HD t0\r\n", b"EN\r\n")


def test_a_read_tells_the_life_left_before_it_prolonged_it(connect: Connect, memcached: Memcached) -> None:
    """The remaining life is the one that was left when the read came, and the read starts it anew."""
    transport = connect(memcached)
    store(transport, "k", b"v")
    memcached.command(b"mg k T40")
    found = one(transport, Get("k", 100))
    assert isinstance(found, Found)
    assert found.remaining in (39, 40)
    assert memcached.command(b"mg k t") in (b"HD t99\r\n", b"HD t100\r\n")


def test_touch_of_nothing_is_missing(connect: Connect, memcached: Memcached) -> None:
    """Prolonging what is not there creates nothing."""
    assert isinstance(one(connect(memcached), Touch("k", 60)), Missing)
    assert memcached.stats()["curr_items"] == 0


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_a_refused_connection_fails_at_once(connect: Connect) -> None:
    """Where nobody listens the failure takes no time-out."""
    took, answers = timed(lambda: connect(free_port(), timeout=5).ask([("n1", Get("k", 60)), ("n1", Ping())]))
    assert all(isinstance(answer, Failed) for answer in answers)
    assert took < 2


def test_localhost_that_is_ipv6_first_is_found_on_ipv4(memcached: Memcached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address of a name is tried: "localhost" is ::1 first on many machines, where memcached does not listen."""
    real = socket.getaddrinfo

    def six_first(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "localhost":
            return real(host, port, *rest, **more)
        return [*real("::1", port, type=socket.SOCK_STREAM), *real("127.0.0.1", port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", six_first)
    transport = MemcachedTransport([NodeConfig("n1", ("localhost", memcached.port))], 0.25, TIMEOUT)
    assert isinstance(one(transport, Get("k", 60)), Missing)
    transport.close()


def test_a_name_that_does_not_resolve_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken resolver fails the node, with its reason; it raises nothing."""

    def broken(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    transport = MemcachedTransport([NodeConfig("n1", ("memcached.invalid", 11211))], 0.25, TIMEOUT)
    answer = one(transport, Get("k", 60))
    assert isinstance(answer, Failed)
    assert "name resolution" in answer.reason


def has_ipv6() -> bool:
    """Say whether this machine has an IPv6 loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(start_memcached: Start) -> None:
    """A node may have an IPv6 address."""
    server = start_memcached("n1", ("-l", "::1"))
    transport = MemcachedTransport([NodeConfig("n1", ("::1", server.port))], 0.25, TIMEOUT)
    store(transport, "k", b"v")
    assert value(one(transport, Get("k", 60))) == b"v"
    transport.close()


def test_unix_socket(socket_path: Path) -> None:
    """A node may be a unix socket, and its restart is survived as on TCP."""
    transport = MemcachedTransport([NodeConfig("n1", str(socket_path))], 0.25, TIMEOUT)
    assert isinstance(one(transport, Get("k", 60)), Failed)
    with on_unix_socket(socket_path):
        store(transport, "k", b"v")
        assert value(one(transport, Get("k", 60))) == b"v"
    with on_unix_socket(socket_path):
        assert isinstance(one(transport, Get("k", 60)), Missing)
    transport.close()


def test_close_drops_the_connections(serve: Serve, connect: Connect) -> None:
    """After `close` no connection is open, and the next command opens another."""
    server = serve(answering(GOOD))
    transport = connect(server)
    one(transport, Get("k", 60))
    transport.close()
    assert value(one(transport, Get("k", 60))) == b"good"
    assert server.accepted == 2
    assert server.has_ended(1)
    assert server.ended == [1]


def test_many_keys_of_a_hung_node_take_no_longer_than_one(connect: Connect, nodes: list[Memcached]) -> None:
    """Each answer is waited for a moment at first; all together not beyond the deadline."""
    transport = connect(*nodes, timeout=TIMEOUT)
    one(transport, Get("k", 60))
    nodes[0].hang()
    waited, answers = timed(lambda: transport.ask([("n1", Get(f"k{number}", 60)) for number in range(60)]))
    assert {type(answer) for answer in answers} == {Failed}
    assert waited < TIMEOUT + 0.4


def test_what_was_closed_is_not_used_again(connect: Connect, nodes: list[Memcached]) -> None:
    """After a time-out no closed connection lies among the idle ones: the next command would blame the node."""
    transport = connect(*nodes, timeout=TIMEOUT)
    one(transport, Get("k", 60))
    nodes[0].hang()
    assert isinstance(one(transport, Get("k", 60)), Failed)
    nodes[0].resume()
    assert transport._nodes["n1"].idle_one() is None
    assert isinstance(one(transport, Put("k", b"v", 60, None, repeatable=False)), Stored)
