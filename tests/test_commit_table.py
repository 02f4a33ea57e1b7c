"""The table of DESIGN section 6, row by row: what memcached was sent, and what the client was told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from servers import Memcached, StartMemcached
from webclient import Client, Commands, checked, commands, logged_in, page, pages, put, sent, show

from sharedsession import Session, get_session
from sharedsession.life import Life

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from webclient import View

NOTHING = "nothing"
NEW_ID = "a new id"
EXPIRED = "cookie expires"

SET = re.compile(r"JSESSIONID=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=Lax")
EXPIRE = "JSESSIONID=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/; SameSite=Lax"


class Row(NamedTuple):
    """A request, what every memcached copy is sent, what the client is told, and what the session holds then."""

    name: str
    view: View
    reads: int
    writes: int
    told: str
    holds: dict[str, object] | None


def nothing(session: Session) -> str:
    """Leave the session alone."""
    return "-"


def log_in(session: Session) -> None:
    """Make the session that every row starts with."""
    session.update(a=1, deep={"list": [1]})


def nested(session: Session) -> None:
    """Change a value in place, two levels down."""
    session["deep"]["list"].append(2)


def one_by_one(session: Session) -> None:
    """Delete every attribute."""
    for name in session:
        del session[name]


def end_and_use(session: Session) -> None:
    """Log out, and put something into the next session."""
    session.invalidate()
    session["b"] = 2


def make_and_end(session: Session) -> None:
    """Create and end a session in one request."""
    session["b"] = 2
    session.invalidate()


def put_and_take(session: Session) -> None:
    """Set and delete an attribute."""
    session["b"] = 2
    del session["b"]


def change_and_end(session: Session) -> None:
    """Change the session and log out."""
    session["a"] = 9
    session.invalidate()


def change_and_make(session: Session) -> None:
    """Ask for a new id where there is none yet, as a log-in does, then set attributes."""
    session.change_id()
    log_in(session)


def there_and_back(session: Session) -> None:
    """Change a value and change it back."""
    session["a"] = 5
    session["a"] = 1


SAME = {"a": 1, "deep": {"list": [1]}}
KNOWN = [
    Row("untouched", nothing, 0, 0, NOTHING, SAME),
    Row("read", lambda session: session["a"], 1, 0, NOTHING, SAME),
    Row("read all", show, 1, 0, NOTHING, SAME),
    Row("id read", lambda session: session.ensure_id() and "-", 1, 0, NOTHING, SAME),
    Row("changed", put("a", 2), 1, 1, NOTHING, {**SAME, "a": 2}),
    Row("changed in place", nested, 1, 1, NOTHING, {**SAME, "deep": {"list": [1, 2]}}),
    Row("same value", put("deep", {"list": [1]}), 1, 0, NOTHING, SAME),
    Row("there and back", there_and_back, 1, 0, NOTHING, SAME),
    Row("set and deleted", put_and_take, 1, 0, NOTHING, SAME),
    Row("emptied key by key", one_by_one, 1, 1, NOTHING, {}),
    Row("cleared", lambda session: session.clear(), 1, 1, NOTHING, {}),
    Row("other interval", lambda session: setattr(session, "max_inactive_interval", 60), 1, 1, NOTHING, SAME),
    Row("id changed", lambda session: session.change_id(), 1, 2, NEW_ID, SAME),
    Row("ended", lambda session: session.invalidate(), 1, 1, EXPIRED, None),
    Row("ended, then used again", end_and_use, 1, 2, NEW_ID, {"b": 2}),
    Row("changed, then ended", change_and_end, 1, 1, EXPIRED, None),
]
UNKNOWN = [
    Row("untouched", nothing, 0, 0, NOTHING, None),
    Row("read", show, 0, 0, NOTHING, None),
    Row("new", log_in, 0, 1, NEW_ID, SAME),
    Row("ensure_id only", lambda session: session.ensure_id() and "-", 0, 1, NEW_ID, {}),
    Row("created and ended", make_and_end, 0, 0, NOTHING, None),
    Row("set and deleted", put_and_take, 0, 0, NOTHING, None),
    Row("ended", lambda session: session.invalidate(), 0, 0, NOTHING, None),
    Row("cleared", lambda session: session.clear(), 0, 0, NOTHING, None),
    Row("interval only", lambda session: setattr(session, "max_inactive_interval", 60), 0, 0, NOTHING, None),
    Row("new, id changed", change_and_make, 0, 1, NEW_ID, SAME),
]


def names(rows: Iterable[Row]) -> list[str]:
    """Return what pytest calls the rows."""
    return [row.name.replace(" ", "-") for row in rows]


@pytest.fixture(params=[1, 2], ids=["one-copy", "two-copies"])
def servers(request: pytest.FixtureRequest, start_memcached: StartMemcached) -> list[Memcached]:
    """Return as many memcached servers as there are copies."""
    return [start_memcached(f"n{number + 1}") for number in range(request.param)]


def run_row(row: Row, servers: list[Memcached], client: Client) -> None:
    """Ask for the row's view; check the commands, what the client is told, and what the session holds afterwards."""
    before = [commands(server) for server in servers]
    known = dict(client.cookies)
    answer = client.get("/row")
    assert answer.status == 200
    assert [sent(server, then) for server, then in zip(servers, before, strict=True)] == [
        Commands(row.reads, row.writes, 0) for _ in servers
    ]
    if row.told == NOTHING:
        assert answer.set_cookie is None
    elif row.told == EXPIRED:
        assert answer.set_cookie == EXPIRE
    else:
        assert SET.fullmatch(answer.set_cookie or "")
        assert client.cookies != known
    assert client.get("/show").text == str((row.holds or {}, row.holds is None))


