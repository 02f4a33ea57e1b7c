"""The failures that the design names, written out as histories; first those that simpler protocols have."""

from __future__ import annotations

from sharedsession.lock import LEASE
from sharedsession.memcached.commands import Get

from .request import Request, Step
from .script import Script, pause, put, stop

#: Longer than `store.STALE_AFTER`.
STALE = 65.0


def plain_write_overtakes_a_transaction(script: Script) -> None:
    """A transaction is decided; before its second copy is written, somebody writes something newer there."""
    _, second = script.log_in()
    script.rule("append", second, there=0.1)
    script.start("append", "p1", Request.append)
    script.sleep(0.02)
    script.do("write", "p2", put("y"), put("z"))


def orphan_copy_returns_after_log_out(script: Script) -> None:
    """A node hangs with its copy while the session ends, and comes back later."""
    _, second = script.log_in()
    node = script.network.nodes[second]
    node.stop()
    script.do("look", "p1")
    script.sleep(1)  # by now it is marked down, and is told nothing that it would do when it wakes up
    script.do("logout", "p1", Request.invalidate)
    script.sleep(5)
    node.resume()


def slow_request_commits_after_log_out(script: Script) -> None:
    """A request loads, the session ends, the request writes much later."""
    script.log_in()
    script.start("slow", "p1", pause(10), put("y"))
    script.sleep(0.1)
    script.do("logout", "p2", Request.invalidate)
    script.finish()


def very_slow_request_commits_after_log_out(script: Script) -> None:
    """The same, slower than tokens are trusted."""
    script.log_in()
    script.start("slow", "p1", pause(STALE), put("y"))
    script.sleep(0.1)
    script.do("logout", "p2", Request.invalidate)
    script.finish()


def write_lands_while_the_id_changes(script: Script) -> None:
    """The mover has read the record; a write is acknowledged under the old id; the mover goes on."""
    script.log_in()
    script.start("move", "p1", pause(0.1), Request.change_id)
    script.sleep(0.05)
    script.do("write", "p2", put("y"))
    script.finish()


def write_follows_a_changed_id(script: Script) -> None:
    """A request that loaded under the old id commits after the move."""
    script.log_in()
    script.start("write", "p1", pause(0.1), put("y"))
    script.sleep(0.05)
    script.do("move", "p2", Request.change_id)
    script.finish()


def only_copy_dies_after_the_answer(script: Script) -> None:
    """The first copy takes a change and dies as soon as the client knows."""
    first, _ = script.log_in()
    script.do("write", "p1", put("y"))
    script.kill(first)


def write_between_two_loads(script: Script) -> None:
    """A slow request loads again before it commits; what others wrote in between must be in what it writes."""
    script.log_in()
    script.start("slow", "p1", pause(STALE), put("y"))
    script.sleep(1)
    script.do("write", "p2", put("x"))
    script.finish()


def write_seen_on_one_copy_only(script: Script) -> None:
    """A request loads while a write has reached one copy; it repairs the other, then writes itself."""
    first, _ = script.log_in()
    script.rule("write", first, there=0.1)
    script.start("write", "p2", put("y"))
    script.sleep(0.05)
    script.do("repair", "p1", put("z"))


def restarted_node_numbers_from_one(script: Script) -> None:
    """A token read before a restart matches another value's number after it."""
    first, _ = script.log_in()
    script.do("write", "p1", put("y"))
    script.start("slow", "p1", pause(1.0), Request.append)
    script.sleep(0.1)
    script.kill(first)
    script.do("look", "p1")
    script.do("rival", "p2", Request.append)
    script.finish()


def stale_node_returns(script: Script) -> None:
    """A node hangs while its copy grows old; when it is back nobody believes it, nor writes on its ground."""
    first, _ = script.log_in()
    node = script.network.nodes[first]
    node.stop()
    script.do("write", "p1", put("x"))
    node.resume()
    script.do("repair", "p2", put("y"))


# -- and those that this simulation has found ------------------------------------------------------------------------


def loser_goes_on_after_log_out(script: Script) -> None:
    """A commit meets a tombstone; the same request writes once more."""
    script.log_in()
    script.start("slow", "p1", pause(0.1), put("y"), Request.commit, pause(0.1), put("z"))
    script.sleep(0.05)
    script.do("logout", "p2", Request.invalidate)
    script.finish()


def loser_of_two_moves_goes_on(script: Script) -> None:
    """Two requests change the id at once; the one that lost runs a transaction."""
    script.log_in()
    script.start("loser", "p1", pause(0.1), Request.change_id, Request.commit, Request.append)
    script.sleep(0.05)
    script.do("winner", "p2", Request.change_id)
    script.finish()


