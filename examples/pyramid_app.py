"""A Pyramid app on several nodes: come back to any of them, log in on one and out on another.

Start memcached twice and the app twice, and open http://127.0.0.1:8001 and http://127.0.0.1:8002 in turn:

    $ memcached -p 11211 &
    $ memcached -p 11212 &
    $ export SHAREDSESSION_NODES="n1:127.0.0.1:11211 n2:127.0.0.1:11212"
    $ export SHAREDSESSION_SECRET_KEY=$(python -c "import secrets; print(secrets.token_hex(32))")
    $ SHAREDSESSION_ROUTE=web1 waitress-serve --listen=127.0.0.1:8001 pyramid_app:application &
    $ SHAREDSESSION_ROUTE=web2 waitress-serve --listen=127.0.0.1:8002 pyramid_app:application &
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from pyramid.authentication import SessionAuthenticationHelper
from pyramid.config import Configurator
from pyramid.csrf import get_csrf_token
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import forget, remember
from pyramid.view import view_config

from sharedsession import SessionMiddleware

PAGE = Markup("""<!doctype html>
<title>Pyramid</title>
<p>You were here {visits} times.</p>
<form method="post" {form}<input type="hidden" name="csrf_token" value="{token}"></form>
""")
LOG_IN = Markup('action="/login"><input name="user"> <button>Log in</button>')
LOG_OUT = Markup('action="/logout">{user} <button>Log out</button>')


@view_config(route_name="home")
def home(request: Any) -> Any:
    """Count the visit; exactly, also when two tabs load at the same moment."""
    token, user = get_csrf_token(request), request.authenticated_userid
    request.session.transaction(lambda session: session.update(visits=session.get("visits", 0) + 1))
    form = LOG_OUT.format(user=user) if user else LOG_IN
    return Response(PAGE.format(visits=request.session["visits"], form=form, token=token))


@view_config(route_name="login", request_method="POST")
def log_in(request: Any) -> Any:
    """Log in; a real application checks a password here."""
    return HTTPSeeOther("/", headers=remember(request, request.POST["user"]))


@view_config(route_name="logout", request_method="POST")
def log_out(request: Any) -> Any:
    """Log out."""
    return HTTPSeeOther("/", headers=forget(request))


class SecurityPolicy:
    """Keeps in the session who is logged in."""

    helper = SessionAuthenticationHelper()

    def authenticated_userid(self, request: Any) -> Any:
        """Return who is logged in."""
        return self.helper.authenticated_userid(request)

    def remember(self, request: Any, userid: str, **kw: Any) -> Any:
        """Log in: an id that somebody else may have seen, or planted, is worth nothing from now on."""
        request.session.change_id()
        request.session.new_csrf_token()
        return self.helper.remember(request, userid, **kw)

    def forget(self, request: Any, **kw: Any) -> Any:
        """Log out: end the session on every node."""
        request.session.invalidate()
        return []


with Configurator() as config:
    config.include("sharedsession.pyramid")
    config.set_security_policy(SecurityPolicy())
    config.set_default_csrf_options(require_csrf=True)
    for name, path in [("home", "/"), ("login", "/login"), ("logout", "/logout")]:
        config.add_route(name, path)
    config.scan(__name__)

# Nodes, secret key and the node's name are read from SHAREDSESSION_* in the environment.
application = SessionMiddleware(config.make_wsgi_app())
