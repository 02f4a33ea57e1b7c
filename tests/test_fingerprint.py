"""The option `fingerprint`: to a client that looks different a stolen id is unknown, and the session is untouched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from servers import Memcached
from webclient import SECRET, Client, Commands, bare, commands, logged_in, page, pages, put, sent, show

from sharedsession import ConfigError, Session, SessionMiddleware, get_session
from sharedsession.exchange import Visit
from sharedsession.fingerprints import user_agent
from sharedsession.guard import FINGERPRINT
from sharedsession.settings import build_config, read_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse
    from webclient import View

VIEWS: dict[str, View] = {
    "/login": put("a", 1),
    "/put": put("b", 2),
    "/show": show,
    "/clear": lambda session: session.clear(),
    "/change": lambda session: session.change_id(),
    "/logout": lambda session: session.invalidate(),
    "/transaction": lambda session: session.transaction(lambda s: s.update(n=s.get("n", 0) + 1)),
    "/none": lambda session: None,
}
OWNER = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0"
UPDATED = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/130.0.1"
THIEF = "curl/8.5.0"

#: What the function under test returns, by the User-Agent.
Function = Callable[[dict[str, Any]], Any]


def site(nodes: Any, fingerprint: Function | str | None = user_agent, **options: Any) -> SessionMiddleware:
    """Return an application with the views, bare, so that its counters can be read."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return page(VIEWS[environ["PATH_INFO"]])(environ, start_response)

    return bare(app, nodes=nodes, fingerprint=fingerprint, **options)


def stolen(owner: Client, user_agent: str = THIEF, **environ: Any) -> Client:
    """Return a client that shows the owner's id, and is another."""
    return Client(owner.app, owner.cookies, HTTP_USER_AGENT=user_agent, **environ)


def stored_in(app: SessionMiddleware, client: Client) -> dict[str, bytes]:
    """Return what the client's session holds, encoded, the library's own attributes too."""
    found: Any = app.parts.store.load(client.key, slide=False)
    return dict(found.record.live)


def test_stolen_id_is_unknown(memcached: Memcached) -> None:
    """A client with another fingerprint sees nothing, gets no cookie and changes nothing; the owner's goes on."""
    app = site(memcached.node)
    owner = logged_in(app, HTTP_USER_AGENT=OWNER)
    before = stored_in(app, owner)
    for path in ("/show", "/change", "/logout", "/clear", "/none"):
        answer = stolen(owner).get(path)
        assert (answer.status, answer.set_cookie) == (200, None), path
    assert stolen(owner).get("/show").text == "{}"
    assert stored_in(app, owner) == before
    assert owner.get("/show").text == "{'a': 1}"
    assert app.stats()["ids_fingerprint"] == 5  # /none has not looked


def test_costs_no_command_more(memcached: Memcached) -> None:
    """The check rides on the load, for the owner and for the thief."""
    owner = logged_in(site(memcached.node), HTTP_USER_AGENT=OWNER)
    for client in (owner, stolen(owner)):
        before = commands(memcached)
        client.get("/show")
        assert sent(memcached, before) == Commands(1, 0, 0)


def test_thief_gets_a_session_of_its_own(memcached: Memcached) -> None:
    """What the thief stores goes into a new session under a new id."""
    owner = logged_in(site(memcached.node), HTTP_USER_AGENT=OWNER)
    thief = stolen(owner)
    assert thief.get("/put").set_cookie is not None
    assert thief.id != owner.id
    assert (owner.get("/show").text, thief.get("/show").text) == ("{'a': 1}", "{'b': 2}")


@pytest.mark.parametrize("path", ["/put", "/clear", "/change", "/transaction", "/show"])
def test_stays_bound(memcached: Memcached, path: str) -> None:
    """Whatever the owner does to the session, a new id and a clear() too, it stays bound to the owner."""
    owner = logged_in(site(memcached.node), HTTP_USER_AGENT=OWNER)
    owner.get(path)
    thief = stolen(owner)
    thief.get("/put")
    assert thief.id != owner.id
    owner.get("/put")
    assert "'b': 2" in owner.get("/show").text
    assert stolen(owner).get("/show").text == "{}"
    assert stolen(owner, UPDATED).get("/show").text == owner.get("/show").text


