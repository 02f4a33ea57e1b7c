"""One client's request to one process: looks at the session, does its steps, commits, and keeps the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sharedsession.dialogue import NOTHING, Requested, Shown, Tell, Update
from sharedsession.errors import SessionLockedError, StoreUnavailableError
from sharedsession.life import Life
from sharedsession.session import Session

from .journal import NEVER, Append, Deed, End, Journal, Lineage, Move, Sweep, View, Write
from .process import Process
from .world import World

#: One thing that a handler does.
Step = Callable[["Request"], None]

#: The attribute that only transactions write, and that which is only written under the lock: lists of tokens.
LEDGER, COUNTER = "t", "k"


class Killed(BaseException):
    """The request's process died (SIGKILL)."""


class Client:
    """A browser: holds one cookie, shared by all its tabs.

    Args:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cookie: str | None = None
        #: Ids it once held, oldest first.
        self.past: list[str] = []

    def receive(self, update: Update) -> None:
        """Take what a response says about the cookie."""
        if update.tell is Tell.ID:
            self.cookie = update.id
            self.past.append(update.id)
        elif update.tell is Tell.EXPIRED:
            self.cookie = None


class Request:
    """One request.

    Args:
        name: unique in the history.
        client: whose it is.
        process: which process serves it.
        journal: where its deeds are noted.
        shown: the ids that the client shows, best first.
        exclusive: it has the session for itself (`locking="writes"`).
    """

    def __init__(
        self,
        name: str,
        client: Client,
        process: Process,
        journal: Journal,
        shown: Sequence[str],
        *,
        exclusive: bool = False,
    ) -> None:
        self.name = name
        self.client = client
        self.process = process
        self.journal = journal
        self.shown = shown
        self.world: World = process.network.world
        self.exclusive = exclusive
        self.life = Life(process.manager, Shown([Requested(text, "cookie") for text in shown], exclusive=exclusive))
        self.session = Session(self.life)
        self.lineage: Lineage | None = None
        self._began = self._seen = self.world.now
        self._writes: dict[str, Write] = {}
        self._deeds: list[Deed] = []
        self._sweep: Sweep | None = None
        self._ends: list[tuple[Lineage, End]] = []
        self._count = 0

    def run(self, steps: Sequence[Step]) -> Update:
        """Do the steps and commit; return what the client is told (nothing of the session if the store is away)."""
        self.journal.requests += 1
        self.process.busy.add(self.name)
        try:
            self._look()
            for step in steps:
                step(self)
            return self._finish()
        except Killed:
            self.world.trace("dies")
            return NOTHING
        except StoreUnavailableError as error:
            if isinstance(error, SessionLockedError):
                self.journal.refused += 1
            else:
                self.journal.failed += 1
            self.world.trace(f"503 {error}")
            return NOTHING
        finally:
            self.life.close()
            self.process.busy.discard(self.name)

    def _look(self) -> None:
        self._began = self.world.now
        data = dict(self.session)
        self._seen = self.world.now
        adopted = self._current_id()
        self.world.trace("sees", adopted and adopted[:4], data)
        # A session that moved while the request waited for its lock is seen under its new id.
        self.lineage = self.journal.by_id.get(adopted) if adopted else None
        for text in self.shown:
            lineage = self.journal.by_id.get(text)
            if lineage is not None and text != adopted:
                self._note_view(lineage, text, None)
            if lineage is not None and lineage is self.lineage:
                break
        if adopted is not None and self.lineage is not None:
            self._note_view(self.lineage, adopted, data)
        elif adopted is not None:
            self.journal.violations.append(f"promise 1: {self.name} was given a session under an id nobody made")

    def _note_view(self, lineage: Lineage, text: str, data: dict[str, Any] | None) -> None:
        lists = (LEDGER, COUNTER)
        seen = None if data is None else {name: as_text(value) for name, value in data.items() if name not in lists}
        view = View(self.name, text, self._began, self._seen, seen)
        if data is not None:
            view.lists = {name: list(data.get(name, [])) for name in lists}
        lineage.views.append(view)

    # -- steps -----------------------------------------------------------------------------------------------------

    def fresh_value(self) -> str:
        """Return a value that nobody else writes."""
        self._count += 1
        return f"{self.name}.{self._count}"

    def set(self, name: str) -> None:
        """Assign an attribute."""
        value = self.fresh_value()
        self.session[name] = value
        self._note_write(name, value)

    def grow(self, name: str) -> None:
        """Append to a list in place."""
        if not isinstance(self.session.get(name), list):
            self.session[name] = []
        self.session[name].append(self.fresh_value())
        self._note_write(name, as_text(self.session[name]))

    def delete(self, name: str) -> None:
        """Delete an attribute, if it is there."""
        if name in self.session:
            del self.session[name]
            self._note_write(name, None)

    def _note_write(self, name: str, value: str | None) -> None:
        self.world.trace("sets", name, value)
        self._writes[name] = Write(self.name, self._began, self._seen, name=name, value=value, above=self._sweep)

    def clear(self) -> None:
        """Sweep everything away."""
        self.world.trace("clears")
        self.session.clear()
        self._writes.clear()
        self._deeds = [deed for deed in self._deeds if isinstance(deed, Move)]
        self._sweep = Sweep(self.name, self._began, self._seen)

    def invalidate(self) -> None:
        """Log out."""
        self.world.trace("invalidates")
        self.session.invalidate()
        self._writes.clear()
        self._deeds.clear()
        self._sweep = None
        if self.lineage is not None:
            self._ends.append((self.lineage, End(self.name, self._began, self._seen)))
        self.lineage = None

    def change_id(self) -> None:
        """Ask for a new id."""
        old = self._current_id()
        self.session.change_id()
        new = self.session.id
        self.world.trace("changes id", old and old[:4], new and new[:4])
        if self.lineage is None or not old or not new:
            return
        for earlier in self._deeds:
            if isinstance(earlier, Move):
                earlier.new = new
                return
        self._deeds.append(Move(self.name, self._began, self._seen, old=old, new=new))

    def _current_id(self) -> str | None:
        """Return the id under which the session lies; a transaction may have followed it to a new one."""
        loaded = self.life.loaded
        return (self.journal.by_key.get(loaded.key) if loaded else None) or self.session.id

    def commit(self) -> None:
        """Save in the middle of the request."""
        self._attempt()
        self.session.commit()
        self._acknowledge(self.life._owed is Tell.ID)

    def append(self, *, in_place: bool = False) -> None:
        """Append a token in a transaction."""
        before, deed = self._begin(LEDGER)

        def add(session: Any) -> None:
            deed.seen = self.world.now
            self.world.trace("runs fn", deed.token)
            if in_place and LEDGER in session:
                session[LEDGER].append(deed.token)
            else:
                session[LEDGER] = [*session.get(LEDGER, []), deed.token]

        self.session.transaction(add)
        self._end(before, deed)

    def count(self, think: float = 0.0, *, stopped: bool = False, dies: bool = False) -> None:
        """Append a token under the lock, by plain reading and writing.

        Args:
            think: seconds between both.
            stopped: the process gets no time meanwhile.
            dies: it does not get further.
        """
        before, deed = self._begin(COUNTER)
        with self.session.lock():
            deed.seen = self.world.now
            known = list(self.session.get(COUNTER, []))
            self.think(think, stopped=stopped)
            if dies:
                self._die()
            self.session[COUNTER] = [*known, deed.token]
            self.world.trace("counts", deed.token, "after", known)
        self._end(before, deed)

    def count_plainly(self, think: float = 0.0) -> None:
        """Append a token without asking for the lock: the request has it, or asks for it here."""
        if not self.exclusive or self.life.hold is None:
            self.count(think)
            return
        deed = Append(self.name, self._began, self._seen, token=self.fresh_value(), name=COUNTER)
        known = list(self.session.get(COUNTER, []))
        self.world.sleep(think)
        self.session[COUNTER] = [*known, deed.token]
        self.world.trace("counts plainly", deed.token, "after", known)
        self._deeds.append(deed)

    def _begin(self, name: str) -> tuple[Lineage | None, Append]:
        self._attempt()
        deed = Append(self.name, self._began, self._seen, token=self.fresh_value(), name=name)
        self._try(deed)
        return self.lineage, deed

    def _end(self, before: Lineage | None, deed: Append) -> None:
        if self.life._owed is Tell.ID or self.session.is_new:
            self._place(self._current_id())
        if self.lineage is not before:
            deed = Append(self.name, self._began, deed.seen, token=deed.token, name=deed.name)
        self._deeds.append(deed)
        self._acknowledge(self.life._owed is Tell.ID)

    def think(self, seconds: float, *, stopped: bool = False) -> None:
        """Be slow; or let the process get no time, so that it shows no sign of life either."""
        keeper = self.process.network.keeper
        if stopped:
            self.world.trace("STOPPED")
            keeper.stopped.add(self.world.task)
        self.world.sleep(seconds)
        keeper.stopped.discard(self.world.task)

    def _die(self) -> None:
        """Run no further; what clean-up there is must find nothing to do."""
        if self.life.hold is not None:
            self.life.hold.forget()
        raise Killed

    # -- the journal of a commit -----------------------------------------------------------------------------------

    def _finish(self) -> Update:
        self._attempt()
        update = self.life.finish()
        self.world.trace("answers", update.tell.value, update.id[:4])
        self._acknowledge(update.tell is Tell.ID)
        return update

    def _attempt(self) -> None:
        """Note what a commit is about to try."""
        for lineage, end in self._ends:
            if end.tried == NEVER:
                end.tried = self.world.now
                lineage.add(end)
        moving = any(isinstance(deed, Move) for deed in self._deeds)
        for deed in self._waiting():
            if isinstance(deed, Write | Append):
                deed.moving = moving
            self._try(deed)

    def _waiting(self) -> list[Deed]:
        sweep = [self._sweep] if self._sweep is not None and self._sweep.acked == NEVER else []
        return [*sweep, *self._deeds, *self._writes.values()]

    def _try(self, deed: Deed) -> None:
        if deed.tried != NEVER or self.lineage is None:
            return
        deed.tried = self.world.now
        self.lineage.add(deed)
        if isinstance(deed, Move):
            self.journal.named(self.lineage, deed.new)

    def _acknowledge(self, told_id: bool) -> None:
        """Note that a commit has come back without an error."""
        now = self.world.now
        for _, end in self._ends:
            end.acked = now
        self._ends.clear()
        if told_id:
            self._place(self._current_id())
        if self.lineage is None and self.session.is_new:
            return  # nothing is stored of it yet
        for deed in self._waiting():
            self._try(deed)
            if not isinstance(deed, Move) or told_id:
                deed.acked = now
        self._seen = now
        self._writes.clear()
        self._deeds.clear()
        self._sweep = None

    def _place(self, session_id: str | None) -> None:
        """Find the session that the request now works on; it may be a new one."""
        self.lineage = None
        if session_id is not None and not self.session.is_new:
            known = self.journal.by_id.get(session_id)
            self.lineage = known or self.journal.born(self.client.name, session_id, self._began)


def as_text(value: object) -> str:
    """Return a value as the journal keeps it."""
    return value if isinstance(value, str) else repr(value)
