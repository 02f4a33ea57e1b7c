"""The session as a dict: whatever an application does to it, what is stored is what a plain dict would hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, TypeVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from strategies import exactly, values

from sharedsession.attributes import Attributes
from sharedsession.compression import compressed, decompressed
from sharedsession.dialogue import Source
from sharedsession.facade import Life
from sharedsession.record import OWN, Changes, Entry, Record, Stamp, apply
from sharedsession.session import Session
from sharedsession.values import ValueCodec

T = TypeVar("T")
NOW = 1_700_000_000
BLANK = Record(NOW, (1800, 1, 0), 1800)
CODEC = ValueCodec()


class Alien:
    """A type that only another application node knows."""


ELSEWHERE = ValueCodec()
ELSEWHERE.register("alien", Alien, lambda alien: [1], lambda plain: Alien())
ALIEN = ELSEWHERE.encode("alien", [Alien(), "with company"])


class CountingCodec(ValueCodec):
    """Counts what is encoded and decoded, by attribute name and by number."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []
        self.decoded = 0

    def encode(self, name: str, value: object) -> bytes:
        self.encoded.append(name)
        return super().encode(name, value)

    def decode(self, payload: bytes) -> Any:
        self.decoded += 1
        return super().decode(payload)


class Request(Life):
    """The least that stands behind a Session: one record, committed when told."""

    def __init__(self, record: Record, codec: ValueCodec = CODEC) -> None:
        self.available = self.accessed = True
        self.record = record
        self._attributes = Attributes(codec, record.entries)

    def begin(self) -> Life:
        return self

    @property
    def attributes(self) -> Attributes:
        return self._attributes

    @property
    def writable(self) -> Attributes:
        return self._attributes

    @property
    def id(self) -> str | None:
        return None

    @property
    def is_new(self) -> bool:
        return False

    @property
    def source(self) -> Source | None:
        return None

    @property
    def creation_time(self) -> float:
        return NOW

    @property
    def last_accessed_time(self) -> float:
        return NOW

    @property
    def interval(self) -> int:
        return self.record.max_inactive_interval

    @property
    def principal(self) -> str | None:
        raise NotImplementedError

    @property
    def principal_session(self) -> int | None:
        raise NotImplementedError

    def name(self, principal: str | None) -> None:
        raise NotImplementedError

    def ensure_id(self) -> str:
        raise NotImplementedError

    def invalidate(self) -> None:
        raise NotImplementedError

    def change_id(self) -> None:
        raise NotImplementedError

    def commit(self) -> None:
        self.commit_over(self.record, 1)

    def tell_again(self) -> None:
        raise NotImplementedError

    def check_values(self) -> None:
        self._attributes.changes()

    def transaction(self, fn: Callable[[], T]) -> T:
        raise NotImplementedError

    def lock(self, timeout: float | None) -> AbstractContextManager[None]:
        raise NotImplementedError

    def commit_over(self, stored: Record, writer: int) -> Changes:
        """Commit over what is stored by now; return what was changed."""
        changes = self._attributes.changes()
        self.record = apply(stored, changes, Stamp(self.record.version + 1, writer, self.record.cleared), NOW)
        self._attributes.rebase(self.record.entries, changes)
        return changes


def stored(**attributes: Any) -> Record:
    payloads = {name: CODEC.encode(name, value) for name, value in attributes.items()}
    return apply(BLANK, Changes(payloads), Stamp(2, 1), NOW)


def opened(record: Record, codec: ValueCodec = CODEC) -> tuple[Session, Request]:
    request = Request(record, codec)
    return Session(request), request


def shown(mapping: Any) -> dict[str, Any]:
    """What a mapping holds, comparable with types; the order of attributes is nobody's promise."""
    return {name: exactly(mapping[name]) for name in mapping}


# -- any program against a dict ------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c", "alien", "\ud800"])
scalars = st.sampled_from([None, 0, 1, True, "x", "y", b"x", 1.0, 10**30])


