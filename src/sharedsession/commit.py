"""The commit: one visible table of what a request may have made of its session, and what then happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from .dialogue import NOTHING, Tell, Update
from .errors import HeadersSentError, StoreError, StoreUnavailableError
from .lines import Turn
from .listing import listing, see_listed
from .memcached.move import move
from .memcached.outcomes import Absence, Absent, Loaded
from .principals import LISTED
from .record import Changes
from .state import State


class Situation(Enum):
    """What a request has made of its session, as seen at commit."""

    UNTOUCHED = "untouched"
    GONE = "ended by another request"
    EMPTY = "new and empty"
    LATE = "new under an id that was moved a moment ago"
    CROSS_SITE = "new in a request from another site that shows no cookie"
    REFUSED = "new and refused by may_create"
    NEW = "new"
    READ = "only read"
    CHANGED = "changed"
    REISSUED = "to be re-issued"
    MOVED = "given a new id"
    ENDED = "ended"
    REPLACED = "ended, then used again"

    def __hash__(self) -> int:
        # By identity, as they are compared; Enum's own hashes the name.
        return id(self)


def situation_of(state: State, changes: Changes) -> Situation:
    """Say which row of the table applies."""
    if state.opened is None or not state.available:
        return Situation.UNTOUCHED
    if state.gone:
        return Situation.GONE
    if state.loaded is not None:
        return _situation_of_known(state, changes)
    used = state.used(state.opened)
    if state.ending:
        return Situation.REPLACED if used and state.client.may_create() else Situation.ENDED
    return _situation_of_new(state) if used else Situation.EMPTY


def _situation_of_new(state: State) -> Situation:
    # A log-in means to replace the cookie that the browser has.
    if not state.moving and state.late:
        return Situation.LATE
    if not state.moving and state.client.from_elsewhere():
        return Situation.CROSS_SITE
    return Situation.NEW if state.client.may_create() else Situation.REFUSED


def _situation_of_known(state: State, changes: Changes) -> Situation:
    if state.moving:
        return Situation.MOVED
    if state.reissued():
        return Situation.REISSUED
    return Situation.READ if changes.empty else Situation.CHANGED


def _nothing(state: State, changes: Changes) -> bool:
    """Store nothing: there is nothing new, or the load has prolonged it."""
    return True


def _create(state: State, changes: Changes) -> bool:
    """Store a new session under a new id."""
    state.session_id = state.session_id or state.manager.ids.new()
    key = state.session_id.key
    with listing(state, changes, key):
        created = state.manager.store.create(key, changes, state.manager.default_interval)
    if created.record.state:
        # All sessions of its principal were ended just now.
        return _adopt(state, state.manager.store.absent(created.record), changes)
    state.loaded = created
    _settled(state, created, changes)
    state.manager.note_creation()
    return True


def _merge(state: State, changes: Changes) -> bool:
    """Merge the changes into every copy."""
    if changes.empty:
        return True
    loaded = _known(state)
    only_listed = LISTED in changes.values and changes == Changes({LISTED: changes.values[LISTED]})
    try:
        with listing(state, changes, loaded.key) as its:
            if its.empty:
                return True
            outcome = _store(state, loaded, its)
    except StoreError:
        if only_listed:
            return True  # the application has only read; the next request will see to it
        raise
    return _adopt(state, outcome, its)


def _store(state: State, loaded: Loaded, changes: Changes) -> Loaded | Absent:
    if state.hold is not None:
        return state.hold.commit(loaded, changes)
    with state.manager.turn(loaded.key) as turn:
        return state.manager.store.commit(loaded, changes, stale=turn is not Turn.AT_ONCE)


def _reissue(state: State, changes: Changes) -> bool:
    """Give the same record's id a present-day text (the load has repaired the record itself)."""
    stands = _merge(state, changes)
    if state.session_id is not None:
        state.session_id = state.manager.ids.reissue(state.session_id.token)
    state.manager.stats.count("reissued")
    return stands


def _move(state: State, changes: Changes) -> bool:
    """Carry the session to its new key and leave the mark "moved" under the old one."""
    new_id = state.session_id = state.session_id or state.manager.ids.new()
    with listing(state, changes, new_id.key):
        state.moving = False
        state.changed_id = True
        if state.hold is not None:
            moved = state.hold.move(_known(state), new_id.key, changes)
        else:
            moved = move(state.manager.store, _known(state), new_id.key, changes)
    if isinstance(moved, Loaded):
        state.manager.stats.count("id_changes")
    return _adopt(state, moved, changes)


