"""`session.principal`: whose a session is, and through it which sessions somebody has, on all nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from intruder import look
from locks import add, application_node, key_of, new_session, request, stored
from servers import Memcached
from webclient import SECRET, Client, Commands, bare, commands, page, sent

from sharedsession import Session, SessionMiddleware, StoreUnavailableError, TooManySessionsError, commit
from sharedsession.memcached.store import Store
from sharedsession.record import SLACK
from sharedsession.testing import in_memory


def log_in(node: SessionMiddleware, name: str = "alice", **attributes: Any) -> str:
    """Log somebody in who has no session; return its id."""
    session = request(node, "")
    session.change_id()
    session.principal = name
    session.update(attributes)
    session.commit()
    return session.id or ""


def devices(node: SessionMiddleware, name: str = "alice") -> list[object]:
    """Return the attribute `device` of every session that somebody has."""
    return [session.attributes.get("device") for session in node.sessions.of(name)]


@pytest.fixture
def web1(nodes: list[Memcached]) -> SessionMiddleware:
    """Return an application node."""
    return application_node(nodes)


@pytest.fixture
def web2(nodes: list[Memcached]) -> SessionMiddleware:
    """Return another application node over the same memcached nodes."""
    return application_node(nodes, route="web2")


# -- whose a session is ------------------------------------------------------------------------------------------------


def test_the_principal_is_saved(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """What one node sets the other reads; it is no attribute; None takes it away."""
    session_id = new_session(web1, a=1)
    assert request(web1, session_id).principal is None
    for name in ("alice", "", "ann o'neill \u2603 \ud800", "x" * 10_000, None):
        session = request(web1, session_id)
        session.principal = name
        assert session.principal == name
        session.commit()
        assert request(web2, session_id).principal == name
        assert stored(web2, session_id) == {"a": 1}
    assert devices(web2) == []


def test_only_text_names_a_principal(web1: SessionMiddleware) -> None:
    """A number, such as a primary key, is a TypeError that says so; nothing changes."""
    session = request(web1, new_session(web1))
    with pytest.raises(TypeError, match="named by text, not int"):
        session.principal = 1  # type: ignore[assignment]
    assert session.principal is None


@pytest.mark.parametrize("end", [Session.clear, Session.invalidate])
def test_logging_out_takes_it_away(web1: SessionMiddleware, end: Callable[[Session], None]) -> None:
    """After `clear()` or `invalidate()` nobody's name is on the session, and it is on nobody's list."""
    session = request(web1, log_in(web1, a=1))
    end(session)
    assert session.principal is None
    session["b"] = 2
    session.commit()
    assert session.principal is None
    assert web1.sessions.of("alice") == []


def test_a_function_that_raises_names_nobody(web1: SessionMiddleware) -> None:
    """A transaction that fails takes the principal back with everything else."""
    session = request(web1, new_session(web1))

    def fail(session: Session) -> None:
        session.principal = "alice"
        raise LookupError

    with pytest.raises(LookupError):
        session.transaction(fail)
    assert session.principal is None
    session.transaction(lambda s: setattr(s, "principal", "bob"))
    assert len(web1.sessions.of("bob")) == 1


def test_reading_costs_nothing_more(memcached: Memcached) -> None:
    """A request of a session with a principal costs what it costs without one."""
    node = application_node([memcached], page(lambda session: session["a"]))
    client = Client(node, {"JSESSIONID": log_in(node, a=1)})
    before = commands(memcached)
    assert client.get("/").text == "1"
    assert sent(memcached, before) == Commands(1, 0, 0)


def test_setting_it_again_costs_nothing(memcached: Memcached) -> None:
    """An application that sets the same principal at every request writes nothing."""
    node = application_node([memcached])
    session_id = log_in(node)
    before = commands(memcached)
    session = request(node, session_id)
    session.principal = "alice"
    session.commit()
    assert sent(memcached, before) == Commands(1, 0, 0)


# -- which sessions somebody has ---------------------------------------------------------------------------------------


def test_sessions_are_listed(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """Every node sees all sessions of a principal, the oldest log-in first, with attributes, and no one else's."""
    log_in(web1, device="phone")
    log_in(web2, device="laptop")
    log_in(web1, "bob", device="other")
    assert devices(web1) == devices(web2) == ["phone", "laptop"]
    first, second = web2.sessions.of("alice")
    assert first.logged_in_time <= second.logged_in_time
    assert first.creation_time <= first.last_accessed_time + 1
    assert first.handle != second.handle
    assert "phone" not in repr(first)


