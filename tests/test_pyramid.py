"""Pyramid: request.session of real Pyramid applications, over memcached on two nodes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyramid.authentication import SessionAuthenticationHelper, SessionAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy
from pyramid.config import Configurator
from pyramid.csrf import LegacySessionCSRFStoragePolicy, SessionCSRFStoragePolicy, get_csrf_token
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.interfaces import IDict, ISession, ISessionFactory
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import forget, remember
from servers import Memcached, StartMemcached
from webclient import Commands, checked, commands, sent
from werkzeug.test import Client, TestResponse
from zope.interface.verify import verifyObject

from sharedsession import ConfigError, SessionMiddleware, get_session
from sharedsession.pyramid import PyramidSession, session_factory
from sharedsession.testing import in_memory

View = Callable[[Any], object]


@pytest.fixture
def memcacheds(start_memcached: StartMemcached) -> list[Memcached]:
    """Return two running memcached nodes."""
    return [start_memcached("n1"), start_memcached("n2")]


def application(views: dict[str, View], setup: Callable[[Any], None] = lambda config: None) -> Any:
    """Return a Pyramid application without a middleware; what a view returns that is no response is shown as text."""
    config = Configurator(session_factory=session_factory)
    setup(config)
    for path, view in views.items():
        config.add_route(path, path)
        config.add_view(_shown(view), route_name=path)
    return config.make_wsgi_app()


def _shown(view: View) -> View:
    def respond(request: Any) -> Any:
        result = view(request)
        return result if isinstance(result, Response) else Response(str(result), content_type="text/plain")

    return respond


class Site:
    """One browser, and two application nodes that serve the same views.

    Args:
        memcacheds: where both keep their sessions.
        views: path -> view.
        setup: configures each application further.
    """

    def __init__(
        self, memcacheds: list[Memcached], views: dict[str, View], setup: Callable[[Any], None] = lambda config: None
    ) -> None:
        nodes = " ".join(server.node for server in memcacheds)
        self._nodes = [
            checked(application(views, setup), nodes=nodes, route=route, timeout=5) for route in ("web1", "web2")
        ]
        self._browser = Client(self._nodes[0])

    def get(self, path: str, *, node: int = 1) -> TestResponse:
        """Ask node 1 or 2."""
        self._browser.application = self._nodes[node - 1]
        return self._browser.get(path, buffered=True)

    def post(self, path: str, *, node: int = 1, **form: str) -> TestResponse:
        """Send a form to node 1 or 2."""
        self._browser.application = self._nodes[node - 1]
        return self._browser.post(path, data=form, buffered=True)

    def get_as(self, session_id: str, path: str) -> str:
        """Ask as somebody else who holds an id; return the answer's text."""
        other = Client(self._nodes[0])
        other.set_cookie("JSESSIONID", session_id)
        return other.get(path, buffered=True).text

    @property
    def id(self) -> str:
        """The id that the browser holds; "" for none."""
        cookie = self._browser.get_cookie("JSESSIONID")
        return cookie.value if cookie else ""


# -- the interface ---------------------------------------------------------------------------------------------------


def verified(request: Any) -> bool:
    """Check the session against Pyramid's interfaces; `tentative` would not ask for its attributes."""
    assert verifyObject(IDict, request.session)
    return bool(verifyObject(ISession, request.session))


def test_session_is_an_isession(memcacheds: list[Memcached]) -> None:
    """A new session and a stored one are what Pyramid calls a session, and the factory what it calls a factory."""
    site = Site(memcacheds, {"/": verified, "/put": lambda request: request.session.update(a=1)})
    assert site.get("/").text == "True"
    site.get("/put")
    assert site.get("/", node=2).text == "True"
    assert verifyObject(ISessionFactory, session_factory, tentative=True)


def test_created_and_new(memcacheds: list[Memcached]) -> None:
    """`new` is true until the session is stored; `created` is a whole number of seconds that stays as it is."""

    def view(request: Any) -> str:
        session = request.session
        assert session.created == int(session.creation_time)
        assert type(session.created) is int
        session["a"] = 1
        return f"{session.created} {session.new}"

    site = Site(memcacheds, {"/": view})
    created = site.get("/").text.removesuffix(" True")
    assert site.get("/", node=2).text == f"{created} False"


def test_a_change_inside_a_value_needs_no_changed(memcacheds: list[Memcached]) -> None:
    """Nested changes are saved whether the application calls changed(), as Pyramid asks for, or not."""

    def add(request: Any) -> None:
        request.session.setdefault("list", []).append(len(request.session["list"]))
        if "changed" in request.params:
            request.session.changed()

    site = Site(memcacheds, {"/add": add, "/show": lambda request: request.session["list"]})
    for path in ("/add", "/add", "/add?changed=1"):
        site.get(path)
    assert site.get("/show", node=2).text == "[0, 1, 2]"