def _end(state: State, changes: Changes) -> bool:
    """Put tombstones on every copy of what was invalidated."""
    while state.ending:
        state.manager.store.end(state.ending[0])
        state.ending = state.ending[1:]
        state.manager.stats.count("ended")
    if state.loaded is None:
        _unlock(state)
    return True


def _replace(state: State, changes: Changes) -> bool:
    """End the old session, then store the new one."""
    return _end(state, changes) and _create(state, changes)


def _withhold(state: State, changes: Changes) -> bool:
    """Create nothing: its cookie would overwrite the one that another response is bringing."""
    state.manager.stats.count("withheld")
    return False


def _withhold_from_elsewhere(state: State, changes: Changes) -> bool:
    """Create nothing: the browser may have a good cookie, which SameSite has kept back, and this one would replace it.

    RFC 6265bis 5.2 and 5.6.7.1: a cookie with SameSite=Lax does not come with another site's POST.
    """
    state.manager.stats.warn(
        "withheld_cross_site",
        "a POST from another site made a new session, which was not stored: its cookie would replace one that the "
        "browser keeps back (SameSite); call change_id() where that is meant",
        level=logging.INFO,
    )
    return False


def _known(state: State) -> Loaded:
    if state.loaded is None:
        raise StoreUnavailableError("the session was not loaded")
    return state.loaded


def _adopt(state: State, outcome: Loaded | Absent, changes: Changes) -> bool:
    if isinstance(outcome, Absent):
        # It ended or moved meanwhile; the response that did so tells the client.
        state.manager.stats.count(f"late_{outcome.why.value}")
        found = state.manager.store.find(outcome.moved_to) if outcome.why is Absence.MOVED else outcome
        if isinstance(found, Loaded):
            see_listed(state, found, changes)
        state.go_on(found if isinstance(found, Loaded) else None)
        state.gone = state.loaded is None
        if state.loaded is not None:
            _settled(state, state.loaded, changes)
        else:
            _unlock(state)
        return False
    see_listed(state, outcome, changes)
    state.go_on(outcome)
    _settled(state, outcome, changes)
    return True


def _settled(state: State, loaded: Loaded, changes: Changes) -> None:
    state.moving = state.ensured = False
    if state.releasing:
        _unlock(state)
    state.attributes.rebase(loaded.record.entries, changes)


def _unlock(state: State) -> None:
    """Note that the lock has been given up in the store, with what was saved or with the session."""
    if state.hold is not None:
        state.hold.forget()
        state.hold = None


def tell(state: State, told: Tell) -> Update:
    """Return what the client must be told of its id."""
    # An id that came by URL or form is never promoted to a cookie, except by change_id.
    by_cookie = state.came_by in ("cookie", None) or state.changed_id
    return Update(told, state.session_id.text if state.session_id else "", None, by_cookie)


def commit(state: State) -> Update:
    """Do what the table says; return what the client must be told.

    Raises:
        StoreUnavailableError, SessionTooLargeError: the session was not saved.
        HeadersSentError: it needs a cookie, but the headers have left.
        TypeError: an attribute holds something that cannot be stored.
    """
    if state.manager.end_when_emptied and state.opened is not None and state.emptied():
        state.invalidate()
    # Encoded once: for a large session that is what a commit costs.
    changes = state.changes() if state.opened is not None and state.available else Changes()
    situation = situation_of(state, changes)
    step, told = COMMIT_TABLE[situation]
    if state.headers_sent and told in (Tell.ID, Tell.EXPIRED):
        raise HeadersSentError(
            f"the session is {situation.value}, which needs a cookie, but the response headers have left; "
            "do that before the first byte of the body"
        )
    stands = state.guarded(lambda: step(state, changes))
    return tell(state, told) if stands else NOTHING


#: The whole policy of a commit: situation -> (what the store does, what the client is told).
COMMIT_TABLE: dict[Situation, tuple[Callable[[State, Changes], bool], Tell]] = {
    Situation.UNTOUCHED: (_nothing, Tell.NOTHING),
    Situation.GONE: (_nothing, Tell.NOTHING),
    Situation.EMPTY: (_nothing, Tell.NOTHING),
    Situation.LATE: (_withhold, Tell.NOTHING),
    Situation.CROSS_SITE: (_withhold_from_elsewhere, Tell.NOTHING),
    Situation.REFUSED: (_nothing, Tell.NOTHING),
    Situation.NEW: (_create, Tell.ID),
    Situation.READ: (_nothing, Tell.AGE),
    Situation.CHANGED: (_merge, Tell.AGE),
    Situation.REISSUED: (_reissue, Tell.ID),
    Situation.MOVED: (_move, Tell.ID),
    Situation.ENDED: (_end, Tell.EXPIRED),
    Situation.REPLACED: (_replace, Tell.ID),
}
