"""The line of those in one process who change the same session: one after the other, and never for long."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sharedsession.forking import renew_after_fork
from sharedsession.lines import Lines, Turn

#: Seconds that anything may take on a machine that is busy.
LONG = 60.0


def never(waited: float) -> float:
    """Fail: there is nobody to wait for."""
    raise AssertionError


def occupied(lines: Lines, pool: ThreadPoolExecutor, key: str = "k") -> Callable[[], None]:
    """Have another thread at the head of the line; return what makes it go."""
    inside, go = threading.Event(), threading.Event()

    def stay() -> None:
        with lines.turn(key, never):
            inside.set()
            assert go.wait(LONG)

    done = pool.submit(stay)
    assert inside.wait(LONG)

    def leave() -> None:
        go.set()
        done.result(LONG)

    return leave


def test_one_after_the_other() -> None:
    """Of twenty threads one is in at a time, each comes in, and then nothing is left of the line."""
    lines, inside, most = Lines(), 0, 0

    def change(number: int) -> None:
        nonlocal inside, most
        with lines.turn("k", lambda _: LONG):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(change, range(200)))
    assert (most, len(lines)) == (1, 0)


def test_who_had_to_wait_is_told() -> None:
    """The turn says whether others were before: what was read earlier is out of date then."""
    lines = Lines()
    with ThreadPoolExecutor(1) as pool:
        leave = occupied(lines, pool)
        timer = threading.Timer(0.05, leave)
        timer.start()
        with lines.turn("k", lambda _: LONG) as turn:
            assert turn is Turn.WAITED
        timer.join(LONG)
        with lines.turn("k", never) as turn:
            assert turn is Turn.AT_ONCE
    assert len(lines) == 0


def test_nobody_waits_for_long() -> None:
    """Who has waited in vain goes on, beside the one who is in; the line goes on after them."""
    lines = Lines()
    with ThreadPoolExecutor(1) as pool:
        leave = occupied(lines, pool)
        with lines.turn("k", lambda _: 0.01) as turn:
            assert turn is Turn.IN_VAIN
        with lines.turn("k", lambda _: -1) as turn:
            assert turn is Turn.IN_VAIN
        leave()
        with lines.turn("k", never) as turn:
            assert turn is Turn.AT_ONCE
    assert len(lines) == 0


def test_who_waits_goes_on_waiting_while_the_line_moves() -> None:
    """Patience is for the one at the head: those who come after many quick ones wait longer than for one slow one."""
    lines = Lines()

    def quick(_: int) -> Turn:
        with lines.turn("k", lambda _: 0.5) as turn:
            time.sleep(0.05)
            return turn

    with ThreadPoolExecutor(30) as pool:
        turns = list(pool.map(quick, range(30)))  # the last one waits for a second and a half
    assert Turn.IN_VAIN not in turns


def test_what_the_collector_runs_in_a_turn_may_take_one() -> None:
    """A finalizer that saves a session, run by a collection anywhere in a turn, neither hangs nor is left behind."""
    lines, seen = Lines(), 0

    class Left:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            nonlocal seen
            seen += 1
            with lines.turn("k0", lambda _: 0.01), lines.turn("other", never):
                pass

    def work() -> None:
        for number in range(3000):
            gc.set_threshold(2 + number % 9)
            Left()
            with lines.turn(f"k{number % 3}", lambda _: 0.01):
                pass

    before = gc.get_threshold()
    gc.collect()
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        thread.join(LONG)
    finally:
        gc.set_threshold(*before)
    assert not thread.is_alive()
    gc.collect()
    assert (seen, len(lines)) == (3000, 0)


def test_sessions_do_not_wait_for_each_other() -> None:
    """Each key has a line of its own."""
    lines = Lines()
    with ThreadPoolExecutor(1) as pool:
        leave = occupied(lines, pool, "one")
        with lines.turn("other", never) as turn:
            assert turn is Turn.AT_ONCE
        leave()


def test_who_is_in_need_not_wait_for_themselves() -> None:
    """A change within a change, in one thread, goes on at once, and others wait until the outer one ends."""
    lines = Lines()
    with ThreadPoolExecutor(1) as pool, lines.turn("k", never):
        with lines.turn("k", never) as turn:
            assert turn is Turn.AT_ONCE

        def look() -> Turn:
            with lines.turn("k", lambda _: 0.01) as theirs:
                return theirs

        assert pool.submit(look).result(LONG) is Turn.IN_VAIN
    assert len(lines) == 0


def test_an_error_lets_the_next_one_go() -> None:
    """Whoever raises leaves the line, and so does one whose waiting is interrupted."""
    lines = Lines()
    with pytest.raises(LookupError), lines.turn("k", never):
        raise LookupError
    with ThreadPoolExecutor(1) as pool:
        leave = occupied(lines, pool)
        with pytest.raises(AssertionError), lines.turn("k", never):
            pass
        leave()
    assert len(lines) == 0


def goes_at_once_in_a_child(lines: Lines) -> bool:
    """Say whether a child that is forked while a thread is at the head of a line does not wait for that."""
    with ThreadPoolExecutor(1) as pool:
        leave = occupied(lines, pool)
        child = os.fork()
        if child == 0:
            with lines.turn("k", lambda _: 0.1) as turn:
                os._exit(turn is not Turn.AT_ONCE)
        status = os.waitpid(child, 0)[1]
        leave()
    return status == 0


def test_a_forked_child_waits_for_nobody() -> None:
    """What another thread of the parent was in the middle of is nothing to the child."""
    lines = Lines()
    assert goes_at_once_in_a_child(lines)


def test_one_that_fails_keeps_no_other_from_starting_afresh() -> None:
    """Where one thing cannot be renewed in a forked child, the others are all the same."""

    class Broken:
        def renew(self) -> None:
            raise LookupError

    broken = [Broken() for _ in range(20)]
    lines = Lines()
    for each in broken:
        renew_after_fork(each)
    assert goes_at_once_in_a_child(lines)