@pytest.mark.parametrize("locking", ["none", "writes"])
def test_stays_bound_under_the_lock(memcached: Memcached, locking: str) -> None:
    """A clear() under the session's lock leaves the fingerprint, as it leaves the lock."""
    owner = logged_in(site(memcached.node, locking=locking), HTTP_USER_AGENT=OWNER)
    owner.get("/clear", method="POST")
    thief = stolen(owner)
    thief.get("/put", method="POST")
    assert thief.id != owner.id
    owner.get("/put", method="POST")
    assert (owner.get("/show").text, stolen(owner).get("/show").text) == ("{'b': 2}", "{}")


def test_hidden_and_hashed(memcached: Memcached) -> None:
    """The application does not see it, and memcached holds 16 bytes of a keyed hash, nothing of what was returned."""
    app = site(memcached.node, lambda environ: "a very private address")
    owner = logged_in(app)
    other = logged_in(app)
    marks = {stored_in(app, client)[FINGERPRINT] for client in (owner, other)}
    assert [len(mark) for mark in marks] == [16]
    assert owner.get("/show").text == "{'a': 1}"
    assert b"private" not in memcached.command(b"mg %b v" % owner.key.encode())
    another = site(memcached.node, lambda environ: "a very private address", secret_key="quite another secret")
    assert stored_in(another, logged_in(another))[FINGERPRINT] not in marks


def test_session_from_before(memcached: Memcached) -> None:
    """A session from before the option was on is bound by the first request that uses it, also one that only reads."""
    owner = logged_in(site(memcached.node, None), HTTP_USER_AGENT=OWNER)
    owner.app = site(memcached.node)
    before = commands(memcached)
    assert owner.get("/show").text == "{'a': 1}"
    assert sent(memcached, before) == Commands(1, 1, 0)
    assert stolen(owner).get("/show").text == "{}"
    before = commands(memcached)
    owner.get("/show")
    assert sent(memcached, before) == Commands(1, 0, 0)


def test_switched_off_again(memcached: Memcached) -> None:
    """Where the option is off a session that carries a fingerprint is anybody's, and keeps it."""
    owner = logged_in(site(memcached.node), HTTP_USER_AGENT=OWNER)
    owner.app = site(memcached.node, None)
    assert stolen(owner).get("/show").text == "{'a': 1}"
    stolen(owner).get("/clear")
    owner.app = site(memcached.node)
    stolen(owner).get("/put")
    owner.get("/put")
    assert (owner.get("/show").text, stolen(owner).get("/show").text) == ("{'b': 2}", "{}")


def test_new_secret(memcached: Memcached) -> None:
    """A change of the secret logs nobody out: what the former key hashed is written anew when it is used."""
    old, new = "the former secret", "the present secret"
    owner = logged_in(site(memcached.node, secret_key=old), HTTP_USER_AGENT=OWNER)
    owner.app = site(memcached.node, secret_key=new, secret_key_fallbacks=(old,))
    assert stolen(owner).get("/show").text == "{}"
    assert owner.get("/show").text == "{'a': 1}"
    owner.app = site(memcached.node, secret_key=new)
    assert owner.get("/show").text == "{'a': 1}"
    assert stolen(owner).get("/show").text == "{}"


def test_nothing_told() -> None:
    """None binds no session, and is not what a bound session's client looks like: a header left out is no way in."""
    app = site(None, lambda environ: environ.get("HTTP_USER_AGENT"))
    nobody = logged_in(app)
    assert FINGERPRINT not in stored_in(app, nobody)
    owner = logged_in(app, HTTP_USER_AGENT=OWNER)
    assert Client(app, owner.cookies).get("/show").text == "{}"
    assert owner.get("/show").text == "{'a': 1}"


