"""Who was told "you are logged in" is listed, and stays logged in: requests at once, faults, clocks, limits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from locks import application_node, key_of, new_session, request, stored, wait_until
from servers import Memcached
from webclient import Client, bare, page

from sharedsession import (
    Session,
    SessionMiddleware,
    SessionTooLargeError,
    StoreUnavailableError,
    TooManySessionsError,
    commit,
    principals,
)
from sharedsession.memcached.outcomes import Loaded
from sharedsession.memcached.store import Store
from sharedsession.testing import in_memory

Step = Callable[[Session], object]

DAY = 86400


def named(principal: str | None = "alice") -> Step:
    """Return what a log-in does."""
    return lambda session: setattr(session, "principal", principal)


def change_id(session: Session) -> None:
    """Give it a new id."""
    session.change_id()


def transacted(session: Session) -> None:
    """Log in by a transaction."""
    session.transaction(named())


def polling(app: Any) -> Any:
    """Return the application for a poller's requests: they do not start the idle time anew."""

    def poll(environ: dict[str, Any], start_response: Any) -> Any:
        environ["sharedsession.slide"] = False
        return app(environ, start_response)

    return poll


def log_in(node: SessionMiddleware, principal: str = "alice", **attributes: Any) -> str:
    """Log somebody in who has no session; return its id."""
    session = request(node, "")
    session.update(attributes)
    session.principal = principal
    session.commit()
    return session.id or ""


def listed(node: SessionMiddleware, principal: str = "alice") -> int:
    """Return how many sessions somebody has."""
    return len(node.sessions.of(principal))


def list_of(node: SessionMiddleware, principal: str = "alice") -> Loaded:
    """Return the list itself."""
    found = node.parts.store.find(node.parts.ids.principal_keys(principal)[0])
    assert isinstance(found, Loaded)
    return found


def age(node: SessionMiddleware, seconds: float) -> None:
    """Let the clock of an application node, by which it names and lists sessions, go ahead."""
    manager = node.parts.policy.manager
    manager.clock = manager.principals._clock = lambda: time.time() + seconds


@pytest.fixture
def webs(nodes: list[Memcached]) -> list[SessionMiddleware]:
    """Return two application nodes over the same memcached nodes."""
    return [application_node(nodes), application_node(nodes, route="web2")]


def meanwhile(monkeypatch: pytest.MonkeyPatch, node: SessionMiddleware, verb: str, act: Callable[[], object]) -> None:
    """Let something happen once, when this node's sessions are about to be stored by that verb."""
    place = commit if verb == "move" else Store
    original = getattr(place, verb)
    waiting = [act]

    def acting(store: Store, *args: Any, **kwargs: Any) -> Any:
        if store is node.parts.store and waiting:
            waiting.pop()()
        return original(store, *args, **kwargs)

    monkeypatch.setattr(place, verb, acting)


# -- requests at the same time -----------------------------------------------------------------------------------------


def test_two_requests_that_name_it_at_once(webs: list[SessionMiddleware]) -> None:
    """Of two that say whose a session is at the same moment none takes it off the list, or out of `keep`."""
    for _ in range(8):
        session_id = new_session(webs[0], a=1)
        pair = [request(web, session_id) for web in webs]
        for session in pair:
            session.principal = "alice"
        for session in pair:
            session.commit()
        log_in(webs[0], a=2)  # looks whether the others are there still
        assert webs[1].sessions.invalidate_all("alice", keep=request(webs[1], session_id)) == 1
        assert webs[1].sessions.invalidate_all("alice") == 1
        assert stored(webs[0], session_id) == {}


NAMED_AND_MOVED: list[list[list[Step]]] = [
    [[named()], [change_id]],
    [[change_id], [named()]],
    [[change_id], [change_id, named()]],
    [[change_id], [transacted]],
    [[transacted], [change_id]],
]


@pytest.mark.parametrize("steps", NAMED_AND_MOVED)
def test_named_while_it_is_given_a_new_id(
    nodes: list[Memcached], webs: list[SessionMiddleware], steps: list[list[Step]]
) -> None:
    """A session that one request names and another gives a new id is listed under the id that it has in the end."""
    session_id = new_session(webs[0], a=1)
    pair = [request(web, session_id) for web in webs]
    for session, its in zip(pair, steps, strict=True):
        session["b"] = 1
        for step in its:
            step(session)
    for session in pair:
        session.commit()
    moved = pair[0 if change_id in steps[0] else 1].id or ""
    for node in nodes:  # the mark under the old id has expired
        node.command(f"md {key_of(webs[0], session_id)}".encode())
    assert request(webs[0], moved).principal == "alice"
    log_in(webs[0])  # looks whether the others are there still
    assert listed(webs[0]) == 2
    assert webs[1].sessions.invalidate_all("alice") == 2
    assert stored(webs[0], moved) == {}


