"""The same session as JSON, for the check: what a test asks, a node answers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from sharedsession.flask import SharedSession, session


def count(key: str) -> int:
    """Add one to an attribute, exactly, whoever else does so at the same time; return the new number."""

    def add(current: Any) -> int:
        current[key] = current.get(key, 0) + 1
        return int(current[key])

    return session.transaction(add)


class Api:
    """The views.

    Args:
        shared: the session extension of this application.
        name: this application node.
    """

    def __init__(self, shared: SharedSession, name: str) -> None:
        self._shared = shared
        self._name = name

    def read(self) -> dict[str, Any]:
        """Return the session: who served it, its id, how that came, and its attributes."""
        return {"served_by": self._name, "id": session.id, "source": session.source, "attributes": dict(session)}

    def count(self) -> dict[str, Any]:
        """Add one to the counter."""
        return {"served_by": self._name, "count": count("count"), "id": session.id}

    def set(self) -> dict[str, Any]:
        """Set one attribute."""
        session[request.form["key"]] = request.form["value"]
        return {"served_by": self._name}

    def login(self) -> dict[str, Any]:
        """Take a new id, and say who this is."""
        session.change_id()
        session["user"] = request.form["user"]
        return self.read()

    def logout(self) -> dict[str, Any]:
        """End the session."""
        session.invalidate()
        return {"served_by": self._name}

    def expire(self) -> dict[str, Any]:
        """Let the session end after a second without a request."""
        session.max_inactive_interval = 1
        return self.read()

    def copies(self) -> dict[str, Any]:
        """Return the memcached nodes that hold the session, the first copy first."""
        where = self._shared.locate(session)
        return {"served_by": self._name, "copies": where.copies if where else ()}

    def health(self) -> dict[str, Any]:
        """Return what this node thinks of each memcached node; touches no session."""
        return {"served_by": self._name, "up": {node.name: node.up for node in self._shared.health()}}


def blueprint(api: Api) -> Blueprint:
    """Return the routes, below /api."""
    routes = Blueprint("api", __name__, url_prefix="/api")
    routes.get("/session")(api.read)
    for view in (api.copies, api.health):
        routes.get(f"/{view.__name__}")(view)
    for view in (api.count, api.set, api.login, api.logout, api.expire):
        routes.post(f"/{view.__name__}")(view)
    return routes
