"""The same session as JSON, for the check: what a test asks, a node answers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, session
from sharedsession.flask import SharedSession


def count(key: str) -> int:
    """Add one to an attribute, exactly, whoever else does so at the same time; return the new number."""

    def add(current: Any) -> int:
        current[key] = current.get(key, 0) + 1
        return int(current[key])

    return int(session.transaction(add))


def blueprint(shared: SharedSession, name: str) -> Blueprint:
    """Return the routes below /api for the application node of that name."""
    api = Blueprint("api", __name__, url_prefix="/api")

    def state() -> dict[str, Any]:
        return {"served_by": name, "id": session.id, "is_new": session.is_new, "attributes": dict(session)}

    @api.get("/session")
    def read() -> dict[str, Any]:
        return state()

    @api.post("/count")
    def add_one() -> dict[str, Any]:
        return {"served_by": name, "count": count("count"), "id": session.id}

    @api.post("/set")
    def set_value() -> dict[str, Any]:
        session[request.form["key"]] = request.form["value"]
        return {"served_by": name}

    @api.post("/login")
    def login() -> dict[str, Any]:
        session.change_id()
        session["user"] = request.form["user"]
        return state()

    @api.post("/logout")
    def logout() -> dict[str, Any]:
        session.invalidate()
        return {"served_by": name}

    @api.post("/expire")
    def expire() -> dict[str, Any]:
        session.max_inactive_interval = 1  # seconds
        return state()

    @api.get("/copies")
    def copies() -> dict[str, Any]:
        return {"served_by": name, "copies": shared.locate(session).copies}

    @api.get("/health")
    def health() -> dict[str, Any]:
        return {"served_by": name, "up": {node.name: node.up for node in shared.health()}, "stats": shared.stats()}

    return api