class AnyProgram(RuleBasedStateMachine):
    """One request's session next to a plain dict, with commits, other requests' commits, and fresh readers."""

    def __init__(self) -> None:
        super().__init__()
        self.writers = count(10)
        self.record = apply(
            BLANK, Changes({"alien": ALIEN, "a": CODEC.encode("a", [1]), "b": CODEC.encode("b", "b")}), Stamp(2, 1), NOW
        )
        self.session, self.request = opened(self.record)
        self.model: dict[str, Any] = {"a": [1], "b": "b"}
        self.before = shown(self.model)
        self.cleared = False
        self.touched: set[str] = set()
        self.alien_is_stored = True

    # What an application does.

    @rule(name=names, value=values | scalars)
    def assign(self, name: str, value: Any) -> None:
        self.session[name] = value
        self.model[name] = copy.deepcopy(value)
        if name == "alien":
            self.alien_is_stored = False

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.model:
            del self.session[name]
            del self.model[name]
        else:
            with pytest.raises(KeyError):
                del self.session[name]

    @rule(name=names, default=scalars)
    def pop(self, name: str, default: Any) -> None:
        assert exactly(self.session.pop(name, default)) == exactly(self.model.pop(name, default))

    @rule(name=names, value=scalars)
    def setdefault(self, name: str, value: Any) -> None:
        if name == "alien" and name not in self.model:
            self.alien_is_stored = False
        assert exactly(self.session.setdefault(name, value)) == exactly(self.model.setdefault(name, value))

    @rule(more=st.dictionaries(st.sampled_from(["a", "b", "c"]), scalars, max_size=3))
    def update(self, more: dict[str, Any]) -> None:
        self.session.update(more)
        self.model |= more

    @rule()
    def pop_any(self) -> None:
        if self.model:
            name, value = self.session.popitem()
            self.touched.add(name)
            assert exactly(value) == exactly(self.model.pop(name))

    @precondition(lambda self: self.model)
    @rule(really=st.integers(0, 3))
    def clear(self, really: int) -> None:
        if really == 0:
            self.session.clear()
            self.model.clear()
            self.cleared = True
            self.alien_is_stored = False

    @rule(item=scalars)
    def change_in_place(self, item: Any) -> None:
        for name, value in self.model.items():
            held = self.session[name]
            if isinstance(value, list):
                held.append(item)
                value.append(item)
            elif isinstance(value, dict):
                held["k"] = value["k"] = item
            elif isinstance(value, set):
                held.add(item)
                value.add(item)
            elif isinstance(value, tuple) and value and isinstance(value[0], list):
                held[0].append(item)
                value[0].append(item)

    @rule(name=names)
    def read(self, name: str) -> None:
        assert exactly(self.session.get(name)) == exactly(self.model.get(name))
        assert (name in self.session) == (name in self.model)
        if name in self.model:
            first, again = self.session[name], self.session[name]
            assert first is again
        else:
            with pytest.raises(KeyError):
                self.session[name]

    # What happens to it.

    @rule()
    def commit(self) -> None:
        """Save: a difference is stored, and only a difference."""
        after = shown(self.model)
        changes = self.request.commit_over(self.record, next(self.writers))
        assert set(changes.values) >= {name for name in after if after[name] != self.before.get(name)}
        if not self.cleared:
            assert set(changes.values) <= {name for name in after if after[name] != self.before.get(name)}
            # An attribute that came and went is no deletion of anything.
            assert changes.deleted <= set(self.before) | {"alien"}
        self.record = self.request.record
        self.settled()

    @rule(name=st.sampled_from(["x", "y"]), value=scalars)
    def another_request_commits(self, name: str, value: Any) -> None:
        """Meanwhile another request saves an attribute that this one does not touch; then this one commits."""
        if name in self.touched:
            return
        other, request = opened(self.record)
        other[name] = value
        request.commit_over(self.record, next(self.writers))
        self.request.commit_over(request.record, next(self.writers))
        self.record = self.request.record
        if not self.cleared:
            self.model[name] = value
        self.settled()

    @rule()
    def next_request(self) -> None:
        """Save, and go on as another request that loads what was saved."""
        self.commit()
        self.session, self.request = opened(self.record)

    def settled(self) -> None:
        self.before = shown(self.model)
        self.cleared = False
        self.touched.clear()
        fresh, _ = opened(self.record)
        assert shown(fresh) == self.before
        assert self.request.attributes.changes().empty
        assert not self.session.modified
        if self.alien_is_stored:
            assert self.record.live["alien"] == ALIEN

    @invariant()
    def the_session_is_the_dict(self) -> None:
        assert shown(self.session) == shown(self.model)
        assert len(self.session) == len(self.model)
        assert set(self.session) == set(self.model)


