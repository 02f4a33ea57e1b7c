"""`session.lock()`: one request of a session at a time, and what becomes of a holder that is gone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from locks import (
    LONG,
    add,
    application_node,
    both,
    holder,
    key_of,
    new_session,
    owner_of,
    request,
    stopped_holder,
    stored,
    wait_until,
)
from servers import Memcached

from sharedsession import Session, SessionLockedError, SessionMiddleware, lock
from sharedsession.assembly import assemble
from sharedsession.config import SessionConfig
from sharedsession.errors import RETRY_AFTER
from sharedsession.exchange import Visit
from sharedsession.memcached.store import Store


@pytest.fixture
def web1(nodes: list[Memcached]) -> SessionMiddleware:
    """Return an application node."""
    return application_node(nodes)


@pytest.fixture
def web2(nodes: list[Memcached]) -> SessionMiddleware:
    """Return another one."""
    return application_node(nodes)


def fail(session: Session) -> None:
    """Raise."""
    raise LookupError


# -- a block -----------------------------------------------------------------------------------------------------------


def test_block_sees_the_newest_state_and_is_saved(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A block sees what was saved before it began, whenever the request looked first, and is saved at its end."""
    session_id = new_session(web1, n=1)
    session = request(web1, session_id)
    assert session["n"] == 1
    with request(web2, session_id).lock() as other:
        add(other)
    with session.lock() as same:
        assert same is session
        add(session)
        assert stored(web2, session_id) == {"n": 2}
    assert stored(web2, session_id) == {"n": 3}
    assert owner_of(web1, session_id) == 0