def test_invalidate(memcacheds: list[Memcached]) -> None:
    """invalidate() ends the session on every node, and what is put in afterwards is in a new one."""
    views: dict[str, View] = {
        "/put": lambda request: request.session.update(a=1),
        "/end": lambda request: request.session.invalidate(),
        "/renew": lambda request: (request.session.invalidate(), request.session.update(b=2)),
        "/show": lambda request: dict(request.session),
    }
    site = Site(memcacheds, views)
    site.get("/put")
    first = site.id
    site.get("/renew", node=2)
    assert site.id not in ("", first)
    assert site.get("/show").text == "{'b': 2}"
    assert site.get_as(first, "/show") == "{}"
    site.get("/end")
    assert site.id == ""


def test_it_is_the_middlewares_session(memcacheds: list[Memcached]) -> None:
    """request.session and get_session(environ) are the same session, with everything that one can do."""

    def view(request: Any) -> object:
        assert isinstance(request.session, PyramidSession)
        get_session(request.environ)["a"] = 1
        request.session.transaction(lambda session: session.update(n=session.get("n", 0) + session["a"]))
        return request.session.copy()

    site = Site(memcacheds, {"/": view})
    site.get("/")
    assert site.get("/", node=2).text == "{'a': 1, 'n': 2}"


def test_what_was_done_by_way_of_the_middleware_is_known(memcacheds: list[Memcached]) -> None:
    """What a tween has done with the session before the view, request.session tells too; it takes no attributes."""

    def view(request: Any) -> object:
        by_environ = get_session(request.environ)
        by_environ["a"] = [1]
        told = request.session.accessed, request.session.modified, "in use" in repr(request.session)
        by_environ["a"].append(object())
        with pytest.raises(TypeError):
            request.session.check_values()
        with pytest.raises(AttributeError):
            request.session.user = "alice"
        return told

    assert Site(memcacheds, {"/": view}).get("/").text == "(True, True, True)"


def test_an_untouched_session_costs_nothing(memcacheds: list[Memcached]) -> None:
    """A request that takes request.session and leaves it alone asks memcached nothing."""
    views: dict[str, View] = {
        "/put": lambda request: request.session.update(a=1),
        "/none": lambda request: repr(request.session),
    }
    site = Site(memcacheds, views)
    site.get("/put")
    before = [commands(server) for server in memcacheds]
    assert site.get("/none").text == "<PyramidSession not loaded>"
    after = [sent(server, count) for server, count in zip(memcacheds, before, strict=True)]
    assert after == [Commands(0, 0, 0)] * 2


# -- flash messages ----------------------------------------------------------------------------------------------------

FLASH: dict[str, View] = {
    "/flash": lambda request: request.session.flash(request.params["m"], request.params.get("q", "")),
    "/once": lambda request: request.session.flash(request.params["m"], allow_duplicate=False),
    "/peek": lambda request: request.session.peek_flash(request.params.get("q", "")),
    "/pop": lambda request: request.session.pop_flash(request.params.get("q", "")),
}


def test_flash_messages_wait_for_the_next_page(memcacheds: list[Memcached]) -> None:
    """Messages stay in their order and their queue until they are popped, on whichever node, and are then gone."""
    site = Site(memcacheds, FLASH)
    for path, node in (("/flash?m=1", 1), ("/flash?m=2", 2), ("/flash?m=3&q=errors", 1)):
        site.get(path, node=node)
    assert [site.get("/peek", node=node).text for node in (1, 2)] == ["['1', '2']"] * 2
    assert site.get("/pop", node=2).text == "['1', '2']"
    assert [site.get("/peek", node=node).text for node in (1, 2)] == ["[]"] * 2
    assert site.get("/pop?q=errors").text == "['3']"
    assert site.get("/pop?q=errors").text == "[]"


def test_duplicate_flash_messages(memcacheds: list[Memcached]) -> None:
    """The same message twice is in the queue twice, unless allow_duplicate says otherwise."""
    site = Site(memcacheds, FLASH)
    for path in ("/flash?m=1", "/flash?m=1", "/once?m=1", "/once?m=2", "/once?m=2"):
        site.get(path)
    assert site.get("/pop").text == "['1', '1', '2']"