TestAnyProgram: Any = AnyProgram.TestCase
TestAnyProgram.settings = settings(max_examples=100, stateful_step_count=25)


# -- what counts as a change ---------------------------------------------------------------------------------------

MUTATIONS: list[tuple[Any, Callable[[Any], object]]] = [
    ([1], lambda value: value.append(2)),
    ([[1]], lambda value: value[0].append(2)),
    ({"k": 1}, lambda value: value.update(k=2)),
    ({"k": [1]}, lambda value: value["k"].clear()),
    ({"k": {"l": {1}}}, lambda value: value["k"]["l"].add(2)),
    (([1],), lambda value: value[0].append(2)),
    ({1}, lambda value: value.discard(1)),
    ([2, 1], lambda value: value.sort()),
    ({"a": 1, "b": 2}, lambda value: value.pop("a")),
]


@pytest.mark.parametrize(("value", "mutate"), MUTATIONS)
def test_a_change_in_place_is_noticed(value: Any, mutate: Callable[[Any], object]) -> None:
    """A nested value that was read and changed is saved without any flag, and only once."""
    value = copy.deepcopy(value)
    session, request = opened(stored(it=value, other=[1]))
    mutate(session["it"])
    mutate(value)
    assert set(request.commit_over(request.record, 5).values) == {"it"}
    assert opened(request.record)[0]["it"] == value
    assert request.attributes.changes().empty


@pytest.mark.parametrize(("value", "mutate"), MUTATIONS)
def test_a_change_in_place_after_a_commit_is_noticed(value: Any, mutate: Callable[[Any], object]) -> None:
    """A value that was assigned, saved and then changed through the same object is saved again."""
    value = copy.deepcopy(value)
    session, request = opened(BLANK)
    session["it"] = value
    request.commit()
    mutate(value)
    assert set(request.commit_over(request.record, 5).values) == {"it"}
    assert opened(request.record)[0]["it"] == value


@pytest.mark.parametrize("value", [1, "x", None, [1, [2]], {"k": {1, 2, 3}}, (1,), float("nan")])
def test_reading_and_assigning_the_same_is_no_change(value: Any) -> None:
    """A request that reads, or assigns what is stored already, writes nothing."""
    session, request = opened(stored(it=value))
    assert exactly(session["it"]) == exactly(value)
    assert request.attributes.changes().empty
    assert not session.modified
    session["it"] = copy.deepcopy(value)
    assert request.attributes.changes().empty


@pytest.mark.parametrize(
    ("old", "new"), [(1, True), (1, 1.0), ("x", b"x"), ([1], (1,)), ({1}, frozenset({1})), (0.0, -0.0)]
)
def test_an_equal_value_of_another_type_is_a_change(old: Any, new: Any) -> None:
    """Types are part of what is stored: 1 is not True."""
    session, request = opened(stored(it=old))
    session["it"] = new
    request.commit()
    assert exactly(opened(request.record)[0]["it"]) == exactly(new)