def table_app(row: Row, servers: list[Memcached]) -> Client:
    """Return a client of an application that has the row's view."""
    views: dict[str, View] = {
        "/login": log_in,
        "/row": row.view,
        "/show": lambda session: (show(session), session.is_new),
    }
    return Client(pages(views, nodes=[server.node for server in servers]))


@pytest.mark.parametrize("row", KNOWN, ids=names(KNOWN))
def test_row_of_a_known_session(row: Row, servers: list[Memcached]) -> None:
    """A request with a live session costs the commands of its row on each copy, and tells the client what it says."""
    client = table_app(row, servers)
    client.get("/login")
    run_row(row, servers, client)


@pytest.mark.parametrize("row", UNKNOWN, ids=names(UNKNOWN))
def test_row_without_a_session(row: Row, servers: list[Memcached]) -> None:
    """A request without a session costs the commands of its row on each copy, and tells the client what it says."""
    run_row(row, servers, table_app(row, servers))


def test_route_takeover(memcached: Memcached) -> None:
    """A sticky node re-issues a foreign id with its own route, without a write, until the client shows it."""
    views: dict[str, View] = {"/login": log_in, "/show": show}
    one, two = (pages(views, nodes=memcached.node, sticky=True, route=route) for route in ("web1", "web2"))
    client = logged_in(one)
    old = client.id
    assert old.endswith(".web1")

    client.app = two
    before = commands(memcached)
    answer = client.get("/show")
    assert answer.text == str(SAME)
    assert client.id == old.replace(".web1", ".web2")
    assert client.get("/show", cookie=f"JSESSIONID={old}").set_cookie is not None
    assert client.get("/show").set_cookie is None
    assert sent(memcached, before) == Commands(3, 0, 0)


def test_foreign_route_without_sticky(memcached: Memcached) -> None:
    """Unless sticky, an id with another node's route is served and stays as it is, also when the session changes."""
    views: dict[str, View] = {"/login": log_in, "/show": show, "/put": put("a", 2)}
    client = logged_in(pages(views, nodes=memcached.node, route="web1"))
    client.app = pages(views, nodes=memcached.node, route="web2")
    assert client.get("/put").set_cookie is None
    assert client.get("/show").text == str({**SAME, "a": 2})


