"""The examples in docs/wsgi.md do what the page says; their memcached nodes are out of reach here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from werkzeug.test import Client

from sharedsession import SessionMiddleware
from sharedsession.testing import in_memory

PAGE = Path(__file__).parent.parent / "docs" / "wsgi.md"
EXAMPLES: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(mark: str, **names: Any) -> dict[str, Any]:
    """Execute the only example that holds `mark`; return its names."""
    (example,) = (example for example in EXAMPLES if mark in example)
    exec(compile(example, PAGE.name, "exec"), names)
    return names


@pytest.mark.parametrize("mark", ["def app(environ", "from bottle", "import Configurator"])
def test_counting_visits(mark: str) -> None:
    """The examples for plain WSGI, Bottle and Pyramid count the visits of one client, for two memcached nodes."""
    application = run(mark)["application"]
    assert [node.name for node in application.health()] == ["n1", "n2"]
    with in_memory(application):
        client = Client(application)
        assert [client.get("/").text for _ in "12"] == ["You were here 1 times.", "You were here 2 times."]
        assert Client(application).get("/").text == "You were here 1 times."


def test_a_mounted_bottle_application_has_the_same_session() -> None:
    """What is mounted into the Bottle example by app.mount counts the same client's visits."""
    names = run("from bottle")
    names["app"].mount("/inside/", run("from bottle")["app"])
    with in_memory(names["application"]) as sessions:
        client = Client(names["application"])
        client.get("/")
        assert client.get("/inside/").text == "You were here 2 times."
        assert len(sessions.all()) == 1


def test_pyramids_log_in() -> None:
    """The security policy for Pyramid gives the session a new id at log-in, and ends it at log-out."""
    from pyramid.response import Response
    from pyramid.security import forget, remember

    policy = run("class SecurityPolicy")["SecurityPolicy"]

    def visits(request: Any) -> Any:
        if "login" in request.params:
            remember(request, "mia")
        if "logout" in request.params:
            forget(request)
        return Response(str(request.authenticated_userid))

    example = run("import Configurator")
    with example["config"] as config:
        config.set_security_policy(policy())
        config.add_route("who", "/who")
        config.add_view(visits, route_name="who")
    application = SessionMiddleware(config.make_wsgi_app(), secret_key="x" * 32)
    with in_memory(application) as sessions:
        client = Client(application)
        client.set_cookie(sessions.cookie_name, before := sessions.create({"cart": 1}))
        assert client.get("/who?login=1").text == "mia"
        assert client.get("/who").text == "mia"
        assert sessions.get(before) is None
        (session,) = sessions.all()
        assert session["cart"] == 1
        assert client.get("/who?logout=1").text == "None"
        assert sessions.all() == []


def test_behind_a_proxy() -> None:
    """With trusted_proxies=1 the scheme that one proxy tells makes the cookie Secure."""
    application = run("trusted_proxies=1", app=run("def app(environ")["app"], SessionMiddleware=SessionMiddleware)[
        "application"
    ]
    for scheme, secure in (("https", True), ("http", False)):
        answer = Client(application).get("/", headers={"X-Forwarded-Proto": scheme})
        assert ("Secure" in answer.headers["Set-Cookie"]) == secure


class Beaker:
    """Stands for Beaker's middleware: one session under one id, deleted by `delete()`."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self._app = app
        self.sessions = {"known": {"user": "mia", "_creation_time": 1.5, "cart": ["tea"]}}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        session_id = environ.get("HTTP_COOKIE", "").partition("beaker.session.id=")[2].partition(";")[0]
        environ["beaker.session"] = session = BeakerSession(self.sessions.get(session_id, {}))
        session.delete = lambda: self.sessions.pop(session_id, None)
        return self._app(environ, start_response)


class BeakerSession(dict[str, Any]):
    """What Beaker puts into environ."""

    delete: Any


def test_taking_over_from_beaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of Beaker's is carried over once, and only goes there when it is stored here."""
    module: Any = ModuleType("beaker.middleware")
    module.SessionMiddleware = Beaker
    monkeypatch.setitem(sys.modules, "beaker", ModuleType("beaker"))
    monkeypatch.setitem(sys.modules, "beaker.middleware", module)
    app = run("def app(environ")["app"]
    beaker = run("def take_over", app=app)["application"]
    known = SimpleNamespace(cookie="beaker.session.id", value="known")
    with in_memory(beaker._app) as sessions:
        client = Client(beaker)
        client.set_cookie(known.cookie, known.value)
        with sessions.unavailable():
            assert client.get("/").status_code == 503
        assert beaker.sessions
        assert client.get("/").text == "You were here 1 times."
        assert not beaker.sessions
        assert sessions.all() == [{"user": "mia", "cart": ["tea"], "visits": 1}]
        assert client.get("/").text == "You were here 2 times."
        assert Client(beaker).get("/").text == "You were here 1 times."