def test_coming_and_going_is_no_change() -> None:
    """An attribute that was set and deleted, or deleted and set again, in one request leaves nothing to save."""
    session, request = opened(stored(it=[1]))
    session["new"] = 1
    del session["new"]
    del session["it"]
    session["it"] = [1]
    assert request.attributes.changes().empty


def test_a_deletion_is_saved() -> None:
    """A deleted attribute is deleted in the store, and only it."""
    session, request = opened(stored(a=1, b=2))
    del session["a"]
    assert session.modified
    assert request.attributes.changes() == Changes(deleted=frozenset("a"))
    request.commit()
    assert dict(opened(request.record)[0]) == {"b": 2}


def test_clear_is_saved_also_when_nothing_was_there() -> None:
    """Clearing an empty session is a change: it forbids what concurrent requests are about to write."""
    session, request = opened(BLANK)
    session.clear()
    assert request.attributes.changes() == Changes(cleared=True)
    assert session.modified


def test_a_value_set_again_after_clear_is_saved() -> None:
    """After a clear nothing counts as stored: the same value set again is written again."""
    session, request = opened(stored(a=1))
    session.clear()
    session["a"] = 1
    assert set(request.attributes.changes().values) == {"a"}
    request.commit()
    assert dict(opened(request.record)[0]) == {"a": 1}


# -- what it costs -------------------------------------------------------------------------------------------------


def test_you_pay_for_what_you_touch() -> None:
    """An attribute that is not read is not decoded, and each that is read is decoded once."""
    codec = CountingCodec()
    session, _ = opened(stored(a=[1], b=[2], c=[3]), codec)
    for _ in range(3):
        assert session["a"] == [1]
    assert codec.decoded == 1
    session["b"] = 5
    assert codec.decoded == 1


def test_what_cannot_have_changed_is_not_encoded_again() -> None:
    """Immutable values that were only read cost nothing at commit; containers that were read are compared."""
    codec = CountingCodec()
    session, request = opened(stored(number=1, text="x", flag=None, items=[1], pair=(1,), unread=[1]), codec)
    assert len(list(session.values())) == 6
    session, request = opened(request.record, codec)
    codec.encoded.clear()
    for name in ("number", "text", "flag", "items", "pair"):
        session[name]
    assert request.attributes.changes().empty
    assert sorted(codec.encoded) == ["items", "pair"]


# -- values that cannot be stored ----------------------------------------------------------------------------------


def test_a_wrong_value_is_refused_at_assignment() -> None:
    """A value of a type that cannot be stored is a TypeError where it is assigned, and the session stays as it was."""
    session, request = opened(stored(a=1))
    with pytest.raises(TypeError, match="'a'"):
        session["a"] = object()
    assert dict(session) == {"a": 1}
    assert request.attributes.changes().empty


def test_a_wrong_value_inside_is_refused_at_commit() -> None:
    """What a container holds is checked when it is saved, by name; nothing is half saved, and it can be put right."""
    session, request = opened(stored(a=[1]))
    session["b"] = 2
    session["a"].append(object())
    with pytest.raises(TypeError, match="'a'"):
        session.check_values()
    with pytest.raises(TypeError, match="'a'"):
        request.commit()
    session["a"].pop()
    request.commit()
    assert dict(opened(request.record)[0]) == {"a": [1], "b": 2}


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), 1.5])
def test_attributes_are_named_by_text(name: Any) -> None:
    """Another key than text is a TypeError when set and simply absent when read."""
    session, request = opened(stored(a=1))
    with pytest.raises(TypeError, match="named by text"):
        session[name] = 1
    assert name not in session
    assert session.get(name) is None
    assert request.attributes.changes().empty


# -- types not known here ------------------------------------------------------------------------------------------