def clear_after_others_wrote(script: Script) -> None:
    """A request loads, others write, one more loads, the first clears, and then the last one writes."""
    script.log_in()
    script.start("clear", "p1", pause(0.2), Request.clear)
    script.sleep(0.05)
    script.do("early", "p2", put("x"))
    script.start("late", "p2", pause(0.5), put("y"))
    script.finish()


def write_follows_two_moves(script: Script) -> None:
    """A slow request's session moves twice before it writes."""
    script.log_in()
    script.start("slow", "p1", pause(1.0), put("y"))
    script.start("slower", "p1", pause(2.0), Request.append)
    script.sleep(0.1)
    script.do("move1", "p2", Request.change_id)
    script.do("move2", "p2", Request.change_id)
    script.finish()


def log_out_follows_two_moves(script: Script) -> None:
    """A log-out under the first of three ids ends the session."""
    script.log_in()
    script.start("logout", "p1", pause(1.0), Request.invalidate)
    script.sleep(0.1)
    script.do("move1", "p2", Request.change_id)
    script.do("move2", "p2", Request.change_id)
    script.finish()


def deciding_write_is_executed_late(script: Script) -> None:
    """The decider hangs with a transaction's write; it executes it while the function runs again elsewhere."""
    first, second = script.log_in()
    node = script.network.nodes[first]
    script.rule("append", second, there=0.3)
    script.start("append", "p1", pause(0.1), Request.append)
    script.sleep(0.05)
    node.stop()
    script.sleep(0.7)
    script.start("write", "p2", put("y"))
    node.resume()
    script.do("look", "p2")
    script.finish()


def decider_forgets_what_it_took(script: Script) -> None:
    """The decider's copy is evicted after it took a transaction and before the second copy has it."""
    first, second = script.log_in()
    script.rule("append", second, there=0.3)
    script.start("append", "p1", Request.append)
    script.sleep(0.05)
    script.network.nodes[first].items.clear()
    script.start("rival", "p2", Request.append)
    script.finish()


def session_moves_while_a_transaction_spreads(script: Script) -> None:
    """The mover takes a decided transaction along before it has reached the second copy."""
    _, second = script.log_in()
    script.rule("append", second, there=0.3)
    script.start("append", "p1", Request.append)
    script.sleep(0.05)
    script.do("move", "p2", Request.change_id)
    script.finish()


def decider_is_unread_and_not_away(script: Script) -> None:
    """A repair of the decider's copy is refused because a write was quicker; that is no reason to take over."""
    first, second = script.log_in()
    script.rule("write", first, there=0.2)
    script.start("write", "p1", put("y"), Request.commit, Request.append)
    script.sleep(0.1)
    script.rule("rival", first, there=0.2)
    script.rule("rival", second, back=None)
    script.rule("write", second, there=0.2)
    script.rule("write", second, kind=Get, back=None)
    script.start("rival", "p1", Request.append)
    script.finish()


def two_moves_and_the_first_copy_dies(script: Script) -> None:
    """A mover has marked the first copy, which dies; another mover marks the rest; only one of them may have won.

    The first one has read the same value twice, from copies of which it had changed one in between.
    """
    first, second = script.log_in()
    script.start("one", "p1", pause(0.1), Request.change_id)
    script.start("two", "p2", pause(0.3), Request.change_id)
    script.sleep(0.05)
    script.rule("write", second, there=0.1)
    script.start("write", "p2", put("y"))
    script.rule("one", second, there=0.1)
    script.rule("one", second, there=0.4)
    script.sleep(0.2)
    script.network.kill(first)
    script.finish()
    script.network.nodes[first].start()


def reader_begins_an_epoch_too_late(script: Script) -> None:
    """A reader finds the decider emptied; before its repair arrives, others have repaired it and gone on."""
    first, second = script.log_in()
    script.network.nodes[first].items.clear()
    script.rule("read", first, there=0.2)
    script.rule("read", second, there=0.2)
    script.start("read", "p2")
    script.sleep(0.015)
    script.do("append", "p1", put("x"), Request.append, Request.append)
    script.finish()


def epoch_begins_where_nothing_is(script: Script) -> None:
    """A reader gives a returned node its copy anew; one that holds it for down still, writes to the others."""
    first, second = script.log_in()
    script.network.kill(first)
    script.do("look", "p1")
    script.network.nodes[first].start()
    script.rule("read", second, there=0.2)
    script.start("read", "p2")
    script.sleep(0.015)
    script.do("write", "p1", put("x"), Request.append)
    script.finish()


