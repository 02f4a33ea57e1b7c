"""A session is put on its principal's list before what says whose it is, and seen to be there after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from .errors import StoreError
from .memcached.outcomes import Loaded
from .principals import LISTED, PRINCIPAL, Named, named
from .record import Changes
from .state import State


def listing(state: State, changes: Changes, key: str) -> AbstractContextManager[Changes]:
    """Put the session on its principal's list, if that is to be, while the block stores the changes under `key`.

    Gives the changes; without the note that it was listed anew where that could not be done now. At the block's end
    those sessions end that have to go for this one; if it raises, a new one is taken off the list.

    Raises:
        TooManySessionsError: the principal has as many as it may have.
        StoreUnavailableError, SessionTooLargeError: the list could not be changed.
    """
    loaded = state.loaded
    moves = loaded is not None and key != loaded.key
    who = state.named if moves or LISTED in changes.values else None
    return nullcontext(changes) if who is None else _listing(state, changes, key, who, moves=moves)


@contextmanager
def _listing(state: State, changes: Changes, key: str, who: Named, *, moves: bool) -> Iterator[Changes]:
    loaded = state.loaded
    make_room = _entered(state, who, key, changes, needed=moves or _tells(changes))
    if make_room is None:
        yield changes._replace(values={name: changes.values[name] for name in changes.values if name != LISTED})
        return
    try:
        yield changes
    except Exception:
        if loaded is None or moves:
            state.manager.principals.leave(who, key)
        raise
    make_room()


def see_listed(state: State, stored: Loaded, changes: Changes) -> None:
    """See that the session is listed as it is now: another request may have named it, or changed its life or id.

    Args:
        state: the session before the changes.
        stored: the session after them.
        changes: what this request changed. Who changed nothing of all that leaves it to who did.

    Raises:
        StoreUnavailableError, SessionTooLargeError: the list could not be changed.
    """
    if PRINCIPAL not in stored.record.entries:
        return
    who, before = named(stored.record), state.loaded
    moved = before is not None and state.session_id is not None and before.key != stored.key == state.session_id.key
    if who is None or not (moved or _tells(changes)):
        return
    wanted = _entry(who, stored)
    then = named(before.record) if before else None
    if wanted != state.listed and not (then and before and wanted == _entry(then, before)):
        state.manager.principals.enter(who, *wanted[1:], joins=False, seen=stored.record.cleared)


def _entered(state: State, who: Named, key: str, changes: Changes, *, needed: bool) -> Callable[[], None] | None:
    """Put the session on the list; None: that failed, and was not needed."""
    loaded = state.loaded
    interval = loaded.record.max_inactive_interval if loaded else state.manager.default_interval
    interval = interval if changes.interval is None else changes.interval
    seen, joins = loaded.record.cleared if loaded else 0, PRINCIPAL in state.attributes.own
    try:
        make_room = state.manager.principals.enter(who, key, interval, joins=joins, seen=seen)
    except StoreError:
        if needed:
            raise
        return None
    state.listed = (who.name, key, interval)
    return make_room


def _tells(changes: Changes) -> bool:
    """Say whether they change what the list says."""
    return PRINCIPAL in changes.values or changes.interval is not None


def _entry(who: Named, session: Loaded) -> tuple[str, str, int]:
    return who.name, session.key, session.record.max_inactive_interval