def test_old_signing_key(memcached: Memcached) -> None:
    """An id under a former key is re-issued for the same record, and works when that key is gone."""
    views: dict[str, View] = {"/login": log_in, "/show": show}
    old_key, new_key = "the former secret", "the present secret"
    client = logged_in(pages(views, nodes=memcached.node, secret_key=old_key))
    old = client.id

    client.app = pages(views, nodes=memcached.node, secret_key=new_key, secret_key_fallbacks=(old_key,))
    before = commands(memcached)
    assert client.get("/show").text == str(SAME)
    assert sent(memcached, before) == Commands(1, 1, 0)
    assert client.id != old
    assert client.id[:32] == old[:32]
    assert memcached.stats()["curr_items"] == 1

    client.app = pages(views, nodes=memcached.node, secret_key=new_key)
    assert client.get("/show").text == str(SAME)
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_application_raised(memcached: Memcached) -> None:
    """An application that raises before its response has stored nothing."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        get_session(environ)["a"] = 1
        raise LookupError("broken")

    before = commands(memcached)
    with pytest.raises(LookupError, match="broken"):
        Client(checked(app, nodes=memcached.node)).get("/")
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_ended_meanwhile(memcached: Memcached) -> None:
    """A slow request whose session is ended by another neither brings it back nor tells the client anything."""

    def slow(session: Session) -> None:
        session["late"] = session["a"]
        assert client.get("/logout").set_cookie == EXPIRE

    views: dict[str, View] = {
        "/login": log_in,
        "/logout": lambda session: session.invalidate(),
        "/slow": slow,
        "/show": show,
    }
    client = logged_in(pages(views, nodes=memcached.node))
    cookie = f"JSESSIONID={client.id}"
    assert client.get("/slow").set_cookie is None
    assert client.get("/show", cookie=cookie).text == "{}"


def test_changed_meanwhile(memcached: Memcached) -> None:
    """Two requests that overlap and change different attributes both count."""

    def slow(session: Session) -> None:
        session["slow"] = session["a"]
        client.get("/fast")

    views: dict[str, View] = {"/login": put("a", 1), "/fast": put("fast", 2), "/slow": slow, "/show": show}
    client = logged_in(pages(views, nodes=memcached.node))
    client.get("/slow")
    assert client.get("/show").text == str({"a": 1, "fast": 2, "slow": 1})


def test_stored_before_the_headers_leave(memcached: Memcached) -> None:
    """When the server gets the headers, memcached has the session already."""
    app = checked(page(log_in), nodes=memcached.node)
    seen: list[int] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Any:
        seen.append(commands(memcached).writes)
        return lambda data: None

    result: Any = app(Client(app).environ(), start_response)
    assert list(result) == [b"None"]
    result.close()
    assert seen == [1]


@pytest.mark.parametrize("path", ["/login", "/ensure"])
@pytest.mark.parametrize("why", ["from another site", "refused"])
def test_withheld_rows(memcached: Memcached, path: str, why: str) -> None:
    """A new session that another site's POST makes, or that may_create refuses, costs no command and sets no cookie."""
    views: dict[str, View] = {"/login": log_in, "/ensure": lambda session: session.ensure_id() and "-"}
    client = Client(pages(views, nodes=memcached.node, may_create=lambda environ: why != "refused"))
    says = {} if why == "refused" else {"HTTP_SEC_FETCH_SITE": "cross-site"}
    before = commands(memcached)
    answer = client.get(path, method="POST", **says)
    assert (answer.status, answer.set_cookie) == (200, None)
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_max_age_row(memcached: Memcached) -> None:
    """With max_age a read or a change sends the same id with a new age; an untouched request sends nothing."""
    views: dict[str, View] = {"/login": log_in, "/show": show, "/put": put("a", 2), "/none": nothing}
    client = logged_in(pages(views, nodes=memcached.node, cookie={"max_age": 600}))
    expected = re.compile(rf"JSESSIONID={client.id}; (Expires=[^;]+; )?Max-Age=600; HttpOnly; Path=/; SameSite=Lax")
    assert expected.fullmatch(client.get("/show").set_cookie or "")
    assert expected.fullmatch(client.get("/put").set_cookie or "")
    assert client.get("/none").set_cookie is None


@pytest.mark.parametrize("cookie", [{}, {"max_age": 600}], ids=["no age", "age"])
@pytest.mark.parametrize("path", ["/read", "/nothing", "/changed in place", "/set"])
def test_the_short_way_is_the_table_s(path: str, cookie: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only reads does not walk the table; what is stored and what the client is told is the same as if it did."""
    views: dict[str, View] = {
        "/login": lambda session: session.update(a=[1], b=1),
        "/read": lambda session: (session["a"], session["b"]),
        "/nothing": lambda session: None,
        "/changed in place": lambda session: session["a"].append(2),
        "/set": put("b", 2),
        "/show": show,
    }

    def told() -> tuple[list[str], str]:
        client = logged_in(pages(views, cookie=cookie))
        names = [name for name, _ in client.get(path).headers]
        return names, client.get("/show").text

    short = told()
    monkeypatch.setattr(Life, "_only_read", lambda _: False)
    assert told() == short
