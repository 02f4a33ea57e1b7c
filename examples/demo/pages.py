"""The page a person looks at, and what its buttons do."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.wrappers import Response

from sharedsession.flask import SharedSession, session

from . import picture
from .api import count
from .control import ControlError, Supervisor

#: Attributes the page itself keeps in the session.
OWN = ("visits", "user", "id before")


@dataclass(frozen=True)
class NodeRow:
    """A memcached node, as the supervisor knows it and as this application node sees it."""

    #: Its place in the list, from 1; the page's colour for it.
    number: int
    name: str
    address: str
    running: bool
    up: bool
    #: 1 for the first copy of this session, 2 for the second, 0 for none.
    copy: int

    @property
    def state(self) -> str:
        """Say it in words."""
        if self.running:
            return "in use" if self.up else "running, marked down here"
        return "killed, not noticed yet" if self.up else "killed, marked down here"


class Pages:
    """The views.

    Args:
        shared: the session extension of this application.
        name: this application node.
        supervisor: who kills and restarts processes.
    """

    def __init__(self, shared: SharedSession, name: str, supervisor: Supervisor) -> None:
        self._shared = shared
        self._name = name
        self._supervisor = supervisor

    def show(self) -> str:
        """Show the page and count the visit."""
        session.ensure_id()
        count("visits")
        where = self._shared.locate(session)
        nodes = self._nodes(where.copies if where else ())
        drawn = picture.draw(self._shared.ring(), where, [node.name for node in nodes])
        by_name = {node.name: node for node in nodes}
        return render_template("page.html", picture=drawn, by_name=by_name, **self._session(), **self._processes(nodes))

    def unavailable(self, error: ServiceUnavailable) -> Any:
        """Show what can be shown when no copy of the session is within reach: the processes and their buttons."""
        if request.blueprint == "api":
            return error  # as the library words it
        text = render_template("unavailable.html", **self._processes(self._nodes(())))
        return text, 503, {"Retry-After": str(error.retry_after)}

    # SameSite=Lax is what protects the three session forms below: another site's POST comes without the cookie, and
    # that site knows no id to put into URL or field. The forms that kill processes work without a session too, so
    # they carry the token of this run.

    def add(self) -> Response:
        """Put a value into the session."""
        name = request.form.get("name", "").strip()[:40]
        if not name or name in OWN:
            abort(400, f"A value needs a name, and {', '.join(OWN)} are the demo's own.")
        session[name] = request.form.get("value", "")[:200]
        return redirect(url_for("show"), 303)

    def login(self) -> Response:
        """Log in: a new id for the same data, so that an id planted before is worth nothing after."""
        before = session.ensure_id()
        session.change_id()
        session["user"] = "Ada"
        session["id before"] = before[:8]
        return redirect(url_for("show"), 303)

    def logout(self) -> Response:
        """Log out: the session ends, on every node, for good."""
        session.invalidate()
        return redirect(url_for("show"), 303)

    def control(self, action: str, name: str) -> Response:
        """Kill or restart a process; only for the page of this run."""
        if not hmac.compare_digest(request.form.get("token", "").encode(), self._supervisor.token.encode()):
            abort(403, "This button belongs to another run of the demo: reload the page.")
        if action == "kill":
            self._supervisor.kill(name)
        else:
            self._supervisor.restart(name)
        return redirect(url_for("show", _anchor="ring"), 303)

    def _session(self) -> dict[str, Any]:
        code, _, route = str(session.id).partition(".")
        return {
            "random": code[:32],
            "mac": code[32:],
            "issued_by": route,
            "begun": time.strftime("%H:%M:%S", time.localtime(session.creation_time)),
            "idle_minutes": (session.max_inactive_interval or 0) // 60,
            "visits": session.get("visits"),
            "user": session.get("user"),
            "id_before": session.get("id before"),
            "source": session.source,
            "attributes": sorted(session.items()),
        }

    def _nodes(self, copies: tuple[str, ...]) -> list[NodeRow]:
        running = self._running()
        return [
            NodeRow(
                number=number,
                name=node.name,
                address=node.address,
                running=running.get(node.name, node.up),
                up=node.up,
                copy=copies.index(node.name) + 1 if node.name in copies else 0,
            )
            for number, node in enumerate(self._shared.health(), 1)
        ]

    def _processes(self, nodes: list[NodeRow]) -> dict[str, Any]:
        names = {node.name for node in nodes}
        apps = {name: runs for name, runs in self._running().items() if name not in names}
        return {"nodes": nodes, "apps": apps, "served_by": self._name, "token": self._supervisor.token}

    def _running(self) -> dict[str, bool]:
        try:
            return self._supervisor.running()
        except ControlError:
            return {}  # started without the supervisor: no buttons


def refused(error: ControlError) -> tuple[str, int]:
    """Answer when the supervisor does not do what a button asks."""
    return str(error), 502


def install(app: Flask, pages: Pages) -> None:
    """Give the application its pages."""
    app.route("/", methods=["GET", "POST"])(pages.show)
    app.post("/add")(pages.add)
    app.post("/login")(pages.login)
    app.post("/logout")(pages.logout)
    app.post("/control/<any(kill, restart):action>/<name>")(pages.control)
    app.register_error_handler(ControlError, refused)
    app.register_error_handler(ServiceUnavailable, pages.unavailable)
