"""The promises, checked against the journal: what was seen must be explained by what was done."""

from __future__ import annotations

from collections.abc import Iterator

from .journal import NEVER, Append, Deed, Journal, Lineage, Sweep, View, Write


def violations(journal: Journal) -> list[str]:
    """Return every breach of a promise, as sentences."""
    return [*journal.violations, *(breach for lineage in journal.lineages for breach in _breaches(lineage))]


def _breaches(lineage: Lineage) -> Iterator[str]:
    _note_who_saw_sweeps(lineage)
    yield from _check_moves(lineage)
    for view in lineage.views:
        if any(move.new == view.id and move.acked >= view.began for move in lineage.moves):
            continue  # nobody has been told that id yet
        if view.data is None:
            yield from _check_dead(lineage, view)
        else:
            yield from _check_ids(lineage, view)
            yield from _check_attributes(lineage, view)
            yield from _check_ledger(lineage, view)


def _note_who_saw_sweeps(lineage: Lineage) -> None:
    """Whoever sees what was written above a sweep has seen the sweep: what he writes it does not sweep away."""
    for write in lineage.writes:
        if write.above is not None and write.value is not None:
            seen = [view for view in lineage.views if view.data and view.data.get(write.name) == write.value]
            write.above.seen_by.update(view.request for view in seen)


def _check_moves(lineage: Lineage) -> Iterator[str]:
    """Promise 3: a session stays one session; of two changes of one id only one is told its new id."""
    winners: dict[str, str] = {}
    for move in lineage.moves:
        if move.acked < NEVER and winners.setdefault(move.old, move.request) != move.request:
            yield f"promise 3: {move.request} and {winners[move.old]} both moved session {move.old[:4]}"


def _check_dead(lineage: Lineage, view: View) -> Iterator[str]:
    """Promise 3: a session that nobody ended or moved, and that was used, is there; one that is gone stays gone."""
    ended = any(end.tried <= view.ended for end in lineage.ends)
    moved = any(move.old == view.id and move.tried <= view.ended for move in lineage.moves)
    if not (ended or moved or _idle(lineage, view) >= lineage.interval - 1):
        yield f"promise 3: {view.request} did not find session {view.id[:4]}, which nobody ended or moved"
    for later in lineage.views:
        if later.id == view.id and later.data is not None and later.began > view.ended:
            yield f"promise 5: {later.request} found session {view.id[:4]}, which was gone when {view.request} looked"


def _idle(lineage: Lineage, view: View) -> float:
    """Return for how long at most the session had been unused when the view ended."""
    uses = [other.began for other in lineage.views if other.data is not None and other.ended < view.began]
    return view.ended - max([lineage.born, *uses])


def _check_ids(lineage: Lineage, view: View) -> Iterator[str]:
    """Promise 5: what was ended or moved stays so."""
    for end in lineage.ends:
        if end.acked < view.began:
            yield f"promise 5: {view.request} found session {view.id[:4]}, which {end.request} had ended"
    for move in lineage.moves:
        if move.old == view.id and move.acked < view.began:
            yield f"promise 5: {view.request} found a session under {view.id[:4]}, which {move.request} had moved"


def _check_attributes(lineage: Lineage, view: View) -> Iterator[str]:
    """Promises 2 to 6, attribute by attribute: the value seen is one that nothing acknowledged had replaced."""
    seen = view.data or {}
    for name in sorted({write.name for write in lineage.writes} | set(seen)):
        value = seen.get(name)
        writes = [write for write in lineage.writes if write.name == name]
        why = _unexplained(value, writes, lineage.sweeps, view)
        if why:
            yield f"promises 2-6: {view.request} saw {name}={value}: {why}"


def _unexplained(value: str | None, writes: list[Write], sweeps: list[Sweep], view: View) -> str:
    later: list[Deed] = [deed for deed in (*writes, *sweeps) if deed.acked < view.began]
    candidates: list[Deed] = [write for write in writes if write.value == value and write.tried <= view.ended]
    if value is None:
        candidates += [sweep for sweep in sweeps if sweep.tried <= view.ended]
        candidates.append(Write("-", -NEVER, -NEVER, -NEVER, -NEVER))
    reasons = [_why_not(candidate, later, sweeps, view) for candidate in candidates]
    return "" if "" in reasons else " / ".join(reasons) or "nobody wrote that to this session"


def _why_not(deed: Deed, later: list[Deed], sweeps: list[Sweep], view: View) -> str:
    """Say why the view cannot show this deed; empty if it can."""
    for other in later:
        if other is not deed and (deed.acked < other.began or other.request in deed.seen_by):
            return f"{other.request} replaced it"
    if isinstance(deed, Write) and deed.value is not None and not deed.moving:
        for sweep in sweeps:
            if sweep is not deed.above and _swept(deed, sweep) and sweep.acked < view.began:
                return f"{sweep.request} had swept away what {deed.request} wrote without having seen that"
    return ""


def _swept(deed: Deed, sweep: Sweep) -> bool:
    """Say whether whoever did the deed cannot have seen the sweep."""
    if deed.request == sweep.request:
        return deed.tried < sweep.tried
    return deed.seen < sweep.tried


def _check_ledger(lineage: Lineage, view: View) -> Iterator[str]:
    """Promise 4: what a transaction, or a request with the lock, appended is there once if acknowledged, else at most
    once."""
    for name, tokens in view.lists.items():
        known = {append.token: append for append in lineage.appends if append.name == name}
        for token in dict.fromkeys(tokens):
            if tokens.count(token) > 1:
                yield f"promise 4: {view.request} saw {token} twice in {name}: {tokens}"
            if token not in known:
                yield f"promise 2: {view.request} saw {token} in {name}, which belongs to another session"
        for token, append in known.items():
            yield from _check_append(append, token in tokens, lineage, view)


def _check_append(append: Append, visible: bool, lineage: Lineage, view: View) -> Iterator[str]:
    if visible:
        for sweep in lineage.sweeps:
            if sweep.acked < view.began and _swept(append, sweep) and not append.moving:
                yield f"promise 5: {view.request} saw {append.token} in {append.name}, swept away by {sweep.request}"
    elif append.acked < view.began and not _may_be_swept(append, lineage, view):
        yield f"promise 4: {view.request} did not see {append.token} of {append.request} in {append.name}"


def _may_be_swept(append: Append, lineage: Lineage, view: View) -> bool:
    return any(
        sweep.acked >= append.began and sweep.tried <= view.ended and append.request not in sweep.seen_by
        for sweep in lineage.sweeps
    )