def write_begins_an_epoch_at_an_emptied_node(script: Script) -> None:
    """The decider is back, empty; a request writes to it and to a copy on which it has missed somebody's write."""
    first, second = script.log_in()
    script.network.kill(first)
    script.do("look", "p1")
    script.start("slow", "p1", pause(1.0), put("y"))
    script.sleep(0.05)
    script.network.nodes[first].start()
    script.processes["p2"].health.down.add(first)
    script.sleep(0.8)
    script.do("write", "p2", put("x"))
    script.rule("slow", second, there=0.1)
    script.sleep(0.18)
    script.do("read", "p1")
    script.finish()
    script.processes["p2"].health.down.clear()


def clear_is_refused_once(script: Script) -> None:
    """One copy takes a clear, the other refuses it; who has seen the clear writes before it is tried again."""
    _clear_in_two_steps(script, put("y"))


def clear_is_cleared_before_it_is_done(script: Script) -> None:
    """The same, and who has seen it clears as well: what the first one set must not come back."""
    _clear_in_two_steps(script, Request.clear)


def _clear_in_two_steps(script: Script, *steps: Step) -> None:
    first, second = script.log_in()
    script.start("clear", "p1", pause(0.1), Request.clear, put("z"))
    script.start("early", "p2", pause(0.12), put("x"))
    script.rule("clear", second, there=0.2)
    script.rule("early", first, there=0.3)
    script.sleep(0.15)
    script.do("late", "p2", *steps)
    script.finish()


def decider_is_not_among_the_first(script: Script) -> None:
    """Two nodes have joined before the copies that the session had; one process has not heard of the second yet.

    It writes where the other one's transaction does not look first.
    """
    script.log_in()
    nearer, nearest = script.join_before(), script.join_before()
    script.tell("p1", nearer)
    script.do("move over", "p1")
    script.tell("p2", nearer)
    script.do("move over too", "p2")
    script.tell("p1", nearest)
    script.do("move on", "p1")
    script.rule("append", nearest, there=0.1)
    script.start("append", "p1", Request.append)
    script.sleep(0.02)
    script.do("write", "p2", put("y"), Request.append)
    script.finish()
    script.tell("p2", nearest)


# -- with the lock ---------------------------------------------------------------------------------------------------


def stopped_holder_commits_late(script: Script) -> None:
    """A process that has the lock gets no time for longer than the lease; another request takes it over and counts."""
    _lose_the_lock(script)


def stopped_holder_moves_late(script: Script) -> None:
    """The same, and what it does then is to change the session's id."""
    _lose_the_lock(script, Request.change_id)


def stopped_holder_clears_late(script: Script) -> None:
    """The same, with a `clear()`."""
    _lose_the_lock(script, Request.clear, put("x"))


def _lose_the_lock(script: Script, *steps: Step) -> None:
    script.log_in()
    script.start("holder", "p1", Request.count_plainly, stop(LEASE + 2), *steps, exclusive=True)
    script.sleep(0.1)
    script.do("rival", "p2", Request.count)
    script.finish()


def clear_with_a_lock_that_was_swept_away(script: Script) -> None:
    """A request has the lock; another clears without it, and counts; then the first one clears, and writes."""
    script.log_in()
    script.start("holder", "p1", pause(0.2), Request.clear, put("x"), exclusive=True)
    script.sleep(0.1)
    script.do("sweeper", "p2", Request.clear, Request.commit, Request.count)
    script.finish()


def session_moves_while_it_is_locked(script: Script) -> None:
    """A request has the lock; another, without it, changes the id; a third waits under the old one."""
    script.log_in()
    script.start("holder", "p1", Request.count_plainly, pause(0.3), exclusive=True)
    script.sleep(0.05)
    script.start("waits", "p2", Request.count)
    script.sleep(0.05)
    script.do("move", "p2", Request.change_id)
    script.finish()


def decider_dies_with_the_lock(script: Script) -> None:
    """The node that decided who has the lock is killed while it is held, and others wait."""
    first, _ = script.log_in()
    script.start("holder", "p1", Request.count_plainly, pause(0.5), exclusive=True)
    script.sleep(0.1)
    script.start("waits", "p2", Request.count)
    script.kill(first)
    script.start("more", "p1", Request.count)
    script.finish()


def answer_to_a_locked_commit_is_lost(script: Script) -> None:
    """The commit that gives the lock up is decided, but its answer is lost; others count before it asks again."""
    first, _ = script.log_in()
    script.start("holder", "p1", pause(0.1), Request.count_plainly, exclusive=True)
    script.start("waits", "p2", pause(0.05), Request.count)
    script.sleep(0.08)
    script.rule("holder", first, back=None)
    script.finish()