# -- CSRF --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, LegacySessionCSRFStoragePolicy, SessionCSRFStoragePolicy])
def test_csrf_tokens(memcacheds: list[Memcached], policy: Any) -> None:
    """A form is taken with the session's CSRF token only, on either node, with each of Pyramid's policies for it."""

    def setup(config: Any) -> None:
        config.set_default_csrf_options(require_csrf=True)
        if policy is not None:
            config.set_csrf_storage_policy(policy())

    site = Site(memcacheds, {"/form": get_csrf_token, "/send": lambda request: "taken"}, setup)
    token = site.get("/form").text
    assert len(token) >= 32
    assert site.get("/form", node=2).text == token
    assert site.post("/send", node=2, csrf_token=token).text == "taken"
    for wrong in ("", "x" * len(token)):
        assert site.post("/send", node=2, csrf_token=wrong).status_code == 400
    assert site.get_as("", "/form") != token


def test_a_new_csrf_token_replaces_the_old_one(memcacheds: list[Memcached]) -> None:
    """new_csrf_token(), to be called at log-in, makes another token, which is the session's from then on."""
    views: dict[str, View] = {
        "/form": lambda request: request.session.get_csrf_token(),
        "/new": lambda request: request.session.new_csrf_token(),
    }
    site = Site(memcacheds, views)
    first, second = site.get("/form").text, site.get("/new", node=2).text
    assert first != second
    assert site.get("/form").text == second


# -- authentication ----------------------------------------------------------------------------------------------------


class SecurityPolicy:
    """Logs in as docs/wsgi.md shows: with a new id; and out with the end of the session."""

    def __init__(self) -> None:
        self._helper = SessionAuthenticationHelper()

    def authenticated_userid(self, request: Any) -> Any:
        """Return who is logged in."""
        return self._helper.authenticated_userid(request)

    def identity(self, request: Any) -> Any:
        """Return the same: there are no accounts here."""
        return self.authenticated_userid(request)

    def permits(self, request: Any, context: Any, permission: str) -> bool:
        """Let those in who are logged in."""
        return self.authenticated_userid(request) is not None

    def remember(self, request: Any, userid: str, **kw: Any) -> Any:
        """Log in."""
        request.session.change_id()
        return self._helper.remember(request, userid, **kw)

    def forget(self, request: Any, **kw: Any) -> Any:
        """Log out."""
        request.session.invalidate()
        return self._helper.forget(request, **kw)


