"""Flask: pages that rewrite themselves, switched on by its configuration or by the environment."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask, Response, request, session
from webclient import SECRET

from sharedsession.flask import SharedSession

PAGE = '<a href="/next?a=1"></a><form method="post"></form>'
LINK = r'<a href="/next;jsessionid=[0-9a-f]{64}\?a=1"></a>'


def app(options: dict[str, Any]) -> Flask:
    """Return an application that writes plain pages."""
    made = Flask("shop")
    made.config.update(SECRET_KEY=SECRET, **options)
    SharedSession(made)

    @made.get("/")
    def page() -> str:
        session["a"] = 1
        return PAGE

    @made.get("/streamed")
    def streamed() -> Response:
        session["a"] = 1
        return Response(iter([PAGE[:12], PAGE[12:]]))

    @made.get("/out")
    def out() -> str:
        session["a"] = 1
        request.environ["sharedsession.rewrite_html"] = False
        return PAGE

    return made


def text(made: Flask, path: str) -> str:
    """Return a page, asked for without cookies."""
    return str(made.test_client(use_cookies=False).get(path).text)


CONFIG = {"SHAREDSESSION_TRACKING": ["url", "form"], "SHAREDSESSION_REWRITE_HTML": True}


def test_configuration() -> None:
    """SHAREDSESSION_REWRITE_HTML is enough: links and forms of pages carry the id."""
    page = text(app(CONFIG), "/")
    action = r'<form action="/;jsessionid=\w+" method="post"><input type="hidden" name="jsessionid" value="\w+"></form>'
    assert re.fullmatch(LINK + action, page)
    assert re.match(LINK, text(app(CONFIG), "/streamed"))
    assert text(app(CONFIG), "/out") == PAGE


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is the environment."""
    monkeypatch.setenv("SHAREDSESSION_TRACKING", "cookie,url")
    monkeypatch.setenv("SHAREDSESSION_REWRITE_HTML", "true")
    monkeypatch.setenv("SHAREDSESSION_REWRITE_HTML_EXCEPT", "/streamed, /other")
    assert re.match(LINK, text(app({}), "/"))
    assert text(app({}), "/streamed") == PAGE