def test_an_unknown_type_is_not_shown_and_kept() -> None:
    """An attribute that only another node can decode is neither shown nor lost, whatever else is saved."""
    record = apply(stored(a=1), Changes({"alien": ALIEN}), Stamp(3, 1), NOW)
    session, request = opened(record)
    assert "alien" not in session
    assert session.get("alien") is None
    assert list(session) == ["a"]
    assert len(session) == 1
    with pytest.raises(KeyError):
        del session["alien"]
    session["a"] = 2
    request.commit()
    assert request.record.entries["alien"] == record.entries["alien"]


def test_an_unknown_type_can_be_replaced_and_cleared() -> None:
    """Assigning over it, or clearing the session, is meant."""
    acts: list[Callable[[Session], object]] = [lambda session: session.update(alien=1), Session.clear]
    for act in acts:
        session, request = opened(apply(BLANK, Changes({"alien": ALIEN}), Stamp(3, 1), NOW))
        assert "alien" not in session
        act(session)
        request.commit()
        assert request.record.live.get("alien") in (CODEC.encode("alien", 1), None)
        assert dict(session) == dict(opened(request.record)[0])


def test_what_was_unknown_is_shown_once_it_is_known() -> None:
    """When another request has replaced it by a plain value, the session shows that after its commit."""
    session, request = opened(apply(BLANK, Changes({"alien": ALIEN}), Stamp(3, 1), NOW))
    assert "alien" not in session
    session["a"] = 1
    request.commit_over(apply(request.record, Changes({"alien": CODEC.encode("alien", "plain")}), Stamp(4, 2), NOW), 3)
    assert dict(session) == {"a": 1, "alien": "plain"}


# -- after a commit ------------------------------------------------------------------------------------------------


def test_objects_stay_the_same_over_a_commit() -> None:
    """A list that the application holds is still the session's after a commit."""
    session, request = opened(stored(a=[1]))
    held = session["a"]
    session["b"] = {}
    kept = session["b"]
    request.commit()
    assert session["a"] is held
    assert session["b"] is kept


def test_a_commit_shows_what_others_have_written() -> None:
    """After a commit the session is what is stored, another request's newer value and deletion included."""
    session, request = opened(stored(a=[1], b=[2], c=3))
    assert (session["a"], session["b"]) == ([1], [2])
    session["c"] = 4
    theirs = Changes({"a": CODEC.encode("a", [9])}, deleted=frozenset("b"))
    request.commit_over(apply(request.record, theirs, Stamp(request.record.version + 1, 7), NOW), 8)
    assert dict(session) == {"a": [9], "c": 4}
    assert request.attributes.changes().empty


def test_the_interval_is_a_change_of_its_own() -> None:
    """A new max inactive interval is saved with the session, once."""
    session, request = opened(stored(a=1))
    session.max_inactive_interval = 60
    assert session.modified
    request.commit()
    assert session.max_inactive_interval == 60
    assert not session.modified
    session.max_inactive_interval = None
    request.commit()
    assert session.max_inactive_interval is None
    assert dict(opened(request.record)[0]) == {"a": 1}


@pytest.mark.parametrize("seconds", [0, -1, True, 1.5, "60"])
def test_a_wrong_interval_is_refused(seconds: Any) -> None:
    """Something else than None or whole seconds from 1 is a ValueError that shows it, and changes nothing."""
    session, request = opened(BLANK)
    with pytest.raises(ValueError, match=repr(seconds)):
        session.max_inactive_interval = seconds
    assert request.attributes.changes().empty


# -- the mapping ---------------------------------------------------------------------------------------------------


def test_it_can_be_copied_and_united() -> None:
    """`copy()` and `|` give plain dicts that are no session any more; `|=` changes the session."""
    session, request = opened(stored(a=1, b=2))
    assert session.copy() == {"a": 1, "b": 2}
    assert session | {"b": 3, "c": 4} == {"a": 1, "b": 3, "c": 4}
    assert {"b": 3, "c": 4} | session == {"b": 2, "c": 4, "a": 1}
    assert type(session.copy()) is type(session | {}) is type({} | session) is dict
    assert request.attributes.changes().empty
    session |= {"c": 4}
    assert isinstance(session, Session)
    assert set(request.attributes.changes().values) == {"c"}


