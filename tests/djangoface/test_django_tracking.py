"""Django: ids that travel by URL and hidden field, under any mount, with and without a WSGI middleware around."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template import Context, RequestContext, Template
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from djangoface import MIDDLEWARE
from djangoface.conftest import Serve, Settings
from djangoface.project import VIEWS, Browser, log_in, put, show, stored
from sharedsession import ConfigError, SessionConfig, SessionMiddleware
from sharedsession.django import SessionStore, encode_url, get_session, hidden_field

URL = {"tracking": ("cookie", "url")}
ALL = {"tracking": ("cookie", "url", "form"), "parameter": "sid"}
CRAWLER = {"HTTP_USER_AGENT": "Examplebot/1.0"}


def paths(request: HttpRequest, name: str = "") -> HttpResponse:
    """Show every form in which the application sees its path, and the session."""
    meta = request.META
    seen = [request.path, request.path_info, meta["PATH_INFO"], meta.get("REQUEST_URI"), request.get_full_path()]
    seen += [request.build_absolute_uri(), name, request.session.get("a")]
    return HttpResponse(repr(seen))


def linking(request: HttpRequest) -> str:
    """Show a page with a link, an outside link and a hidden field, by template tags."""
    request.session["a"] = 1
    template = Template(
        "{% load sharedsession %}{% url 'paths' name='x' as there %}"
        "{% encode_url there %} {% encode_url '/show?a=1&amp;b=2' %} {% encode_url 'https://else.example/?c&d' %}"
        " {% hidden_field %}"
    )
    return template.render(RequestContext(request))


PATHS = path("at/<str:name>", paths, name="paths")


def new_id(browser: Browser) -> str:
    """Return the id of a session that was made for this."""
    browser.get("/put")
    return browser.id


# -- URLs --------------------------------------------------------------------------------------------------------------


def test_id_in_the_url(serve: Serve) -> None:
    """A client without cookies keeps its session by the id in the URL; the application never sees it."""
    sid = new_id(serve({}, None, PATHS, **URL))
    answer = Browser(REQUEST_URI=f"/at/x;jsessionid={sid}?q=1").get(f"/at/x;jsessionid={sid}?q=1")
    seen = ["/at/x", "/at/x", "/at/x", "/at/x?q=1", "/at/x?q=1", "http://localhost/at/x?q=1", "x", 1]
    assert answer.text == repr(seen)


@pytest.mark.parametrize("name", ["café", "日本", "a b", "%", "a;v=1"])
def test_any_path(serve: Serve, name: str) -> None:
    """Paths beyond ASCII, and with parameters of their own, are what they are without the id."""
    sid = new_id(serve({}, None, PATHS, **URL))
    plain = Browser().get("/at/x", PATH_INFO=f"/at/{name}".encode().decode("latin-1"))
    answer = Browser().get("/at/x", PATH_INFO=f"/at/{name};jsessionid={sid}".encode().decode("latin-1"))
    assert plain.status == 200
    assert answer.text == plain.text.replace("None]", "1]")


def test_without_url_tracking(serve: Serve) -> None:
    """Where it is not switched on, the parameter is part of the path and no id."""
    sid = new_id(serve({}, None, PATHS))
    answer = Browser().get(f"/at/x;jsessionid={sid}")
    assert f"'x;jsessionid={sid}', None]" in answer.text


@pytest.mark.parametrize("forced", [False, True])
def test_mounted(serve: Serve, forced: bool) -> None:
    """Under a mount point, told by the server or by FORCE_SCRIPT_NAME, links and the cookie stay inside of it."""
    settings = {"FORCE_SCRIPT_NAME": "/shop/é"} if forced else {}
    mount: dict[str, Any] = {} if forced else {"SCRIPT_NAME": "/shop/é".encode().decode("latin-1")}
    serve({"link": linking}, settings, PATHS, **URL)
    browser = Browser(**mount)
    answer = browser.get("/link")
    assert "; Path=/shop/%C3%A9;" in (answer.set_cookie or "")
    assert answer.text.split()[:2] == [f"/shop/%C3%A9/at/x;jsessionid={browser.id}", "/show?a=1&amp;b=2"]
    answer = Browser(**mount).get(f"/at/x;jsessionid={browser.id}")
    assert answer.text.startswith("['/shop/é/at/x', '/at/x', '/at/x'")
    assert answer.text.endswith("'x', 1]")


def test_links(serve: Serve) -> None:
    """The template tags give ids to a client that has shown no cookie, escaped as HTML, and to no other site."""
    browser = serve({"link": linking}, None, PATHS, **ALL)
    answer = browser.get("/link")
    field = f'<input type="hidden" name="sid" value="{browser.id}">'
    links = f"/at/x;sid={browser.id} /show;sid={browser.id}?a=1&amp;b=2 https://else.example/?c&amp;d"
    assert answer.text == f"{links} {field}"
    assert (answer.get("Referrer-Policy"), answer.get("Cache-Control")) == ("same-origin", "private")
    plain = "/at/x /show?a=1&amp;b=2 https://else.example/?c&amp;d "
    assert browser.get("/link").text == plain
    assert Browser(**CRAWLER).get("/link").text == plain  # type: ignore[arg-type]


def test_links_in_views(serve: Serve) -> None:
    """Views have the same as functions of the request."""

    def view(request: HttpRequest) -> str:
        request.session["a"] = 1
        return f"{encode_url(request, '/show')} {hidden_field(request)}"

    browser = serve({"view": view}, **ALL)
    first = browser.get("/view").text
    assert first == f'/show;sid={browser.id} <input type="hidden" name="sid" value="{browser.id}">'
    assert browser.get("/view").text == "/show "
    assert encode_url(HttpRequest(), "/show") == "/show"
    assert hidden_field(HttpRequest()) == ""


def test_tags_without_request(change: Settings) -> None:
    """Where the context has no request, as in a mail, the tags leave URLs alone and write no field."""
    template = Template("{% load sharedsession %}{% encode_url '/show' %}{% hidden_field %}")
    assert template.render(Context({})) == "/show"


def test_redirects(serve: Serve) -> None:
    """Redirects carry the id by themselves, those that Django makes too; not to another site."""

    def go(request: HttpRequest) -> HttpResponseRedirect:
        request.session["a"] = 1
        return HttpResponseRedirect(request.GET["to"])

    serve({"go": go, "folder/": show}, None, PATHS, **URL)
    browser = Browser()
    location = browser.get("/go?to=/show").get("Location")
    assert location == f"/show;jsessionid={browser.id}"
    assert Browser().get(location).text == "{'a': 1}"
    assert Browser().get("/go?to=https://else.example/").get("Location") == "https://else.example/"
    slash = Browser().get(f"/folder;jsessionid={browser.id}").get("Location")
    assert slash == f"/folder/;jsessionid={browser.id}"
    assert Browser().get(slash).text == "{'a': 1}"


def test_log_in_by_url(serve: Serve, user: User) -> None:
    """A log-in gives a new id, by cookie; the one in the URL is dead."""
    serve({"login": log_in}, **URL)
    sid = new_id(Browser())
    browser = Browser()
    assert browser.get(f"/login;jsessionid={sid}").status == 200
    assert browser.id != sid
    assert stored(sid) is None
    assert "'a': 1" in browser.get("/show").text


def test_ids_of_other_sites(serve: Serve) -> None:
    """A link on another site does not choose the session."""
    sid = new_id(serve(**URL))
    assert Browser().get(f"/show;jsessionid={sid}", HTTP_SEC_FETCH_SITE="cross-site").text == "{}"


def test_trusted_proxy(serve: Serve) -> None:
    """Links that name the host that the client addressed are encoded, by USE_X_FORWARDED_HOST or trusted_proxies."""
    link: dict[str, Any] = {"link": lambda request: encode_url(request, "https://shop.example/show"), **VIEWS}
    told: dict[str, Any] = {"HTTP_X_FORWARDED_HOST": "shop.example", "HTTP_X_FORWARDED_PROTO": "https"}
    django = {"USE_X_FORWARDED_HOST": True, "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
    serve(link, **URL)
    sid = new_id(Browser())
    assert Browser(**told).get(f"/link;jsessionid={sid}").text == "https://shop.example/show"
    for settings, options in ((django, {}), (dict.fromkeys(django), {"trusted_proxies": 1})):
        serve(link, settings, **URL, **options)
        answer = Browser(**told).get(f"/link;jsessionid={sid}")
        assert answer.text == f"https://shop.example/show;jsessionid={sid}"


def test_wrong_host(serve: Serve) -> None:
    """A Host that Django refuses is refused where Django does so, not by the session."""
    browser = serve(settings={"ALLOWED_HOSTS": ["shop.example"]}, **URL)
    assert browser.get("/put", HTTP_HOST="shop.example").status == 200
    assert Browser().get("/put", HTTP_HOST="else.example").status == 400
    serve(settings={"MIDDLEWARE": [MIDDLEWARE]}, **URL)
    assert Browser().get("/put", HTTP_HOST="else.example").status == 200


def test_asgi(serve: Serve) -> None:
    """The same under ASGI."""

    async def ask(sid: str) -> list[str]:
        by_url = await AsyncClient().get(f"/at/x;jsessionid={sid}")
        new = AsyncClient()
        first = await new.get("/link")
        moved = await AsyncClient().get("/go")
        pages = [by_url.content.decode(), first.content.decode()]
        return [*pages, new.cookies["sessionid"].value, moved.headers["Location"]]

    def go(request: HttpRequest) -> HttpResponseRedirect:
        request.session["a"] = 1
        return HttpResponseRedirect("/show")

    sid = new_id(serve({"link": linking, "go": go}, None, PATHS, **URL))
    by_url, first, fresh, moved = async_to_sync(ask)(sid)
    assert by_url.startswith("['/at/x', '/at/x', '/at/x', None, '/at/x'")
    assert by_url.endswith("'x', 1]")
    assert first.startswith(f"/at/x;jsessionid={fresh} ")
    assert moved.startswith("/show;jsessionid=")


# -- paths without a session -------------------------------------------------------------------------------------------


def test_ignored_paths(serve: Serve) -> None:
    """Under ignore_paths there is no session: reads find nothing, changes are refused, no cookie, no Vary."""

    def change(request: HttpRequest) -> object:
        session = request.session
        assert session.session_key is None
        assert session.is_empty()
        assert (get_session(request).is_new, get_session(request).available) == (True, False)
        assert not request.user.is_authenticated
        assert (session.get("a"), list(session.keys()), encode_url(request, "/x")) == (None, [], "/x")
        attempts: list[Any] = [session.flush, session.cycle_key, session.save, session.create, session.clear]
        attempts += [lambda: session.__setitem__("a", 1), lambda: session.update({"a": 1})]
        attempts += [
            lambda: session.setdefault("a", 1),
            lambda: session.set_expiry(60),
            lambda: get_session(request).ensure_id(),
        ]
        for attempt in attempts:
            with pytest.raises(ConfigError, match="ignore_paths: covers this request's path"):
                attempt()
        return "none"

    browser = serve({"static/a": change, "staticky": put("b", 2)}, ignore_paths=["/static"], **URL)
    sid = new_id(browser)
    for address in ("/static/a", f"/static/a;jsessionid={sid}"):
        answer = browser.get(address)
        assert (answer.text, answer.set_cookie, answer.get("Vary")) == ("none", None, None)
    browser.get("/staticky")
    assert stored(sid) == {"a": 1, "b": 2}
    wrapped = Browser({"sessionid": sid}, SessionMiddleware(WSGIHandler()))
    assert wrapped.get("/static/a").text == "none"


# -- a WSGI middleware around ------------------------------------------------------------------------------------------


def around(cookies: dict[str, str] | None = None, **defaults: Any) -> Browser:
    """Return a browser of the project with the WSGI middleware around it."""
    return Browser(cookies, SessionMiddleware(WSGIHandler()), **defaults)


def test_wrapped(serve: Serve) -> None:
    """With the WSGI middleware around it Django has that session, with all of its own ways: one session, one cookie."""
    serve({"expire": lambda request: request.session.set_expiry(300)}, None, PATHS, **URL)
    browser = around()
    browser.get("/put")
    assert "Max-Age=300" in (browser.get("/expire").set_cookie or "")
    assert stored(browser.id) == {"_session_expiry": 300, "a": 1}
    assert browser.get("/nothing").set_cookie is None
    sid = new_id(around())
    assert around().get(f"/at/x;jsessionid={sid}").text.endswith("'x', 1]")
    sid = browser.id
    browser.get("/cycle")
    assert stored(sid) is None
    assert "Max-Age=0" in (browser.get("/flush").set_cookie or "")
    assert "Max-Age=0" in (around({"sessionid": sid}).get("/flush").set_cookie or "")


def form(sid: str, more: str = "x") -> dict[str, Any]:
    """Return environ keys of a POSTed form."""
    body = urlencode({"sid": sid, "more": more}).encode()
    kind = "application/x-www-form-urlencoded"
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": kind}


def fields(request: HttpRequest) -> object:
    """Show the session, then what was posted."""
    return [request.session.get("a"), request.POST.get("sid"), len(request.POST.get("more", ""))]


def test_form(serve: Serve) -> None:
    """Wrapped, a client without cookies keeps its session by the hidden field; the view has the whole form."""
    serve({"fields": fields, "link": linking}, {"MIDDLEWARE": [MIDDLEWARE]}, PATHS, **ALL)
    first = around()
    page = first.get("/link").text
    sid = first.id
    assert page.endswith(f'<input type="hidden" name="sid" value="{sid}">')
    for size in (1, 10_000):
        answer = around().get("/fields", method="POST", **form(sid, "x" * size))
        assert answer.text == repr([1, sid, size])


def test_form_without_wrapper(serve: Serve) -> None:
    """Not wrapped, the field is only a field: nothing is taken from the body, by WSGI, test client or ASGI."""
    serve({"fields": fields}, {"MIDDLEWARE": [MIDDLEWARE]}, **ALL)
    sid = new_id(Browser())
    expected = repr([None, sid, 1])
    assert Browser().get("/fields", method="POST", **form(sid)).text == expected
    posted = {"sid": sid, "more": "x"}
    assert Client().post("/fields", posted).content.decode() == expected
    assert async_to_sync(AsyncClient().post)("/fields", posted).content.decode() == expected


def test_wrapped_and_ended_meanwhile(serve: Serve) -> None:
    """A request whose session was ended meanwhile is answered 400, wrapped too."""

    def late(request: HttpRequest) -> None:
        request.session["b"] = 2
        SessionStore(request.session.session_key).delete()

    serve({"late": late})
    browser = around()
    browser.get("/put")
    answer = browser.get("/late")
    assert (answer.status, answer.set_cookie) == (400, None)


def test_wrapped_and_an_error(serve: Serve) -> None:
    """A view that fails saves nothing, wrapped too; a log-out before that is final."""

    def fail(request: HttpRequest) -> None:
        if request.GET:
            request.session.flush()
        request.session["b"] = 2
        raise LookupError

    serve({"fail": fail})
    browser = around()
    browser.get("/put")
    sid = browser.id
    assert browser.get("/fail").status == 500
    assert stored(sid) == {"a": 1}
    answer = browser.get("/fail?flush")
    assert answer.status == 500
    assert "Max-Age=0" in (answer.set_cookie or "")
    assert stored(sid) is None


@pytest.mark.parametrize("given", [{"copies": 1}, {"config": SessionConfig(secret_key="0123456789abcdef")}])
def test_options_of_the_wrapper(given: dict[str, Any]) -> None:
    """Options of the middleware around Django belong in the setting: a ConfigError says so."""
    with pytest.raises(ConfigError, match="belong in the framework's own settings"):
        SessionMiddleware(WSGIHandler(), **given)


def test_wrapper_follows_the_settings(serve: Serve) -> None:
    """The middleware around Django has the settings of the moment, as the rest has."""
    serve(route="web1")
    browser = around()
    browser.get("/put")
    assert browser.id.endswith(".web1")
    with override_settings(SESSION_COOKIE_NAME="shop"):
        assert (browser.get("/put", cookie="").set_cookie or "").strip().startswith("shop=")
    assert (browser.get("/put", cookie="").set_cookie or "").strip().startswith("sessionid=")