def test_changes_before_a_block_are_saved_first(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """What was changed before the block is neither lost nor part of it."""
    session_id = new_session(web1)
    session = request(web1, session_id)
    session["before"] = 1
    with pytest.raises(LookupError), session.lock():
        both(lambda session: session.update(inside=stored(web2, session_id)), fail)(session)
    assert dict(session) == stored(web2, session_id) == {"before": 1}


CHANGES: dict[str, Callable[[Session], object]] = {
    "set": lambda session: session.update(n=9),
    "in place": lambda session: session["list"].append(9),
    "delete": lambda session: session.pop("n"),
    "clear": lambda session: session.clear(),
    "interval": lambda session: setattr(session, "max_inactive_interval", 7),
    "change id": lambda session: session.change_id(),
    "log out": lambda session: session.invalidate(),
    "log out and begin anew": both(Session.invalidate, lambda session: session.update(n=9)),
    "unstorable": lambda session: session["list"].append(object()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_block_that_raises_saves_nothing(web1: SessionMiddleware, web2: SessionMiddleware, change: str) -> None:
    """An exception in a block undoes what it did, its log-out and its new id too, and gives the lock up."""
    session_id = new_session(web1, n=1, list=[1])
    visit = Visit(web1.parts.policy, session_id)
    session = visit.session
    with pytest.raises(LookupError), session.lock():
        both(CHANGES[change], fail)(session)
    assert owner_of(web2, session_id) == 0
    assert (session.id, dict(session)) == (session_id, {"n": 1, "list": [1]})
    visit.save()
    after = request(web2, session_id)
    assert (dict(after), after.max_inactive_interval) == ({"n": 1, "list": [1]}, 1800)


def test_what_a_block_has_saved_itself_stays(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """An exception undoes what came after a commit() in the block, not what was saved by it."""
    session_id = new_session(web1)
    session = request(web1, session_id)
    block = session.lock()
    block.__enter__()
    session["a"] = 1
    session.commit()
    session["b"] = 2
    assert block.__exit__(LookupError, LookupError(), None) is not True
    assert dict(session) == stored(web2, session_id) == {"a": 1}
    assert owner_of(web2, session_id) == 0


def test_a_commit_inside_keeps_the_lock(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """commit(), a transaction, clear() and a new id inside of a block leave the lock where it is until the end."""
    session_id = new_session(web1, n=1)
    session = request(web1, session_id)
    steps: list[Callable[[], object]] = [
        lambda: add(session),
        lambda: session.transaction(add),
        lambda: session.transaction(lambda s: s.clear()),
        session.clear,
        lambda: both(Session.clear, lambda s: s.update(c=1), Session.change_id)(session),
        session.change_id,
        lambda: add(session),
    ]
    with session.lock():
        owner = owner_of(web2, session_id)
        assert owner
        for step in steps:
            step()
            session.commit()
            assert owner_of(web2, session.id or "") == owner
    assert owner_of(web2, session.id or "") == 0
    assert stored(web2, session.id or "") == {"c": 1, "n": 1}
    assert stored(web2, session_id) == {}


def test_logging_out_inside(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """invalidate() in a block ends session and lock; what follows in the block is a new session."""
    session_id = new_session(web1, n=1)
    session = request(web1, session_id)
    with session.lock():
        session.invalidate()
        session["m"] = 1
        session.commit()
        add(session)
    assert stored(web2, session_id) == {}
    assert stored(web2, session.id or "") == {"m": 1, "n": 1}
    assert owner_of(web2, session.id or "") == 0


def test_nested_blocks_are_one(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A block inside of another is part of it: it neither waits for itself nor gives the lock up."""
    session_id = new_session(web1)
    session = request(web1, session_id)
    with session.lock():
        add(session)
        with session.lock(0):
            add(session)
        assert owner_of(web2, session_id)
        with pytest.raises(LookupError), session.lock():
            fail(session)
        add(session)
        assert owner_of(web2, session_id)
        assert stored(web2, session_id) == {}
    assert stored(web2, session_id) == {"n": 3}


def test_a_new_session_needs_no_lock(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A session that no other request can know is not locked; blocks save it all the same."""
    visit = Visit(web1.parts.policy, None)
    with visit.session.lock():
        add(visit.session)
    assert stored(web2, visit.session.id or "") == {"n": 1}
    assert web1.stats() == {"created": 1}


def test_the_lock_is_not_seen(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """The application neither sees the attribute that holds the lock nor gets hold of it."""
    session_id = new_session(web1, n=1)
    with request(web1, session_id).lock() as session:
        for seen in (session, request(web2, session_id)):
            assert (list(seen), len(seen), seen.copy(), seen | {}) == (["n"], 1, {"n": 1}, {"n": 1})
            assert (lock.LOCK in seen, seen.get(lock.LOCK), list(seen.values())) == (False, None, [1])
            with pytest.raises(KeyError):
                del seen[lock.LOCK]
            with pytest.raises(KeyError):
                seen.pop(lock.LOCK)
            for steal in (seen.__setitem__, seen.setdefault):
                with pytest.raises(TypeError, match="NUL"):
                    steal(lock.LOCK, "mine")
    # A session of which only the mark of a released lock is left is empty.
    emptied = request(web1, session_id)
    del emptied["n"]
    emptied.commit()
    assert (stored(web2, session_id), len(request(web2, session_id))) == ({}, 0)


# -- others ------------------------------------------------------------------------------------------------------------


def test_requests_come_one_after_the_other(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """Threads of two application nodes that add one by plain reading and writing lose none."""
    session_id = new_session(web1, n=0)

    def work(number: int) -> None:
        for turn in range(5):
            with request((web1, web2)[(number + turn) % 2], session_id).lock() as session:
                add(session)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert stored(web1, session_id) == {"n": 40}
    assert not {**web1.stats(), **web2.stats()}.keys() & {"locks_taken_over", "locks_lost", "locks_refused"}


def test_requests_without_the_lock_merge_as_ever(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """The lock keeps nobody out who does not ask for it; what they write is there after the block, and theirs too."""
    session_id = new_session(web1, n=0)
    late = request(web2, session_id)
    assert late["n"] == 0
    with request(web1, session_id).lock() as session:
        add(session)
        other = request(web2, session_id)
        other["other"] = 1
        other.commit()
    late["late"] = 1
    late.commit()
    assert stored(web1, session_id) == {"late": 1, "n": 1, "other": 1}
    assert owner_of(web1, session_id) == 0


def test_waiting_has_an_end(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """Who cannot have the lock in time is told so, has changed nothing, and leaves the lock to its holder."""
    session_id = new_session(web1, n=0)
    with request(web1, session_id).lock() as session:
        owner = owner_of(web1, session_id)
        for timeout in (0, 0.2):
            with pytest.raises(SessionLockedError), request(web2, session_id).lock(timeout) as other:
                add(other)
        assert owner_of(web1, session_id) == owner
        add(session)
    assert stored(web2, session_id) == {"n": 1}
    assert (web1.stats(), web2.stats()) == ({"created": 1}, {"locks_waited": 2, "locks_refused": 2})


def test_waiting_ends_for_those_in_line_too(web1: SessionMiddleware) -> None:
    """Of those who wait in one process only one asks the store; the others have an end to their waiting as well."""
    session_id = new_session(web1, n=0)
    outcomes: list[str] = []

    def wait() -> None:
        try:
            with request(web1, session_id).lock(0.3):
                outcomes.append("had it")
        except SessionLockedError:
            outcomes.append("refused")

    with request(web1, session_id).lock():
        threads = [threading.Thread(target=wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert outcomes == ["refused"] * 5
    counted = web1.stats()  # on a busy machine a renewal of the lock may be met in its midst, and mended
    assert (counted["locks_waited"], counted["locks_refused"]) == (5, 5)


def test_the_error_is_a_503(web1: SessionMiddleware, caplog: pytest.LogCaptureFixture) -> None:
    """SessionLockedError is what frameworks answer with 503 and Retry-After, without a detail; it is logged, no id."""
    session_id = new_session(web1)
    with (
        request(web1, session_id).lock(),
        pytest.raises(SessionLockedError) as caught,
        request(web1, session_id).lock(0),
    ):
        pass
    response = caught.value.get_response()
    assert (response.status_code, response.headers["Retry-After"]) == (503, str(RETRY_AFTER))
    assert "lock" not in response.get_data(as_text=True)
    assert ["lock" in line for line in caplog.messages] == [True]
    assert session_id[:32] not in caplog.text


def test_ended_while_waiting(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """When the session is logged out while a request waits for its lock, the request finds it ended, saves nothing."""
    session_id = new_session(web1, n=0)
    waiting = request(web2, session_id)
    assert waiting["n"] == 0

    def wait() -> dict[str, Any]:
        with waiting.lock() as session:
            seen = dict(session)
            add(session)
            return seen

    with ThreadPoolExecutor(1) as pool, request(web1, session_id).lock() as session:
        waited = pool.submit(wait)
        wait_until(lambda: web2.stats().get("locks_waited"))
        session.invalidate()
        session.commit()
        assert waited.result(LONG) == {}
    assert stored(web1, session_id) == {}
    assert web2.stats()["late_ended"] == 1


def test_moved_while_waiting(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """When the session gets a new id while a request waits for its lock, the request goes on with it there."""
    session_id = new_session(web1, n=0)
    waiting = request(web2, session_id)
    assert waiting["n"] == 0

    def wait() -> None:
        with waiting.lock() as session:
            add(session)

    with ThreadPoolExecutor(1) as pool:
        with request(web1, session_id).lock() as session:
            waited = pool.submit(wait)
            wait_until(lambda: web2.stats().get("locks_waited"))
            session.change_id()
            add(session)
        waited.result(LONG)
    assert stored(web1, session.id or "") == {"n": 2}


@pytest.mark.parametrize("end", ["invalidate", "clear"])
def test_another_ends_the_session_inside_a_block(web1: SessionMiddleware, web2: SessionMiddleware, end: str) -> None:
    """A log-out by a request without the lock is final: what the block changed is dropped, and no lock is left."""
    session_id = new_session(web1, n=0)
    with request(web1, session_id).lock() as session:
        add(session)
        other = request(web2, session_id)
        getattr(other, end)()
        other.commit()
    assert stored(web2, session_id) == {}
    assert owner_of(web2, session_id) == 0
    assert "locks_lost" not in web1.stats()


def test_a_clear_over_another_ones_clear(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A clear() under a lock that another's clear() has swept away is refused, not dropped: it might be a log-out."""
    session_id = new_session(web1, n=0)
    block = ExitStack()
    block.enter_context(request(web1, session_id).lock()).clear()
    other = request(web2, session_id)
    other.clear()
    other.commit()
    other["since"] = 1
    other.commit()
    with pytest.raises(SessionLockedError):
        block.close()
    assert stored(web2, session_id) == {"since": 1}
    assert web1.stats()["locks_lost"] == 1


# -- holders that are gone ---------------------------------------------------------------------------------------------


def test_a_lock_is_renewed_while_it_is_held(
    web1: SessionMiddleware, web2: SessionMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for longer than a lease does not get the lock of a holder that is alive."""
    monkeypatch.setattr(lock, "LEASE", 2.0)
    monkeypatch.setattr(lock, "RENEWAL", 0.1)
    monkeypatch.setattr(lock, "_KEEPER", lock._Keeper())
    session_id = new_session(web1, n=0)
    with request(web1, session_id).lock() as session:
        begun = holder(web2, session_id)
        with pytest.raises(SessionLockedError), request(web2, session_id).lock(3):
            pass
        now = holder(web2, session_id)
        assert (begun.owner, begun.beats) < (now.owner, now.beats) < (begun.owner + 1, 0)
        add(session)
    assert stored(web2, session_id) == {"n": 1}
    wait_until(lambda: all(thread.name != "sharedsession-lease" for thread in threading.enumerate()))


LATE: dict[str, Callable[[Session], object]] = {
    "set": add,
    "nothing": lambda session: None,
    "commit": both(add, Session.commit),
    "transaction": lambda session: session.transaction(add),
    "change id": both(add, Session.change_id),
    "clear": lambda session: session.clear(),
    "exception": fail,
}


@pytest.mark.parametrize("change", LATE)
def test_a_holder_that_showed_no_life_has_lost_it(
    web1: SessionMiddleware, web2: SessionMiddleware, change: str
) -> None:
    """After a lease without a sign of life the next one has the lock; the old holder saves and releases nothing."""
    session_id = new_session(web1, n=0)
    late = request(web1, session_id)
    block = ExitStack()
    block.enter_context(stopped_holder(late))
    with request(web2, session_id).lock() as session:
        owner = owner_of(web2, session_id)
        add(session)
        session.commit()
        with pytest.raises((SessionLockedError, LookupError)), block:
            LATE[change](late)
        assert owner_of(web2, session_id) == owner
    assert stored(web1, session_id) == {"n": 1}
    assert web1.stats().get("locks_lost") == (None if change == "exception" else 1)
    assert web2.stats() == {"locks_waited": 1, "locks_taken_over": 1}


def test_a_stopped_holder_that_nobody_missed(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A lease that is over takes the lock from nobody as long as nobody else wants it."""
    session_id = new_session(web1, n=0)
    late = request(web1, session_id)
    with stopped_holder(late, lease=0.01):
        time.sleep(0.05)
        add(late)
    assert stored(web2, session_id) == {"n": 1}
    assert owner_of(web2, session_id) == 0


def test_impatient_requests_find_a_dead_holder_together(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """Requests that wait for less than a lease get a dead holder's lock too, when they come again for long enough."""
    session_id = new_session(web1, n=0)

    def comes_in() -> bool:
        try:
            with request(web2, session_id).lock(0.01) as session:
                add(session)
        except SessionLockedError:
            return False
        return True

    with pytest.raises(SessionLockedError), stopped_holder(request(web1, session_id), lease=0.5):
        wait_until(comes_in)
    assert stored(web1, session_id) == {"n": 1}
    assert web2.stats()["locks_refused"] >= 1


def test_a_request_that_vanished_is_not_kept_alive(
    web1: SessionMiddleware, web2: SessionMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock whose request was dropped without its end is renewed no more, and free after a lease."""
    monkeypatch.setattr(lock, "LEASE", 0.6)
    monkeypatch.setattr(lock, "RENEWAL", 0.05)
    monkeypatch.setattr(lock, "_KEEPER", lock._Keeper())
    session_id = new_session(web1, n=0)
    state = Visit(web1.parts.policy, session_id)._life
    assert state.attributes.get("n") == 0
    state.take_lock()
    begun = holder(web2, session_id)
    assert begun.owner
    wait_until(lambda: holder(web2, session_id) != begun)  # it is being renewed
    del state
    gc.collect()
    with request(web2, session_id).lock() as session:
        add(session)
    assert stored(web1, session_id) == {"n": 1}
    assert web2.stats()["locks_taken_over"] == 1


def test_a_renewal_that_fails_ends_no_other(
    web1: SessionMiddleware, web2: SessionMiddleware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one lock's sign of life, the others of the process are renewed all the same."""
    monkeypatch.setattr(lock, "RENEWAL", 0.02)
    monkeypatch.setattr(lock, "_KEEPER", lock._Keeper())
    ids = [new_session(web1, n=0) for _ in range(2)]
    failed = threading.Event()
    find = Store.find

    def failing(self: Store, key: str) -> Any:
        if key == key_of(web1, ids[0]) and threading.current_thread().name == "sharedsession-lease":
            failed.set()
            raise RuntimeError("planted")
        return find(self, key)

    with request(web1, ids[0]).lock(), request(web1, ids[1]).lock():
        monkeypatch.setattr(Store, "find", failing)
        begun = holder(web2, ids[1])
        assert failed.wait(LONG)
        wait_until(lambda: holder(web2, ids[1]) != begun)
        monkeypatch.setattr(Store, "find", find)


@pytest.mark.parametrize("minutes", [-5, 5])
def test_clocks_do_not_matter(nodes: list[Memcached], web1: SessionMiddleware, minutes: int) -> None:
    """An application node whose clock is five minutes off waits for the lock, and takes a dead holder's, like any."""
    session_id = new_session(web1, n=0)
    config = SessionConfig(secret_key=web1.parts.config.secret_key, nodes=[server.node for server in nodes], timeout=10)
    wrong = assemble(config, clock=lambda: time.time() + 60 * minutes)
    with request(web1, session_id).lock() as session:
        with pytest.raises(SessionLockedError), Visit(wrong.policy, session_id).session.lock(0.1):
            pass
        add(session)
    with Visit(wrong.policy, session_id).session.lock() as session:
        add(session)
        with pytest.raises(SessionLockedError), request(web1, session_id).lock(0.1):
            pass
    block = ExitStack()
    block.enter_context(stopped_holder(request(web1, session_id)))
    with Visit(wrong.policy, session_id).session.lock() as session:
        add(session)
    with pytest.raises(SessionLockedError):
        block.close()
    assert stored(web1, session_id) == {"n": 3}


FORK = """
import os, sys, threading, time
from locks import holder, new_session, request, stored
from sharedsession import SessionLockedError, SessionMiddleware, lock

web = SessionMiddleware(None, secret_key="x" * 16, nodes="n1:127.0.0.1:" + sys.argv[1], timeout=10, lock_timeout=60)
first, second = new_session(web, n=0), new_session(web, n=0)

def add(session_id):
    with request(web, session_id).lock() as session:
        session["n"] += 1

def in_the_child():
    assert not lock._KEEPER._held
    try:
        with request(web, first).lock(0.1):
            return 2
    except SessionLockedError:
        add(second)
        return 0

with request(web, first).lock() as session:
    threads = [threading.Thread(target=add, args=(first,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while web.stats().get("locks_waited") != 2:
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = in_the_child()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    session["n"] += 1
for thread in threads:
    thread.join()
print(code, stored(web, first), stored(web, second))
web.close()
"""


def test_a_forked_child_holds_nothing(memcached: Memcached) -> None:
    """A process forked while a lock is held, and others wait in line, has neither the lock nor the line."""
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parent / "src")])
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(memcached.port)],
        capture_output=True,
        text=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0 {'n': 3} {'n': 1}"), done.stderr[-2000:]
