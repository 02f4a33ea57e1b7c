"""One client's request to one process: looks at the session, does its steps, commits, and keeps the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sharedsession.dialogue import NOTHING, Requested, Tell, Update
from sharedsession.errors import StoreUnavailableError
from sharedsession.life import Life
from sharedsession.session import Session

from .journal import NEVER, Append, Deed, End, Journal, Lineage, Move, Sweep, View, Write
from .process import Process
from .world import World

#: One thing that a handler does.
Step = Callable[["Request"], None]

#: The attribute that only transactions write: a list of tokens.
LEDGER = "t"


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
    """

    def __init__(self, name: str, client: Client, process: Process, journal: Journal, shown: Sequence[str]) -> None:
        self.name = name
        self.client = client
        self.process = process
        self.journal = journal
        self.shown = shown
        self.world: World = process.network.world
        self.life = Life(process.manager, lambda: [Requested(text, "cookie") for text in shown], lambda: True)
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
        except StoreUnavailableError as error:
            self.journal.failed += 1
            self.world.trace(f"503 {error}")
            return NOTHING
        finally:
            self.process.busy.discard(self.name)

    def _look(self) -> None:
        self._began = self.world.now
        data = dict(self.session)
        self._seen = self.world.now
        adopted = self.session.id
        self.world.trace("sees", adopted and adopted[:4], data)
        for text in self.shown:
            lineage = self.journal.by_id.get(text)
            if lineage is not None:
                self._note_view(lineage, text, data if text == adopted else None)
            if text == adopted:
                self.lineage = lineage
                break
        if adopted is not None and self.lineage is None:
            self.journal.violations.append(f"promise 1: {self.name} was given a session under an id nobody made")

    def _note_view(self, lineage: Lineage, text: str, data: dict[str, Any] | None) -> None:
        seen = None if data is None else {name: as_text(value) for name, value in data.items() if name != LEDGER}
        view = View(self.name, text, self._began, self._seen, seen)
        if data is not None:
            view.lists = {LEDGER: list(data.get(LEDGER, []))}
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
        return self.journal.by_key.get(loaded.key) if loaded else self.session.id

    def commit(self) -> None:
        """Save in the middle of the request."""
        self._attempt()
        self.session.commit()
        self._acknowledge(self.life._owed is Tell.ID)

    def append(self, *, in_place: bool = False) -> None:
        """Append a token in a transaction."""
        self._attempt()
        before, deed = self.lineage, Append(self.name, self._began, self._seen, token=self.fresh_value())
        self._try(deed)

        def add(session: Any) -> None:
            deed.seen = self.world.now
            self.world.trace("runs fn", deed.token)
            if in_place and LEDGER in session:
                session[LEDGER].append(deed.token)
            else:
                session[LEDGER] = [*session.get(LEDGER, []), deed.token]

        self.session.transaction(add)
        if self.life._owed is Tell.ID or self.session.is_new:
            self._place(self.session.id)
        if self.lineage is not before:
            deed = Append(self.name, self._began, deed.seen, token=deed.token)
        self._deeds.append(deed)
        self._acknowledge(self.life._owed is Tell.ID)

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
            if isinstance(deed, Write):
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
            self._place(self.session.id)
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