@pytest.mark.parametrize("fault", [ValueError("secret text"), RecursionError(), "wrong type"])
def test_function_fails(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A function that fails opens no bound session and is no 500; the log says where it failed, once, not with what."""

    def seen(environ: dict[str, Any]) -> Any:
        if environ["HTTP_USER_AGENT"] == "odd" and isinstance(fault, Exception):
            raise fault
        return 1 if environ["HTTP_USER_AGENT"] == "odd" else environ["HTTP_USER_AGENT"]

    app = site(None, seen)
    owner = logged_in(app, HTTP_USER_AGENT=OWNER)
    for _ in range(3):
        answer = stolen(owner, "odd").get("/show")
        assert (answer.status, answer.text) == (200, "{}")
    assert app.stats()["hook_errors"] == 3
    lines = [line.getMessage() for line in caplog.records if "function in fingerprint" in line.getMessage()]
    assert len(lines) == 1
    assert ("test_fingerprint.py:" if isinstance(fault, Exception) else "guards.py:") in lines[0]
    assert "secret text" not in caplog.text
    fresh = Client(app, HTTP_USER_AGENT="odd")
    fresh.get("/login")
    assert fresh.get("/show").text == "{'a': 1}"


def test_asked_once_and_only_if_needed() -> None:
    """The function is asked at most once a request, and not where the session is not used or there is none."""
    asked: list[str] = []

    def seen(environ: dict[str, Any]) -> str:
        asked.append(environ["PATH_INFO"])
        return "same"

    client = Client(site(None, seen))
    client.get("/show")
    client.get("/none")
    assert asked == []
    for path in ("/login", "/show", "/put", "/change", "/transaction", "/clear"):
        client.get(path)
        assert asked == [path]
        asked.clear()
    client.get("/none")
    assert asked == []


def test_first_use_after_the_headers() -> None:
    """A body that uses the session first when the headers have left meets the same check, with all headers at hand."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/login":
            return page(put("a", 1))(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return late(get_session(environ))

    def late(session: Session) -> Iterable[bytes]:
        yield b"late "
        yield str(dict(session)).encode()

    served = bare(app, fingerprint=lambda environ: environ["HTTP_X_DEVICE"])
    owner = logged_in(served, HTTP_X_DEVICE="1")
    assert owner.get("/").text == "late {'a': 1}"
    assert owner.get("/", HTTP_X_DEVICE="2").text == "late {}"


def test_code_without_a_request(memcached: Memcached) -> None:
    """Code that opens a session by its id, without a request, is trusted, and unbinds nothing."""
    app = site(memcached.node)
    owner = logged_in(app, HTTP_USER_AGENT=OWNER)
    for change in ("clear", "update", "change"):
        visit = Visit(app.parts.policy, owner.id)
        assert not visit.session.is_new
        if change == "clear":
            visit.session.clear()
        elif change == "update":
            visit.session["c"] = 3
        else:
            visit.session.change_id()
        visit.save()
        owner.cookies["JSESSIONID"] = visit.session.id or ""
    assert owner.get("/show").text == "{'c': 3}"
    assert stolen(owner).get("/show").text == "{}"


@pytest.mark.parametrize(
    ("agent", "same"),
    [(UPDATED, True), (THIEF, False), ("", False), (OWNER.replace("Linux x86_64", "Windows NT 10.0"), False)],
)
def test_user_agent(agent: str, same: bool) -> None:
    """The ready-made function tells browsers and systems apart, not their versions."""
    assert (user_agent({"HTTP_USER_AGENT": agent}) == user_agent({"HTTP_USER_AGENT": OWNER})) is same
    assert user_agent({}) == ""


def test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In settings and environment the function is named as text."""
    monkeypatch.setenv("SHAREDSESSION_FINGERPRINT", "sharedsession.fingerprints:user_agent")
    app = SessionMiddleware(page(VIEWS["/login"]), secret_key=SECRET)
    assert app.parts.config.fingerprint == "sharedsession.fingerprints:user_agent"
    owner = logged_in(app, "/", HTTP_USER_AGENT=OWNER)
    assert FINGERPRINT in stored_in(app, owner)
    assert (
        build_config(read_environment({"SHAREDSESSION_FINGERPRINT": "none"}), {"secret_key": SECRET}).fingerprint
        is None
    )


@pytest.mark.parametrize("option", ["fingerprint", "may_create"])
@pytest.mark.parametrize(
    "named",
    ["", "nowhere", "no.such.module:f", "sharedsession.fingerprints:none", "sharedsession:__all__", ":f", "..:f", 7],
)
def test_wrong_names(option: str, named: Any) -> None:
    """What is no function, and names none, is refused when the middleware is built, with the option's name."""
    with pytest.raises(ConfigError) as caught:
        pages(VIEWS, **{option: named})
    assert caught.value.option == option


def test_mismatch_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A stolen id is a line at WARNING that gives the reason and no id."""
    owner = logged_in(site(None), HTTP_USER_AGENT=OWNER)
    for _ in range(3):
        stolen(owner).get("/show")
    found = [line for line in caplog.records if "another fingerprint" in line.getMessage()]
    assert [line.levelno for line in found] == [logging.WARNING]
    assert owner.id[:32] not in caplog.text
