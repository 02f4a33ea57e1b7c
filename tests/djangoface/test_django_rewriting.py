"""Django: pages that rewrite themselves, with the WSGI middleware around the project."""

from __future__ import annotations

import re

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import RequestContext, Template
from django.urls import path

from djangoface.conftest import Serve
from djangoface.project import Browser
from sharedsession import SessionMiddleware

PAGE = '<a href="/plain?a=1&amp;b=2">x</a><form method="post" action="/plain">{% csrf_token %}</form>'
OPTIONS = {"tracking": ("cookie", "url", "form"), "rewrite_html": True}


def plain(request: HttpRequest) -> HttpResponse:
    """Show a page by a template that knows nothing of sessions without cookies."""
    request.session["a"] = request.session.get("a", 0) + 1
    return HttpResponse(f"{request.session['a']} {Template(PAGE).render(RequestContext(request))}")


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """Stream a page, cut within its link."""
    request.session["a"] = 1
    return StreamingHttpResponse([b'<a href="/pl', b'ain">'])


def opted_out(request: HttpRequest) -> HttpResponse:
    """Show a page that is to stay as it is."""
    request.META["sharedsession.rewrite_html"] = False
    return plain(request)


URLS = [path("plain", plain), path("streamed", streamed), path("out", opted_out)]


def visitor(serve: Serve) -> Browser:
    """Return a browser that keeps no cookie, of the project with the WSGI middleware around it."""
    serve({}, None, *URLS, **OPTIONS)
    return Browser(None, SessionMiddleware(WSGIHandler()))


def ask(browser: Browser, url: str) -> str:
    """Return a page, asked for without a cookie."""
    browser.cookies.clear()
    return browser.get(url).text


def test_setting(serve: Serve) -> None:
    """The setting rewrite_html is enough: links keep the session; the field stands before the CSRF token."""
    browser = visitor(serve)
    page = ask(browser, "/plain")
    for count in (2, 3):
        link = re.search(r'href="(/plain;jsessionid=[0-9a-f]{64}\?a=1&amp;b=2)"', page)
        assert link
        page = ask(browser, link[1].replace("&amp;", "&"))
        assert page.startswith(f"{count} ")
    form = re.search(r'<form method="post" action="/plain;jsessionid=\w+"><input type="hidden" name="(\w+)"', page)
    assert form
    assert form[1] == "jsessionid"


def test_streamed(serve: Serve) -> None:
    """A streaming response is rewritten as it streams."""
    assert re.fullmatch(r'<a href="/plain;jsessionid=[0-9a-f]{64}">', ask(visitor(serve), "/streamed"))


def test_opted_out(serve: Serve) -> None:
    """A view may leave its page as it is."""
    assert "jsessionid" not in ask(visitor(serve), "/out")