def legacy(config: Any) -> None:
    """Configure Pyramid's policy of old, which applications still have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        config.set_authentication_policy(SessionAuthenticationPolicy())
        config.set_authorization_policy(ACLAuthorizationPolicy())


ACCOUNT: dict[str, View] = {
    "/cart": lambda request: request.session.update(cart=["tea"]),
    "/login": lambda request: HTTPSeeOther("/who", headers=remember(request, "mia")),
    "/logout": lambda request: HTTPSeeOther("/who", headers=forget(request)),
    "/who": lambda request: f"{request.authenticated_userid} {request.session.get('cart')}",
}


@pytest.mark.parametrize("setup", [lambda config: config.set_security_policy(SecurityPolicy()), legacy])
def test_log_in_and_out(memcacheds: list[Memcached], setup: Callable[[Any], None]) -> None:
    """Who logs in on one node is known on the other, and after the log-out on none."""
    site = Site(memcacheds, ACCOUNT, setup)
    site.get("/cart")
    site.get("/login")
    assert [site.get("/who", node=node).text for node in (1, 2)] == ["mia ['tea']"] * 2
    known = site.id
    site.get("/logout", node=2)
    assert [site.get("/who", node=node).text.split()[0] for node in (1, 2)] == ["None"] * 2
    assert site.get_as(known, "/who").startswith("None")


def test_log_in_changes_the_id(memcacheds: list[Memcached]) -> None:
    """With change_id() in remember() the id from before the log-in is worth nothing, and the cart is still there."""
    site = Site(memcacheds, ACCOUNT, lambda config: config.set_security_policy(SecurityPolicy()))
    site.get("/cart")
    before = site.id
    site.get("/login", node=2)
    assert site.id not in ("", before)
    assert site.get_as(before, "/who") == "None None"
    assert site.get_as(site.id, "/who") == "mia ['tea']"


# -- sub-requests ------------------------------------------------------------------------------------------------------


def test_a_sub_request_shares_the_session(memcacheds: list[Memcached]) -> None:
    """A sub-request that is given the session reads and changes the same one; without it there is none."""

    def outer(request: Any) -> Any:
        request.session["outer"] = 1
        inner = Request.blank("/inner")
        with pytest.raises(ConfigError, match="no session"):
            request.invoke_subrequest(Request.blank("/inner"))
        inner.session = request.session
        return request.invoke_subrequest(inner)

    def put(request: Any) -> object:
        request.session["inner"] = request.session["outer"] + 1
        return "done"

    site = Site(memcacheds, {"/outer": outer, "/inner": put, "/show": lambda request: dict(request.session)})
    assert site.get("/outer").text == "done"
    assert site.get("/show", node=2).text == "{'outer': 1, 'inner': 2}"


# -- errors and faults -------------------------------------------------------------------------------------------------


def test_without_the_middleware() -> None:
    """Without a SessionMiddleware around the application the first access says what to write."""
    client = Client(application({"/": lambda request: request.session}))
    with pytest.raises(ConfigError, match=r"SessionMiddleware\(config\.make_wsgi_app\(\), \.\.\.\)"):
        client.get("/")


def test_under_an_ignored_path() -> None:
    """Where ignore_paths has it that there is no session, an access says so."""
    app = application({"/static/": lambda request: request.session, "/": lambda request: dict(request.session)})
    client = Client(checked(app, ignore_paths=("/static",)))
    assert client.get("/", buffered=True).text == "{}"
    with pytest.raises(ConfigError, match="ignore_paths"):
        client.get("/static/")


def broken(request: Any) -> None:
    """Put something into the session, and fail."""
    request.session["a"] = 1
    raise LookupError("broken")


def test_what_a_failed_view_stored(memcacheds: list[Memcached]) -> None:
    """What a view put into the session before it raised is there when an exception view has made the answer."""

    def setup(config: Any) -> None:
        config.add_exception_view(_shown(lambda request: dict(request.session)), context=LookupError)

    site = Site(memcacheds, {"/broken": broken, "/show": lambda request: dict(request.session)}, setup)
    assert site.get("/broken").text == "{'a': 1}"
    assert site.get("/show", node=2).text == "{'a': 1}"


@pytest.mark.parametrize("view_for_everything", [False, True])
def test_memcached_away(memcacheds: list[Memcached], view_for_everything: bool) -> None:
    """With no memcached node the answer is 503, also where an exception view makes a 500 of it; the cookie stays."""

    def answer_500(request: Any) -> Any:
        request.response.status_int = 500
        return request.response

    def setup(config: Any) -> None:
        if view_for_everything:
            config.add_exception_view(answer_500, context=Exception)

    views: dict[str, View] = {
        "/put": lambda request: request.session.update(a=1),
        "/show": lambda request: dict(request.session),
    }
    site = Site(memcacheds, views, setup)
    site.get("/put")
    known = site.id
    memcacheds[0].kill()
    assert site.get("/show", node=2).text == "{'a': 1}"
    memcacheds[1].kill()
    for path in ("/show", "/put"):
        answer = site.get(path)
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (503, [])
    assert site.id == known


def test_changes_while_the_body_is_sent(memcacheds: list[Memcached]) -> None:
    """What an app_iter changes in the session is saved when the response is closed."""

    def body(session: Any) -> Iterator[bytes]:
        yield b"first"
        session["late"] = 1

    def stream(request: Any) -> Any:
        request.session["early"] = 1
        return Response(app_iter=body(request.session), content_type="text/plain")

    site = Site(memcacheds, {"/": stream, "/show": lambda request: sorted(request.session)})
    assert site.get("/").text == "first"
    assert site.get("/show", node=2).text == "['early', 'late']"


# -- set-up and tests --------------------------------------------------------------------------------------------------


def test_include() -> None:
    """config.include("sharedsession.pyramid") sets the session factory."""
    with Configurator() as config:
        config.include("sharedsession.pyramid")
        config.add_route("home", "/")
        config.add_view(_shown(lambda request: type(request.session).__name__), route_name="home")
    assert Client(checked(config.make_wsgi_app())).get("/", buffered=True).text == "PyramidSession"


def test_testing() -> None:
    """sharedsession.testing works for a Pyramid application: it is given the middleware."""
    app = SessionMiddleware(application(ACCOUNT), secret_key="x" * 32, nodes="n1:192.0.2.1")
    with in_memory(app) as sessions:
        client = Client(app)
        client.set_cookie(sessions.cookie_name, sessions.create({"cart": ["cake"]}))
        assert client.get("/who").text == "None ['cake']"
        client.get("/cart")
        assert sessions.all() == [{"cart": ["tea"]}]


def test_the_factory_needs_only_an_environ() -> None:
    """The session is found for any object with an environ, such as the request of a tween or of WebOb."""
    seen: list[PyramidSession] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(session_factory(SimpleNamespace(environ=environ)))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    Client(checked(app)).get("/", buffered=True)
    assert seen[0].is_new