def test_looking_keeps_nothing_alive(nodes: list[Memcached], web1: SessionMiddleware) -> None:
    """Listing sessions does not start their idle time anew, and one that has expired is not listed."""
    session_id = log_in(web1)
    for node in nodes:
        node.command(f"mg {key_of(web1, session_id)} T100".encode())
    assert len(web1.sessions.of("alice")) == 1
    left = [node.command(f"mg {key_of(web1, session_id)} t".encode()) for node in nodes]
    assert [reply for reply in left if reply.startswith(b"HD t") and int(reply[4:]) > 100] == []
    for node in nodes:
        node.command(f"md {key_of(web1, session_id)}".encode())
    assert web1.sessions.of("alice") == []


def test_a_new_id_is_the_same_session(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A session that is given a new id stays listed, once, under the same handle."""
    session_id = log_in(web1, device="phone")
    before = web1.sessions.of("alice")[0].handle
    for _ in range(3):
        session = request(web2, session_id)
        session.change_id()
        session.commit()
        session_id = session.id or ""
    assert [session.handle for session in web1.sessions.of("alice")] == [before]
    assert web1.sessions.invalidate_all("alice") == 1
    assert stored(web2, session_id) == {}


def test_another_principal_takes_it_over(web1: SessionMiddleware) -> None:
    """When somebody else logs in to the same session it is theirs alone."""
    session = request(web1, log_in(web1, device="shared"))
    session.principal = "bob"
    session.commit()
    assert (devices(web1), devices(web1, "bob")) == ([], ["shared"])
    assert web1.sessions.invalidate_all("alice") == 0
    assert devices(web1, "bob") == ["shared"]


def test_memcached_does_not_tell_who_is_logged_in(nodes: list[Memcached]) -> None:
    """The key of a list cannot be guessed from a name, and with encryption nor can anything else."""
    node = application_node(nodes, encrypt=True)
    log_in(node, "alice@example.com")
    found = look(nodes)
    assert not any(b"alice" in item.key.encode() + item.value for item in found)
    assert len({item.key for item in found}) == 2


def test_lists_survive_a_new_secret(nodes: list[Memcached], web1: SessionMiddleware) -> None:
    """After a change of secret, sessions listed under the former one are found, ended and counted as before."""
    log_in(web1, device="phone")
    node = application_node(
        nodes, secret_key="a new secret of the tests", secret_key_fallbacks=[SECRET], max_sessions_per_principal=2
    )
    log_in(node, device="laptop")
    assert devices(node) == ["phone", "laptop"]
    log_in(node, device="watch")
    assert devices(node) == ["laptop", "watch"]
    assert node.sessions.invalidate_all("alice") == 2


# -- ending them -------------------------------------------------------------------------------------------------------


def test_log_out_my_other_devices(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """All of a principal's sessions end, on every node and for good, but the one that is kept, and no one else's."""
    mine, phone, laptop, bobs = log_in(web1), log_in(web1), log_in(web2), log_in(web2, "bob", a=1)
    late = request(web2, laptop)
    late["a"] = 1
    assert web1.sessions.invalidate_all("alice", keep=request(web1, mine)) == 2
    late.commit()
    assert [request(web2, each).is_new for each in (mine, phone, laptop, bobs)] == [False, True, True, False]
    assert len(web2.sessions.of("alice")) == 1
    assert web1.sessions.invalidate_all("alice") == 1
    assert web1.sessions.invalidate_all("nobody") == 0


def test_one_session_is_ended_by_its_handle(web1: SessionMiddleware, web2: SessionMiddleware) -> None:
    """A handle ends that session of that principal, once; nobody's session is ended by another name."""
    log_in(web1, device="phone")
    log_in(web1, device="laptop")
    phone = web2.sessions.of("alice")[0].handle
    assert not web2.sessions.invalidate("bob", phone)
    assert not web2.sessions.invalidate("alice", "0")
    assert web2.sessions.invalidate("alice", phone)
    assert not web2.sessions.invalidate("alice", phone)
    assert devices(web1) == ["laptop"]


@pytest.mark.parametrize("moves", [False, True])
def test_a_log_in_that_is_under_way_ends_too(
    web1: SessionMiddleware, web2: SessionMiddleware, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    """A session that is listed and not yet stored when all are ended is born dead: no client gets its id."""
    client = Client(web1)
    place, verb = (commit, "move") if moves else (Store, "create")
    original = getattr(place, verb)
    ended: list[int] = []

    def ending(store: Store, *args: Any, **kwargs: Any) -> Any:
        if store is web1.parts.store:
            ended.append(web2.sessions.invalidate_all("alice"))
        return original(store, *args, **kwargs)

    def view(session: Session) -> None:
        session["a"] = 1
        session.change_id()
        session.principal = "alice"

    web1._app = page(view)
    if moves:
        client.cookies["JSESSIONID"] = new_session(web1, b=1)
    monkeypatch.setattr(place, verb, ending)
    answer = client.get("/")
    assert ended == [0]
    assert answer.set_cookie is None
    assert web1.sessions.of("alice") == []


def test_what_cannot_be_ended_is_said(nodes: list[Memcached]) -> None:
    """While memcached is away, ending all sessions is an error, not a number; nothing is taken for ended."""
    node = application_node(nodes, timeout=0.2, connect_timeout=0.2)
    log_in(node)
    for each in nodes:
        each.kill()
    with pytest.raises(StoreUnavailableError):
        node.sessions.invalidate_all("alice")
    with pytest.raises(StoreUnavailableError):
        node.sessions.of("alice")
    with pytest.raises(StoreUnavailableError):
        log_in(node)


# -- time --------------------------------------------------------------------------------------------------------------


def make_app() -> SessionMiddleware:
    """Return an application: /login logs in as alice, / reads; sessions last half an hour."""

    def view(session: Session) -> object:
        return session.get("a")

    def log_in(session: Session) -> None:
        session["a"] = 1
        session.principal = "alice"

    login, show = page(log_in), page(view)
    return bare(lambda environ, start: (login if environ["PATH_INFO"] == "/login" else show)(environ, start))


def items_of(app: SessionMiddleware) -> dict[str, Any]:
    """Return what the store in this process holds."""
    transport: Any = app.parts.transport
    items: dict[str, Any] = transport._transport._items
    return items


def test_a_session_in_use_stays_listed() -> None:
    """However long a session is used, it is listed, though the list itself has a life; one that has expired is not."""
    app = make_app()
    used, left = Client(app), Client(app)
    with in_memory(app) as sessions:
        used.get("/login")
        left.get("/login")
        for _ in range(50):
            sessions.advance(1700)
            assert used.get("/").text == "1"
        assert len(app.sessions.of("alice")) == 1
        sessions.advance(1700)
        assert app.sessions.invalidate_all("alice") == 1


def test_a_lost_list_is_made_anew() -> None:
    """When a list was lost (evicted), a session in use is on it again within one idle life."""
    app = make_app()
    client = Client(app)
    with in_memory(app) as sessions:
        client.get("/login")
        del items_of(app)[app.parts.ids.principal_keys("alice")[0]]
        assert app.sessions.of("alice") == []
        for _ in range(3):
            sessions.advance(900)
            client.get("/")
        assert len(app.sessions.of("alice")) == 1


def test_nothing_is_left_of_expired_sessions() -> None:
    """When a principal's sessions have expired the list expires too; it does not grow with those that come and go."""
    app = make_app()
    with in_memory(app) as sessions:
        sizes = []
        for _ in range(40):
            Client(app).get("/login")
            sessions.advance(1000)
            sizes.append(len(items_of(app)[app.parts.ids.principal_keys("alice")[0]].value))
        assert max(sizes[20:]) <= max(sizes[:20])
        sessions.advance(2 * 1800 + SLACK + 1)
        Client(app).get("/")
        assert not [item for item in items_of(app).values() if item.expires > sessions.now]


def test_a_longer_life_is_listed_longer() -> None:
    """A session that is given a longer life is listed as long as it lives, without being used."""
    app = make_app()
    with in_memory(app) as sessions:
        client = Client(app)
        client.get("/login")
        app._app = page(lambda session: setattr(session, "max_inactive_interval", 86400 * 14))
        client.get("/")
        sessions.advance(86400 * 13)
        assert len(app.sessions.of("alice")) == 1


# -- limits ------------------------------------------------------------------------------------------------------------


def test_the_oldest_session_ends(nodes: list[Memcached]) -> None:
    """With a limit, a log-in above it ends the session with the oldest log-in; a log-out makes room."""
    web1, web2 = (application_node(nodes, max_sessions_per_principal=2) for _ in range(2))
    log_in(web1, device="a")
    second = log_in(web2, device="b")
    log_in(web1, device="c")
    assert devices(web2) == ["b", "c"]
    assert web1.stats()["sessions_displaced"] == 1
    session = request(web1, second)
    session.invalidate()
    session.commit()
    log_in(web2, device="d")
    assert devices(web1) == ["c", "d"]
    log_in(web2, "bob", device="e")
    assert devices(web1) == ["c", "d"]


def test_a_log_in_above_the_limit_is_refused(nodes: list[Memcached]) -> None:
    """With "refuse", commit() raises what the application can answer; the session is not stored and the others stay."""
    node = application_node(nodes, max_sessions_per_principal=2, too_many_sessions="refuse")
    for device in "ab":
        log_in(node, device=device)
    session = request(node, "")
    session.principal = "alice"
    with pytest.raises(TooManySessionsError) as raised:
        session.commit()
    assert (raised.value.limit, raised.value.code) == (2, 409)
    assert devices(node) == ["a", "b"]
    assert node.stats()["sessions_refused"] == 1
    session.principal = None
    session["a"] = 1
    session.commit()  # a visitor, nobody's session


def test_the_client_gets_a_409(nodes: list[Memcached]) -> None:
    """Where the application does not care, the client gets 409 and no cookie, and a session it had stays as it was."""

    def view(session: Session) -> None:
        session.change_id()
        session["b"] = 1
        session.principal = "alice"

    node = application_node(nodes, page(view), max_sessions_per_principal=1, too_many_sessions="refuse")
    log_in(node)
    mine = new_session(node, a=1)
    for client in (Client(node), Client(node, {"JSESSIONID": mine})):
        answer = client.get("/")
        assert (answer.status, answer.set_cookie, answer.get("Retry-After")) == (409, None, None)
        assert answer.text == TooManySessionsError.description
    assert stored(node, mine) == {"a": 1}
    assert Client(node, {"JSESSIONID": mine}).get("/", method="HEAD").body == b""


@pytest.mark.parametrize("refuse", [False, True])
def test_concurrent_log_ins_keep_the_limit(nodes: list[Memcached], refuse: bool) -> None:
    """Twenty log-ins at once through two nodes leave exactly as many sessions as are allowed."""
    options = {"max_sessions_per_principal": 3, "too_many_sessions": "refuse" if refuse else "end_oldest"}
    webs = [application_node(nodes, **options) for _ in range(2)]
    start = threading.Barrier(20)

    def enter(number: int) -> bool:
        start.wait(60)
        try:
            log_in(webs[number % 2], device=number)
        except TooManySessionsError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        allowed = list(pool.map(enter, range(20)))
    assert sum(allowed) == (3 if refuse else 20)
    assert len(webs[0].sessions.of("alice")) == len(webs[1].sessions.of("alice")) == 3


def test_a_session_that_has_a_place_keeps_it(nodes: list[Memcached]) -> None:
    """New ids, changes and log-ins of the same principal in a session that is listed never count a second time."""
    node = application_node(nodes, max_sessions_per_principal=1, too_many_sessions="refuse")
    session_id = log_in(node)
    for _ in range(3):
        session = request(node, session_id)
        session.principal = "alice"
        session.change_id()
        add(session)
        session.commit()
        session_id = session.id or ""
    assert stored(node, session_id) == {"n": 3}


# -- one fault at a time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("struck", range(3))
def test_every_acknowledged_session_is_ended(nodes: list[Memcached], struck: int) -> None:
    """Whichever node dies and comes back empty, all sessions that log-ins were told of are listed, and end."""
    webs = [application_node(nodes, timeout=1, connect_timeout=1) for _ in range(2)]
    ids = [log_in(webs[number % 2]) for number in range(6)]
    nodes[struck].kill()
    ids += [log_in(webs[number % 2]) for number in range(6)]
    nodes[struck].start()
    ids += [log_in(webs[number % 2]) for number in range(6)]
    assert len(webs[0].sessions.of("alice")) == 18
    assert webs[1].sessions.invalidate_all("alice") == 18
    assert all(request(webs[0], each).is_new for each in ids)
