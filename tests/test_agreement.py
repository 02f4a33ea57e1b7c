"""Application nodes that have different secrets find out, say so once, and how to put it right."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from intruder import look, write
from locks import application_node, new_session, stored, wait_until
from servers import Memcached
from webclient import SECRET, Client, bare, page

from sharedsession import SessionMiddleware
from sharedsession.memcached.agreement import Agreement

OTHER = "the secret of another node, by mistake"
#: What starts the work; `conftest` replaces it.
BEGIN = Agreement._begin


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the comparison happen as it does outside tests; return what waits until it is done."""
    monkeypatch.setattr(Agreement, "_begin", BEGIN)

    def wait() -> None:
        for thread in threading.enumerate():
            if thread.name == "sharedsession-secret":
                thread.join(60)

    return wait


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the ERROR lines."""
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def of(node: SessionMiddleware) -> Agreement:
    """Return a node's agreement."""
    agreement = node.parts.policy.manager.agreement
    assert agreement is not None
    return agreement


def test_another_secret_is_an_error_line(
    nodes: list[Memcached], background: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The node that comes second says once that another one's secret is unknown to it, and counts it."""
    first, second = application_node(nodes), application_node(nodes, secret_key=OTHER)
    for node in (first, first, second, second, second):
        new_session(node)
        background()
    assert (first.stats().get("secrets_differ"), second.stats().get("secrets_differ")) == (None, 1)
    assert len(errors(caplog)) == 1
    assert "same secret_key" in errors(caplog)[0]
    assert not any(secret in errors(caplog)[0] for secret in (SECRET, OTHER))


def test_a_forged_id_makes_the_first_one_look(
    nodes: list[Memcached], background: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The node that was there first says so too, when it meets the other's ids; a flood of them costs one look."""
    first = application_node(nodes, page(lambda session: dict(session)))
    new_session(first)
    background()
    second = application_node(nodes, secret_key=OTHER)
    theirs = new_session(second)
    background()
    caplog.clear()
    before = [node.stats()["cmd_get"] for node in nodes]
    for _ in range(20):
        assert Client(first, {"JSESSIONID": theirs}).get("/").text == "{}"
    background()
    assert len(errors(caplog)) == 1
    assert sum(node.stats()["cmd_get"] for node in nodes) - sum(before) == 2  # one look at two copies


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"secret_key": OTHER, "secret_key_fallbacks": [SECRET]},
        {"secret_key": OTHER, "key_prefix": "another:"},
        {"encrypt": True, "route": "web2"},
    ],
    ids=["same", "rotated", "another application", "other options"],
)
def test_nodes_that_agree_say_nothing(
    nodes: list[Memcached],
    background: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    second: dict[str, object],
) -> None:
    """The same secret, one that is being changed with fallbacks, and another application's are no difference."""
    old = application_node(nodes, secret_key_fallbacks=[OTHER])
    for node in (old, application_node(nodes, **second), old):
        new_session(node)
        background()
        assert of(node).compare() is None
    assert errors(caplog) == []


def test_what_is_left_tells_nothing(nodes: list[Memcached], background: Callable[[], None]) -> None:
    """32 bits of a MAC are left on as many nodes as a session has copies; no session is made of it."""
    node = application_node(nodes)
    for _ in range(3):
        new_session(node)
        background()
    left = [item.value for item in look(nodes) if item.key == "secret-of:sharedsession:"]
    assert len(left) == 2
    assert all(len(value) == len("sharedsession secret 1 ") + 8 for value in left)


@pytest.mark.parametrize(
    "value", [b"", b"x" * 1000, b"sharedsession secret 1 0000", b"\xff\xfe", b"sharedsession secret 2 x"]
)
def test_what_somebody_else_left_there_is_replaced(nodes: list[Memcached], value: bytes) -> None:
    """A value that is none of ours under that key is no difference and no error."""
    node = application_node(nodes)
    for each in nodes:
        write(each, "secret-of:sharedsession:", value)
    assert of(node).compare() is None
    of(node).leave()
    assert sum(item.value != value for item in look(nodes)) == 2


def test_nothing_waits_for_it(nodes: list[Memcached], background: Callable[[], None]) -> None:
    """While memcached is away the comparison fails quietly, and the next requests are served as ever."""
    node = application_node(nodes, timeout=0.2, connect_timeout=0.2)
    for each in nodes:
        each.kill()
    of(node).leave()
    assert of(node).compare() is None
    for each in nodes:
        each.start()
    wait_until(lambda: all(each.up for each in node.health()))
    new_session(node)
    background()
    assert any(item.key.startswith("secret-of") for item in look(nodes))


def test_a_store_in_this_process_has_nobody_to_agree_with() -> None:
    """Without memcached there is nothing to compare."""
    node = bare(page(lambda session: dict(session)))
    assert node.parts.policy.manager.agreement is None


def test_a_forked_worker_looks_for_itself(nodes: list[Memcached], background: Callable[[], None]) -> None:
    """A worker forked from a process that has looked compares at its own first use."""
    node = application_node(nodes)
    new_session(node)
    background()
    assert of(node)._used
    child = os.fork()
    if child == 0:
        os._exit(of(node)._used)
    deadline = time.monotonic() + 60
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child did not end")
        time.sleep(0.01)
    assert stored(node, new_session(node, a=1)) == {"a": 1}
