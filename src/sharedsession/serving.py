"""What a middleware does with each request (PEP 3333): opens an exchange, shows it to the application, runs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .compiling import mypyc_attr
from .config import SessionConfig
from .errors import ConfigError
from .exchange import Exchange, Policy
from .response import Response
from .rewriting import Rewriting
from .view import decoded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: environ key of the innermost middleware's session.
SESSION_KEY: Final = "sharedsession.session"
#: environ key of the innermost middleware's exchange, which knows the URLs of the request, and the exchanges around it;
#: None where `ignore_paths` has it that there is no session.
EXCHANGE_KEY: Final = "sharedsession.exchange"
#: environ key that is set there: the exchange that is out of sight, of which only `named` is asked, or True.
IGNORED_KEY: Final = "sharedsession.ignored"


# Compiled, unlike the classes that applications derive from it: a server calls it for every request.
@mypyc_attr(allow_interpreted_subclasses=True)
class Wrapper:
    """What a server calls in the application's place."""

    _app: WSGIApplication
    _serving: Serving

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        return self._serving.serve(self._app, environ, start_response)


class Serving:
    """Serves requests with one set of options.

    Args:
        owner: the middleware, which stands in environ for its cookie's name.
        policy: what decides about every exchange.
        config: the options.
    """

    def __init__(self, owner: object, policy: Policy, config: SessionConfig) -> None:
        self._owner = owner
        self._policy = policy
        self._name = config.cookie.name
        self._one_process = config.nodes is None
        self._rewrites = policy.tracking.rewrites

    def serve(self, app: WSGIApplication, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request by the application."""
        if self._policy.ignore_paths and self._ignores(environ):
            return app(environ, start_response)
        if self._one_process:
            refuse_several_processes(environ)
        exchange = Exchange(self._policy, environ)
        self._publish(environ, exchange)
        if self._rewrites:
            return Rewriting(exchange, environ, start_response).run(app, Response)
        return Response(exchange, environ, start_response).run(app)

    def _ignores(self, environ: dict[str, Any]) -> bool:
        """Say whether there is no session under this path; one of an outer middleware is out of sight there too."""
        if not self._policy.ignores(decoded(environ.get("PATH_INFO", ""))):
            return False
        self._policy.tracking.enter(environ)
        environ[IGNORED_KEY] = environ.get(EXCHANGE_KEY) or environ.get(IGNORED_KEY) or True
        environ[EXCHANGE_KEY] = None
        environ.pop(SESSION_KEY, None)
        return True

    def _publish(self, environ: dict[str, Any], exchange: Exchange) -> None:
        exchange.name, exchange.owner = self._name, self._owner
        if environ.setdefault(EXCHANGE_KEY, exchange) is not exchange:
            outer = innermost(environ)
            exchange.outer = self._around(outer) if outer is not None else None
            environ.pop(IGNORED_KEY, None)
            environ[EXCHANGE_KEY] = exchange
        environ[SESSION_KEY] = exchange.session

    def _around(self, outer: Exchange) -> Exchange | None:
        """Return the exchange around this one, of the innermost among the other middlewares."""
        known = outer.named(self._name)
        if known is None:
            return outer
        # An error-document or retry middleware may serve one environ twice: then it is this same middleware.
        if known.owner is not self._owner:
            raise ConfigError("cookie_name", f"two session middlewares use {self._name!r}; give each its own name")
        return known.outer


def innermost(environ: dict[str, Any]) -> Exchange | None:
    """Return the exchange from which all those around the application are found by name, in sight or not."""
    found = environ.get(EXCHANGE_KEY) or environ.get(IGNORED_KEY)
    return found if isinstance(found, Exchange) else None


def refuse_several_processes(environ: dict[str, Any]) -> None:
    """Refuse to keep sessions in this process when the server says that it runs several.

    Raises:
        ConfigError: it does.
    """
    if environ.get("wsgi.multiprocess"):
        raise ConfigError(
            "nodes",
            "is not set, so every process would have sessions of its own, but the server runs several; "
            "name memcached nodes, or say nodes='memory' if that is meant",
        )