def test_it_can_be_changed_while_iterated() -> None:
    """A loop over the session that deletes or adds does not fail: it runs over what was there."""
    session, _ = opened(stored(a=1, b=2, c=3))
    for name in session:
        del session[name]
        session[name + "2"] = 0
    assert dict(session) == {"a2": 0, "b2": 0, "c2": 0}


def test_repr_shows_no_value() -> None:
    """A session in a log line shows neither names nor values."""
    session, _ = opened(stored(password="hunter2"))
    assert session["password"] == "hunter2"
    assert "hunter2" not in f"{session!r} {session}"
    assert "password" not in repr(session)


# -- compression -------------------------------------------------------------------------------------------------------

LARGE = [f"line {number}" for number in range(1000)]


def test_a_large_value_that_was_only_read_is_not_written() -> None:
    """Nor compressed again: it is compared before that."""
    stored: dict[str, Entry] = {"a": (1, 1, compressed(CODEC.encode("a", LARGE)), 0, 0)}
    attributes = Attributes(CODEC, stored)
    with mock.patch("sharedsession.attributes.compressed", side_effect=AssertionError):
        assert attributes.get("a") == LARGE
        assert attributes.changes().empty


def test_a_large_value_that_changed_in_place_is_written_compressed() -> None:
    """A change inside it is noticed as in any other, before and after a commit."""
    attributes = Attributes(CODEC, {"a": (1, 1, compressed(CODEC.encode("a", LARGE)), 0, 0)})
    for more in ("one", "two"):
        attributes.get("a").append(more)
        changes = attributes.changes()
        assert CODEC.decode(decompressed(changes.values["a"]))[-1] == more
        assert len(changes.values["a"]) < len(CODEC.encode("a", LARGE)) / 2
        attributes.rebase({"a": (2, 2, changes.values["a"], 0, 0)}, changes)
        assert attributes.changes().empty


def test_nothing_is_compressed_where_that_tells_too_much() -> None:
    """With encryption the length of a value must not tell what it holds."""
    attributes = Attributes(CODEC, {}, compresses=False)
    attributes.set("a", LARGE)
    assert attributes.changes().values["a"] == CODEC.encode("a", LARGE)


def test_a_value_set_again_after_a_clear_is_written() -> None:
    """What was read before the clear is no reason to leave it out."""
    attributes = Attributes(CODEC, {"a": (1, 1, CODEC.encode("a", [1]), 0, 0)})
    assert attributes.get("a") == [1]
    attributes.clear()
    attributes.set("a", [1])
    assert attributes.changes().values == {"a": CODEC.encode("a", [1])}


def test_what_the_library_stores_beside_them_is_no_attribute() -> None:
    """Its own names can be neither read nor deleted, and are not listed."""
    attributes = Attributes(CODEC, {f"{OWN}a": (1, 1, CODEC.encode("a", 1), 0, 0)})
    assert (list(attributes.names()), attributes.has(f"{OWN}a"), attributes.find(f"{OWN}a", 5)) == ([], False, 5)
    for act in (attributes.get, attributes.delete):
        with pytest.raises(KeyError):
            act(f"{OWN}a")


def test_a_second_commit_writes_nothing_that_was_only_read() -> None:
    """Not even where it is stored in another way than it would be now, such as by a node that compresses nothing."""
    stored: dict[str, Entry] = {"a": (1, 1, CODEC.encode("a", LARGE), 0, 0), "b": (1, 1, CODEC.encode("b", 1), 0, 0)}
    attributes = Attributes(CODEC, stored)
    assert attributes.get("a") == LARGE
    attributes.set("b", 2)
    changes = attributes.changes()
    assert set(changes.values) == {"b"}
    attributes.rebase({**stored, "b": (2, 2, changes.values["b"], 0, 0)}, changes)
    assert attributes.changes().empty