def test_a_mark_leads_to_the_session(webs: list[SessionMiddleware], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a session's move and its listing under the new id, it is shown, counted and ended by way of the old."""
    session_id = new_session(webs[0], a=1)
    mover, namer = (request(web, session_id) for web in webs)
    assert mover["a"] == 1
    namer.principal = "alice"
    namer.commit()
    mover.change_id()
    seen: list[int] = []

    def see(*_: object) -> None:
        log_in(webs[1])
        seen.extend([listed(webs[1]), webs[1].sessions.invalidate_all("alice")])

    monkeypatch.setattr("sharedsession.commit.see_listed", see)
    mover.commit()
    assert seen == [2, 2]
    assert mover.id is not None
    assert stored(webs[0], mover.id) == {}


@pytest.mark.parametrize("first", [0, 1])
def test_named_while_its_life_is_changed(first: int) -> None:
    """A session that one request names and another gives a longer life is listed as long as it lives."""
    app = bare(page(lambda session: None))
    with in_memory(app) as sessions:
        session_id = new_session(app, a=1)
        pair = [request(app, session_id) for _ in range(2)]
        pair[0].principal = "alice"
        pair[1].max_inactive_interval = 14 * DAY
        pair[first].commit()
        pair[1 - first].commit()
        for _ in range(13):
            sessions.advance(DAY)
            log_in(app)
        assert request(app, session_id).principal == "alice"
        sessions.advance(2000)
        assert listed(app) == 1


@pytest.mark.parametrize("principal", [None, "bob"])
def test_listing_it_anew_does_not_say_whose_it_is(principal: str | None) -> None:
    """A request that only reads, and puts the session on the list anew, undoes no other's log-out or log-in."""
    app = bare(page(lambda session: None))
    with in_memory(app) as sessions:
        for _ in range(8):
            session_id = log_in(app, a=1)
            sessions.advance(1000)
            stored(app, session_id)
            sessions.advance(1000)
            reader, other = (request(app, session_id) for _ in range(2))
            assert (reader["a"], other["a"]) == (1, 1)
            other.principal = principal
            other.commit()
            reader.commit()
            assert request(app, session_id).principal == principal


@pytest.mark.parametrize("way", ["merge", "lock", "transaction", "move"])
def test_a_log_in_to_a_session_that_is_there_ends_too(
    webs: list[SessionMiddleware], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """When all are ended while a session that was nobody's is about to become theirs, that one does not survive."""
    session_id = new_session(webs[0], a=1)
    session = request(webs[0], session_id)
    enter = webs[0].parts.policy.manager.principals.enter

    def entering(*args: Any, **kwargs: Any) -> Any:
        result = enter(*args, **kwargs)
        webs[1].sessions.invalidate_all("alice")
        return result

    monkeypatch.setattr(webs[0].parts.policy.manager.principals, "enter", entering)
    if way == "transaction":
        session.transaction(named())
    elif way == "lock":
        with session.lock():
            session.principal = "alice"
    else:
        if way == "move":
            session.change_id()
        session.principal = "alice"
        session.commit()
    assert listed(webs[1]) == 0
    assert request(webs[1], session_id).principal is None
    assert session.id is None or request(webs[1], session.id).principal is None


@pytest.mark.parametrize("after", [named(None), named("bob"), Session.clear])
def test_ending_all_spares_who_is_nobodys_by_now(webs: list[SessionMiddleware], after: Step) -> None:
    """A session that was logged out, or went to somebody else, a moment ago is not ended with its former owner's."""
    session_id = log_in(webs[0], a=1)
    session = request(webs[0], session_id)
    after(session)
    session["b"] = 1
    session.commit()
    assert webs[1].sessions.invalidate_all("alice") == 0
    assert request(webs[1], session_id)["b"] == 1


def test_the_last_log_in_counts_whatever_the_clocks_say(webs: list[SessionMiddleware]) -> None:
    """Where the last log-in to a session came through a node whose clock is behind, it is ended with the others."""
    age(webs[0], 200)
    session_id = log_in(webs[0], "bob", a=1)
    enter = webs[1].parts.policy.manager.principals.enter
    session = request(webs[1], session_id)
    with pytest.MonkeyPatch.context() as patch:

        def entering(*args: Any, **kwargs: Any) -> Any:
            result = enter(*args, **kwargs)
            webs[0].sessions.invalidate_all("alice")
            return result

        patch.setattr(webs[1].parts.policy.manager.principals, "enter", entering)
        session.principal = "alice"
        session.commit()
    assert stored(webs[0], session_id) == {}


# -- reading -----------------------------------------------------------------------------------------------------------


def test_reading_needs_no_second_copy(nodes: list[Memcached]) -> None:
    """Where a write needs two copies and only one node is left, a session can be read, due to be listed or not."""
    node = application_node(nodes[:2], page(lambda session: session["a"]), required_copies=2, timeout=1)
    client = Client(node, {"JSESSIONID": log_in(node, a=1)})
    nodes[1].kill()
    age(node, 2000)
    answers = [client.get("/") for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"1")] * 3


def test_reading_needs_no_write(nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that can be read and not written can be read, due to be listed or not; a write is still refused."""
    node = application_node(nodes, page(lambda session: session["a"]))
    client = Client(node, {"JSESSIONID": log_in(node, a=1)})
    age(node, 2000)
    tried: list[str] = []

    def fail(self: Store, loaded: Loaded, *_: object, **__: object) -> None:
        tried.append(loaded.key)
        raise StoreUnavailableError("read-only")

    monkeypatch.setattr(Store, "commit", fail)
    assert [(answer.status, answer.body) for answer in (client.get("/"), client.get("/"))] == [(200, b"1")] * 2
    assert tried == [client.key] * 2
    node._app = page(touch)
    assert client.get("/").status == 503


def test_a_poller_keeps_no_session_alive() -> None:
    """A request that is not to start the idle time anew does not do so by putting the session on the list."""
    app = bare(page(lambda session: session.get("a")))
    with in_memory(app) as sessions:
        client = Client(app, {"JSESSIONID": log_in(app, a=1)})
        sessions.advance(1700)
        client.get("/")
        sessions.advance(200)
        app._app = polling(app._app)
        assert client.get("/").text == "1"
        app._app = page(lambda session: session.get("a"))
        sessions.advance(1650)
        assert client.get("/").text == "None"


@pytest.mark.parametrize("interval", [None, 100 * DAY])
def test_long_lives_are_listed_anew_every_day(interval: int | None) -> None:
    """A session that lives long or for ever is back on a lost list a day later, and costs nothing more in between."""
    app = bare(page(lambda session: session.get("a")), max_inactive_interval=interval)
    with in_memory(app) as sessions:
        client = Client(app, {"JSESSIONID": log_in(app, a=1)})
        transport: Any = app.parts.transport
        del transport._transport._items[app.parts.ids.principal_keys("alice")[0]]
        sessions.advance(DAY - 10)
        client.get("/")
        assert listed(app) == 0
        sessions.advance(20)
        client.get("/")
        assert listed(app) == 1


def test_it_is_listed_as_long_as_it_lives() -> None:
    """A session that was last used just before it was to be listed anew stays listed until it expires."""
    app = bare(page(lambda session: None))
    with in_memory(app) as sessions:
        session_id = log_in(app, a=1)
        sessions.advance(1790)
        assert stored(app, session_id) == {"a": 1}
        sessions.advance(1790)
        assert listed(app) == 1
        for _ in range(3):
            log_in(app)  # looks whether the others are there still
        assert listed(app) == 4
        assert stored(app, session_id) == {"a": 1}


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuse", [False, True])
@pytest.mark.parametrize("first", [Session.clear, named(None), named("bob")])
def test_a_log_in_in_ones_own_session(
    webs: list[SessionMiddleware], nodes: list[Memcached], first: Step, refuse: bool
) -> None:
    """Whoever logs in again in the session they have counts once, however the application goes about it."""
    policy = "refuse" if refuse else "end_oldest"
    node = application_node(nodes, max_sessions_per_principal=1, too_many_sessions=policy)
    session = request(node, log_in(node, a=1))
    first(session)
    session.change_id()
    session.principal = "alice"
    session["b"] = 1
    session.commit()
    assert session.id
    assert request(node, session.id)["b"] == 1
    assert listed(node) == 1


def test_only_a_log_in_ends_others(nodes: list[Memcached]) -> None:
    """Where there are more sessions than a new limit allows, using them ends none; the next log-in does."""
    before, after = application_node(nodes), application_node(nodes, max_sessions_per_principal=2)
    ids = [log_in(before) for _ in range(3)]
    session = request(after, ids[2])
    session.change_id()
    session.max_inactive_interval = 7200
    session.commit()
    assert listed(after) == 3
    log_in(after)
    assert listed(after) == 2


@pytest.mark.parametrize("verb", ["create", "move", "commit"])
def test_a_log_in_that_is_under_way_goes_too(
    nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """A session that is listed and not stored yet gives way to a later log-in as any other: the limit holds."""
    webs = [application_node(nodes, max_sessions_per_principal=1) for _ in range(2)]
    session = request(webs[0], "" if verb == "create" else new_session(webs[0], b=1))
    if verb == "move":
        session.change_id()
    session.principal = "alice"
    later: list[str] = []
    meanwhile(monkeypatch, webs[0], verb, lambda: later.append(log_in(webs[1], device="later")))
    session.commit()
    assert [each.attributes["device"] for each in webs[0].sessions.of("alice")] == ["later"]


def test_the_session_that_goes_may_get_a_new_id(nodes: list[Memcached], monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest session ends also when it is given a new id at that moment."""
    webs = [application_node(nodes, max_sessions_per_principal=1) for _ in range(2)]
    session = request(webs[0], log_in(webs[0]))
    session.change_id()
    meanwhile(monkeypatch, webs[0], "move", lambda: log_in(webs[1], device="later"))
    session.commit()
    assert [each.attributes.get("device") for each in webs[0].sessions.of("alice")] == ["later"]


def test_a_log_in_that_fails_ends_nobody(nodes: list[Memcached]) -> None:
    """A log-in that cannot be stored ends no other session, and takes no place."""
    webs = {
        policy: application_node(nodes, max_sessions_per_principal=2, too_many_sessions=policy)
        for policy in ("end_oldest", "refuse")
    }
    log_in(webs["refuse"], device="a")
    for _ in range(3):
        with pytest.raises(SessionTooLargeError):
            log_in(webs["refuse"], big=random.Random(1).randbytes(2_000_000))
    log_in(webs["refuse"], device="b")
    for _ in range(3):
        with pytest.raises(SessionTooLargeError):
            log_in(webs["end_oldest"], big=random.Random(1).randbytes(2_000_000))
    assert [each.attributes["device"] for each in webs["refuse"].sessions.of("alice")] == ["a", "b"]
    log_in(webs["end_oldest"], device="c")
    assert [each.attributes["device"] for each in webs["refuse"].sessions.of("alice")] == ["b", "c"]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_the_application_answers_in_its_own_words(nodes: list[Memcached], known: bool, moves: bool) -> None:
    """An application that catches the refusal answers what it likes; nothing is stored, no id changes, no 409."""

    def view(session: Session) -> str:
        session["b"] = 1
        if moves:
            session.change_id()
        session.principal = "alice"
        try:
            session.commit()
        except TooManySessionsError as error:
            return f"no more than {error.limit}, {session.principal}"
        return "in"

    node = application_node(
        nodes, page(view), max_sessions_per_principal=1, too_many_sessions="refuse", cookie_max_age=60
    )
    log_in(node)
    session_id = new_session(node, a=1)
    client = Client(node, {"JSESSIONID": session_id} if known else {})
    answer = client.get("/")
    assert (answer.status, answer.text) == (200, "no more than 1, None")
    assert client.cookies.get("JSESSIONID") == (session_id if known else None)
    assert stored(node, session_id) == {"a": 1}
    assert node.stats()["sessions_refused"] == 1


@pytest.mark.parametrize("interval", [5, 60, 1800])
def test_an_expired_session_takes_no_place(interval: int) -> None:
    """As soon as a session has expired another may come, however short its life was."""
    app = bare(
        page(lambda session: None),
        max_inactive_interval=interval,
        max_sessions_per_principal=1,
        too_many_sessions="refuse",
    )
    with in_memory(app) as sessions:
        for _ in range(3):
            log_in(app)
            sessions.advance(interval + 1)


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-240, 240])
def test_clocks_may_differ_by_minutes(
    webs: list[SessionMiddleware], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """A log-in under way is on the list, and ends with all others, also for a node whose clock is minutes off."""
    age(webs[1], skew)
    meanwhile(monkeypatch, webs[0], "create", lambda: log_in(webs[1]))
    log_in(webs[0])
    assert listed(webs[0]) == 2
    assert webs[1].sessions.invalidate_all("alice") == 2
    meanwhile(monkeypatch, webs[0], "create", lambda: webs[1].sessions.invalidate_all("alice"))
    log_in(webs[0])
    assert listed(webs[0]) == 0


# -- what is left ------------------------------------------------------------------------------------------------------


def test_a_list_does_not_grow_by_those_who_come_and_go() -> None:
    """Thousands of log-ins and log-outs of one principal leave a short list, behind long-lived sessions too."""
    app = bare(page(lambda session: None), max_inactive_interval=30 * DAY)
    with in_memory(app):
        kept = [log_in(app) for _ in range(20)]
        for _ in range(700):
            session = request(app, log_in(app))
            session.invalidate()
            session.commit()
        entries = list_of(app).record.entries
        assert len(entries) < 500
        assert len(list_of(app).record.live) < 200
        assert listed(app) == len(kept)
        assert app.sessions.invalidate_all("alice") == 20


def test_a_full_list_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many sessions the oldest log-ins are not listed any more, and live on; that is counted."""
    monkeypatch.setattr(principals, "MOST_LISTED", 5)
    app = bare(page(lambda session: None))
    with in_memory(app) as sessions:
        ids = []
        for _ in range(7):
            ids.append(log_in(app))
            sessions.advance(1)
        assert app.stats()["principals_full"] == 2
        assert app.sessions.invalidate_all("alice") == 5
        assert [request(app, each).is_new for each in ids] == [False] * 2 + [True] * 5


def test_new_ids_leave_nothing_behind(webs: list[SessionMiddleware]) -> None:
    """A session that is given many new ids is on the list under the last few of them only."""
    session_id = log_in(webs[0], a=1)
    for number in range(30):
        session = request(webs[number % 2], session_id)
        session.change_id()
        session.commit()
        session_id = session.id or ""
    assert len(list_of(webs[0]).record.live) <= 2
    assert webs[0].sessions.invalidate_all("alice") == 1


# -- faults ------------------------------------------------------------------------------------------------------------


class Crowd:
    """Users of two application nodes, and the ids that log-ins and changes were acknowledged with."""

    def __init__(self, nodes: list[Memcached], random: random.Random) -> None:
        self.webs = [application_node(nodes, route=f"web{n}", timeout=1, connect_timeout=1) for n in (1, 2)]
        self.ids: list[str] = []
        self._random = random
        self._steps: list[Step] = [named("alice"), named("alice"), named("bob"), named(None), change_id, touch]
        self._steps += [Session.invalidate, Session.clear, longer]

    def visit(self, seed: int) -> None:
        """Do one thing or two in a session that is there, or in a new one."""
        chance = random.Random(seed)
        web = chance.choice(self.webs)
        session = request(web, chance.choice(self.ids) if self.ids and chance.random() < 0.75 else "")
        # What failed was not acknowledged: it is on no list, or on one and not stored.
        with suppress(StoreUnavailableError):
            for step in chance.sample(self._steps, 1 + chance.randrange(2)):
                step(session)
            if chance.random() < 0.2:
                session.transaction(named("alice"))
            session.commit()
            if session.id:
                self.ids.append(session.id)

    def look(self, web: SessionMiddleware) -> dict[str, set[str]]:
        """Return whose session each id leads to, by principal; every session is used once."""
        found: dict[str, set[str]] = {"alice": set(), "bob": set()}
        for session_id in sorted(set(self.ids)):
            session = request(web, session_id)
            if session.principal is not None:
                found[session.principal].add(session_id)
            session.commit()
        return found


def touch(session: Session) -> None:
    """Change an attribute."""
    session["n"] = session.get("n", 0) + 1


def longer(session: Session) -> None:
    """Give it another life."""
    session.max_inactive_interval = random.choice([1800, 7200, 86400, None])


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_list_is_right(nodes: list[Memcached], seed: int) -> None:
    """After requests at random, four at a time, with one node killed or hanging, lists name exactly whose is whose."""
    chance = random.Random(seed)
    crowd = Crowd(nodes, chance)
    deadline = time.monotonic() + 60
    for turn in range(6):
        node, fault = chance.choice(nodes), chance.choice(["none", "none", "kill", "hang"])
        with ThreadPoolExecutor(4) as pool:
            work = [pool.submit(crowd.visit, chance.getrandbits(32)) for _ in range(8)]
            if fault != "none":
                getattr(node, fault)()
            work += [pool.submit(crowd.visit, chance.getrandbits(32)) for _ in range(12)]
            for each in work:
                each.result(60)
        if fault != "none":
            (node.start if fault == "kill" else node.resume)()
        wait_until(lambda: all(each.name not in web.parts.health.down for web in crowd.webs for each in nodes))
        whose = crowd.look(crowd.webs[0])
        for web in crowd.webs:
            for name, ids in whose.items():
                assert listed(web, name) == len(ids), (turn, fault, name)
            age(web, 1500 * (turn + 1))
        if time.monotonic() > deadline:
            break  # a busy machine: what was seen is enough
    assert crowd.webs[1].sessions.invalidate_all("alice") == len(whose["alice"])
    assert crowd.look(crowd.webs[0]) == {"alice": set(), "bob": whose["bob"]}
